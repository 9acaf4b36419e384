// A library that brings other plugin libraries into TensorRT's registry when it is opened, for tools that can do no
// more than open one. DYNAMIC and STATIC are lists of string literals, the paths, each with a comma behind it.
//
// It needs no header and no library of TensorRT: it finds the one that is in the process, and calls
// IPluginRegistry::loadLibrary by its place in the table of virtual functions. That place is 10 in TensorRT 10
// (seen in 10.16.1), and 6 in TensorRT 11 (11.4.0) and TensorRT-RTX (1.7.1): NvInferRuntimeCommon.h of NVIDIA/TensorRT
// in the branches release/10.16 and release/11.1. Where the version is none of these, nothing is called.
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>

namespace {

constexpr char const* kRuntimes[] = {"libnvinfer.so.11", "libnvinfer.so.10", "libnvinfer_lean.so.11",
                                     "libnvinfer_lean.so.10", "libtensorrt_rtx.so.1"};
constexpr char const* kDynamic[] = {DYNAMIC nullptr};
constexpr char const* kStatic[] = {STATIC nullptr};

using Load = void* (*)(void* registry, char const* path);

int slotOfLoadLibrary(std::int32_t version) {
  if (version >= 110000 && version < 120000) return 6;
  if (version >= 100000 && version < 110000) return 10;
  if (version >= 10701 && version < 20000) return 6;  // TensorRT-RTX counts from 1
  return -1;
}

void registerIn(void* runtime, char const* name) {
  auto const getVersion = reinterpret_cast<std::int32_t (*)()>(dlsym(runtime, "getInferLibVersion"));
  auto const getRegistry = reinterpret_cast<void* (*)()>(dlsym(runtime, "getPluginRegistry"));
  std::int32_t const version = getVersion == nullptr ? 0 : getVersion();
  int const slot = slotOfLoadLibrary(version);
  void* const registry = getRegistry == nullptr ? nullptr : getRegistry();
  if (slot < 0 || registry == nullptr) {
    std::fprintf(stderr, "trtreg adapter: %s has version %d, whose registry is not known\n", name, int(version));
    return;
  }
  auto const load = reinterpret_cast<Load>((*static_cast<void***>(registry))[slot]);
  for (char const* library : kDynamic) {
    if (library != nullptr && load(registry, library) == nullptr) {
      std::fprintf(stderr, "trtreg adapter: %s did not take %s (missing, or registered already)\n", name, library);
    }
  }
}

struct Registrar {
  Registrar() {
    bool found = false;
    for (char const* name : kRuntimes) {
      if (void* const runtime = dlopen(name, RTLD_NOW | RTLD_NOLOAD)) {
        found = true;
        registerIn(runtime, name);
        dlclose(runtime);
      }
    }
    if (!found) std::fprintf(stderr, "trtreg adapter: no TensorRT is in this process yet; open this library later\n");
    for (char const* library : kStatic) {
      if (library != nullptr && dlopen(library, RTLD_NOW) == nullptr) {
        std::fprintf(stderr, "trtreg adapter: %s\n", dlerror());
      }
    }
  }
} const registrar;

}  // namespace
