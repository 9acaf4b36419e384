// HSwish: y = x * clamp(alpha * x + beta, 0, 1), element by element.
#include <trtreg/plugin.h>

namespace {

constexpr int kThreads = 256;

struct Params {
  int64_t size;
  float alpha;
  float beta;
};

template <typename T>
__device__ T hswish(T value, Params const& p) {
  float const x = static_cast<float>(value);
  float const gate = p.alpha * x + p.beta;
  // Not fminf(fmaxf()): those drop a NaN, which must stay one, as in PyTorch.
  return static_cast<T>(x * (gate < 0.f ? 0.f : gate > 1.f ? 1.f : gate));
}

template <typename T, int kSize>
struct alignas(sizeof(T) * kSize) Pack {
  T values[kSize];
};

// Each thread takes one pack: 16 bytes where memory allows it, else a single element.
template <typename T, int kSize>
__global__ void __launch_bounds__(kThreads) hswish_kernel(T const* x, T* y, Params p) {
  int64_t const first = (blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x) * kSize;
  if (first + kSize <= p.size) {
    auto pack = *reinterpret_cast<Pack<T, kSize> const*>(x + first);
#pragma unroll
    for (T& value : pack.values) value = hswish(value, p);
    *reinterpret_cast<Pack<T, kSize>*>(y + first) = pack;
  } else {
    for (int64_t i = first; i < p.size; ++i) y[i] = hswish(x[i], p);
  }
}

class HSwish : public trtreg::Plugin {
 public:
  static constexpr char const* name = "HSwish";
  static constexpr trtreg::Arity inputs{1, 2};  // the second is the community sample's weight, which nothing reads

  float alpha = 1.f / 6;
  float beta = 0.5f;

  void attributes(trtreg::Attributes& all) {
    all.add("alpha", alpha).finite();
    all.add("beta", beta).finite();
  }

  static trtreg::Signatures signatures() {
    return trtreg::uniform({trtreg::DataType::kFLOAT, trtreg::DataType::kHALF, trtreg::DataType::kBF16});
  }

  void shapes(trtreg::Shapes& s) const { s.outputs[0] = s.inputs[0]; }

  void enqueue(trtreg::Call const& call) const {
    trtreg::dispatch<float, __half, __nv_bfloat16>(call.inputs[0].type, [&](auto zero) {
      using T = decltype(zero);
      T const* x = call.in<T>(0);
      T* y = call.out<T>(0);
      constexpr int kSize = 16 / sizeof(T);
      bool const aligned = (reinterpret_cast<uintptr_t>(x) | reinterpret_cast<uintptr_t>(y)) % 16 == 0;
      Params const p{call.inputs[0].size(), alpha, beta};
      auto const blocks = static_cast<unsigned>(trtreg::ceil_div(p.size, kThreads * (aligned ? kSize : 1)));
      auto const kernel = aligned ? hswish_kernel<T, kSize> : hswish_kernel<T, 1>;
      kernel<<<blocks, kThreads, 0, call.stream>>>(x, y, p);
    });
  }
};

}  // namespace

TRTREG_PLUGINS(HSwish)
