// A plugin library of creators only, which is all that TensorRT's registry looks at. Compiled with
// -DCREATORS='{"Name", "version", "namespace"}, ...'.
#include "trtreg/abi.h"

namespace {

namespace abi = trtreg::abi;

class Creator final : public abi::IPluginCreatorV3One {
 public:
  Creator(char const* name, char const* version, char const* space) : name_(name), version_(version), space_(space) {}
  abi::IPluginV3* createPlugin(char const*, abi::PluginFieldCollection const*, abi::TensorRTPhase) noexcept override {
    return nullptr;
  }
  abi::PluginFieldCollection const* getFieldNames() noexcept override { return &fields_; }
  char const* getPluginName() const noexcept override { return name_; }
  char const* getPluginVersion() const noexcept override { return version_; }
  char const* getPluginNamespace() const noexcept override { return space_; }

 private:
  char const* name_;
  char const* version_;
  char const* space_;
  abi::PluginFieldCollection fields_{0, nullptr};
};

constexpr int32_t kMost = 8;

}  // namespace

#ifdef NEEDS
extern "C" int NEEDS();
extern "C" __attribute__((visibility("default"))) int use() { return NEEDS(); }
#endif

extern "C" __attribute__((visibility("default"))) abi::IPluginCreatorInterface* const* getCreators(int32_t& count) {
  static Creator creators[] = {CREATORS};
  static abi::IPluginCreatorInterface* list[kMost];
  count = 0;
  for (Creator& creator : creators) list[count++] = &creator;
  return list;
}

extern "C" __attribute__((visibility("default"))) void setLoggerFinder(abi::ILoggerFinder*) {}
