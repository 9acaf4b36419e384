// The kernel: a matrix product of the weight with sampled columns, which exist only in shared memory.
//
// For one group, y[channel, pixel] = sum over k of weight[channel, k] * column[k, pixel], where k runs over the input
// channels of the group and the taps of the kernel. A block owns a tile of `kChannels` x `kPixels` of y and keeps its
// sums in registers, in float. It walks over k in slices of up to `kDepth` input channels of one tap: all threads
// sample the slice of columns and fetch the slice of weights, then multiply. Pixels are numbered through the whole
// batch, so that a tile may cross from one image to the next.
#ifndef TRTPLUGIN_DCNV2_KERNEL_H
#define TRTPLUGIN_DCNV2_KERNEL_H

#include <trtreg/bilinear.h>
#include <trtreg/launch.h>

namespace dcnv2 {

using trtreg::kThreads;
using trtreg::locate;
using trtreg::Point;
using trtreg::sample;

constexpr int kPixels = 64;
constexpr int kDepth = 16;

struct Axis {  // what the vertical and the horizontal direction have each
  int64_t in, out, kernel, stride, padding, dilation;
};

template <typename T>
struct Params {
  T const* x;       // [batch, channels, h.in, w.in]
  T const* offset;  // [batch, deform_groups * taps * 2, h.out, w.out]: dy, dx of each tap
  T const* mask;    // [batch, deform_groups * taps, h.out, w.out]
  T const* weight;  // [out_channels, channels / groups, h.kernel, w.kernel]
  T const* bias;    // [out_channels], or null
  T* y;             // [batch, out_channels, h.out, w.out]
  int64_t batch, channels, out_channels, groups, deform_groups;
  Axis h, w;

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
    int64_t const tap = (image_ * p.deform_groups + deform_group) * p.taps() + row * p.w.kernel + column;
    T const* const offset = p.offset + 2 * tap * p.area() + pixel_;
    return locate(y_ + static_cast<float>(row * p.h.dilation) + static_cast<float>(offset[0]),
                  x_ + static_cast<float>(column * p.w.dilation) + static_cast<float>(offset[p.area()]),
                  static_cast<float>(p.mask[tap * p.area() + pixel_]), p.h.in, p.w.in);
  }

 private:
  bool exists_;
  int64_t image_, pixel_;
  float y_, x_;  // of the first tap, unmoved
};

template <typename T, int kChannels>
__global__ void __launch_bounds__(kThreads, 2) modulated_deform_conv_kernel(Params<T> const p) {
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

}  // namespace dcnv2

#endif  // TRTPLUGIN_DCNV2_KERNEL_H
