// Fully connected layers as Caffe has them: everything from `axis` on is one vector, and is multiplied by the weights.
#include <trtreg/plugin.h>

#include "hopper_float.h"
#include "kernel.h"
#include "tensor_cores.h"

namespace {

class FullyConnected : public trtreg::Plugin {
 public:
  static constexpr trtreg::Arity inputs{2, 3};  // x, weight, [bias]

  int32_t num_output = 0;
  int32_t axis = 1;
  int32_t transpose = 0;

  void attributes(trtreg::Attributes& all) {
    all.add("num_output", num_output).alias("num_outputs").alias("out_dims").at_least(0);
    all.add("axis", axis).between(-8, 7);
    all.add("transpose", transpose).alias("transposed").between(0, 1);
  }

  static trtreg::Signatures signatures() {
    return trtreg::uniform({trtreg::DataType::kFLOAT, trtreg::DataType::kHALF, trtreg::DataType::kBF16});
  }

  void shapes(trtreg::Shapes& s) const {
    auto const rank = static_cast<int32_t>(s.inputs[0].size());
    trtreg::require(axis >= -rank && axis < rank, "attribute 'axis': found ", axis, " for rank ", rank);
    s.expect_rank(1, 2);
    size_t const first = positive(rank);
    trtreg::Dim k = 1;
    for (size_t i = first; i < s.inputs[0].size(); ++i) k = k * s.inputs[0][i];
    s.expect(1, transpose ? 0 : 1, k, "the elements of x from 'axis' on");
    size_t const out = transpose ? 1 : 0;
    if (num_output) s.expect(1, out, num_output, "attribute 'num_output'");
    if (s.inputs.size() > 2) {
      s.expect_rank(2, 1);
      s.expect(2, 0, s.inputs[1][out], "one for each output");
    }
    s.outputs[0].assign(s.inputs[0].begin(), s.inputs[0].begin() + static_cast<int64_t>(first));
    s.outputs[0].push_back(s.inputs[1][out]);
  }

  void enqueue(trtreg::Call const& call) const {
    trtreg::dispatch<float, __half, __nv_bfloat16>(call.inputs[0].type, [&](auto zero) {
      using T = decltype(zero);
      auto const& weight = call.inputs[1];
      inner_product::Problem<T> p{};
      p.x = call.in<T>(0);
      p.weight = call.in<T>(1);
      p.bias = call.has_input(2) ? call.in<T>(2) : nullptr;
      p.y = call.out<T>(0);
      p.n = weight[transpose ? 1 : 0];
      p.k = weight[transpose ? 0 : 1];
      p.m = call.outputs[0].size() / p.n;
      p.transposed = transpose != 0;
      p.packs = p.k % trtreg::kPackOf<T> == 0 && trtreg::aligned(16, p.x, p.weight);
      p.pairs = p.n % 2 == 0 && trtreg::aligned(2 * sizeof(T), p.y);
      run(call.stream, p);
    });
  }

 private:
  size_t positive(int32_t rank) const { return static_cast<size_t>(axis < 0 ? axis + rank : axis); }

  template <typename T>
  static void run(cudaStream_t stream, inner_product::Problem<T> const& p) {
    using namespace inner_product;
    bool const hopper = trtreg::hopper::available();
    if (!p.transposed && p.m == 1 && p.packs) {
      int64_t const blocks = trtreg::ceil_div(p.n, kColumnsOfBlock);
      bool const wide = p.k >= 2 * 256 * trtreg::kPackOf<T>;  // there is work for as many threads
      if (wide) return trtreg::launch(one_row_kernel<T, 256>, {blocks, 256, 0, hopper}, stream, p);
      return trtreg::launch(one_row_kernel<T, 128>, {blocks, 128, 0, hopper}, stream, p);
    }
    bool const few = !p.transposed && p.m <= kFewRows;
    if (hopper && !(few && sizeof(T) == 4) && on_hopper::run(p, stream)) return;
    if (few)
      return trtreg::launch(few_rows_kernel<T>, {trtreg::ceil_div(p.n, trtreg::kThreads / trtreg::kWarp)}, stream, p);
    if constexpr (sizeof(T) == 2) {
      if (trtreg::compute_capability() >= 80) return run_on_tensor_cores(p, stream);
    }
    trtreg::launch(tiles_kernel<T>, {trtreg::ceil_div(p.m, kTile) * trtreg::ceil_div(p.n, kTile)}, stream, p);
  }
};

// The names of the plugin samples' layer, and of Caffe's.
class CustomFC : public FullyConnected {
 public:
  static constexpr char const* name = "CustomFC";
};

class InnerProduct : public FullyConnected {
 public:
  static constexpr char const* name = "InnerProduct";
};

}  // namespace

TRTREG_PLUGINS(CustomFC, InnerProduct)
