// Deformable convolution (arXiv:1703.06211): at each output pixel every tap of the kernel samples x where `offset`
// moves it, bilinearly.
#include <trtreg/deform_conv.h>
#include <trtreg/plugin.h>

namespace {

// As MMCV and MMDeploy export it: x, offset, weight.
class MMCVDeformConv2d : public trtreg::deform_conv::Operator {
 public:
  static constexpr char const* name = "MMCVDeformConv2d";
  static constexpr trtreg::Arity inputs{3};

  int32_t im2col_step = 32;  // of MMCV's way to compute it: nothing here
  int32_t bias = 0;          // MMCV writes it, and has no operator with one

  void attributes(trtreg::Attributes& all) {
    Operator::attributes(all);
    all.add("im2col_step", im2col_step);
    all.add("bias", bias).between(0, 0);
  }

  void shapes(trtreg::Shapes& s) const { infer(s, kInputs); }
  size_t workspace(trtreg::TensorSpecs const& in, trtreg::TensorSpecs const& out) const {
    return room(in, out, kInputs);
  }
  trtreg::Tactics tactics(trtreg::TensorSpecs const& in, trtreg::TensorSpecs const& out) const {
    return among(in, out, kInputs);
  }
  void enqueue(trtreg::Call const& call) const { run(call, kInputs); }

 private:
  static constexpr trtreg::deform_conv::Inputs kInputs{1, -1, 2, -1};
};

}  // namespace

TRTREG_PLUGINS(MMCVDeformConv2d)
