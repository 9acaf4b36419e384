// Modulated deformable convolution (DCN v2, arXiv:1811.11168): at each output pixel every tap of the kernel samples x
// where `offset` moves it, bilinearly, and weighs the sample by `mask`.
#include <trtreg/plugin.h>

#include "kernel.h"

namespace {

using trtreg::Dim;
using Pair = std::array<int32_t, 2>;  // vertical, horizontal

void expect_multiple(Dim found, int32_t of, char const* what) {
  trtreg::require(!found.known() || found.value() % of == 0, found.value(), ' ', what, ' ', of);
}

class ModulatedDeformConv : public trtreg::Plugin {
 public:
  static constexpr trtreg::Arity inputs{4, 5};  // x, offset, mask, weight, bias
  enum Input : size_t { kX, kOffset, kMask, kWeight, kBias };

  Pair stride{1, 1};
  Pair padding{0, 0};
  Pair dilation{1, 1};
  int32_t groups = 1;
  int32_t deform_groups = 1;

  void attributes(trtreg::Attributes& all) {
    all.add("stride", stride).at_least(1);
    all.add("padding", padding).at_least(0);
    all.add("dilation", dilation).at_least(1);
    all.add("groups", groups).alias("group").at_least(1);
    all.add("deform_groups", deform_groups).alias("deformable_group").alias("deformable_groups").at_least(1);
  }

  static trtreg::Signatures signatures() {
    return trtreg::uniform({trtreg::DataType::kFLOAT, trtreg::DataType::kHALF, trtreg::DataType::kBF16});
  }

  void shapes(trtreg::Shapes& s) const {
    for (size_t const input : {kX, kOffset, kMask, kWeight}) s.expect_rank(input, 4);
    auto const& x = s.inputs[kX];
    auto const& weight = s.inputs[kWeight];
    s.expect(kX, 1, weight[1] * groups, "the weight's input channels times groups");
    expect_multiple(x[1], deform_groups, "input channels do not divide into deform groups:");
    expect_multiple(weight[0], groups, "output channels do not divide into groups:");
    trtreg::Shape const y{x[0], weight[0], extent(x[2], weight[2], 0), extent(x[3], weight[3], 1)};
    Dim const taps = weight[2] * weight[3] * deform_groups;
    for (Input const input : {kOffset, kMask}) {
      s.expect(input, 0, y[0], "the batch of x");
      s.expect(input, 1, input == kOffset ? taps * 2 : taps,
               input == kOffset ? "2 for each tap and deform group" : "1 for each tap and deform group");
      s.expect(input, 2, y[2], "the height of the output");
      s.expect(input, 3, y[3], "the width of the output");
    }
    if (s.inputs.size() > kBias) {
      s.expect_rank(kBias, 1);
      s.expect(kBias, 0, weight[0], "one bias for each output channel");
    }
    s.outputs[0] = y;
  }

  void enqueue(trtreg::Call const& call) const {
    trtreg::dispatch<float, __half, __nv_bfloat16>(call.inputs[kX].type, [&](auto zero) {
      using T = decltype(zero);
      dcnv2::Params<T> const p = params<T>(call);
      bool const few = p.out_channels / p.groups <= 32;
      auto const kernel =
          few ? dcnv2::modulated_deform_conv_kernel<T, 32> : dcnv2::modulated_deform_conv_kernel<T, 128>;
      int64_t const blocks = trtreg::ceil_div(p.pixels(), dcnv2::kPixels) * p.tiles(few ? 32 : 128) * p.groups;
      trtreg::launch(kernel, {blocks}, call.stream, p);
    });
  }

 private:
  // How often the kernel fits along one axis.
  Dim extent(Dim in, Dim kernel, size_t axis) const {
    trtreg::require(!kernel.known() || kernel.value() > 0, "the weight has a kernel of size 0");
    Dim const padded = in + 2 * static_cast<int64_t>(padding[axis]);
    Dim const reach = (kernel - 1) * dilation[axis] + 1;
    trtreg::require(!padded.known() || !reach.known() || reach.value() <= padded.value(), "the kernel reaches over ",
                    reach.value(), " pixels, more than the ", padded.value(), " of the padded input");
    return floor_div(padded - reach, stride[axis]) + 1;
  }

  dcnv2::Axis axis(trtreg::Call const& call, int32_t index) const {
    auto const at = static_cast<size_t>(index);
    return {call.inputs[kX][2 + index],
            call.outputs[0][2 + index],
            call.inputs[kWeight][2 + index],
            stride[at],
            padding[at],
            dilation[at]};
  }

  template <typename T>
  dcnv2::Params<T> params(trtreg::Call const& call) const {
    auto const& x = call.inputs[kX];
    T const* bias = call.has_input(kBias) ? call.in<T>(kBias) : nullptr;
    return {call.in<T>(kX),
            call.in<T>(kOffset),
            call.in<T>(kMask),
            call.in<T>(kWeight),
            bias,
            call.out<T>(0),
            x[0],
            x[1],
            call.outputs[0][1],
            groups,
            deform_groups,
            axis(call, 0),
            axis(call, 1)};
  }
};

// As MMCV and MMDeploy export it.
struct MMCVModulatedDeformConv2d : ModulatedDeformConv {
  static constexpr char const* name = "MMCVModulatedDeformConv2d";
};

// As the DCNv2 recipe of onnx-tensorrt and its followers export it, with single numbers and `deformable_group`.
struct DCNv2 : ModulatedDeformConv {
  static constexpr char const* name = "DCNv2";
};

}  // namespace

TRTREG_PLUGINS(MMCVModulatedDeformConv2d, DCNv2)
