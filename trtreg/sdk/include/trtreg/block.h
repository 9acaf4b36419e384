// What the threads of a block find together: reductions and scans with any associative operation.
//
// The operation is a struct with `__device__ T operator()(T, T) const`; in a scan the left operand comes first, so it
// need not commute. T is trivially copyable, up to a few words. All threads of the block take part; their number is
// kBlock, a multiple of 32 up to 1024. CUB, which has more (`#include <cub/block/block_radix_sort.cuh>`, and
// device-wide sorts and scans), comes with every nvcc that trtreg takes; it costs about 3 s of compilation for each GPU
// architecture, and trtreg.testing.host cannot run it.
#ifndef TRTREG_BLOCK_H
#define TRTREG_BLOCK_H

#include <cstring>
#include <type_traits>

#include "trtreg/launch.h"

namespace TRTREG_NAMESPACE {

namespace detail {

constexpr unsigned kAllLanes = 0xffffffffu;

// A value of any size from another lane, word by word; `move` is one of the shuffles for an unsigned number.
template <typename T, typename Move>
__device__ T shuffle(T const& value, Move&& move) {
  static_assert(std::is_trivially_copyable_v<T>, "lanes exchange bytes");
  constexpr size_t kWords = (sizeof(T) + 3) / 4;
  unsigned words[kWords]{};
  memcpy(words, &value, sizeof(T));
#pragma unroll
  for (unsigned& word : words) word = move(word);
  T result;
  memcpy(&result, words, sizeof(T));
  return result;
}

// Shared memory for one value of each warp, without a constructor, which shared memory may not have.
template <typename T>
struct alignas(T) WarpValues {
  unsigned char bytes[32 * sizeof(T)];
  __device__ T get(int warp) const {
    T value;
    memcpy(&value, bytes + warp * sizeof(T), sizeof(T));
    return value;
  }
  __device__ void set(int warp, T const& value) { memcpy(bytes + warp * sizeof(T), &value, sizeof(T)); }
};

}  // namespace detail

template <typename T>
__device__ T shuffle_up(T const& value, unsigned delta) {
  return detail::shuffle(value, [&](unsigned word) { return __shfl_up_sync(detail::kAllLanes, word, delta); });
}
template <typename T>
__device__ T shuffle_down(T const& value, unsigned delta) {
  return detail::shuffle(value, [&](unsigned word) { return __shfl_down_sync(detail::kAllLanes, word, delta); });
}
template <typename T>
__device__ T shuffle_from(T const& value, int lane) {
  return detail::shuffle(value, [&](unsigned word) { return __shfl_sync(detail::kAllLanes, word, lane); });
}

// The values of a warp in the order of its lanes, put together; every lane gets the result.
template <typename T, typename Op>
__device__ T warp_reduce(T value, Op const& op) {
#pragma unroll
  for (unsigned delta = 1; delta < kWarp; delta *= 2) {
    // Lane 0 sums up 2 * delta lanes in order; what other lanes hold does not reach it.
    T const other = shuffle_down(value, delta);
    value = op(value, other);
  }
  return shuffle_from(value, 0);
}

// The values of the lanes up to and with this one, put together.
template <typename T, typename Op>
__device__ T warp_scan(T value, Op const& op) {
  int const lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (unsigned delta = 1; delta < kWarp; delta *= 2) {
    T const other = shuffle_up(value, delta);
    if (lane >= static_cast<int>(delta)) value = op(other, value);
  }
  return value;
}

// The values of all threads in their order, put together; every thread gets the result. Ends with a barrier.
template <int kBlock, typename T, typename Op>
__device__ T block_reduce(T value, Op const& op) {
  static_assert(kBlock % kWarp == 0 && kBlock <= 1024, "whole warps");
  value = warp_reduce(value, op);
  if constexpr (kBlock > kWarp) {
    __shared__ detail::WarpValues<T> shared;
    int const warp = static_cast<int>(threadIdx.x) / kWarp;
    if (threadIdx.x % kWarp == 0) shared.set(warp, value);
    __syncthreads();
    value = shared.get(0);
#pragma unroll
    for (int i = 1; i < kBlock / kWarp; ++i) value = op(value, shared.get(i));
    __syncthreads();  // the next call writes there
  }
  return value;
}

// The values of the threads up to and with this one, put together; `total` gets those of all. Ends with a barrier.
template <int kBlock, typename T, typename Op>
__device__ T block_scan(T value, Op const& op, T& total) {
  static_assert(kBlock % kWarp == 0 && kBlock <= 1024, "whole warps");
  value = warp_scan(value, op);
  __shared__ detail::WarpValues<T> shared;
  int const warp = static_cast<int>(threadIdx.x) / kWarp;
  if (threadIdx.x % kWarp == kWarp - 1) shared.set(warp, value);
  __syncthreads();
  T sum = shared.get(0);
  T before = sum;  // of the warps before this one
#pragma unroll
  for (int i = 1; i < kBlock / kWarp; ++i) {
    if (i == warp) before = sum;
    sum = op(sum, shared.get(i));
  }
  total = sum;
  __syncthreads();
  return warp == 0 ? value : op(before, value);
}

struct Sum {
  template <typename T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
// The larger or the smaller one; NaN where one is NaN.
struct Largest {
  template <typename T>
  __device__ T operator()(T a, T b) const {
    return a != a || a > b ? a : b;
  }
};
struct Smallest {
  template <typename T>
  __device__ T operator()(T a, T b) const {
    return a != a || a < b ? a : b;
  }
};

}  // namespace TRTREG_NAMESPACE

#endif  // TRTREG_BLOCK_H
