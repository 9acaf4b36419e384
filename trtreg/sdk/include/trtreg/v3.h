// TensorRT's face: the V3 plugin and its creator, made from an author's contract (see operator.h).
#ifndef TRTREG_V3_H
#define TRTREG_V3_H

#include <memory>
#include <vector>

#include "trtreg/operator.h"

namespace TRTREG_NAMESPACE {
namespace detail {

constexpr int32_t kFailed = -1;

// What times of tactics depend on, besides types and shapes: TensorRT keeps them by this text.
template <typename P>
std::string timing_id(Attributes const& attributes) {
  std::string id = std::string(P::plugin_namespace) + "::" + P::name + " " + P::version;
  for (auto const& entry : attributes.entries()) id += ", " + entry->name + "=" + entry->json();
  return id;
}

// The build interface of the second version only where it is needed: TensorRT releases older than it refuse it.
template <typename P, bool = P::kAliases>
class BuildInterface : public abi::IPluginV3OneBuild {};

template <typename P>
class BuildInterface<P, true> : public abi::IPluginV3OneBuildV2 {
 public:
  int32_t getAliasedInput(int32_t outputIndex) noexcept override { return P::aliased_input(outputIndex); }
};

template <typename P>
class V3Plugin final : public abi::IPluginV3,
                       public abi::IPluginV3OneCore,
                       public BuildInterface<P>,
                       public abi::IPluginV3OneRuntime {
 public:
  explicit V3Plugin(P plugin) : plugin_(std::move(plugin)) { bind(); }
  V3Plugin(V3Plugin const& other)
      : abi::IPluginV3(other),
        abi::IPluginV3OneCore(other),
        BuildInterface<P>(other),
        abi::IPluginV3OneRuntime(other),
        plugin_(other.plugin_),
        tactics_(other.tactics_),
        tactic_(other.tactic_) {
    bind();
  }
  V3Plugin& operator=(V3Plugin const&) = delete;

  // ------------------------------------------------------------------------------------------------ IPluginV3
  abi::IPluginCapability* getCapabilityInterface(abi::PluginCapabilityType type) noexcept override {
    switch (type) {
      case abi::PluginCapabilityType::kCORE:
        return static_cast<abi::IPluginV3OneCore*>(this);
      case abi::PluginCapabilityType::kBUILD:
        return static_cast<BuildInterface<P>*>(this);
      case abi::PluginCapabilityType::kRUNTIME:
        return static_cast<abi::IPluginV3OneRuntime*>(this);
    }
    return nullptr;
  }
  abi::IPluginV3* clone() noexcept override {
    return guarded<abi::IPluginV3*>(P::name, nullptr, [&] { return new V3Plugin(*this); });
  }

  // ----------------------------------------------------------------------------------------------------- core
  char const* getPluginName() const noexcept override { return P::name; }
  char const* getPluginVersion() const noexcept override { return P::version; }
  char const* getPluginNamespace() const noexcept override { return P::plugin_namespace; }

  // ---------------------------------------------------------------------------------------------------- build
  int32_t configurePlugin(abi::DynamicPluginTensorDesc const* in, int32_t nbInputs,
                          abi::DynamicPluginTensorDesc const* out, int32_t nbOutputs) noexcept override {
    return guarded(P::name, kFailed, [&] {
      expect_inputs<P>(nbInputs);
      tactics_ = plugin_.tactics(largest(in, nbInputs), largest(out, nbOutputs));
      return 0;
    });
  }

  int32_t getNbTactics() noexcept override { return static_cast<int32_t>(tactics_.size()); }

  int32_t getValidTactics(int32_t* tactics, int32_t nbTactics) noexcept override {
    std::copy_n(tactics_.begin(), std::min(tactics_.size(), static_cast<size_t>(nbTactics)), tactics);
    return 0;
  }

  // Without tactics nobody has to remember what they took.
  char const* getTimingCacheID() noexcept override {
    return guarded<char const*>(P::name, nullptr, [&] {
      timing_id_ = timing_id<P>(attributes_);
      return tactics_.empty() ? nullptr : timing_id_.c_str();
    });
  }

  int32_t getOutputDataTypes(DataType* outputTypes, int32_t nbOutputs, DataType const* inputTypes,
                             int32_t nbInputs) const noexcept override {
    return guarded(P::name, kFailed, [&] {
      std::vector<TypeFormat> const outputs = outputs_of(plugin_, {inputTypes, inputTypes + nbInputs}, false);
      for (size_t i = 0; i < std::min(outputs.size(), static_cast<size_t>(nbOutputs)); ++i) {
        outputTypes[i] = outputs[i].type;
      }
      return 0;
    });
  }

  int32_t getOutputShapes(abi::DimsExprs const* inputs, int32_t nbInputs, abi::DimsExprs const* shapeInputs,
                          int32_t nbShapeInputs, abi::DimsExprs* outputs, int32_t nbOutputs,
                          abi::IExprBuilder& builder) noexcept override {
    return guarded(P::name, kFailed, [&] {
      expect_inputs<P>(nbInputs);
      Shapes shapes(static_cast<size_t>(nbOutputs), &builder);
      shapes.inputs = symbolic(inputs, nbInputs, builder);
      shapes.shape_inputs = symbolic(shapeInputs, nbShapeInputs, builder);
      plugin_.shapes(shapes);
      for (int32_t i = 0; i < nbOutputs; ++i) {
        Shape const& shape = shapes.outputs[static_cast<size_t>(i)];
        require(shape.size() <= static_cast<size_t>(Dims::MAX_DIMS), "an output of rank ", shape.size());
        outputs[i].nbDims = static_cast<int32_t>(shape.size());
        for (size_t axis = 0; axis < shape.size(); ++axis) outputs[i].d[axis] = shape[axis].expression(builder);
      }
      return 0;
    });
  }

  bool supportsFormatCombination(int32_t pos, abi::DynamicPluginTensorDesc const* inOut, int32_t nbInputs,
                                 int32_t nbOutputs) noexcept override {
    return guarded(P::name, false, [&] {
      if (nbInputs < P::inputs.min || nbInputs > P::inputs.max || pos >= nbInputs + nbOutputs) return false;
      for (Signature const& signature : P::signatures()) {
        bool fits = true;
        for (int32_t i = 0; i <= pos && fits; ++i) {
          TypeFormat const& wanted = i < nbInputs ? at(signature.inputs, i) : at(signature.outputs, i - nbInputs);
          fits = inOut[i].desc.type == wanted.type && inOut[i].desc.format == wanted.format;
        }
        if (fits) return true;
      }
      return false;
    });
  }

  int32_t getNbOutputs() const noexcept override {
    return guarded(P::name, kFailed, [&] { return output_count(plugin_); });
  }

  size_t getWorkspaceSize(abi::DynamicPluginTensorDesc const* inputs, int32_t nbInputs,
                          abi::DynamicPluginTensorDesc const* outputs, int32_t nbOutputs) const noexcept override {
    return guarded(P::name, size_t{0}, [&] {
      expect_counts(nbInputs, nbOutputs);
      return plugin_.workspace(largest(inputs, nbInputs), largest(outputs, nbOutputs));
    });
  }

  // -------------------------------------------------------------------------------------------------- runtime
  int32_t setTactic(int32_t tactic) noexcept override {
    tactic_ = tactic;
    return 0;
  }

  int32_t onShapeChange(abi::PluginTensorDesc const* in, int32_t nbInputs, abi::PluginTensorDesc const*,
                        int32_t nbOutputs) noexcept override {
    return guarded(P::name, kFailed, [&] {
      expect_counts(nbInputs, nbOutputs);
      input_count_ = static_cast<size_t>(nbInputs);
      output_count_ = static_cast<size_t>(nbOutputs);
      // What was open while the engine was built is known now: refuse here what does not fit together.
      if (P::shape_inputs.max == 0) {
        std::vector<Dims> dims;
        for (int32_t i = 0; i < nbInputs; ++i) dims.push_back(in[i].dims);
        output_dims(plugin_, dims);
      }
      return 0;
    });
  }

  int32_t enqueue(abi::PluginTensorDesc const* inputDesc, abi::PluginTensorDesc const* outputDesc,
                  void const* const* inputs, void* const* outputs, void* workspace,
                  cudaStream_t stream) noexcept override {
    return guarded(P::name, kFailed, [&] {
      inputs_.clear();
      outputs_.clear();
      for (size_t i = 0; i < input_count_; ++i) {
        inputs_.push_back({{inputDesc[i].type, inputDesc[i].dims, inputDesc[i].format}, const_cast<void*>(inputs[i])});
      }
      for (size_t i = 0; i < output_count_; ++i) {
        outputs_.push_back({{outputDesc[i].type, outputDesc[i].dims, outputDesc[i].format}, outputs[i]});
      }
      run(plugin_, Call{inputs_, outputs_, workspace, stream, tactic_});
      return 0;
    });
  }

  abi::IPluginV3* attachToContext(abi::IPluginResourceContext*) noexcept override { return clone(); }

  abi::PluginFieldCollection const* getFieldsToSerialize() noexcept override {
    return guarded<abi::PluginFieldCollection const*>(P::name, nullptr, [&] {
      fields_.clear();
      for (auto const& entry : attributes_.entries()) fields_.push_back(entry->field());
      collection_ = {static_cast<int32_t>(fields_.size()), fields_.data()};
      return &collection_;
    });
  }

 private:
  void bind() { plugin_.attributes(attributes_); }

  // An author reads its tensors by number.
  void expect_counts(int32_t inputs, int32_t outputs) const {
    expect_inputs<P>(inputs);
    require(outputs == output_count(plugin_), "found ", outputs, " outputs, expected ", output_count(plugin_));
  }

  static std::vector<Shape> symbolic(abi::DimsExprs const* exprs, int32_t count, abi::IExprBuilder& builder) {
    std::vector<Shape> shapes;
    for (int32_t i = 0; i < count; ++i) {
      Shape shape;
      for (int32_t axis = 0; axis < exprs[i].nbDims; ++axis) shape.emplace_back(exprs[i].d[axis], &builder);
      shapes.push_back(std::move(shape));
    }
    return shapes;
  }

  static TensorSpecs largest(abi::DynamicPluginTensorDesc const* tensors, int32_t count) {
    TensorSpecs specs;
    for (int32_t i = 0; i < count; ++i) {
      expect_size(tensors[i].max, "tensor", static_cast<size_t>(i));
      specs.push_back({tensors[i].desc.type, tensors[i].max, tensors[i].desc.format});
    }
    return specs;
  }

  P plugin_;
  Attributes attributes_;  // bound to plugin_
  Tactics tactics_;        // for what configurePlugin got
  int32_t tactic_{0};
  std::string timing_id_;
  std::vector<abi::PluginField> fields_;
  abi::PluginFieldCollection collection_;
  size_t input_count_{0};
  size_t output_count_{0};
  // Reused from call to call, so that a call allocates nothing. A plugin object serves one context at a time.
  std::vector<Call::Tensor> inputs_;
  std::vector<Call::Tensor> outputs_;
};

template <typename P>
class V3Creator final : public abi::IPluginCreatorV3One {
 public:
  V3Creator() {
    prototype_.attributes(attributes_);
    for (auto const& entry : attributes_.entries()) {
      fields_.push_back({entry->name.c_str(), nullptr, entry->type, entry->length});
      for (std::string const& alias : entry->aliases) {
        fields_.push_back({alias.c_str(), nullptr, entry->type, entry->length});
      }
    }
    names_ = {static_cast<int32_t>(fields_.size()), fields_.data()};
  }

  abi::IPluginV3* createPlugin(char const*, abi::PluginFieldCollection const* fields,
                               abi::TensorRTPhase) noexcept override {
    return guarded<abi::IPluginV3*>(P::name, nullptr, [&] { return new V3Plugin<P>(create<P>(fields)); });
  }
  abi::PluginFieldCollection const* getFieldNames() noexcept override { return &names_; }
  char const* getPluginName() const noexcept override { return P::name; }
  char const* getPluginVersion() const noexcept override { return P::version; }
  char const* getPluginNamespace() const noexcept override { return P::plugin_namespace; }

 private:
  P prototype_{};
  Attributes attributes_;
  std::vector<abi::PluginField> fields_;
  abi::PluginFieldCollection names_;
};

}  // namespace detail
}  // namespace TRTREG_NAMESPACE

#endif  // TRTREG_V3_H
