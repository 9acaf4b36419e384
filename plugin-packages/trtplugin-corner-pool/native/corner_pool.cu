// Corner pooling (arXiv:1808.01244): each pixel becomes the largest from it to one side of the image.
#include <trtreg/plugin.h>

#include "kernel.h"

namespace {

class MMCVCornerPool : public trtreg::Plugin {
 public:
  static constexpr char const* name = "MMCVCornerPool";
  static constexpr trtreg::Arity inputs{1};
  enum Mode : int32_t { kTop, kBottom, kLeft, kRight };

  int32_t mode = kTop;

  void attributes(trtreg::Attributes& all) { all.add("mode", mode).between(kTop, kRight); }

  static trtreg::Signatures signatures() {
    return trtreg::uniform({trtreg::DataType::kFLOAT, trtreg::DataType::kHALF, trtreg::DataType::kBF16});
  }

  void shapes(trtreg::Shapes& s) const {
    s.expect_rank(0, 4);
    s.outputs[0] = s.inputs[0];
  }

  void enqueue(trtreg::Call const& call) const {
    trtreg::dispatch<float, __half, __nv_bfloat16>(call.inputs[0].type, [&](auto zero) {
      using T = decltype(zero);
      constexpr int kPack = trtreg::kPackOf<T>;
      auto const& x = call.inputs[0];
      bool const packs = x[3] % kPack == 0 && trtreg::aligned(16, call.in<T>(0), call.out<T>(0));
      // To the top, each pixel sees those below it: the scan comes from there.
      bool const backward = mode == kTop || mode == kLeft;
      corner_pool::Params<T> const p{call.in<T>(0), call.out<T>(0), x[0] * x[1], x[2], x[3], backward};
      packs ? launch<T, kPack>(call, p) : launch<T, 1>(call, p);
    });
  }

 private:
  template <typename T, int kSize>
  void launch(trtreg::Call const& call, corner_pool::Params<T> const& p) const {
    if (mode == kTop || mode == kBottom) {
      trtreg::Grid const grid = trtreg::grid_for(p.planes * (p.width / kSize));
      trtreg::launch(corner_pool::vertical_kernel<T, kSize>, grid, call.stream, p);
    } else {
      trtreg::Grid const grid = trtreg::grid_for(p.planes * p.height, 1, trtreg::kThreads / trtreg::kWarp);
      auto const kernel =
          p.backward ? corner_pool::horizontal_kernel<T, kSize, true> : corner_pool::horizontal_kernel<T, kSize, false>;
      trtreg::launch(kernel, {grid.blocks}, call.stream, p);
    }
  }
};

}  // namespace

TRTREG_PLUGINS(MMCVCornerPool)
