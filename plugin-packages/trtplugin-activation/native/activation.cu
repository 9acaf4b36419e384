// Activations that are chosen by name and have up to two parameters, element by element.
#include <trtreg/plugin.h>

#include <limits>

#include "kernel.h"

namespace {

using namespace activation;

struct Activation {
  char const* name;  // in small letters, without what separates words
  Kind kind;
  float alpha;  // what it is where the node says nothing
  float beta;
};

constexpr float kMax = std::numeric_limits<float>::max();

constexpr Activation kActivations[] = {
    {"leakyrelu", kLeakyRelu, 0.01f, 0},
    {"elu", kElu, 1, 0},
    {"selu", kSelu, 1.67326319f, 1.05070102f},
    {"softplus", kSoftplus, 0, 0},
    {"softsign", kSoftsign, 0, 0},
    {"hardsigmoid", kHardSigmoid, 0.2f, 0.5f},
    {"hardtanh", kHardTanh, -1, 1},
    {"clip", kClip, -kMax, kMax},
    {"floor", kFloor, 0, 0},
    {"ceil", kCeil, 0, 0},
    {"thresholdedrelu", kThresholdedRelu, 1, 0},
    {"celu", kCelu, 1, 0},
    {"hardswish", kHardSwish, 1.f / 6, 0.5f},
    {"swish", kSwish, 1, 0},
    {"silu", kSwish, 1, 0},
    {"mish", kMish, 0, 0},
    {"gelu", kGelu, 0, 0},
    {"gelutanh", kGeluTanh, 0, 0},
};

// LeakyRelu, leaky_relu and LEAKY_RELU are one.
Activation const& find(std::string const& name) {
  std::string plain;
  for (char const c : name) {
    if (c != '_' && c != '-' && c != ' ') plain += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  }
  std::string known;
  for (Activation const& each : kActivations) {
    if (plain == each.name) return each;
    known += (known.empty() ? "" : ", ") + std::string(each.name);
  }
  throw trtreg::Error("attribute 'activation': found '" + name + "', expected one of " + known);
}

void run(trtreg::Call const& call, Kind kind, float alpha, float beta) {
  trtreg::dispatch<float, __half, __nv_bfloat16>(call.inputs[0].type, [&](auto zero) {
    using T = decltype(zero);
    constexpr int kPack = trtreg::kPackOf<T>;
    int64_t const size = call.inputs[0].size();
    bool const packs = trtreg::aligned(16, call.in<T>(0), call.out<T>(0));
    trtreg::Grid const grid{trtreg::ceil_div(size, trtreg::kThreads * (packs ? kPack : 1))};
    trtreg::launch(packs ? kernel<T, kPack> : kernel<T, 1>, grid, call.stream, call.in<T>(0), call.out<T>(0), size,
                   kind, alpha, beta);
  });
}

class Elementwise : public trtreg::Plugin {
 public:
  static trtreg::Signatures signatures() {
    return trtreg::uniform({trtreg::DataType::kFLOAT, trtreg::DataType::kHALF, trtreg::DataType::kBF16});
  }
};

class FancyActivation : public Elementwise {
 public:
  static constexpr char const* name = "FancyActivation";
  static constexpr trtreg::Arity inputs{1};

  std::string activation;
  std::vector<float> alpha;  // none: the activation's own
  std::vector<float> beta;

  void attributes(trtreg::Attributes& all) {
    all.add("activation", activation).alias("activation_type").alias("type").required();
    all.add("alpha", alpha).alias("min").finite();
    all.add("beta", beta).alias("gamma").alias("max").finite();
  }

  void shapes(trtreg::Shapes& s) const {
    Activation const chosen = choose();
    bool const bounded = chosen.kind == kClip || chosen.kind == kHardTanh;
    trtreg::require(!bounded || chosen.alpha <= chosen.beta, "the lower bound ", chosen.alpha, " is above the upper, ",
                    chosen.beta);
    s.outputs[0] = s.inputs[0];
  }

  void enqueue(trtreg::Call const& call) const {
    Activation const chosen = choose();
    run(call, chosen.kind, chosen.alpha, chosen.beta);
  }

 private:
  Activation choose() const {
    Activation result = find(activation);
    if (!alpha.empty()) result.alpha = only(alpha, "alpha");
    if (!beta.empty()) result.beta = only(beta, "beta");
    return result;
  }
  static float only(std::vector<float> const& values, char const* attribute) {
    trtreg::require(values.size() == 1, "attribute '", attribute, "': found ", values.size(), " numbers, expected 1");
    return values[0];
  }
};

// The companion of HSwish in the same community framework.
class HSigmoid : public Elementwise {
 public:
  static constexpr char const* name = "HSigmoid";
  static constexpr trtreg::Arity inputs{1, 2};  // the second is the community sample's weight, which nothing reads

  float alpha = 1.f / 6;
  float beta = 0.5f;

  void attributes(trtreg::Attributes& all) {
    all.add("alpha", alpha).finite();
    all.add("beta", beta).finite();
  }
  void shapes(trtreg::Shapes& s) const { s.outputs[0] = s.inputs[0]; }
  void enqueue(trtreg::Call const& call) const { run(call, kHardSigmoid, alpha, beta); }
};

}  // namespace

TRTREG_PLUGINS(FancyActivation, HSigmoid)
