// RoIAlign row by row, where each bin has the same few samples.
//
// The two pixels next to each sample of a row, for all bins of that row, are the lanes of a warp: one load brings a row
// of the feature map, from the few cache lines in which it lies. Every lane adds up its column over the rows of a bin;
// then the lanes of a bin put their sums together. Where the samples lie is found once for a RoI, by a kernel before.
//
// A block stays with one channel for all RoIs before it takes the next, or with a few whose planes fit into the L1
// cache together: so a plane comes from the L2 cache about once. To have the L1 cache for themselves, blocks are as
// large as can be, one on a multiprocessor.
#ifndef TRTPLUGIN_ROI_ALIGN_ROWS_H
#define TRTPLUGIN_ROI_ALIGN_ROWS_H

#include "kernel.h"

namespace roi_align {

// Threads of a block. More of them need more of the L1 cache at a time, which planes of float32 fill anyhow.
template <typename T>
constexpr int kBlock = sizeof(T) > 2 ? 768 : 1024;

constexpr int kRatio = 2;                      // samples of a bin in each direction: other numbers go bin by bin
constexpr int kLanes = 2 * kRatio;             // of a bin: two columns of each sample
constexpr int kBins = trtreg::kWarp / kLanes;  // side by side in a warp
constexpr int kGroup = kLanes;                 // rows of bins, of which each lane of a bin writes one
constexpr int64_t kCache = 256 * 1024;         // bytes of planes that a block works on
constexpr int kMaxRows = 96;                   // of samples: a warp keeps them in shared memory

// What a warp has to know of a RoI: a Head, a Column for each lane and each pass, and the Rows of samples.
struct alignas(16) Head {
  void const* x;  // the first channel of the image in its level; null: there is none
  int32_t area;   // of a channel
  float result;   // of all bins, where there is no image or no pixel in it
};
struct Column {
  int32_t at;   // kOutside: not in the image
  float share;  // of its pixel in the sample, and of the sample in the bin
};
struct alignas(16) Row {
  uint32_t low, high;  // bytes from the plane's begin; kNowhere: not in the image
  float low_share, high_share;
};
constexpr int32_t kOutside = -1;
constexpr uint32_t kNowhere = ~0u;

struct Layout {
  int columns;  // lanes of all passes until a row of bins is done
  int rows;     // of samples, for whole groups

  Layout(int64_t out_height, int64_t out_width)
      : columns(static_cast<int>((out_width + kBins - 1) / kBins) * trtreg::kWarp),
        rows(static_cast<int>((out_height + kGroup - 1) / kGroup) * kGroup * kRatio) {}
  __host__ __device__ int64_t entries() const { return int64_t{1} + columns + rows; }
  __host__ __device__ int64_t bytes() const {  // for one RoI
    return static_cast<int64_t>(sizeof(Head) + sizeof(Column) * static_cast<size_t>(columns) +
                                sizeof(Row) * static_cast<size_t>(rows));
  }
};

// Bytes of workspace for it; 0: it does not go row by row.
inline int64_t bytes_of_tables(Params const& p) {
  if (p.sampling_ratio != kRatio || p.out_height > kMaxRows / kRatio || p.out_width > 1 << 16) return 0;
  return p.rois_count * Layout(p.out_height, p.out_width).bytes();
}
inline int64_t largest_area(Params const& p) {
  int64_t largest = 1;
  for (int i = 0; i < p.levels_count; ++i) largest = std::max(largest, p.levels[i].area());
  return largest;
}
inline bool goes_by_rows(Params const& p) {
  return bytes_of_tables(p) > 0 && largest_area(p) < int64_t{1} << 30;  // a plane's bytes are counted in 32 bits
}

// Sample `index` of all that a bin has in one direction.
inline __device__ Neighbours<int64_t> sample_of(Axis<int64_t> const& axis, int index, int64_t extent) {
  return neighbours(axis, index - static_cast<int64_t>(axis.begin), extent);
}

template <typename T>
__global__ void __launch_bounds__(trtreg::kThreads) find_kernel(Params const p, Layout const layout, char* tables) {
  int64_t const count = p.rois_count * layout.entries();
  for (int64_t index = trtreg::thread_index(); index < count; index += trtreg::thread_count()) {
    trtreg::Quotient const at = trtreg::divide(index, layout.entries());
    auto const entry = static_cast<int>(at.remainder);
    Roi const roi = read_roi<T>(p, at.quotient);
    auto* const head = reinterpret_cast<Head*>(tables + at.quotient * layout.bytes());
    auto* const columns = reinterpret_cast<Column*>(head + 1);
    auto* const rows = reinterpret_cast<Row*>(columns + layout.columns);
    int64_t const height = roi.level.height, width = roi.level.width;
    if (entry < layout.columns) {
      int const bin = entry / kLanes;
      Column column{kOutside, 0.f};
      if (bin < p.out_width) {
        auto const axis = axis_of<int64_t>(roi.x, roi.width, bin, p.out_width, kRatio, width);
        auto const pixels = sample_of(axis, entry % kLanes / 2, width);
        bool const high = entry % 2 != 0;
        float const share = high ? pixels.share : 1.f - pixels.share;
        if (pixels.exists) {
          column = {static_cast<int32_t>(high ? pixels.high : pixels.low),
                    p.largest ? share : share / static_cast<float>(kRatio * kRatio)};
        }
      }
      columns[entry] = column;
    } else if (int const sample = entry - layout.columns; sample < layout.rows) {
      Row row{kNowhere, kNowhere, 0.f, 0.f};
      if (sample / kRatio < p.out_height) {
        auto const axis = axis_of<int64_t>(roi.y, roi.height, sample / kRatio, p.out_height, kRatio, height);
        auto const pixels = sample_of(axis, sample % kRatio, height);
        if (pixels.exists) {
          auto const line = width * static_cast<int64_t>(sizeof(T));
          row = {static_cast<uint32_t>(pixels.low * line), static_cast<uint32_t>(pixels.high * line),
                 1.f - pixels.share, pixels.share};
        }
      }
      rows[sample] = row;
    } else {
      bool const no_number = roi.image >= 0 && roi.width != roi.width;
      bool const none = no_number || roi.image < 0 || height * width == 0;
      auto const* const x = static_cast<T const*>(roi.level.x) + (none ? 0 : roi.image * p.channels * height * width);
      *head = {none ? nullptr : x, static_cast<int32_t>(height * width), no_number ? NAN : 0.f};
    }
  }
}

// The results of kLanes rows of bins, each the sum of its parts in the lanes of a bin: to each lane that of one row.
template <typename Op>
__device__ float share_out(float (&parts)[kLanes], Op const& op) {
  int const lane = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int half = kLanes / 2; half > 0; half /= 2) {
    bool const upper = (lane & half) != 0;
#pragma unroll
    for (int i = 0; i < half; ++i) {
      float const mine = upper ? parts[i + half] : parts[i];
      float const other = upper ? parts[i] : parts[i + half];
      parts[i] = op(mine, __shfl_xor_sync(0xffffffffu, other, half));
    }
  }
  return parts[0];
}

template <typename T, bool kLargest>
__global__ void __launch_bounds__(kBlock<T>, 1)
    rows_kernel(Params const p, Layout const layout, int64_t together, char const* tables) {
  constexpr int kWarps = kBlock<T> / trtreg::kWarp;
  int const lane = static_cast<int>(threadIdx.x) % trtreg::kWarp;
  int const warp = static_cast<int>(threadIdx.x) / trtreg::kWarp;
  Row* const rows = trtreg::dynamic_shared<Row>() + warp * layout.rows;
  auto const out_height = static_cast<int>(p.out_height);
  auto const out_width = static_cast<int>(p.out_width);

  // A block's share of all pairs of `together` channels and a RoI, channels after channels; a warp takes every
  // kWarps-th.
  int64_t const pairs = (p.channels + together - 1) / together * p.rois_count;
  int64_t const share = (pairs + gridDim.x - 1) / gridDim.x;
  int64_t const end = share * (blockIdx.x + 1) < pairs ? share * (blockIdx.x + 1) : pairs;
  int64_t pair = share * blockIdx.x + warp;
  trtreg::Quotient at = trtreg::divide(pair, p.rois_count);  // channels and RoI
  trtreg::Quotient const step = trtreg::divide(kWarps, p.rois_count);
  for (; pair < end; pair += kWarps) {
    int64_t const channel = at.quotient * together;
    auto const channels = static_cast<int>(p.channels - channel < together ? p.channels - channel : together);
    int64_t const roi = at.remainder;
    at.quotient += step.quotient;
    at.remainder += step.remainder;
    if (at.remainder >= p.rois_count) {
      at.remainder -= p.rois_count;
      ++at.quotient;
    }

    auto const* const found = reinterpret_cast<Head const*>(tables + roi * layout.bytes());
    auto const* const columns = reinterpret_cast<Column const*>(found + 1);
    auto const* const found_rows = reinterpret_cast<Row const*>(columns + layout.columns);
    Head const head = *found;
    __syncwarp();  // the RoI before is done
#pragma unroll 1
    for (int i = lane; i < layout.rows; i += trtreg::kWarp) rows[i] = found_rows[i];
    __syncwarp();
    int const bins = out_height * out_width;
    T* const y = static_cast<T*>(p.y) + (roi * p.channels + channel) * bins;
    if (!head.x) {
#pragma unroll 1
      for (int i = lane; i < channels * bins; i += trtreg::kWarp) y[i] = trtreg::from_float<T>(head.result);
      continue;
    }

#pragma unroll 1
    for (int place = lane; place < layout.columns; place += trtreg::kWarp) {
      Column const column = columns[place];
      bool const outside = column.at == kOutside;
      auto const* x = reinterpret_cast<char const*>(static_cast<T const*>(head.x) + channel * head.area +
                                                    (outside ? 0 : column.at));
      int const bin = place / kLanes;
#pragma unroll 1
      for (int c = 0; c < channels; ++c, x += head.area * static_cast<int64_t>(sizeof(T))) {
#pragma unroll 1
        for (int first = 0; first < out_height; first += kGroup) {
          float parts[kGroup];
#pragma unroll
          for (int i = 0; i < kGroup; ++i) {
            parts[i] = kLargest ? -INFINITY : 0.f;
#pragma unroll
            for (int j = 0; j < kRatio; ++j) {
              Row const row = rows[(first + i) * kRatio + j];
              float low = 0.f, high = 0.f;
              if (row.low != kNowhere) {
                low = trtreg::to_float(__ldg(reinterpret_cast<T const*>(x + row.low)));
                high = trtreg::to_float(__ldg(reinterpret_cast<T const*>(x + row.high)));
              }
              if constexpr (kLargest) {
                float const sum = row.low_share * low + row.high_share * high;
                float const part = outside ? 0.f : sum * column.share;
                parts[i] = trtreg::Largest{}(parts[i], part + __shfl_xor_sync(0xffffffffu, part, 1));
              } else {
                parts[i] = fmaf(row.low_share, low, fmaf(row.high_share, high, parts[i]));
              }
            }
            if (!kLargest) parts[i] = outside ? 0.f : parts[i] * column.share;
          }
          float const result = share_out(parts, std::conditional_t<kLargest, trtreg::Largest, trtreg::Sum>{});
          int const bin_row = first + lane % kLanes;
          if (bin_row < out_height && bin < out_width)
            y[c * bins + bin_row * out_width + bin] = trtreg::from_float<T>(result);
        }
      }
    }
  }
}

template <typename T>
void run_by_rows(cudaStream_t stream, Params const& p, void* memory) {
  int64_t const largest = largest_area(p);
  constexpr int kWarps = kBlock<T> / trtreg::kWarp;
  Layout const layout(p.out_height, p.out_width);
  auto* const tables = static_cast<char*>(memory);
  int64_t const together =
      std::clamp<int64_t>(kCache / (largest * static_cast<int64_t>(sizeof(T))), 1, std::min<int64_t>(p.channels, 8));
  int64_t const pairs = trtreg::ceil_div(p.channels, together) * p.rois_count;
  trtreg::Grid grid{std::min<int64_t>(trtreg::multiprocessors(), trtreg::ceil_div(pairs, kWarps)), kBlock<T>};
  grid.shared = static_cast<size_t>(kWarps * layout.rows) * sizeof(Row);
  trtreg::launch(find_kernel<T>, trtreg::grid_for(p.rois_count * layout.entries()), stream, p, layout, tables);
  trtreg::launch(p.largest ? rows_kernel<T, true> : rows_kernel<T, false>, grid, stream, p, layout, together, tables);
}

}  // namespace roi_align

#endif  // TRTPLUGIN_ROI_ALIGN_ROWS_H
