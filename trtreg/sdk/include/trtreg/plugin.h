// Everything that the author of a plugin includes.
//
//   error.h      require, check, Error
//   tensor.h     tensors, Call, dispatch over types
//   shape.h      output shapes from symbolic or concrete dimensions
//   attribute.h  attributes with names, defaults and checks
//   operator.h   the contract: what a plugin class declares
//   v3.h         TensorRT's face
//   plain.h      the plain-C face
//
// A library ends with `TRTREG_PLUGINS(First, Second, ...)`, which defines its three exported functions.
#ifndef TRTREG_PLUGIN_H
#define TRTREG_PLUGIN_H

#include <string>

#include "trtreg/operator.h"
#include "trtreg/plain.h"
#include "trtreg/v3.h"

#define TRTREG_SDK_VERSION "0.1.0"

namespace TRTREG_NAMESPACE {
namespace detail {

template <typename... Ps>
struct Library {
  static abi::IPluginCreatorInterface* const* creators(int32_t& count) noexcept {
    count = sizeof...(Ps);
    static abi::IPluginCreatorInterface* const list[] = {creator<Ps>()...};
    return list;
  }

  static char const* describe() noexcept {
    static std::string const text = [] {
      std::string creators;
      ((creators += (creators.empty() ? "" : ", ") + detail::describe<Ps>()), ...);
      return "{\"face_abi\": " + std::to_string(TRTREG_FACE_ABI) + ", \"sdk\": " + quoted(TRTREG_SDK_VERSION) +
             ", \"cuda\": " +
             quoted(std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION / 10 % 100)) +
             ", \"creators\": [" + creators + "]}";
    }();
    return text.c_str();
  }

  static int32_t create(char const* name, char const* version, char const* plugin_namespace, trtreg_field const* fields,
                        int32_t field_count, trtreg_plugin** plugin) noexcept {
    return guarded(name ? name : "", -1, [&] {
      require(name && version && plugin_namespace && plugin, "a null argument");
      expect_list(fields, field_count);
      std::vector<abi::PluginField> list;
      for (int32_t i = 0; i < field_count; ++i) {
        list.push_back(
            {fields[i].name, fields[i].data, static_cast<abi::PluginFieldType>(fields[i].type), fields[i].length});
      }
      abi::PluginFieldCollection const collection{field_count, list.data()};
      std::unique_ptr<trtreg_plugin> made;
      (void)((is<Ps>(name, version, plugin_namespace) && (made.reset(new PlainPlugin<Ps>(collection)), true)) || ...);
      require(made != nullptr, "this library has no creator of version '", version, "' in namespace '",
              plugin_namespace, "'");
      *plugin = made.release();
      return 0;
    });
  }

  static trtreg_face const* face(uint32_t abi) noexcept {
    static trtreg_face const table{TRTREG_FACE_ABI, sizeof(trtreg_face), describe,     Plain::last_error, create,
                                   Plain::destroy,  Plain::output_count, Plain::infer, Plain::enqueue};
    return abi == TRTREG_FACE_ABI ? &table : nullptr;
  }

 private:
  template <typename P>
  static abi::IPluginCreatorInterface* creator() {
    static V3Creator<P> instance;
    return &instance;
  }

  template <typename P>
  static bool is(char const* name, char const* version, char const* plugin_namespace) {
    return !std::strcmp(P::name, name) && !std::strcmp(P::version, version) &&
           !std::strcmp(P::plugin_namespace, plugin_namespace);
  }
};

}  // namespace detail
}  // namespace TRTREG_NAMESPACE

#define TRTREG_EXPORT extern "C" __attribute__((visibility("default")))

// The three functions that a plugin library exports. TensorRT looks for the first two by name.
#define TRTREG_PLUGINS(...)                                                                                          \
  TRTREG_EXPORT trtreg::abi::IPluginCreatorInterface* const* getCreators(int32_t& count) {                           \
    return trtreg::detail::Library<__VA_ARGS__>::creators(count);                                                    \
  }                                                                                                                  \
  TRTREG_EXPORT void setLoggerFinder(trtreg::abi::ILoggerFinder* finder) { trtreg::detail::logger_finder = finder; } \
  TRTREG_EXPORT trtreg_face const* trtreg_get_face(uint32_t abi) {                                                   \
    return trtreg::detail::Library<__VA_ARGS__>::face(abi);                                                          \
  }

#endif  // TRTREG_PLUGIN_H
