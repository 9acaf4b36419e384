// SoftCap: y = cap * tanh(x / cap), element by element.
#include <trtreg/pack.h>
#include <trtreg/plugin.h>
#include <trtreg/scalar.h>

namespace {

struct Cap {
  float cap;

  template <typename T>
  __device__ T operator()(T x) const {
    return trtreg::from_float<T>(cap * tanhf(trtreg::to_float(x) / cap));
  }
};

class SoftCap : public trtreg::Plugin {
 public:
  static constexpr char const* name = "SoftCap";
  static constexpr trtreg::Arity inputs{1};

  float cap = 30.f;

  void attributes(trtreg::Attributes& all) { all.add("cap", cap).between(1e-3, 1e6); }

  static trtreg::Signatures signatures() {
    return trtreg::uniform({trtreg::DataType::kFLOAT, trtreg::DataType::kHALF});
  }

  void shapes(trtreg::Shapes& s) const { s.outputs[0] = s.inputs[0]; }

  void enqueue(trtreg::Call const& call) const {
    trtreg::dispatch<float, __half>(call.inputs[0].type, [&](auto zero) {
      using T = decltype(zero);
      trtreg::elementwise(call.stream, call.inputs[0].size(), Cap{cap}, call.out<T>(0), call.in<T>(0));
    });
  }
};

}  // namespace

TRTREG_PLUGINS(SoftCap)
