// A plugin with tactics and formats, and TensorRT's part: what a builder asks and a runtime sets, in their order.
#include <trtreg/plugin.h>

#include <cstring>

namespace {

class ByTactic : public trtreg::Plugin {
 public:
  static constexpr char const* name = "ByTactic";
  static constexpr trtreg::Arity inputs{1};

  int32_t axis = 3;

  void attributes(trtreg::Attributes& all) { all.add("axis", axis); }
  static trtreg::Signatures signatures() {
    using trtreg::TensorFormat;
    return {{{trtreg::DataType::kHALF}, {trtreg::DataType::kINT32}},
            {{{trtreg::DataType::kHALF, TensorFormat::kHWC8}}, {{trtreg::DataType::kINT32, TensorFormat::kCHW32}}},
            {{trtreg::DataType::kFLOAT}, {trtreg::DataType::kINT32}}};
  }
  void shapes(trtreg::Shapes& s) const { s.outputs[0] = s.inputs[0]; }
  trtreg::Tactics tactics(trtreg::TensorSpecs const& in, trtreg::TensorSpecs const&) const {
    if (in[0].type == trtreg::DataType::kFLOAT) return {};
    return {2, static_cast<int32_t>(in[0][0])};
  }
  void enqueue(trtreg::Call const& call) const { *call.out<int32_t>(0) = call.tactic; }
};

}  // namespace

TRTREG_PLUGINS(ByTactic)

// Whether the plugin takes an input of `type` in `format`, and then an output of int32 in `of_output`; -1: there is
// none.
TRTREG_EXPORT bool takes(int32_t type, int32_t format, int32_t of_output) {
  using namespace trtreg::abi;
  int32_t count = 0;
  auto* const creator = static_cast<IPluginCreatorV3One*>(getCreators(count)[0]);
  IPluginV3* const plugin = creator->createPlugin("", nullptr, TensorRTPhase::kBUILD);
  auto& build = *static_cast<IPluginV3OneBuild*>(plugin->getCapabilityInterface(PluginCapabilityType::kBUILD));
  DynamicPluginTensorDesc tensors[2]{};
  tensors[0].desc.type = static_cast<DataType>(type);
  tensors[0].desc.format = static_cast<TensorFormat>(format);
  tensors[1].desc.type = DataType::kINT32;
  tensors[1].desc.format = static_cast<TensorFormat>(of_output);
  bool const found = build.supportsFormatCombination(of_output < 0 ? 0 : 1, tensors, 1, 1);
  delete plugin;
  return found;
}

// The tactics of a plugin whose input has `size` elements of `type`, and in `id` what its times are kept by; `ran` gets
// the tactic of a call after a runtime set `tactic`, or as none was set where it is 0. Answers how many there are.
TRTREG_EXPORT int32_t drive(int32_t type, int64_t size, int32_t tactic, int32_t* tactics, char* id, int32_t* ran) {
  using namespace trtreg::abi;
  int32_t count = 0;
  auto* const creator = static_cast<IPluginCreatorV3One*>(getCreators(count)[0]);
  IPluginV3* const plugin = creator->createPlugin("", nullptr, TensorRTPhase::kBUILD);
  auto& build = *static_cast<IPluginV3OneBuild*>(plugin->getCapabilityInterface(PluginCapabilityType::kBUILD));
  DynamicPluginTensorDesc in{};
  in.desc.type = static_cast<DataType>(type);
  in.desc.dims = in.min = in.max = in.opt = Dims{1, {size}};
  DynamicPluginTensorDesc out = in;
  out.desc.type = DataType::kINT32;
  if (build.configurePlugin(&in, 1, &out, 1)) return -1;
  int32_t const found = build.getNbTactics();
  if (build.getValidTactics(tactics, found)) return -1;
  char const* const text = build.getTimingCacheID();
  std::strcpy(id, text ? text : "");

  IPluginV3* const copy = plugin->clone();
  auto& runtime = *static_cast<IPluginV3OneRuntime*>(copy->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
  if (tactic && runtime.setTactic(tactic)) return -1;
  IPluginV3* const attached = runtime.attachToContext(nullptr);
  auto& context = *static_cast<IPluginV3OneRuntime*>(attached->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
  void const* const inputs[] = {ran};
  void* const outputs[] = {ran};
  if (context.onShapeChange(&in.desc, 1, &out.desc, 1)) return -1;
  // Without a GPU it fails behind the plugin's own part, as CUDA is asked for errors.
  (void)context.enqueue(&in.desc, &out.desc, inputs, outputs, nullptr, nullptr);
  delete plugin;
  delete copy;
  delete attached;
  return found;
}
