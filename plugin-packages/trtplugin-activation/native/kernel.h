// The activations, and one kernel for all: it is as fast as memory, so what is chosen is chosen at run time.
#ifndef TRTPLUGIN_ACTIVATION_KERNEL_H
#define TRTPLUGIN_ACTIVATION_KERNEL_H

#include <trtreg/pack.h>
#include <trtreg/scalar.h>

namespace activation {

// The first eleven are onnx-tensorrt's, in its order.
enum Kind : int32_t {
  kLeakyRelu,
  kElu,
  kSelu,
  kSoftplus,
  kSoftsign,
  kHardSigmoid,
  kHardTanh,
  kClip,
  kFloor,
  kCeil,
  kThresholdedRelu,
  kCelu,
  kHardSwish,
  kSwish,
  kMish,
  kGelu,
  kGeluTanh,
};

// y = f(x): one pack of a thread, or what is left at the end.
template <typename T, int kSize, typename F>
__device__ void apply(T const* x, T* y, int64_t size, F const& f) {
  int64_t const first = trtreg::thread_index() * kSize;
  if (first + kSize <= size) {
    auto pack = trtreg::load<T, kSize>(x + first);
#pragma unroll
    for (int k = 0; k < kSize; ++k) pack[k] = trtreg::from_float<T>(f(trtreg::to_float(pack[k])));
    trtreg::store(y + first, pack);
  } else {
    for (int64_t i = first; i < size; ++i) y[i] = trtreg::from_float<T>(f(trtreg::to_float(x[i])));
  }
}

// log(1 + exp(x)), which neither overflows nor drops a small exp(x). A NaN stays one.
__device__ inline float softplus(float x) { return (x < 0 ? 0 : x) + log1pf(expf(-fabsf(x))); }

// Every comparison is written so that a NaN takes the branch that keeps it.
template <typename T, int kSize>
__global__ void __launch_bounds__(trtreg::kThreads)
    kernel(T const* x, T* y, int64_t size, Kind kind, float const a, float const b) {
  auto const use = [&](auto const& f) { apply<T, kSize>(x, y, size, f); };
  switch (kind) {
    case kLeakyRelu:
      return use([=](float v) { return v < 0 ? a * v : v; });
    case kElu:
      return use([=](float v) { return v < 0 ? a * expm1f(v) : v; });
    case kSelu:
      return use([=](float v) { return b * (v < 0 ? a * expm1f(v) : v); });
    case kSoftplus:
      return use([=](float v) { return softplus(v); });
    case kSoftsign:
      return use([=](float v) { return v / (1 + fabsf(v)); });
    case kHardSigmoid:
      return use([=](float v) { return trtreg::clamp(a * v + b, 0.f, 1.f); });
    case kHardTanh:
    case kClip:
      return use([=](float v) { return trtreg::clamp(v, a, b); });
    case kFloor:
      return use([=](float v) { return floorf(v); });
    case kCeil:
      return use([=](float v) { return ceilf(v); });
    case kThresholdedRelu:
      return use([=](float v) { return v <= a ? 0 : v; });
    case kCelu:
      return use([=](float v) { return v < 0 ? a * expm1f(v / a) : v; });
    case kHardSwish:
      return use([=](float v) { return v * trtreg::clamp(a * v + b, 0.f, 1.f); });
    case kSwish:
      return use([=](float v) { return v / (1 + expf(-a * v)); });
    case kMish:
      return use([=](float v) { return v * tanhf(softplus(v)); });
    case kGelu:
      return use([=](float v) { return 0.5f * v * erfcf(v * -0.70710678f); });
    case kGeluTanh:
      return use([=](float v) { return v / (1 + expf(-1.59576912f * (v + 0.044715f * v * v * v))); });
  }
}

}  // namespace activation

#endif  // TRTPLUGIN_ACTIVATION_KERNEL_H
