// Deformable convolution, for the plugins that have it: with and without masks, and with masks as logits.
//
//   deform_conv_params.h   what the kernels are given, and where the taps of a pixel lie
//   deform_conv_arrange.h  x and the weight, in the order that tensor cores want them in
//   deform_conv_tensor.h   on tensor cores: float16, bfloat16, and float32 where TF32 is allowed
//   deform_conv_hopper.h   on sm_90a: these, and float32 where it is not
//   deform_conv_exact.h    all else
#ifndef TRTREG_DEFORM_CONV_H
#define TRTREG_DEFORM_CONV_H

#include "trtreg/deform_conv_exact.h"
#include "trtreg/deform_conv_hopper.h"
#include "trtreg/deform_conv_tensor.h"
#include "trtreg/operator.h"

namespace TRTREG_NAMESPACE {
namespace deform_conv {

// Which input is what; -1: there is none.
struct Inputs {
  int32_t offset{1};
  int32_t mask{2};  // as `offset`: its last third, as logits
  int32_t weight{3};
  int32_t bias{4};

  bool together() const { return mask == offset; }
};

// What the operators have in common. One derives from it, chooses Inputs, and hands its shapes and enqueue on.
class Operator : public Plugin {
 public:
  using Pair = std::array<int32_t, 2>;  // vertical, horizontal

  Pair stride{1, 1};
  Pair padding{0, 0};  // -1: 0, but where Inputs::together what keeps the size of the image
  Pair dilation{1, 1};
  int32_t groups = 1;
  int32_t deform_groups = 1;
  int32_t allow_tf32 = 0;  // of float32: the products on tensor cores, with 10 bits of each factor

  void attributes(Attributes& all) {
    all.add("stride", stride).at_least(1);
    all.add("padding", padding).at_least(std::min(padding[0], 0));
    all.add("dilation", dilation).at_least(1);
    all.add("groups", groups).alias("group").at_least(1);
    all.add("deform_groups", deform_groups).alias("deformable_group").alias("deformable_groups").at_least(1);
    all.add("allow_tf32", allow_tf32).between(0, 1);
  }

  // x and y may have their channels last, both.
  static Signatures signatures() {
    Signatures all = uniform({DataType::kFLOAT, DataType::kHALF, DataType::kBF16});
    for (TypeFormat const map : {TypeFormat{DataType::kFLOAT, TensorFormat::kHWC},
                                 {DataType::kHALF, TensorFormat::kHWC8},
                                 {DataType::kBF16, TensorFormat::kHWC8}}) {
      all.push_back({{map, map.type}, {map}});
    }
    return all;
  }

 protected:
  void infer(Shapes& s, Inputs const& at) const {
    for (int32_t const input : {0, at.offset, at.mask, at.weight}) {
      if (input >= 0) s.expect_rank(static_cast<size_t>(input), 4);
    }
    Shape const& x = s.inputs[0];
    Shape const& weight = s.inputs[static_cast<size_t>(at.weight)];
    s.expect(0, 1, weight[1] * groups, "the weight's input channels times groups");
    expect_multiple(x[1], deform_groups, "input channels do not divide into deform groups:");
    expect_multiple(weight[0], groups, "output channels do not divide into groups:");
    Shape const y{x[0], weight[0], extent(x[2], weight[2], 0, at), extent(x[3], weight[3], 1, at)};
    Dim const taps = weight[2] * weight[3] * deform_groups;
    if (at.together()) {
      expect_map(s, at.offset, y, taps * 3, "3 for each tap and deform group");
    } else {
      expect_map(s, at.offset, y, taps * 2, "2 for each tap and deform group");
      if (at.mask >= 0) expect_map(s, at.mask, y, taps, "1 for each tap and deform group");
    }
    if (at.bias >= 0) {
      s.expect_rank(static_cast<size_t>(at.bias), 1);
      s.expect(static_cast<size_t>(at.bias), 0, weight[0], "one bias for each output channel");
    }
    s.outputs[0] = y;
  }

  // Ways to do it. What a GPU cannot do that way it does in its best one: engines travel.
  static constexpr int32_t kBestTiles = 1;
  static constexpr int32_t kLargeTiles = 2;
  static constexpr int32_t kSmallTiles = 3;
  static constexpr int32_t kOnCudaCores = 4;

  // With tensor cores the tiles, for the builder to try; and float32 without them.
  Tactics among(TensorSpecs const& in, TensorSpecs const& out, Inputs const& at) const {
    Tactics all;
    dispatch<float, __half, __nv_bfloat16>(in[0].type, [&](auto zero) {
      using T = decltype(zero);
      Arrangement<T> const arrangement(params<T>(in, out, at), terms<T>());
      if (!has_device() || !on_tensor_cores(arrangement)) return;
      all = {kBestTiles, kLargeTiles, kSmallTiles};
      if (sizeof(T) == 4) all.push_back(kOnCudaCores);
    });
    return all;
  }

  void run(Call const& call, Inputs const& at) const {
    dispatch<float, __half, __nv_bfloat16>(call.inputs[0].type, [&](auto zero) {
      using T = decltype(zero);
      Params<T> p = params<T>(call.inputs, call.outputs, at);
      auto const data = [&](int32_t input) { return input >= 0 ? call.in<T>(static_cast<size_t>(input)) : nullptr; };
      p.x = data(0);
      p.offset = data(at.offset);
      p.mask = at.together() ? p.offset + 2 * p.deform_groups * p.taps() * p.area() : data(at.mask);
      p.weight = data(at.weight);
      p.bias = data(at.bias);
      p.y = call.out<T>(0);
      if (p.y_at.pixel > p.out_channels) {
        size_t const bytes = static_cast<size_t>(p.pixels() * p.y_at.pixel) * sizeof(T);
        check(cudaMemsetAsync(p.y, 0, bytes, call.stream), "cudaMemsetAsync");
      }
      Arrangement<T> const arrangement(p, terms<T>());
      if (call.tactic != kOnCudaCores && on_tensor_cores(arrangement)) {
        Tiles const tiles = call.tactic == kLargeTiles   ? Tiles::kLarge
                            : call.tactic == kSmallTiles ? Tiles::kSmall
                                                         : Tiles::kBest;
        auto const run = hopper::available() ? on_hopper::run<T> : run_on_tensor_cores<T>;
        return run(p, arrangement, tiles, call.workspace, call.stream);
      }
      bool const few = p.out_channels / p.groups <= 32;
      int64_t const blocks = ceil_div(p.pixels(), kPixels) * p.tiles(few ? 32 : 128) * p.groups;
      launch(few ? deform_conv_kernel<T, 32> : deform_conv_kernel<T, 128>, {blocks}, call.stream, p);
    });
  }

  // For copies of x and of the weight in another order.
  size_t room(TensorSpecs const& in, TensorSpecs const& out, Inputs const& at) const {
    size_t bytes = 0;
    dispatch<float, __half, __nv_bfloat16>(in[0].type, [&](auto zero) {
      using T = decltype(zero);
      // In two terms on Hopper only; where this will run, nobody has said.
      if (terms<T>() == 1 || hopper::kBuilt) bytes = Arrangement<T>(params<T>(in, out, at), terms<T>()).bytes();
    });
    return bytes;
  }

 private:
  static void expect_multiple(Dim found, int32_t of, char const* what) {
    require(!found.known() || found.value() % of == 0, found.value(), ' ', what, ' ', of);
  }

  // A map over the pixels of y.
  static void expect_map(Shapes const& s, int32_t index, Shape const& y, Dim channels, char const* what) {
    auto const input = static_cast<size_t>(index);
    s.expect(input, 0, y[0], "the batch of x");
    s.expect(input, 1, channels, what);
    s.expect(input, 2, y[2], "the height of the output");
    s.expect(input, 3, y[3], "the width of the output");
  }

  Dim pad(Dim kernel, size_t axis, Inputs const& at) const {
    if (padding[axis] >= 0) return padding[axis];
    return at.together() ? floor_div((kernel - 1) * dilation[axis], 2) : 0;
  }

  // How often the kernel fits along one axis.
  Dim extent(Dim in, Dim kernel, size_t axis, Inputs const& at) const {
    require(!kernel.known() || kernel.value() > 0, "the weight has a kernel of size 0");
    Dim const padded = in + pad(kernel, axis, at) * 2;
    Dim const reach = (kernel - 1) * dilation[axis] + 1;
    require(!padded.known() || !reach.known() || reach.value() <= padded.value(), "the kernel reaches over ",
            reach.value(), " pixels, more than the ", padded.value(), " of the padded input");
    return floor_div(padded - reach, stride[axis]) + 1;
  }

  template <typename T>
  static bool on_tensor_cores(Arrangement<T> const& arrangement) {
    return arrangement.fits && (hopper::available() || (arrangement.terms == 1 && compute_capability() >= 80));
  }

  // How many terms of what tensor cores multiply make up a factor: one where it may be rounded, to its own 16 bits or
  // to TF32.
  template <typename T>
  int32_t terms() const {
    return sizeof(T) == 2 || allow_tf32 != 0 ? 1 : 2;
  }

  // All but the data.
  template <typename T, typename Tensors>
  Params<T> params(Tensors const& in, Tensors const& out, Inputs const& at) const {
    auto const& x = in[0];
    auto const& y = out[0];
    auto const& weight = in[static_cast<size_t>(at.weight)];
    auto const axis = [&](int32_t i) {
      auto const k = static_cast<size_t>(i);
      return Axis{x[2 + i], y[2 + i], weight[2 + i], stride[k], pad(weight[2 + i], k, at).value(), dilation[k]};
    };
    Params<T> p{};
    p.batch = x[0];
    p.channels = x[1];
    p.out_channels = y[1];
    p.groups = groups;
    p.deform_groups = deform_groups;
    p.x_at = map_strides(x);
    p.y_at = map_strides(y);
    p.h = axis(0);
    p.w = axis(1);
    p.mask_logits = at.together();
    int64_t const points = p.deform_groups * p.taps() * p.area();
    p.offset_stride = points * (at.together() ? 3 : 2);
    p.mask_stride = points * (at.together() ? 3 : 1);
    return p;
  }
};

}  // namespace deform_conv
}  // namespace TRTREG_NAMESPACE

#endif  // TRTREG_DEFORM_CONV_H
