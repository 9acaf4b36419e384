// Deformable convolution in float32 throughout, on any GPU.
//
// The kernel is a matrix product of the weight with sampled columns, which exist only in shared memory. For one group,
// y[channel, pixel] = sum over k of weight[channel, k] * column[k, pixel], where k runs over the input channels of the
// group and the taps of the kernel. A block owns a tile of `kChannels` x `kPixels` of y and keeps its sums in
// registers. It walks over k in slices of up to `kDepth` input channels of one tap: all threads sample the slice of
// columns and fetch the slice of weights, then multiply. Pixels are numbered through the whole batch, so that a tile
// may cross from one image to the next.
#ifndef TRTREG_DEFORM_CONV_EXACT_H
#define TRTREG_DEFORM_CONV_EXACT_H

#include "trtreg/deform_conv_params.h"

namespace TRTREG_NAMESPACE {
namespace deform_conv {

constexpr int kPixels = 64;
constexpr int kDepth = 16;

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

  // A thread samples one pixel of the tile, and fetches the weights of one input channel, for some rows of a slice.
  Sampler<T> const sampler(p, first_pixel + thread % kPixels);
  T const* const x = p.x + sampler.image() * p.x_at.image + (group * channels + thread / kPixels) * p.x_at.channel;
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
        Moves const moves = sampler.read(p, deform_group, i * p.w.kernel + j);
        Moves const at = sampler.place(p, i, j, moves);
        Point point = locate(at.y, at.x, at.mask, p.h.in, p.w.in);
        for (int64_t& neighbour : point.neighbour) neighbour *= p.x_at.pixel;
#pragma unroll
        for (int k = 0; k < kDepth; k += kThreads / kPixels) {
          bool const exists = k + thread / kPixels < depth;
          columns[buffer][k + thread / kPixels][thread % kPixels] =
              exists ? sample(x + (channel + k) * p.x_at.channel, point) : 0.f;
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
    T* const y = p.y + p.y_offset(pixel);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (first_channel + row + r >= out_channels) break;
      int64_t const out = group * out_channels + first_channel + row + r;
      float const bias = p.bias ? static_cast<float>(p.bias[out]) : 0.f;
      y[out * p.y_at.channel] = static_cast<T>(sums[r][c] + bias);
    }
  }
}

}  // namespace deform_conv
}  // namespace TRTREG_NAMESPACE

#endif  // TRTREG_DEFORM_CONV_EXACT_H
