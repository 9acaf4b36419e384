// A library of the V3 interface, with NVIDIA's own headers, that registers its creator itself: -DNAME='"Op"' and one of
// -DSTATIC (when it is opened) and -DINIT=function. -DALSO_DYNAMIC adds a getCreators, as some libraries have both.
#include <NvInfer.h>

#include <cstdlib>

namespace {

class Creator final : public nvinfer1::IPluginCreatorV3One {
 public:
  nvinfer1::IPluginV3* createPlugin(char const*, nvinfer1::PluginFieldCollection const*,
                                    nvinfer1::TensorRTPhase) noexcept override {
    return nullptr;
  }
  nvinfer1::PluginFieldCollection const* getFieldNames() noexcept override { return &fields_; }
  char const* getPluginName() const noexcept override { return NAME; }
  char const* getPluginVersion() const noexcept override { return "1"; }
  char const* getPluginNamespace() const noexcept override { return ""; }

 private:
  nvinfer1::PluginField axis_{"axis", nullptr, nvinfer1::PluginFieldType::kINT32, 1};
  nvinfer1::PluginFieldCollection fields_{1, &axis_};
};

bool add(Creator& creator, char const* space) {
#ifdef SLOT
  // RTX and TensorRT 11 have left V2's functions out of the registry, so the slot is not that of these headers.
  using Register = bool (*)(nvinfer1::IPluginRegistry*, nvinfer1::IPluginCreatorInterface*, char const*);
  nvinfer1::IPluginRegistry* const registry = getPluginRegistry();
  return reinterpret_cast<Register>((*reinterpret_cast<void***>(registry))[SLOT])(registry, &creator, space);
#else
  return getPluginRegistry()->registerCreator(creator, space);
#endif
}

}  // namespace

#ifdef CRASH
__attribute__((constructor)) static void crash() { abort(); }
#endif

#ifdef STATIC
#ifdef SLOT
static Creator self;
static bool const added = add(self, "");
#else
REGISTER_TENSORRT_PLUGIN(Creator);
#endif
#endif

#ifdef INIT
extern "C" __attribute__((visibility("default"))) bool INIT(void* logger, char const* space) {
  static Creator creator;
  static_cast<nvinfer1::ILogger*>(logger)->log(nvinfer1::ILogger::Severity::kWARNING, "initialised");
  return add(creator, space);
}
#endif

#ifdef ALSO_DYNAMIC
extern "C"
    __attribute__((visibility("default"))) nvinfer1::IPluginCreatorInterface* const* getCreators(int32_t& count) {
  static Creator creator;
  static nvinfer1::IPluginCreatorInterface* const list[] = {&creator};
  count = 1;
  return list;
}
extern "C" __attribute__((visibility("default"))) void setLoggerFinder(nvinfer1::ILoggerFinder*) {}
#endif
