// The kernel: a thread finds once which pixels of x its point is made of, and then applies that to many channels. A
// block has a tile of points and not a row of them, so that points below one another find each other's pixels in the L1
// cache.
#ifndef TRTPLUGIN_GRID_SAMPLE_KERNEL_H
#define TRTPLUGIN_GRID_SAMPLE_KERNEL_H

#include <trtreg/bilinear.h>
#include <trtreg/launch.h>

namespace grid_sample {

enum Mode { kLinear, kNearest, kCubic };
enum Padding { kZeros, kBorder, kReflection };

constexpr int kBlock = 256;
constexpr int kChannels = 32;  // of one thread
constexpr int kLoads = 16;     // of a thread that come before their sums; as many others are on their way meanwhile
constexpr int kTile = 64;      // points of a row, at most, that a block has

template <typename T>
struct Params {
  T const* x;        // [batch, channels, size...], outermost axis of an image first
  void const* grid;  // [batch, points, kRank]: innermost axis first
  T* y;              // [batch, channels, points]
  bool float_grid;   // else the grid's type is T
  int64_t batch, channels, points;
  int64_t size[3];
  int64_t width;  // of a row of points
  int32_t tile;   // how much of it a block has; a power of two
  int32_t padding;
  bool align_corners;
  int64_t chunks{}, rows{}, columns{}, blocks{};  // of channels and of tiles; all together
};

// Which pixels along one axis a point is made of. -1: outside, which counts as 0 and is never read.
template <int kTaps>
struct Axis {
  int64_t at[kTaps];
  float weight[kTaps];
};

// A pixel's number, after padding.
__device__ inline int64_t inside(float pixel, int64_t size, int32_t padding, bool align_corners) {
  auto const last = static_cast<float>(size - 1);
  if (padding == kReflection) pixel = trtreg::reflect(pixel, size, align_corners);
  if (padding != kZeros) pixel = trtreg::clamp(pixel, 0.f, last);
  if (!(pixel >= 0.f && pixel <= last)) return -1;
  auto const number = static_cast<int64_t>(pixel);
  return number < size ? number : size - 1;  // beyond 2^24 pixels, `last` may be rounded up
}

// Sets `valid` to false for a coordinate that is nowhere: NaN, and an infinite one that cannot be reflected.
template <Mode kMode, int kTaps>
__device__ Axis<kTaps> place(float coordinate, int64_t size, int32_t padding, bool align_corners, bool& valid) {
  // From 8 on all taps are outside of every image, so this changes nothing but makes all numbers finite.
  if (padding != kReflection) coordinate = trtreg::clamp(coordinate, -8.f, 8.f);
  float pixel = trtreg::to_pixels(coordinate, size, align_corners);
  if (kMode != kCubic) {  // whose taps are padded one by one
    if (padding == kReflection) pixel = trtreg::reflect(pixel, size, align_corners);
    if (padding != kZeros) pixel = trtreg::clamp(pixel, 0.f, static_cast<float>(size - 1));
  }
  if (!(fabsf(pixel) < INFINITY)) {
    valid = false;
    pixel = 0.f;
  }
  Axis<kTaps> axis;
  if constexpr (kMode == kNearest) {
    axis.at[0] = inside(rintf(pixel), size, kZeros, false);
    axis.weight[0] = 1.f;
  } else {
    float const first = floorf(pixel);
    float const t = pixel - first;
    if constexpr (kMode == kLinear) {
      axis.weight[0] = 1.f - t;
      axis.weight[1] = t;
    } else {  // Keys' cubic convolution with A = -0.75
      constexpr float kA = -0.75f;
      auto const near = [](float d) { return ((kA + 2.f) * d - (kA + 3.f)) * d * d + 1.f; };
      auto const far = [](float d) { return ((kA * d - 5.f * kA) * d + 8.f * kA) * d - 4.f * kA; };
      axis.weight[0] = far(t + 1.f);
      axis.weight[1] = near(t);
      axis.weight[2] = near(1.f - t);
      axis.weight[3] = far(2.f - t);
    }
#pragma unroll
    for (int tap = 0; tap < kTaps; ++tap) {
      float const each = first + static_cast<float>(kMode == kCubic ? tap - 1 : tap);
      axis.at[tap] = inside(each, size, kMode == kCubic ? padding : kZeros, align_corners);
    }
  }
  return axis;
}

template <typename T, int kRank, Mode kMode>
__global__ void __launch_bounds__(kBlock, kMode != kCubic && (kRank == 2 || kMode == kNearest) ? 3 : 4)
    sample_kernel(Params<T> const p) {
  constexpr int kTaps = kMode == kNearest ? 1 : kMode == kLinear ? 2 : 4;
  constexpr int kPixels = kRank == 2 ? kTaps * kTaps : kTaps * kTaps * kTaps;
  int64_t plane = 1;
#pragma unroll
  for (int axis = 0; axis < kRank; ++axis) plane *= p.size[axis];

  int64_t const dims[4]{p.batch, p.chunks, p.rows, p.columns};
  for (int64_t block = blockIdx.x; block < p.blocks; block += gridDim.x) {
    int64_t at[4];  // image, chunk of channels, row of tiles, column of tiles
    trtreg::unravel(block, dims, at);
    auto const thread = static_cast<int32_t>(threadIdx.x);
    int64_t const column = at[3] * p.tile + (thread & (p.tile - 1));
    int64_t const row = (at[2] * kBlock + thread - (thread & (p.tile - 1))) / p.tile;
    int64_t const number = row * p.width + column;
    if (column >= p.width || number >= p.points) continue;
    int64_t const point = (at[0] * p.points + number) * kRank;

    int64_t pixel[kPixels]{};  // in the plane of a channel
    float weight[kPixels];
    bool valid = true;
#pragma unroll
    for (int tap = 0; tap < kPixels; ++tap) weight[tap] = 1.f;
#pragma unroll
    for (int axis = 0, stride = kPixels; axis < kRank; ++axis) {
      int64_t const place_of = point + kRank - 1 - axis;
      float const coordinate = p.float_grid ? static_cast<float const*>(p.grid)[place_of]
                                            : trtreg::to_float(static_cast<T const*>(p.grid)[place_of]);
      auto const taps = place<kMode, kTaps>(coordinate, p.size[axis], p.padding, p.align_corners, valid);
      stride /= kTaps;
#pragma unroll
      for (int tap = 0; tap < kPixels; ++tap) {
        int64_t const next = taps.at[tap / stride % kTaps];
        pixel[tap] = next < 0 || pixel[tap] < 0 ? -1 : pixel[tap] * p.size[axis] + next;
        weight[tap] *= taps.weight[tap / stride % kTaps];
      }
    }
    // What is outside loads pixel 0 instead, which is left out of the sum. Where the point is nowhere, the sum is NaN.
    bool is_inside[kPixels];
#pragma unroll
    for (int tap = 0; tap < kPixels; ++tap) {
      is_inside[tap] = pixel[tap] >= 0;
      if (!is_inside[tap]) pixel[tap] = 0;
      if (!valid) weight[tap] = NAN;
    }
    if (!valid) is_inside[0] = true;

    int64_t const first = at[1] * kChannels;
    int const count = static_cast<int>(first + kChannels < p.channels ? kChannels : p.channels - first);
    T const* x = p.x + (at[0] * p.channels + first) * plane;
    T* y = p.y + (at[0] * p.channels + first) * p.points + number;
    // Loads of some channels come before the sums and stores of those before them: so many are on their way at once.
    constexpr int kBatch = kPixels >= kLoads ? 1 : kLoads / kPixels;
    using Values = T[kPixels];
    auto const read = [&](auto& values) {
#pragma unroll
      for (Values& of_channel : values) {
#pragma unroll
        for (int tap = 0; tap < kPixels; ++tap) of_channel[tap] = x[pixel[tap]];
        x += plane;
      }
    };
    auto const write = [&](auto& values) {
#pragma unroll
      for (Values& of_channel : values) {
        float sum = 0.f;
#pragma unroll
        for (int tap = 0; tap < kPixels; ++tap) {
          if (is_inside[tap]) sum += weight[tap] * trtreg::to_float(of_channel[tap]);
        }
        *y = trtreg::from_float<T>(sum);
        y += p.points;
      }
    };
    int channel = 0;
    if (kBatch > 2 && count >= 2 * kBatch) {
      Values one[kBatch], two[kBatch];
      read(one);
#pragma unroll 1
      for (; channel + 3 * kBatch <= count; channel += 2 * kBatch) {
        read(two);
        write(one);
        read(one);
        write(two);
      }
      if (channel + 2 * kBatch <= count) {
        read(two);
        write(one);
        write(two);
        channel += 2 * kBatch;
      } else {
        write(one);
        channel += kBatch;
      }
    }
#pragma unroll 1
    for (; channel + kBatch <= count; channel += kBatch) {
      Values values[kBatch];
      read(values);
      write(values);
    }
#pragma unroll 1
    for (; channel < count; ++channel) {
      Values values[1];
      read(values);
      write(values);
    }
  }
}

}  // namespace grid_sample

#endif  // TRTPLUGIN_GRID_SAMPLE_KERNEL_H
