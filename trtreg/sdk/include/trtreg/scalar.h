// Numbers of any element type: to the type that arithmetic is done in, back with one rounding, and the limits.
#ifndef TRTREG_SCALAR_H
#define TRTREG_SCALAR_H

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "trtreg/abi.h"

#if !defined(__CUDACC__) && !defined(TRTREG_ON_HOST)
#error "this header is for CUDA sources (.cu)"
#endif

namespace TRTREG_NAMESPACE {

template <typename T>
constexpr bool is_floating =
    std::is_floating_point_v<T> || std::is_same_v<T, __half> || std::is_same_v<T, __nv_bfloat16>;

// What sums and products are computed in: float for the floating types, int64_t for integers.
template <typename T>
using Arithmetic =
    std::conditional_t<is_floating<T>, std::conditional_t<std::is_same_v<T, double>, double, float>, int64_t>;

template <typename T>
__host__ __device__ float to_float(T value) {
  return static_cast<float>(value);
}

// `value` as a T: rounded to nearest once. An integer takes the nearest one that it can hold (ties to even), and 0 for
// a NaN: the cast of a float out of range would be undefined.
template <typename T>
__host__ __device__ T from_float(float value) {
  if constexpr (is_floating<T>) {
    return static_cast<T>(value);
  } else {
    constexpr T kLow = std::numeric_limits<T>::min();
    constexpr T kHigh = std::numeric_limits<T>::max();
    if (value != value) return T{0};
    if (value >= static_cast<float>(kHigh)) return kHigh;  // which as a float is 2^31, 2^63: out of range itself
    if (value <= static_cast<float>(kLow)) return kLow;
    return static_cast<T>(rintf(value));
  }
}

template <typename T>
__host__ __device__ bool is_nan(T value) {
  if constexpr (is_floating<T>) {
    float const wide = static_cast<float>(value);
    return wide != wide;
  } else {
    (void)value;
    return false;
  }
}

// Where the search for a largest or a smallest element begins: infinity for the floating types.
template <typename T>
__host__ __device__ T lowest() {
  if constexpr (is_floating<T>) {
    return static_cast<T>(-INFINITY);
  } else {
    constexpr T kLow = std::numeric_limits<T>::min();
    return kLow;
  }
}
template <typename T>
__host__ __device__ T highest() {
  if constexpr (is_floating<T>) {
    return static_cast<T>(INFINITY);
  } else {
    constexpr T kHigh = std::numeric_limits<T>::max();
    return kHigh;
  }
}

// `value` held in [low, high]; a NaN stays one, which fminf and fmaxf would drop.
template <typename T>
__host__ __device__ T clamp(T value, T low, T high) {
  return value < low ? low : value > high ? high : value;
}

}  // namespace TRTREG_NAMESPACE

#endif  // TRTREG_SCALAR_H
