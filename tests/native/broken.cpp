// A plugin library that does wrong what the bytes behind TRTREG-FAULT: say. The tests write these into the finished
// file, so that one compilation serves for all.
#include <dlfcn.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "trtreg/abi.h"

namespace {

namespace abi = trtreg::abi;

char const volatile marker[64] = "TRTREG-FAULT:none";

bool is(char const* what) {
  char chosen[sizeof marker];
  for (size_t i = 0; i < sizeof marker; ++i) chosen[i] = marker[i];
  return std::strcmp(chosen + std::strlen("TRTREG-FAULT:"), what) == 0;
}

// Not one that the compiler turns into a loop.
int recurse(int volatile depth) {
  char volatile frame[4096];
  frame[depth % 4096] = 1;
  return recurse(depth + 1) + frame[0];
}

void allocate() {
  for (int i = 0; i < 1 << 16; ++i) {
    constexpr size_t kSize = 64 << 20;
    void* const block = std::malloc(kSize);
    if (block == nullptr) abort();
    std::memset(block, 1, kSize);
  }
}

void flood() {
  char line[4096];
  std::memset(line, 'x', sizeof line);
  line[sizeof line - 1] = '\n';
  for (int i = 0; i < 1 << 12; ++i) {
    if (write(1, line, sizeof line) < 0 || write(2, line, sizeof line) < 0) return;
  }
}

// All the ways to go wrong that do not depend on where it happens.
void happen(char const* where) {
  auto const here = [where](char const* what) {
    char name[64];
    std::snprintf(name, sizeof name, "%s-%s", where, what);
    return is(name);
  };
  if (here("aborts")) abort();
  if (here("segfaults")) *static_cast<int volatile*>(nullptr) = 1;
  if (here("divides")) raise(SIGFPE);
  if (here("illegal")) __builtin_trap();
  if (here("killed")) raise(SIGKILL);
  if (here("stopped")) raise(SIGSTOP);
  if (here("exits-0")) exit(0);
  if (here("exits-3")) exit(3);
  if (here("leaves")) _exit(0);
  if (here("execs")) execl("/bin/true", "true", nullptr);
  if (here("throws")) throw std::runtime_error("thrown by a library");
  if (here("throws-int")) throw 42;
  if (here("hangs")) {
    for (;;) pause();
  }
  if (here("spins")) {
    for (int volatile i = 0;; i = i + 1) {
    }
  }
  if (here("recurses")) recurse(1);
  if (here("allocates")) allocate();
  if (here("floods")) flood();
  if (here("reads")) {
    char letter;
    while (read(0, &letter, 1) > 0) {
    }
  }
  if (here("opens-itself")) {
    Dl_info info;
    if (dladdr(const_cast<char const*>(marker), &info) != 0) dlopen(info.dli_fname, RTLD_NOW);
  }
  if (here("forks") && fork() == 0) {
    // A child that outlives this process, and keeps its pipes.
    sleep(30);
    _exit(0);
  }
}

char long_name[1 << 20];

class Creator final : public abi::IPluginCreatorV3One {
 public:
  explicit Creator(char const* name) : name_(name) {}
  abi::IPluginV3* createPlugin(char const*, abi::PluginFieldCollection const*, abi::TensorRTPhase) noexcept override {
    return nullptr;
  }
  abi::PluginFieldCollection const* getFieldNames() noexcept override {
    happen("fields");
    static abi::PluginField nameless[] = {{nullptr, nullptr, abi::PluginFieldType::kINT32, 1}};
    if (is("fields-null")) return nullptr;
    if (is("fields-nameless")) fields_ = {1, nameless};
    if (is("fields-negative")) fields_ = {-1, nameless};
    if (is("fields-missing")) fields_ = {5, nullptr};
    return &fields_;
  }
  char const* getPluginName() const noexcept override {
    happen("name");
    if (is("name-null")) return nullptr;
    if (is("name-empty")) return "";
    if (is("name-no-text")) return "Trtreg\xff\xfe";
    if (is("name-garbage")) return reinterpret_cast<char const*>(0x10);
    if (is("name-long")) {
      std::memset(long_name, 'n', sizeof long_name - 1);
      return long_name;
    }
    return name_;
  }
  char const* getPluginVersion() const noexcept override { return is("version-null") ? nullptr : "1"; }
  char const* getPluginNamespace() const noexcept override { return is("namespace-null") ? nullptr : ""; }

 private:
  char const* name_;
  abi::PluginFieldCollection fields_{0, nullptr};
};

struct Whole {
  Whole() { happen("initialiser"); }
  ~Whole() { happen("end"); }
} whole;

__attribute__((constructor)) void early() { happen("constructor"); }

}  // namespace

extern "C" __attribute__((visibility("default"))) abi::IPluginCreatorInterface* const* getCreators(int32_t& count) {
  static Creator one("TrtregFault"), other("TrtregFault");
  static abi::IPluginCreatorInterface* list[2] = {&one, &other};
  count = 1;
  happen("creators");
  if (is("creators-recurse-openly")) {
    int32_t inner = 0;
    return getCreators(inner);
  }
  if (is("creators-null-list")) return nullptr;
  if (is("creators-null")) list[0] = nullptr;
  if (is("creators-null-second")) {
    list[1] = nullptr;
    count = 2;
  }
  if (is("creators-none")) count = 0;
  if (is("creators-negative")) count = -1;
  if (is("creators-too-many")) count = 1 << 30;
  if (is("creators-twice")) count = 2;
  if (is("creators-garbage")) list[0] = reinterpret_cast<abi::IPluginCreatorInterface*>(0x10);
  if (is("creators-no-class")) {
    static void* nothing[8] = {};
    list[0] = reinterpret_cast<abi::IPluginCreatorInterface*>(nothing);
  }
  return list;
}

extern "C" __attribute__((visibility("default"))) void setLoggerFinder(abi::ILoggerFinder*) { happen("logger"); }
