// RoIAlign over one feature map, or over the one of several that suits a RoI's size: where samples lie, and the kernel
// that reads feature maps as they are.
//
// A thread owns one bin of one RoI for up to kChannels channels: it finds where a sample lies once, and reads it from
// all of these planes. Channels come last in the numbering of the threads, so that all RoIs work on the same few
// planes at a time: these stay in the L2 cache, and a feature map comes from memory once.
#ifndef TRTPLUGIN_ROI_ALIGN_KERNEL_H
#define TRTPLUGIN_ROI_ALIGN_KERNEL_H

#include <trtreg/block.h>
#include <trtreg/launch.h>
#include <trtreg/scalar.h>

namespace roi_align {

constexpr int kChannels = 8;  // of one thread
constexpr int kMaxLevels = 10;

struct Level {
  void const* x;  // [batch, channels, height, width]
  int64_t height, width;
  float scale;  // pixels of this feature map in one of the RoIs' units
  char* copy;   // of pixels.h

  __host__ __device__ int64_t area() const { return height * width; }
};

struct Params {
  Level levels[kMaxLevels];
  int levels_count;
  void const* rois;  // [rois_count, 5]: image, x1, y1, x2, y2
  void* y;           // [rois_count, channels, out_height, out_width]
  int64_t batch, channels, rois_count, out_height, out_width;
  int sampling_ratio;    // samples of a bin in each direction; 0: about one in a pixel
  float offset;          // of the RoI's corners, in pixels of the feature map
  float smallest;        // size of a RoI
  float finest_scale;    // RoIs smaller than twice this size belong to the first level
  float enlargement;     // of a RoI around its centre; 0: none
  bool largest;          // a bin is the largest of its samples, and not their mean
  bool rois_are_floats;  // else they are of x's type

  __host__ __device__ int64_t chunks() const { return (channels + kChannels - 1) / kChannels; }
};

// The samples of a bin in one direction. Index has room for the samples that lie in the image.
template <typename Index>
struct Axis {
  float first, step;  // sample i lies at first + (i + 0.5) * step
  float count;        // as a float: a RoI may be of any size
  float begin;        // the first sample that can lie in the image
  Index inside;       // so many can, from there on

  // Samples that are left out are outside, so 0.
  __device__ bool leaves_out() const { return begin > 0.f || begin + static_cast<float>(inside) < count; }
};

// Bin `bin` of `bins`, for a RoI from `low` of length `length`.
template <typename Index>
__device__ Axis<Index> axis_of(float low, float length, int64_t bin, int64_t bins, int ratio, int64_t extent) {
  constexpr float kMost = sizeof(Index) > 4 ? 9e18f : 1e9f;
  float const size = length / static_cast<float>(bins);
  Axis<Index> axis{};
  axis.first = fmaf(static_cast<float>(bin), size, low);
  axis.count = ratio > 0 ? static_cast<float>(ratio) : ceilf(size);
  if (!(axis.count > 0.f)) return axis;
  axis.step = size / axis.count;
  axis.inside = ratio;
  if (ratio > 0 && !(axis.step > 0.f)) return axis;
  // Of a RoI much larger than the image only what lies in it is looked at: else one box could keep the GPU for hours.
  // Clamped while they are floats: no float out of range reaches an integer.
  float const begin = floorf((-1.f - axis.first) / axis.step) - 1.f;
  float const end = ceilf((static_cast<float>(extent) - axis.first) / axis.step) + 1.f;
  axis.begin = trtreg::clamp(begin, 0.f, axis.count);
  axis.inside = static_cast<Index>(trtreg::clamp(trtreg::clamp(end, 0.f, axis.count) - axis.begin, 0.f, kMost));
  return axis;
}

// The two pixels next to a sample, and the share of the second. A sample at most one pixel outside the image counts as
// on its border; further outside it does not exist, and counts as 0.
template <typename Index>
struct Neighbours {
  Index low, high;
  float share;
  bool exists;
};
template <typename Index>
__device__ Neighbours<Index> neighbours(Axis<Index> const& axis, Index index, Index extent) {
  float const at = fmaf(axis.begin + static_cast<float>(index) + 0.5f, axis.step, axis.first);
  if (extent == 0 || !(at >= -1.f && at <= static_cast<float>(extent))) return {};
  float const inside = fmaxf(at, 0.f);
  auto const low = static_cast<Index>(inside);
  if (low >= extent - 1) return {extent - 1, extent - 1, 0.f, true};
  return {low, low + 1, inside - static_cast<float>(low), true};
}

// A RoI in the pixels of its feature map.
struct Roi {
  Level level;
  int64_t image;  // -1: there is no such image
  float x, y, width, height;
};

template <typename T>
__device__ Roi read_roi(Params const& p, int64_t index) {
  float values[5];
  for (int i = 0; i < 5; ++i) {
    values[i] = p.rois_are_floats ? static_cast<float const*>(p.rois)[index * 5 + i]
                                  : trtreg::to_float(static_cast<T const*>(p.rois)[index * 5 + i]);
  }
  Roi roi{};
  bool const exists = values[0] > -1.f && values[0] < static_cast<float>(p.batch);
  roi.image = exists ? static_cast<int64_t>(values[0]) : -1;
  float width = values[3] - values[1];
  float height = values[4] - values[2];
  // The k-th level begins at finest_scale * 2^k. Compared, and not computed by a logarithm, so that every GPU and the
  // CPU agree.
  float const ratio = sqrtf(width * height) / p.finest_scale + 1e-6f;
  roi.level = p.levels[0];
  float bound = 2.f;
  for (int i = 1; i < kMaxLevels; ++i, bound *= 2.f) {
    if (i < p.levels_count && ratio >= bound) roi.level = p.levels[i];
  }
  float left = values[1];
  float top = values[2];
  if (p.enlargement > 0.f) {  // MMDeploy counts pixels: a box of width w covers w + 1 of them
    width = (width + 1.f) * p.enlargement - 1.f;
    height = (height + 1.f) * p.enlargement - 1.f;
    left = (values[1] + values[3]) * 0.5f - width * 0.5f;
    top = (values[2] + values[4]) * 0.5f - height * 0.5f;
  }
  roi.x = fmaf(left, roi.level.scale, p.offset);
  roi.y = fmaf(top, roi.level.scale, p.offset);
  roi.width = width * roi.level.scale;
  roi.height = height * roi.level.scale;
  float const sum = roi.x + roi.y + roi.width + roi.height;
  if (!(fabsf(sum) < INFINITY)) roi.width = NAN;
  // fmaxf would drop a NaN.
  if (roi.width < p.smallest) roi.width = p.smallest;
  if (roi.height < p.smallest) roi.height = p.smallest;
  return roi;
}

template <typename T>
__global__ void __launch_bounds__(trtreg::kThreads) roi_align_kernel(Params const p) {
  int64_t const bins = p.out_height * p.out_width;
  int64_t const threads = p.chunks() * p.rois_count * bins;
  for (int64_t index = trtreg::thread_index(); index < threads; index += trtreg::thread_count()) {
    auto const [rest, bin] = trtreg::divide(index, bins);
    auto const [chunk, roi_index] = trtreg::divide(rest, p.rois_count);
    auto const [bin_row, bin_column] = trtreg::divide(bin, p.out_width);
    int64_t const channel = chunk * kChannels;
    int const channels = static_cast<int>(p.channels - channel < kChannels ? p.channels - channel : kChannels);

    Roi const roi = read_roi<T>(p, roi_index);
    T* const y = static_cast<T*>(p.y) + (roi_index * p.channels + channel) * bins + bin;
    if (roi.image < 0 || roi.width != roi.width) {
      for (int c = 0; c < channels; ++c) y[c * bins] = trtreg::from_float<T>(roi.image < 0 ? 0.f : NAN);
      continue;
    }
    int64_t const area = roi.level.area();
    T const* const x = static_cast<T const*>(roi.level.x) + (roi.image * p.channels + channel) * area;

    using Axis = roi_align::Axis<int64_t>;
    Axis const rows = axis_of<int64_t>(roi.y, roi.height, bin_row, p.out_height, p.sampling_ratio, roi.level.height);
    Axis const columns = axis_of<int64_t>(roi.x, roi.width, bin_column, p.out_width, p.sampling_ratio, roi.level.width);
    bool const has_samples = rows.count > 0.f && columns.count > 0.f;
    bool const leaves_out = rows.leaves_out() || columns.leaves_out();
    float results[kChannels];
#pragma unroll
    for (float& result : results) result = p.largest && has_samples && !leaves_out ? -INFINITY : 0.f;

    for (int64_t i = 0; i < rows.inside; ++i) {
      auto const row = neighbours(rows, i, roi.level.height);
      for (int64_t j = 0; j < columns.inside; ++j) {
        auto const column = neighbours(columns, j, roi.level.width);
        bool const exists = row.exists && column.exists;
        T const* const corner = x + row.low * roi.level.width + column.low;
        int64_t const right = column.high - column.low;
        int64_t const below = (row.high - row.low) * roi.level.width;
        float const shares[4] = {(1.f - row.share) * (1.f - column.share), (1.f - row.share) * column.share,
                                 row.share * (1.f - column.share), row.share * column.share};
#pragma unroll
        for (int c = 0; c < kChannels; ++c) {
          if (c >= channels) break;
          float sample = 0.f;
          if (exists) {
            T const* const at = corner + c * area;
            sample = shares[0] * trtreg::to_float(at[0]) + shares[1] * trtreg::to_float(at[right]) +
                     shares[2] * trtreg::to_float(at[below]) + shares[3] * trtreg::to_float(at[below + right]);
          }
          results[c] = p.largest ? trtreg::Largest{}(results[c], sample) : results[c] + sample;
        }
      }
    }
    float const count = p.largest || !has_samples ? 1.f : rows.count * columns.count;
#pragma unroll
    for (int c = 0; c < kChannels; ++c) {
      if (c < channels) y[c * bins] = trtreg::from_float<T>(results[c] / count);
    }
  }
}

}  // namespace roi_align

#endif  // TRTPLUGIN_ROI_ALIGN_KERNEL_H
