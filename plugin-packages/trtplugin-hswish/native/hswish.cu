// HSwish: y = x * clamp(alpha * x + beta, 0, 1), element by element.
#include <trtreg/pack.h>
#include <trtreg/plugin.h>
#include <trtreg/scalar.h>

namespace {

struct Gate {
  float alpha;
  float beta;

  template <typename T>
  __device__ T operator()(T value) const {
    float const x = trtreg::to_float(value);
    return trtreg::from_float<T>(x * trtreg::clamp(alpha * x + beta, 0.f, 1.f));
  }
};

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
      trtreg::elementwise(call.stream, call.inputs[0].size(), Gate{alpha, beta}, call.out<T>(0), call.in<T>(0));
    });
  }
};

}  // namespace

TRTREG_PLUGINS(HSwish)
