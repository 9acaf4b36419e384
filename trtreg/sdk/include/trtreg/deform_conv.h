// Deformable convolution, for the plugins that have it: with and without masks, and with masks as logits.
//
// The kernel is a matrix product of the weight with sampled columns, which exist only in shared memory. For one group,
// y[channel, pixel] = sum over k of weight[channel, k] * column[k, pixel], where k runs over the input channels of the
// group and the taps of the kernel. A block owns a tile of `kChannels` x `kPixels` of y and keeps its sums in
// registers, in float. It walks over k in slices of up to `kDepth` input channels of one tap: all threads sample the
// slice of columns and fetch the slice of weights, then multiply. Pixels are numbered through the whole batch, so that
// a tile may cross from one image to the next.
#ifndef TRTREG_DEFORM_CONV_H
#define TRTREG_DEFORM_CONV_H

#include "trtreg/bilinear.h"
#include "trtreg/launch.h"
#include "trtreg/operator.h"

namespace TRTREG_NAMESPACE {
namespace deform_conv {

constexpr int kPixels = 64;
constexpr int kDepth = 16;

struct Axis {  // what the vertical and the horizontal direction have each
  int64_t in, out, kernel, stride, padding, dilation;
};

template <typename T>
struct Params {
  T const* x;       // [batch, channels, h.in, w.in]
  T const* offset;  // [batch, deform_groups * taps * 2, h.out, w.out]: dy, dx of each tap
  T const* mask;    // [batch, deform_groups * taps, h.out, w.out], or null: 1 everywhere
  T const* weight;  // [out_channels, channels / groups, h.kernel, w.kernel]
  T const* bias;    // [out_channels], or null
  T* y;             // [batch, out_channels, h.out, w.out]
  int64_t batch, channels, out_channels, groups, deform_groups;
  Axis h, w;
  int64_t offset_stride, mask_stride;  // elements from one image to the next
  bool mask_logits;                    // the mask is the sigmoid of what `mask` has

  __host__ __device__ int64_t taps() const { return h.kernel * w.kernel; }
  __host__ __device__ int64_t area() const { return h.out * w.out; }
  __host__ __device__ int64_t pixels() const { return batch * area(); }
  // Tiles of `size` output channels that cover one group.
  __host__ __device__ int64_t tiles(int64_t size) const { return (out_channels / groups + size - 1) / size; }
};

// One pixel of y: finds the points of x that its taps sample.
template <typename T>
class Sampler {
 public:
  __host__ __device__ Sampler(Params<T> const& p, int64_t index)
      : exists_(index < p.pixels()),
        image_(index / p.area()),
        pixel_(index % p.area()),
        y_(static_cast<float>(pixel_ / p.w.out * p.h.stride - p.h.padding)),
        x_(static_cast<float>(pixel_ % p.w.out * p.w.stride - p.w.padding)) {}

  __host__ __device__ T const* image(Params<T> const& p) const { return p.x + image_ * p.channels * p.h.in * p.w.in; }

  __host__ __device__ Point at(Params<T> const& p, int64_t deform_group, int64_t row, int64_t column) const {
    if (!exists_) return {};
    int64_t const tap = deform_group * p.taps() + row * p.w.kernel + column;
    T const* const offset = p.offset + image_ * p.offset_stride + 2 * tap * p.area() + pixel_;
    float mask = 1.f;
    if (p.mask) mask = to_float(p.mask[image_ * p.mask_stride + tap * p.area() + pixel_]);
    if (p.mask_logits) mask = 1.f / (1.f + expf(-mask));
    return locate(y_ + static_cast<float>(row * p.h.dilation) + to_float(offset[0]),
                  x_ + static_cast<float>(column * p.w.dilation) + to_float(offset[p.area()]), mask, p.h.in, p.w.in);
  }

 private:
  bool exists_;
  int64_t image_, pixel_;
  float y_, x_;  // of the first tap, unmoved
};

template <typename T, int kChannels>
__global__ void __launch_bounds__(kThreads, 2) deform_conv_kernel(Params<T> const p) {
  constexpr int kSide = 16;  // the threads of a block form a square over the tile
  constexpr int kRows = kChannels / kSide;
  constexpr int kColumns = kPixels / kSide;
  constexpr int kPitch = kChannels + 4;  // fewer bank conflicts; rows stay aligned to 16 bytes
  // Two of each: threads may fill one pair while others still multiply the other.
  alignas(16) __shared__ float weights[2][kDepth][kPitch];
  alignas(16) __shared__ float columns[2][kDepth][kPixels];

  int const thread = static_cast<int>(threadIdx.x);
  int64_t const tiles = p.tiles(kChannels);
  int64_t const group = blockIdx.x / tiles % p.groups;
  int64_t const channels = p.channels / p.groups;  // per group, in and out
  int64_t const out_channels = p.out_channels / p.groups;
  int64_t const first_channel = blockIdx.x % tiles * kChannels;  // in the group
  int64_t const first_pixel = blockIdx.x / tiles / p.groups * kPixels;
  int64_t const plane = p.h.in * p.w.in;

  // A thread samples one pixel of the tile, and fetches the weights of one input channel, for some rows of a slice.
  Sampler<T> const sampler(p, first_pixel + thread % kPixels);
  T const* const x = sampler.image(p) + (group * channels + thread / kPixels) * plane;
  T const* const weight =
      p.weight + ((group * out_channels + first_channel + thread / kDepth) * channels + thread % kDepth) * p.taps();

  int const row = thread / kSide * kRows;  // the corner of what a thread sums up
  int const column = thread % kSide * kColumns;
  float sums[kRows][kColumns]{};

  int buffer = 0;
  for (int64_t channel = 0, depth = 0; channel < channels; channel += depth) {
    // A slice stays in one deform group; these need not end where groups do.
    int64_t const per_deform_group = p.channels / p.deform_groups;
    int64_t const deform_group = (group * channels + channel) / per_deform_group;
    int64_t const left = (deform_group + 1) * per_deform_group - (group * channels + channel);
    depth = left < channels - channel ? left : channels - channel;
    depth = depth < kDepth ? depth : kDepth;
    for (int64_t i = 0; i < p.h.kernel; ++i) {
      for (int64_t j = 0; j < p.w.kernel; ++j, buffer ^= 1) {
        Point const point = sampler.at(p, deform_group, i, j);
#pragma unroll
        for (int k = 0; k < kDepth; k += kThreads / kPixels) {
          bool const exists = k + thread / kPixels < depth;
          columns[buffer][k + thread / kPixels][thread % kPixels] =
              exists ? sample(x + (channel + k) * plane, point) : 0.f;
        }
        T const* const tap = weight + channel * p.taps() + i * p.w.kernel + j;
#pragma unroll
        for (int out = 0; out < kChannels; out += kThreads / kDepth) {
          bool const exists = thread % kDepth < depth && first_channel + out + thread / kDepth < out_channels;
          weights[buffer][thread % kDepth][out + thread / kDepth] =
              exists ? static_cast<float>(tap[out * channels * p.taps()]) : 0.f;
        }
        // One barrier is enough: who fills this buffer again has passed the next one, which all reach after this
        // product.
        __syncthreads();
#pragma unroll 2
        for (int k = 0; k < kDepth; ++k) {
#pragma unroll
          for (int r = 0; r < kRows; ++r) {
#pragma unroll
            for (int c = 0; c < kColumns; ++c)
              sums[r][c] += weights[buffer][k][row + r] * columns[buffer][k][column + c];
          }
        }
      }
    }
  }

#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
    int64_t const pixel = first_pixel + column + c;
    if (pixel >= p.pixels()) break;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (first_channel + row + r >= out_channels) break;
      int64_t const out = group * out_channels + first_channel + row + r;
      float const bias = p.bias ? static_cast<float>(p.bias[out]) : 0.f;
      p.y[(pixel / p.area() * p.out_channels + out) * p.area() + pixel % p.area()] = static_cast<T>(sums[r][c] + bias);
    }
  }
}

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

  void attributes(Attributes& all) {
    all.add("stride", stride).at_least(1);
    all.add("padding", padding).at_least(std::min(padding[0], 0));
    all.add("dilation", dilation).at_least(1);
    all.add("groups", groups).alias("group").at_least(1);
    all.add("deform_groups", deform_groups).alias("deformable_group").alias("deformable_groups").at_least(1);
  }

  static Signatures signatures() { return uniform({DataType::kFLOAT, DataType::kHALF, DataType::kBF16}); }

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

  void run(Call const& call, Inputs const& at) const {
    dispatch<float, __half, __nv_bfloat16>(call.inputs[0].type, [&](auto zero) {
      using T = decltype(zero);
      Params<T> const p = params<T>(call, at);
      bool const few = p.out_channels / p.groups <= 32;
      int64_t const blocks = ceil_div(p.pixels(), kPixels) * p.tiles(few ? 32 : 128) * p.groups;
      launch(few ? deform_conv_kernel<T, 32> : deform_conv_kernel<T, 128>, {blocks}, call.stream, p);
    });
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
  Params<T> params(Call const& call, Inputs const& at) const {
    auto const data = [&](int32_t input) { return input >= 0 ? call.in<T>(static_cast<size_t>(input)) : nullptr; };
    auto const& x = call.inputs[0];
    auto const& y = call.outputs[0];
    auto const& weight = call.inputs[static_cast<size_t>(at.weight)];
    auto const axis = [&](int32_t i) {
      auto const k = static_cast<size_t>(i);
      return Axis{x[2 + i], y[2 + i], weight[2 + i], stride[k], pad(weight[2 + i], k, at).value(), dilation[k]};
    };
    Params<T> p{data(0),
                data(at.offset),
                data(at.mask),
                data(at.weight),
                data(at.bias),
                call.out<T>(0),
                x[0],
                x[1],
                y[1],
                groups,
                deform_groups,
                axis(0),
                axis(1),
                0,
                0,
                at.together()};
    int64_t const points = p.deform_groups * p.taps() * p.area();
    p.offset_stride = points * (at.together() ? 3 : 2);
    p.mask_stride = points * (at.together() ? 3 : 1);
    if (at.together()) p.mask = p.offset + 2 * points;
    return p;
  }
};

}  // namespace deform_conv
}  // namespace TRTREG_NAMESPACE

#endif  // TRTREG_DEFORM_CONV_H
