// A plugin of the V2 interface, with NVIDIA's own headers: -DNAME='"Op"' and one of -DSTATIC, -DINIT, -DOLD_DYNAMIC.
#include <NvInfer.h>
#include <string>
using namespace nvinfer1;
namespace {
class Plug final : public IPluginV2DynamicExt {
 public:
  IPluginV2DynamicExt* clone() const noexcept override { return new Plug(*this); }
  DimsExprs getOutputDimensions(int32_t, DimsExprs const* in, int32_t, IExprBuilder&) noexcept override {
    return in[0];
  }
  bool supportsFormatCombination(int32_t p, PluginTensorDesc const* d, int32_t, int32_t) noexcept override {
    return d[p].type == DataType::kFLOAT;
  }
  void configurePlugin(DynamicPluginTensorDesc const*, int32_t, DynamicPluginTensorDesc const*,
                       int32_t) noexcept override {}
  size_t getWorkspaceSize(PluginTensorDesc const*, int32_t, PluginTensorDesc const*, int32_t) const noexcept override {
    return 0;
  }
  int32_t enqueue(PluginTensorDesc const*, PluginTensorDesc const*, void const* const*, void* const*, void*,
                  cudaStream_t) noexcept override {
    return 0;
  }
  DataType getOutputDataType(int32_t, DataType const* t, int32_t) const noexcept override { return t[0]; }
  char const* getPluginType() const noexcept override { return NAME; }
  char const* getPluginVersion() const noexcept override { return "1"; }
  int32_t getNbOutputs() const noexcept override { return 1; }
  int32_t initialize() noexcept override { return 0; }
  void terminate() noexcept override {}
  size_t getSerializationSize() const noexcept override { return 0; }
  void serialize(void*) const noexcept override {}
  void destroy() noexcept override { delete this; }
  void setPluginNamespace(char const* n) noexcept override { ns_ = n; }
  char const* getPluginNamespace() const noexcept override { return ns_.c_str(); }

 private:
  std::string ns_;
};
class Creator final : public IPluginCreator {
 public:
  char const* getPluginName() const noexcept override { return NAME; }
  char const* getPluginVersion() const noexcept override { return "1"; }
  PluginFieldCollection const* getFieldNames() noexcept override {
    static PluginField f{"axis", nullptr, PluginFieldType::kINT32, 1};
    static PluginFieldCollection c{1, &f};
    return &c;
  }
  IPluginV2* createPlugin(char const*, PluginFieldCollection const*) noexcept override { return new Plug; }
  IPluginV2* deserializePlugin(char const*, void const*, size_t) noexcept override { return new Plug; }
  void setPluginNamespace(char const* n) noexcept override { ns_ = n; }
  char const* getPluginNamespace() const noexcept override { return ns_.c_str(); }

 private:
  std::string ns_;
};
#ifdef STATIC
REGISTER_TENSORRT_PLUGIN(Creator);
#endif
}  // namespace
#ifdef OLD_DYNAMIC
extern "C" __attribute__((visibility("default"))) IPluginCreator* const* getPluginCreators(int32_t& n) {
  static Creator c;
  static IPluginCreator* const l[] = {&c};
  n = 1;
  return l;
}
extern "C" __attribute__((visibility("default"))) void setLoggerFinder(nvinfer1::ILoggerFinder*) {}
#endif
#ifdef INIT
extern "C" __attribute__((visibility("default"))) bool initLibTestPlugins(void* logger, char const* ns) {
  static Creator c;
  if (logger) static_cast<ILogger*>(logger)->log(ILogger::Severity::kINFO, "hello from init");
  return getPluginRegistry()->registerCreator(c, ns);
}
#endif
