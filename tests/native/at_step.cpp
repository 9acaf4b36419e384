// Counts what a process and its children do to the files below $TRTREG_STEP_ROOT, and at the step that the test chose
// lets things go wrong. Loaded with LD_PRELOAD. $TRTREG_STEP_COUNTER is a file of eight bytes that all of them share.
//
// TRTREG_STEP_KILL=n   the whole process group is killed before the n-th step; a write is two steps, and at the second
//                      one half of its bytes is on the disk.
// TRTREG_STEP_FULL=n   from the n-th step on the disk is full: nothing can be made or grow, as write(2) has it.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT extern "C" __attribute__((visibility("default")))
#define REAL(name) static auto const real = reinterpret_cast<decltype(&::name)>(dlsym(RTLD_NEXT, #name))

namespace {

constexpr int kPath = 4096;

char root[kPath];
size_t root_size;
int64_t* counter;
int64_t kill_at, full_at;

int64_t number(char const* name) {
  char const* const text = getenv(name);
  return text ? atoll(text) : 0;
}

__attribute__((constructor)) void begin() {
  char const* const folder = getenv("TRTREG_STEP_ROOT");
  char const* const file = getenv("TRTREG_STEP_COUNTER");
  if (!folder || !file) return;
  static auto const real_open = reinterpret_cast<int (*)(char const*, int, ...)>(dlsym(RTLD_NEXT, "open64"));
  int const descriptor = real_open(file, O_RDWR | O_CLOEXEC);
  if (descriptor < 0) return;
  void* const shared = mmap(nullptr, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  close(descriptor);
  if (shared == MAP_FAILED) return;
  snprintf(root, sizeof root, "%s/", folder);
  root_size = strlen(root);
  kill_at = number("TRTREG_STEP_KILL");
  full_at = number("TRTREG_STEP_FULL");
  counter = static_cast<int64_t*>(shared);
}

// Whether the path is below the root; relative ones are seen from the folder that `at` is open for.
bool is_ours(int at, char const* path) {
  if (!counter || !path) return false;
  char place[2 * kPath];
  if (path[0] == '/') {
    snprintf(place, sizeof place, "%s", path);
  } else {
    char link[64], folder[kPath];
    if (at == AT_FDCWD) {
      snprintf(link, sizeof link, "/proc/self/cwd");
    } else {
      snprintf(link, sizeof link, "/proc/self/fd/%d", at);
    }
    ssize_t const size = readlink(link, folder, sizeof folder - 1);
    if (size < 0) return false;
    folder[size] = 0;
    snprintf(place, sizeof place, "%s/%s", folder, path);
  }
  return strncmp(place, root, root_size) == 0;
}

bool is_ours(int descriptor) {
  if (!counter) return false;
  char link[64], place[kPath];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t const size = readlink(link, place, sizeof place - 1);
  if (size < 0) return false;
  place[size] = 0;
  return strncmp(place, root, root_size) == 0;
}

// The next step, before which the process may die; says whether the disk is full.
bool step() {
  int64_t const now = __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
  if (kill_at && now >= kill_at) {
    kill(0, SIGKILL);
    for (;;) pause();
  }
  return full_at && now >= full_at;
}

int full() {
  errno = ENOSPC;
  return -1;
}

constexpr int kMaking = O_CREAT | O_TRUNC | O_WRONLY | O_RDWR;

bool makes(int at, char const* path, int flags) {
  return (flags & (O_CREAT | O_TRUNC)) != 0 && (flags & kMaking) != 0 && is_ours(at, path) && step() &&
         faccessat(at, path, F_OK, 0) != 0;
}

bool makes(char const* path, char const* mode) {
  return strpbrk(mode, "wa") && is_ours(AT_FDCWD, path) && step() && access(path, F_OK) != 0;
}

template <typename Write>
ssize_t write_in_halves(int descriptor, size_t size, Write const& real) {
  if (!is_ours(descriptor)) return real(size);
  if (step()) return full();
  if (size < 2) return real(size);
  if (!kill_at && !full_at) {
    step();
    return real(size);
  }
  // A short write is what a caller has to expect; only at the chosen step does it happen.
  int64_t const next = __atomic_load_n(counter, __ATOMIC_SEQ_CST) + 1;
  if (kill_at && next >= kill_at) {
    real(size / 2);
    step();
  }
  return step() ? real(size / 2) : real(size);
}

}  // namespace

#define OPEN(name)                                    \
  EXPORT int name(char const* path, int flags, ...) { \
    va_list rest;                                     \
    va_start(rest, flags);                            \
    mode_t const mode = va_arg(rest, mode_t);         \
    va_end(rest);                                     \
    REAL(name);                                       \
    if (makes(AT_FDCWD, path, flags)) return full();  \
    return real(path, flags, mode);                   \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                          \
  EXPORT int name(int at, char const* path, int flags, ...) { \
    va_list rest;                                             \
    va_start(rest, flags);                                    \
    mode_t const mode = va_arg(rest, mode_t);                 \
    va_end(rest);                                             \
    REAL(name);                                               \
    if (makes(at, path, flags)) return full();                \
    return real(at, path, flags, mode);                       \
  }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name)                                       \
  EXPORT FILE* name(char const* path, char const* mode) { \
    REAL(name);                                           \
    if (makes(path, mode)) return full(), nullptr;        \
    return real(path, mode);                              \
  }
FOPEN(fopen)
FOPEN(fopen64)

EXPORT ssize_t write(int descriptor, void const* data, size_t size) {
  REAL(write);
  return write_in_halves(descriptor, size, [&](size_t some) { return real(descriptor, data, some); });
}

EXPORT ssize_t pwrite(int descriptor, void const* data, size_t size, off_t at) {
  REAL(pwrite);
  return write_in_halves(descriptor, size, [&](size_t some) { return real(descriptor, data, some, at); });
}

EXPORT ssize_t pwrite64(int descriptor, void const* data, size_t size, off64_t at) {
  REAL(pwrite64);
  return write_in_halves(descriptor, size, [&](size_t some) { return real(descriptor, data, some, at); });
}

EXPORT ssize_t writev(int descriptor, iovec const* parts, int count) {
  REAL(writev);
  if (is_ours(descriptor) && step()) return full();
  return real(descriptor, parts, count);
}

EXPORT ssize_t sendfile64(int to, int from, off64_t* offset, size_t size) {
  REAL(sendfile64);
  if (is_ours(to) && step()) return full();
  return real(to, from, offset, size);
}

EXPORT ssize_t sendfile(int to, int from, off_t* offset, size_t size) {
  REAL(sendfile);
  if (is_ours(to) && step()) return full();
  return real(to, from, offset, size);
}

EXPORT ssize_t copy_file_range(int from, off64_t* a, int to, off64_t* b, size_t size, unsigned flags) {
  REAL(copy_file_range);
  if (is_ours(to) && step()) return full();
  return real(from, a, to, b, size, flags);
}

// What needs no room succeeds on a full disk.
#define FREE(name, declared, given, ours) \
  EXPORT int name declared {              \
    REAL(name);                           \
    if (ours) step();                     \
    return real given;                    \
  }
FREE(rename, (char const* from, char const* to), (from, to), is_ours(AT_FDCWD, to) || is_ours(AT_FDCWD, from))
FREE(renameat, (int a, char const* from, int b, char const* to), (a, from, b, to), is_ours(b, to) || is_ours(a, from))
FREE(renameat2, (int a, char const* from, int b, char const* to, unsigned flags), (a, from, b, to, flags),
     is_ours(b, to) || is_ours(a, from))
FREE(unlink, (char const* path), (path), is_ours(AT_FDCWD, path))
FREE(unlinkat, (int at, char const* path, int flags), (at, path, flags), is_ours(at, path))
FREE(rmdir, (char const* path), (path), is_ours(AT_FDCWD, path))
FREE(remove, (char const* path), (path), is_ours(AT_FDCWD, path))
FREE(fsync, (int descriptor), (descriptor), is_ours(descriptor))
FREE(fdatasync, (int descriptor), (descriptor), is_ours(descriptor))
FREE(ftruncate, (int descriptor, off_t size), (descriptor, size), is_ours(descriptor))
FREE(ftruncate64, (int descriptor, off64_t size), (descriptor, size), is_ours(descriptor))
FREE(chmod, (char const* path, mode_t mode), (path, mode), is_ours(AT_FDCWD, path))
FREE(fchmod, (int descriptor, mode_t mode), (descriptor, mode), is_ours(descriptor))

#define MAKE(name, declared, given, ours) \
  EXPORT int name declared {              \
    REAL(name);                           \
    if ((ours) && step()) return full();  \
    return real given;                    \
  }
MAKE(mkdir, (char const* path, mode_t mode), (path, mode), is_ours(AT_FDCWD, path))
MAKE(mkdirat, (int at, char const* path, mode_t mode), (at, path, mode), is_ours(at, path))
MAKE(link, (char const* from, char const* to), (from, to), is_ours(AT_FDCWD, to))
MAKE(linkat, (int a, char const* from, int b, char const* to, int flags), (a, from, b, to, flags), is_ours(b, to))
MAKE(symlink, (char const* from, char const* to), (from, to), is_ours(AT_FDCWD, to))
MAKE(symlinkat, (char const* from, int at, char const* to), (from, at, to), is_ours(at, to))
