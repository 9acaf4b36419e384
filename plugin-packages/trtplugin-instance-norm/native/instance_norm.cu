// Instance normalization (arXiv:1607.08022): each channel of each image to mean 0 and variance 1, then scaled and
// moved.
#include <trtreg/plugin.h>

#include "kernel.h"

namespace {

using trtreg::DataType;

class MMCVInstanceNormalization : public trtreg::Plugin {
 public:
  static constexpr char const* name = "MMCVInstanceNormalization";
  static constexpr trtreg::Arity inputs{3};  // x, scale, bias

  float epsilon = 1e-5f;

  void attributes(trtreg::Attributes& all) { all.add("epsilon", epsilon).alias("eps").between(0, 1e30); }

  // Scale and bias are of x's type or float32.
  static trtreg::Signatures signatures() {
    trtreg::Signatures all = trtreg::uniform({DataType::kFLOAT, DataType::kHALF, DataType::kBF16});
    for (DataType const type : {DataType::kHALF, DataType::kBF16}) all.push_back({{type, DataType::kFLOAT}, {type}});
    return all;
  }

  void shapes(trtreg::Shapes& s) const {
    trtreg::require(s.inputs[0].size() >= 2, "input 0 has rank ", s.inputs[0].size(), ", expected at least 2");
    for (size_t const input : {1, 2}) {
      s.expect_rank(input, 1);
      s.expect(input, 0, s.inputs[0][1], "the channels of x");
    }
    s.outputs[0] = s.inputs[0];
  }

  // Of instances of every size, also those that need none: with larger shapes it only grows.
  size_t workspace(trtreg::TensorSpecs const& inputs, trtreg::TensorSpecs const&) const {
    using namespace instance_norm;
    int64_t const instances = inputs[0][0] * inputs[0][1];
    if (instances == 0) return 0;
    int64_t const tiles = instances * trtreg::ceil_div(inputs[0].size() / instances, kTile<1>);
    return static_cast<size_t>(instances) * sizeof(State) + static_cast<size_t>(tiles) * sizeof(Word);
  }

  void enqueue(trtreg::Call const& call) const {
    auto const& x = call.inputs[0];
    instance_norm::Params p{};
    p.x = x.data;
    p.scale = call.inputs[1].data;
    p.bias = call.inputs[2].data;
    p.y = call.outputs[0].data;
    p.channels = x[1];
    p.instances = x[0] * x[1];
    p.size = x.size() / p.instances;
    p.epsilon = epsilon;
    p.scale_is_float = call.inputs[1].type == DataType::kFLOAT;
    trtreg::dispatch<float, __half, __nv_bfloat16>(x.type, [&](auto zero) {
      using T = decltype(zero);
      constexpr int kPack = trtreg::kPackOf<T>;
      bool const packs = p.size % kPack == 0 && trtreg::aligned(16, call.in<T>(0), call.out<T>(0));
      packs ? launch<T, kPack>(call, p) : launch<T, 1>(call, p);
    });
  }

 private:
  template <typename T, int kSize>
  void launch(trtreg::Call const& call, instance_norm::Params p) const {
    using namespace instance_norm;
    auto const small = [&](auto threads) {
      constexpr int kThreads = decltype(threads)::value;
      if (p.size > kThreads * kKept<kSize>) return false;
      int64_t const blocks = std::min<int64_t>(p.instances, 0x7fffffff);
      trtreg::launch(small_kernel<T, kSize, kThreads>, {blocks, kThreads}, call.stream, p);
      return true;
    };
    if (small(std::integral_constant<int, 128>{}) || small(std::integral_constant<int, 512>{}) ||
        small(std::integral_constant<int, 1024>{})) {
      return;
    }
    p.tiles = trtreg::ceil_div(p.size, kTile<kSize>);
    p.lag = p.tiles + 2 * trtreg::multiprocessors();  // about as many are in hand at once, for both
    auto* const states = static_cast<State*>(call.workspace);
    auto* const moments = reinterpret_cast<Word*>(states + p.instances);
    int64_t const tiles = p.instances * p.tiles;
    size_t const bytes = static_cast<size_t>(p.instances) * sizeof(State) + static_cast<size_t>(tiles) * sizeof(Word);
    trtreg::check(cudaMemsetAsync(states, 0, bytes, call.stream), "cudaMemsetAsync");
    int64_t const blocks = std::min<int64_t>(2 * tiles, trtreg::multiprocessors() * kResident);
    trtreg::launch(tiles_kernel<T, kSize>, {blocks, kTileBlock}, call.stream, p, states, moments);
  }
};

}  // namespace

TRTREG_PLUGINS(MMCVInstanceNormalization)
