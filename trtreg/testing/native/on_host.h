// CUDA's language for a C++ compiler: included before a plugin's .cu, it lets the kernels run on the CPU.
//
// Each thread of a block is a fiber; the fibers run one at a time, in an order that changes at every barrier, so that a
// missing barrier gives wrong numbers. Blocks follow one another. Tensor cores are those of trtreg/mma.h. Not here:
// textures, cooperative groups, CUB.
#ifndef TRTREG_TESTING_ON_HOST_H
#define TRTREG_TESTING_ON_HOST_H

#define TRTREG_ON_HOST 1

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

#undef __global__
#undef __host__
#undef __device__
#undef __shared__
#undef __constant__
#undef __launch_bounds__
#undef __forceinline__
#undef __noinline__
#define __global__
#define __host__
#define __device__
#define __shared__ static
#define __constant__ static
#define __launch_bounds__(...)
#define __forceinline__ inline

namespace on_host {

struct Index {
  unsigned x, y, z;
};

// Runs `blocks` blocks of `threads` fibers, with `shared` bytes of dynamic shared memory.
void run(int64_t blocks, int threads, size_t shared, std::function<void()> const& body);
void* dynamic_shared();
void barrier();  // all threads of the block
// All lanes of `mask` come with a word, and each gets those of all.
uint64_t const* exchange(unsigned mask, uint64_t word);
void other_threads();  // get their turn, as between any two accesses to memory

}  // namespace on_host

inline on_host::Index threadIdx, blockIdx, blockDim, gridDim;
constexpr int warpSize = 32;

// ---------------------------------------------------------------------------------------------------------- barriers
inline void __syncthreads() { on_host::barrier(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) { on_host::exchange(mask, 0); }
inline void __threadfence() {}
inline void __threadfence_block() {}
inline int __syncthreads_or(int predicate) {
  static int any;
  on_host::barrier();
  any = 0;
  on_host::barrier();
  if (predicate) any = 1;
  on_host::barrier();
  return any;
}
inline int __syncthreads_and(int predicate) { return !__syncthreads_or(!predicate); }
inline int __syncthreads_count(int predicate) {
  static int count;
  on_host::barrier();
  count = 0;
  on_host::barrier();
  count += predicate != 0;
  on_host::barrier();
  return count;
}

// ------------------------------------------------------------------------------------------------------------- warps
namespace on_host {
template <typename T>
T from_lane(unsigned mask, T value, int lane, bool exists) {
  static_assert(sizeof(T) <= 8, "a shuffle moves up to 8 bytes");
  uint64_t word = 0;
  std::memcpy(&word, &value, sizeof(T));
  uint64_t const* words = exchange(mask, word);
  if (exists) std::memcpy(&value, words + lane, sizeof(T));
  return value;
}
inline int lane() { return static_cast<int>(threadIdx.x % 32); }
}  // namespace on_host

template <typename T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
  return on_host::from_lane(mask, value, on_host::lane() / width * width + from % width, true);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  int const from = on_host::lane() - static_cast<int>(delta);
  return on_host::from_lane(mask, value, from, from >= on_host::lane() / width * width);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  int const from = on_host::lane() + static_cast<int>(delta);
  return on_host::from_lane(mask, value, from, from < (on_host::lane() / width + 1) * width);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
  int const from = on_host::lane() ^ bits;
  return on_host::from_lane(mask, value, from, from < (on_host::lane() / width + 1) * width);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  uint64_t const* words = on_host::exchange(mask, predicate != 0);
  unsigned result = 0;
  for (int lane = 0; lane < 32; ++lane) {
    if (mask >> lane & 1 && words[lane]) result |= 1u << lane;
  }
  return result;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) == mask; }

// ----------------------------------------------------------------------------------------------------------- atomics
namespace on_host {
template <typename T, typename F>
T atomic(T* address, F&& change) {
  other_threads();
  T const old = *address;
  *address = change(old);
  return old;
}
}  // namespace on_host

template <typename T>
T atomicAdd(T* address, T value) {
  return on_host::atomic(address, [&](T old) { return static_cast<T>(old + value); });
}
template <typename T>
T atomicExch(T* address, T value) {
  return on_host::atomic(address, [&](T) { return value; });
}
template <typename T>
T atomicMax(T* address, T value) {
  return on_host::atomic(address, [&](T old) { return old < value ? value : old; });
}
template <typename T>
T atomicMin(T* address, T value) {
  return on_host::atomic(address, [&](T old) { return value < old ? value : old; });
}
template <typename T>
T atomicOr(T* address, T value) {
  return on_host::atomic(address, [&](T old) { return static_cast<T>(old | value); });
}
template <typename T>
T atomicAnd(T* address, T value) {
  return on_host::atomic(address, [&](T old) { return static_cast<T>(old & value); });
}
template <typename T>
T atomicCAS(T* address, T expected, T value) {
  return on_host::atomic(address, [&](T old) { return old == expected ? value : old; });
}

// ---------------------------------------------------------------------------------------------------------- functions
template <typename T>
T __ldg(T const* address) {
  return *address;
}
inline float rsqrtf(float x) { return 1.f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll(static_cast<unsigned long long>(x)) : 64; }
inline unsigned __brev(unsigned x) {
  unsigned result = 0;
  for (int bit = 0; bit < 32; ++bit) result |= (x >> bit & 1) << (31 - bit);
  return result;
}

template <typename To, typename From>
To on_host_bits(From value) {
  static_assert(sizeof(To) == sizeof(From), "the same bits");
  To result;
  std::memcpy(&result, &value, sizeof result);
  return result;
}
inline int __float_as_int(float x) { return on_host_bits<int>(x); }
inline unsigned __float_as_uint(float x) { return on_host_bits<unsigned>(x); }
inline float __int_as_float(int x) { return on_host_bits<float>(x); }
inline float __uint_as_float(unsigned x) { return on_host_bits<float>(x); }

#define TRTREG_ON_HOST_MIN_MAX(T)                  \
  inline T min(T a, T b) { return b < a ? b : a; } \
  inline T max(T a, T b) { return a < b ? b : a; }
TRTREG_ON_HOST_MIN_MAX(int)
TRTREG_ON_HOST_MIN_MAX(unsigned)
TRTREG_ON_HOST_MIN_MAX(long)
TRTREG_ON_HOST_MIN_MAX(unsigned long)
TRTREG_ON_HOST_MIN_MAX(long long)
TRTREG_ON_HOST_MIN_MAX(unsigned long long)
// CUDA's drop a NaN.
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }
inline double min(double a, double b) { return std::fmin(a, b); }
inline double max(double a, double b) { return std::fmax(a, b); }

#endif  // TRTREG_TESTING_ON_HOST_H
