// Modulated deformable convolution (DCN v2, arXiv:1811.11168): at each output pixel every tap of the kernel samples x
// where `offset` moves it, bilinearly, and weighs the sample by `mask`.
#include <trtreg/deform_conv.h>
#include <trtreg/plugin.h>

namespace {

// As MMCV and MMDeploy export it: x, offset, mask, weight, [bias].
class MMCVModulatedDeformConv2d : public trtreg::deform_conv::Operator {
 public:
  static constexpr char const* name = "MMCVModulatedDeformConv2d";
  static constexpr trtreg::Arity inputs{4, 5};

  void shapes(trtreg::Shapes& s) const { infer(s, at(s.inputs.size())); }
  size_t workspace(trtreg::TensorSpecs const& in, trtreg::TensorSpecs const& out) const {
    return room(in, out, at(in.size()));
  }
  trtreg::Tactics tactics(trtreg::TensorSpecs const& in, trtreg::TensorSpecs const& out) const {
    return among(in, out, at(in.size()));
  }
  void enqueue(trtreg::Call const& call) const { run(call, at(call.inputs.size())); }

 private:
  static trtreg::deform_conv::Inputs at(size_t count) { return {1, 2, 3, count > 4 ? 4 : -1}; }
};

// Two operators go by this name. The recipe of onnx-tensorrt has the inputs above. tensorRT_Pro, in nodes of the type
// `Plugin`, has x, offsets with the masks' logits behind them in one tensor, weight, [bias]. Its kernel is fixed to
// what keeps the size of the image, so that is what an absent padding means here.
class DCNv2 : public trtreg::deform_conv::Operator {
 public:
  static constexpr char const* name = "DCNv2";
  static constexpr trtreg::Arity inputs{3, 5};

  DCNv2() { padding = {-1, -1}; }

  void shapes(trtreg::Shapes& s) const { infer(s, at(s.inputs.size(), s.inputs.back().size())); }
  size_t workspace(trtreg::TensorSpecs const& in, trtreg::TensorSpecs const& out) const {
    return room(in, out, at(in.size(), static_cast<size_t>(in.back().rank())));
  }
  trtreg::Tactics tactics(trtreg::TensorSpecs const& in, trtreg::TensorSpecs const& out) const {
    return among(in, out, at(in.size(), static_cast<size_t>(in.back().rank())));
  }
  void enqueue(trtreg::Call const& call) const {
    run(call, at(call.inputs.size(), static_cast<size_t>(call.inputs.back().rank())));
  }

 private:
  static trtreg::deform_conv::Inputs at(size_t count, size_t rank_of_last) {
    if (count == 3) return {1, 1, 2, -1};
    if (count == 4 && rank_of_last == 1) return {1, 1, 2, 3};
    return {1, 2, 3, count > 4 ? 4 : -1};
  }
};

}  // namespace

TRTREG_PLUGINS(MMCVModulatedDeformConv2d, DCNv2)
