// HSwish: y = x * clamp(alpha * x + beta, 0, 1), elementwise, with an optional bias added to x first.
#include <trtreg/plugin.h>

namespace {

constexpr int kThreads = 256;

template <typename T>
struct alignas(16) Pack {  // one 16-byte access
  static constexpr int kSize = 16 / sizeof(T);
  T values[kSize];
};

__device__ inline float hswish(float x, float alpha, float beta) {
  float const gate = alpha * x + beta;
  // Written so that a NaN stays a NaN, as in PyTorch's clamp: fminf and fmaxf would drop it.
  return x * (gate < 0.f ? 0.f : gate > 1.f ? 1.f : gate);
}

// `bias` is null, or has `channels` values for the dimension 1 of x, of which each spans `inner` elements.
struct Params {
  int64_t size;
  int64_t channels;
  int64_t inner;
  float alpha;
  float beta;
};

template <typename T>
__device__ T apply(T x, T const* bias, int64_t index, Params const& p) {
  float value = static_cast<float>(x);
  if (bias) value += static_cast<float>(bias[index / p.inner % p.channels]);
  return static_cast<T>(hswish(value, p.alpha, p.beta));
}

template <typename T>
__global__ void __launch_bounds__(kThreads) hswish_kernel(T const* x, T const* bias, T* y, Params p) {
  constexpr int kSize = Pack<T>::kSize;
  int64_t const first = (blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x) * kSize;
  if (first + kSize <= p.size) {
    auto pack = *reinterpret_cast<Pack<T> const*>(x + first);
#pragma unroll
    for (int i = 0; i < kSize; ++i) pack.values[i] = apply(pack.values[i], bias, first + i, p);
    *reinterpret_cast<Pack<T>*>(y + first) = pack;
  } else {
    for (int64_t i = first; i < p.size; ++i) y[i] = apply(x[i], bias, i, p);
  }
}

// For memory that is not aligned to 16 bytes, as a view of a tensor may be.
template <typename T>
__global__ void __launch_bounds__(kThreads) hswish_unaligned_kernel(T const* x, T const* bias, T* y, Params p) {
  int64_t const i = blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x;
  if (i < p.size) y[i] = apply(x[i], bias, i, p);
}

class HSwish : public trtreg::Plugin {
 public:
  static constexpr char const* name = "HSwish";
  static constexpr trtreg::Arity inputs{1, 2};

  float alpha = 1.f / 6;
  float beta = 0.5f;

  void attributes(trtreg::Attributes& all) {
    all.add("alpha", alpha).finite();
    all.add("beta", beta).finite();
  }

  static trtreg::Signatures signatures() {
    return trtreg::uniform({trtreg::DataType::kFLOAT, trtreg::DataType::kHALF, trtreg::DataType::kBF16});
  }

  void shapes(trtreg::Shapes& s) const {
    if (s.inputs.size() > 1) {
      trtreg::require(s.inputs[0].size() > 1, "a bias needs an x of rank 2 or more");
      s.expect_rank(1, 1);
      s.expect(1, 0, s.inputs[0][1], "one bias for each channel of x");
    }
    s.outputs[0] = s.inputs[0];
  }

  void enqueue(trtreg::Call const& call) const {
    auto const& x = call.inputs[0];
    bool const biased = call.has_input(1);
    Params p{x.size(), 1, 1, alpha, beta};
    if (biased) p.channels = x[1];
    for (int axis = 2; biased && axis < x.rank(); ++axis) p.inner *= x[axis];
    trtreg::dispatch<float, __half, __nv_bfloat16>(x.type, [&](auto zero) {
      using T = decltype(zero);
      T const* bias = biased ? call.in<T>(1) : nullptr;
      bool const aligned = (reinterpret_cast<uintptr_t>(x.data) | reinterpret_cast<uintptr_t>(call.outputs[0].data)) % 16 == 0;
      int64_t const each = kThreads * (aligned ? Pack<T>::kSize : 1);
      auto const blocks = static_cast<unsigned>(trtreg::ceil_div(p.size, each));
      auto const kernel = aligned ? hswish_kernel<T> : hswish_unaligned_kernel<T>;
      kernel<<<blocks, kThreads, 0, call.stream>>>(call.in<T>(0), bias, call.out<T>(0), p);
    });
  }
};

}  // namespace

TRTREG_PLUGINS(HSwish)
