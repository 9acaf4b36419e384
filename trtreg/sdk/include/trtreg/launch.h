// Launching kernels: how many blocks, which element a thread has, and the launch itself, with 64-bit sizes throughout.
//
// Kernels are launched by trtreg::launch and not by the triple brackets, and get dynamic shared memory from
// trtreg::dynamic_shared: then the same source also compiles as plain C++, and trtreg.testing.host runs it on the CPU
// under sanitizers.
#ifndef TRTREG_LAUNCH_H
#define TRTREG_LAUNCH_H

#include <algorithm>
#include <cstdint>

#include "trtreg/error.h"
#include "trtreg/tensor.h"

#if !defined(__CUDACC__) && !defined(TRTREG_ON_HOST)
#error "this header is for CUDA sources (.cu)"
#endif

namespace TRTREG_NAMESPACE {

constexpr int kThreads = 256;  // of a block, where nothing speaks for another number
constexpr int kWarp = 32;

// Blocks of `threads` threads; `shared` is their dynamic shared memory in bytes. An `early` kernel may begin while the
// one before it on the stream still runs, where that lets it: see hopper::wait_for_previous.
struct Grid {
  int64_t blocks;
  int threads{kThreads};
  size_t shared{0};
  bool early{false};
};

// One thread for each of `items`, or for each `per_thread` of them. What exceeds the largest grid is left to the
// kernel's stride: see thread_index, thread_count.
inline Grid grid_for(int64_t items, int64_t per_thread = 1, int threads = kThreads) {
  int64_t const blocks = items / (per_thread * threads) + (items % (per_thread * threads) != 0);
  return {std::min<int64_t>(blocks, 0x7fffffff), threads};
}

// The stride over a grid of one dimension: for (int64_t i = thread_index(); i < n; i += thread_count()).
__device__ inline int64_t thread_index() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ inline int64_t thread_count() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

// A quotient and its remainder, of numbers that are not negative. 64-bit division takes a GPU about a hundred
// instructions, so what fits is divided in 32 bits.
struct Quotient {
  int64_t quotient;
  int64_t remainder;
};
__host__ __device__ inline Quotient divide(int64_t a, int64_t b) {
  if (((a | b) >> 32) == 0) {
    auto const small = static_cast<uint32_t>(a) / static_cast<uint32_t>(b);
    return {small, static_cast<uint32_t>(a) - small * static_cast<uint32_t>(b)};
  }
  return {a / b, a % b};
}

// The coordinates of element `index` in a row-major array of `dims`: `int64_t at[4]; unravel(i, dims, at);`. The first
// dimension bounds nothing, so it is not read.
template <int kRank>
__host__ __device__ void unravel(int64_t index, int64_t const (&dims)[kRank], int64_t (&at)[kRank]) {
#pragma unroll
  for (int axis = kRank - 1; axis > 0; --axis) {
    Quotient const q = divide(index, dims[axis]);
    at[axis] = q.remainder;
    index = q.quotient;
  }
  at[0] = index;
}

// The dynamic shared memory of a block, aligned to 1024 bytes; its size is Grid::shared.
template <typename T>
__device__ T* dynamic_shared() {
#ifdef TRTREG_ON_HOST
  return static_cast<T*>(on_host::dynamic_shared());
#else
  extern __shared__ __align__(1024) unsigned char trtreg_dynamic_shared[];
  return reinterpret_cast<T*>(trtreg_dynamic_shared);
#endif
}

// Puts `kernel<<<grid, stream>>>(arguments...)` on the stream; no blocks are no launch. Whether CUDA accepted it is
// looked at after `enqueue`.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), Grid const& grid, cudaStream_t stream, Arguments const&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments), "as many arguments as the kernel has parameters");
  if (grid.blocks == 0) return;
  require(grid.blocks > 0 && grid.blocks <= 0x7fffffff, "a grid of ", grid.blocks, " blocks; the most is 2^31 - 1");
#ifdef TRTREG_ON_HOST
  (void)stream;
  on_host::run(grid.blocks, grid.threads, grid.shared, [&] { kernel(static_cast<Parameters>(arguments)...); });
#else
  constexpr size_t kDefault = 48 * 1024;  // more has to be asked for
  if (grid.shared > kDefault) {
    check(cudaFuncSetAttribute(reinterpret_cast<void const*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(grid.shared)),
          "cudaFuncSetAttribute");
  }
  cudaLaunchConfig_t config{};
  config.gridDim.x = static_cast<unsigned>(grid.blocks);
  config.blockDim.x = static_cast<unsigned>(grid.threads);
  config.dynamicSmemBytes = grid.shared;
  config.stream = stream;
  cudaLaunchAttribute attribute{};
  if (grid.early) {
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    config.attrs = &attribute;
    config.numAttrs = 1;
  }
  cudaError_t const status = cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
  if (status != cudaSuccess) (void)cudaGetLastError();  // reported here: the next caller of CUDA shall not find it
  check(status, "kernel launch");
#endif
}

// What the current device has.
inline int device_attribute(cudaDeviceAttr attribute) {
  int device = 0;
  int value = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&value, attribute, device), "cudaDeviceGetAttribute");
  return value;
}
// False on a machine that only builds engines.
inline bool has_device() {
  int count = 0;
  bool const found = cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
  if (!found) (void)cudaGetLastError();
  return found;
}
// For grids that shall fill it once.
inline int multiprocessors() { return device_attribute(cudaDevAttrMultiProcessorCount); }
// Bytes that a block may have.
inline int shared_memory() { return device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin); }
// 86 for sm_86.
inline int compute_capability() {
  return device_attribute(cudaDevAttrComputeCapabilityMajor) * 10 + device_attribute(cudaDevAttrComputeCapabilityMinor);
}

}  // namespace TRTREG_NAMESPACE

#endif  // TRTREG_LAUNCH_H
