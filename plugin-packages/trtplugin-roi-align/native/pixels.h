// RoIAlign from a copy of the feature maps in which the channels of a pixel lie together.
//
// In a feature map, what a sample needs of each channel lies in another sector of 32 bytes, of which it uses a few.
// Where there are as many samples as pixels it pays to copy the maps first, at the speed of memory: then a sample reads
// whole sectors, and where it lies is found once for many channels.
#ifndef TRTPLUGIN_ROI_ALIGN_PIXELS_H
#define TRTPLUGIN_ROI_ALIGN_PIXELS_H

#include <trtreg/pack.h>

#include <cstring>

#include "rows.h"

namespace roi_align {

constexpr int kPixelBytes = 128;                                 // of a pixel in the copy: a chunk of channels
constexpr int kVectors = 2;                                      // of 16 bytes, that a thread samples
constexpr int kBinThreads = kPixelBytes / (16 * kVectors);       // threads for a bin
constexpr int kMostThreads = 224;                                // of a block that samples: 7 x 7 bins fill it
constexpr int kMostBins = kMostThreads / kBinThreads;            // and its bins
constexpr int64_t kMostArea = (int64_t{1} << 32) / kPixelBytes;  // of a feature map: bytes are counted in 32 bits
constexpr int64_t kPartBytes = int64_t{128} << 20;  // that are copied at a time, where one chunk is not more
constexpr int64_t kLeastWork = 1 << 19;             // samples of all channels, that are worth another launch

template <typename T>
constexpr int kSize = 16 / static_cast<int>(sizeof(T));  // of a vector
template <typename T>
constexpr int kChunk = kPixelBytes / static_cast<int>(sizeof(T));

// Some chunks of channels. Their copy is that of one level after the other, [chunks, batch, height * width] of pixels;
// channels that do not exist are 0.
struct Part {
  int64_t first, chunks;
};

// What the samples of a RoI have in common.
struct alignas(16) Place {
  char const* copy;  // of its image in the first chunk; null: there is none
  int32_t height, width;
  float without;  // the result where there is no copy
};
using PixelAxis = Axis<int32_t>;

struct Places {
  Place* places;    // [rois_count]
  PixelAxis* axes;  // [rois_count, out_height + out_width]
};

// What is used once shall not drive the copy out of the L2 cache.
inline __device__ int4 load_once(int4 const* address) {
#ifdef TRTREG_ON_HOST
  return *address;
#else
  return __ldcs(address);
#endif
}
inline __device__ void store_once(int4* address, int4 value) {
#ifdef TRTREG_ON_HOST
  *address = value;
#else
  __stcs(address, value);
#endif
}

template <typename T>
__device__ void find_place(Params const& p, Places const& to, int64_t index) {
  auto const [number, bin] = trtreg::divide(index, p.out_height + p.out_width);
  Roi const roi = read_roi<T>(p, number);
  int64_t const height = roi.level.height, width = roi.level.width;
  to.axes[index] = bin < p.out_height
                       ? axis_of<int32_t>(roi.y, roi.height, bin, p.out_height, p.sampling_ratio, height)
                       : axis_of<int32_t>(roi.x, roi.width, bin - p.out_height, p.out_width, p.sampling_ratio, width);
  if (bin > 0) return;
  Place place{nullptr, static_cast<int32_t>(height), static_cast<int32_t>(width), 0.f};
  if (roi.image >= 0) {
    if (roi.width != roi.width) {
      place.without = NAN;
    } else if (height * width > 0) {
      place.copy = roi.level.copy + roi.image * height * width * kPixelBytes;
    }
  }
  to.places[number] = place;
}

// A square: as many pixels as channels, 16 bytes of both.
template <typename T>
__device__ void copy_pixels(Params const& p, Part const& part, int64_t index) {
  constexpr int kN = kSize<T>;
  constexpr int kAcross = kChunk<T> / kN;  // squares of a chunk: neighbouring threads write whole pixels
  using Pack = trtreg::Pack<T, kN>;
  int64_t const of_chunk = index % kAcross * kN;
  index /= kAcross;
  Level level = p.levels[0];
  for (int i = 1;; ++i) {
    int64_t const here = part.chunks * p.batch * ((level.area() + kN - 1) / kN);
    if (index < here) break;
    if (i == p.levels_count) return;
    index -= here;
    level = p.levels[i];
  }
  int64_t const area = level.area();
  auto const [plane, place] = trtreg::divide(index, (area + kN - 1) / kN);
  auto const [chunk, image] = trtreg::divide(plane, p.batch);
  int64_t const channel = (part.first + chunk) * kChunk<T> + of_chunk;
  int64_t const pixel = place * kN;
  T const* const x = static_cast<T const*>(level.x) + (image * p.channels + channel) * area + pixel;
  T* const to = reinterpret_cast<T*>(level.copy) + (plane * area + pixel) * kChunk<T> + of_chunk;
  if (channel + kN <= p.channels && area % kN == 0 && reinterpret_cast<uintptr_t>(level.x) % 16 == 0) {
    Pack rows[kN];
#pragma unroll
    for (int c = 0; c < kN; ++c) {
      int4 const bits = load_once(reinterpret_cast<int4 const*>(x + c * area));
      memcpy(&rows[c], &bits, sizeof bits);
    }
#pragma unroll
    for (int i = 0; i < kN; ++i) {
      Pack channels;
#pragma unroll
      for (int c = 0; c < kN; ++c) channels[c] = rows[c][i];
      trtreg::store(to + i * kChunk<T>, channels);
    }
  } else {
#pragma unroll 1
    for (int i = 0; i < kN && pixel + i < area; ++i) {
      Pack channels;
#pragma unroll
      for (int c = 0; c < kN; ++c)
        channels[c] = channel + c < p.channels ? x[c * area + i] : trtreg::from_float<T>(0.f);
      trtreg::store(to + i * kChunk<T>, channels);
    }
  }
}

// Before the `items` threads that copy come `finders`, for the places and axes.
template <typename T>
__global__ void __launch_bounds__(trtreg::kThreads)
    copy_kernel(Params const p, Part const part, Places const places, int64_t finders, int64_t items) {
  for (int64_t index = trtreg::thread_index(); index < finders + items; index += trtreg::thread_count()) {
    if (index >= finders) {
      copy_pixels<T>(p, part, index - finders);
    } else if (index < p.rois_count * (p.out_height + p.out_width)) {
      find_place<T>(p, places, index);
    }
  }
}

// Where a sample lies in the copy, and the share of each of its pixels.
struct Corners {
  uint32_t at[4];
  float share[4];

  __device__ Corners(Neighbours<int32_t> const& row, Neighbours<int32_t> const& column, int32_t width) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      int32_t const pixel = (k / 2 ? row.high : row.low) * width + (k % 2 ? column.high : column.low);
      at[k] = static_cast<uint32_t>(pixel) * kPixelBytes;
      share[k] = (k / 2 ? row.share : 1.f - row.share) * (k % 2 ? column.share : 1.f - column.share);
    }
  }
};

// The channels of a thread in a bin: the sum of its samples, or the largest.
template <typename T, bool kLargest>
struct Bin {
  float results[kVectors][kSize<T>];

  __device__ explicit Bin(float start) {
#pragma unroll
    for (auto& vector : results) {
#pragma unroll
      for (float& result : vector) result = start;
    }
  }
  __device__ void add(char const* plane, Corners const& corners) {
    trtreg::Pack<T, kSize<T>> values[kVectors][4];
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        auto const* const vectors = reinterpret_cast<T const*>(plane + corners.at[k]);
        values[v][k] = trtreg::load<T, kSize<T>>(vectors + v * kBinThreads * kSize<T>);
      }
    }
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
#pragma unroll
      for (int c = 0; c < kSize<T>; ++c) {
        float sample = kLargest ? 0.f : results[v][c];
#pragma unroll
        for (int k = 0; k < 4; ++k) sample = fmaf(corners.share[k], trtreg::to_float(values[v][k][c]), sample);
        results[v][c] = kLargest ? trtreg::Largest{}(results[v][c], sample) : sample;
      }
    }
  }
  // A sample outside the image.
  __device__ void add_zero() {
#pragma unroll
    for (auto& vector : results) {
#pragma unroll
      for (float& result : vector) result = kLargest ? trtreg::Largest{}(result, 0.f) : result;
    }
  }
};

// A block has some bins of a RoI, and `together` chunks of channels one after the other.
template <typename T, bool kLargest>
__global__ void __launch_bounds__(kMostThreads, 4)
    sample_kernel(Params const p, Part const part, Places const places, int tiles, int together) {
  T* results = trtreg::dynamic_shared<T>();  // [2, channels, bins]
  auto const out_height = static_cast<int>(p.out_height), out_width = static_cast<int>(p.out_width);
  int const bins = out_height * out_width;
  int const of_tile = (bins + tiles - 1) / tiles;
  auto const thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  int const lane = thread % kBinThreads;
  int const bin = thread / kBinThreads;
  int64_t const blocks = (part.chunks + together - 1) / together * p.rois_count * tiles;
  for (int64_t block = blockIdx.x; block < blocks; block += gridDim.x) {
    auto const [group, rest] = trtreg::divide(block, p.rois_count * tiles);
    auto const [number, tile] = trtreg::divide(rest, tiles);
    int const first_bin = static_cast<int>(tile) * of_tile;
    int const count = bins - first_bin < of_tile ? bins - first_bin : of_tile;
    Place place{};
    PixelAxis rows{}, columns{};
    if (bin < count) {
      place = places.places[number];
      PixelAxis const* const axes = places.axes + number * (out_height + out_width);
      rows = axes[(first_bin + bin) / out_width];
      columns = axes[out_height + (first_bin + bin) % out_width];
    }
    if (!place.copy) rows.inside = columns.inside = 0;
    bool const has_samples = rows.count > 0.f && columns.count > 0.f;
    bool const has_no_zero = has_samples && place.copy && !rows.leaves_out() && !columns.leaves_out();
    float const start = kLargest && has_no_zero ? -INFINITY : place.without;
    float const scale = kLargest || !has_samples ? 1.f : 1.f / (rows.count * columns.count);
    // The common case: four samples, all of whose loads can be on their way at once.
    Neighbours<int32_t> row[2]{}, column[2]{};
    bool four = rows.inside == 2 && columns.inside == 2;
    if (four) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        row[i] = neighbours(rows, i, place.height);
        column[i] = neighbours(columns, i, place.width);
        four = four && row[i].exists && column[i].exists;
      }
    }

    auto const first = static_cast<int>(group) * together;
    int const end = first + together < part.chunks ? first + together : static_cast<int>(part.chunks);
    int64_t const of_chunk = p.batch * place.height * place.width * kPixelBytes;
    char const* plane = place.copy + first * of_chunk + lane * 16;
    int64_t channel = (part.first + first) * kChunk<T>;
    T* y = static_cast<T*>(p.y) + (number * p.channels + channel) * bins + first_bin;
#pragma unroll 1
    for (int chunk = first; chunk < end; ++chunk, plane += of_chunk, channel += kChunk<T>, y += kChunk<T> * bins) {
      if (bin < count) {
        Bin<T, kLargest> sum(start);
        if (four) {
#pragma unroll
          for (int i = 0; i < 4; ++i) sum.add(plane, {row[i / 2], column[i % 2], place.width});
        } else {
#pragma unroll 1
          for (int32_t i = 0; i < rows.inside; ++i) {
            auto const vertical = neighbours(rows, i, place.height);
#pragma unroll 1
            for (int32_t j = 0; j < columns.inside; ++j) {
              auto const horizontal = neighbours(columns, j, place.width);
              if (vertical.exists && horizontal.exists) {
                sum.add(plane, {vertical, horizontal, place.width});
              } else {
                sum.add_zero();
              }
            }
          }
        }
#pragma unroll
        for (int v = 0; v < kVectors; ++v) {
#pragma unroll
          for (int c = 0; c < kSize<T>; ++c) {
            int const of_pixel = (v * kBinThreads + lane) * kSize<T> + c;
            results[of_pixel * count + bin] = trtreg::from_float<T>(sum.results[v][c] * scale);
          }
        }
      }
      __syncthreads();
      int64_t const channels = p.channels - channel < kChunk<T> ? p.channels - channel : kChunk<T>;
      int const size = static_cast<int>(channels) * count;
      if (tiles == 1 && size % kSize<T> == 0 && reinterpret_cast<uintptr_t>(y) % 16 == 0) {
        for (int i = thread; i < size / kSize<T>; i += threads)
          store_once(reinterpret_cast<int4*>(y) + i, reinterpret_cast<int4 const*>(results)[i]);
      } else {
        for (int i = thread; i < size; i += threads) y[i / count * bins + i % count] = results[i];
      }
      // The other half for the next ones, while these are written.
      T* const half = trtreg::dynamic_shared<T>();
      results = results == half ? half + kChunk<T> * of_tile : half;
    }
  }
}

// How much there is to do, and whether it pays to copy.
struct Plan {
  int64_t chunks, pixels{};
  int64_t samples;  // about, for all channels
  bool fits;

  Plan(Params const& p, size_t of_element) {
    chunks = trtreg::ceil_div(p.channels * static_cast<int64_t>(of_element), kPixelBytes);
    int64_t const ratio = p.sampling_ratio > 0 ? p.sampling_ratio : 4;
    samples = p.rois_count * p.out_height * p.out_width * ratio * ratio * p.channels;
    fits = p.out_height * p.out_width < 1 << 20;
    for (int i = 0; i < p.levels_count; ++i) {
      pixels += p.batch * p.levels[i].area();
      fits = fits && std::max({p.levels[i].area(), p.levels[i].height, p.levels[i].width}) < kMostArea;
    }
  }
  int64_t of_chunk() const { return pixels * kPixelBytes; }  // bytes of its copy
  // A sample for every second pixel was worth it on an H200, and three of them where float32 could go by rows.
  bool pays(Params const& p, size_t of_element) const {
    int64_t const least = chunks * of_chunk() / static_cast<int64_t>(of_element) / 2;
    return fits && samples >= std::max(goes_by_rows(p) && of_element > 2 ? 3 * least : least, kLeastWork);
  }
};

inline int64_t bytes_of_places(Params const& p) {
  auto const of_roi =
      static_cast<int64_t>(sizeof(Place)) + static_cast<int64_t>(sizeof(PixelAxis)) * (p.out_height + p.out_width);
  return trtreg::ceil_div(p.rois_count * of_roi, 256) * 256;
}

template <typename T>
void run_by_pixels(cudaStream_t stream, Params p, Plan const& plan, void* memory) {
  int64_t const bins = p.out_height * p.out_width;
  auto* const found = static_cast<Place*>(memory);
  Places const places{found, reinterpret_cast<PixelAxis*>(found + p.rois_count)};
  int64_t const of_part = std::clamp<int64_t>(kPartBytes / std::max<int64_t>(plan.of_chunk(), 1), 1, plan.chunks);
  auto* copy = static_cast<char*>(memory) + bytes_of_places(p);
  int64_t squares = 0;  // of a chunk
  for (int i = 0; i < p.levels_count; ++i) {
    p.levels[i].copy = copy;
    copy += of_part * p.batch * p.levels[i].area() * kPixelBytes;
    squares += p.batch * trtreg::ceil_div(p.levels[i].area(), kSize<T>) * (kChunk<T> / kSize<T>);
  }
  auto const tiles = static_cast<int>(trtreg::ceil_div(bins, kMostBins));
  auto const of_tile = static_cast<int>(trtreg::ceil_div(bins, tiles));
  auto const threads = static_cast<int>(trtreg::ceil_div(of_tile * kBinThreads, trtreg::kWarp)) * trtreg::kWarp;
  // Where boxes have unequal numbers of samples, many small blocks share them better.
  int const together = p.sampling_ratio > 0 ? 2 : 1;
  for (int64_t first = 0; first < plan.chunks; first += of_part) {
    Part const part{first, std::min(plan.chunks - first, of_part)};
    int64_t const axes = first > 0 ? 0 : p.rois_count * (p.out_height + p.out_width);
    int64_t const finders = trtreg::ceil_div(axes, trtreg::kWarp) * trtreg::kWarp;
    int64_t const items = part.chunks * squares;
    trtreg::launch(copy_kernel<T>, trtreg::grid_for(finders + items), stream, p, part, places, finders, items);
    int64_t const blocks = trtreg::ceil_div(part.chunks, together) * p.rois_count * tiles;
    trtreg::launch(p.largest ? sample_kernel<T, true> : sample_kernel<T, false>,
                   {std::min<int64_t>(blocks, 0x7fffffff), threads, static_cast<size_t>(2 * of_tile) * kPixelBytes},
                   stream, p, part, places, tiles, together);
  }
}

// Bytes of workspace for all sizes up to these: with smaller maps a copy may pay where with these it does not.
inline size_t workspace(Params const& p, size_t of_element) {
  Plan const plan(p, of_element);
  int64_t bytes = bytes_of_tables(p);
  if (plan.samples >= kLeastWork) {
    int64_t const copy = std::min({plan.chunks * plan.of_chunk(), std::max(kPartBytes, plan.of_chunk()),
                                   2 * (plan.samples + 1) * static_cast<int64_t>(of_element)});
    bytes = std::max(bytes, bytes_of_places(p) + copy);
  }
  return static_cast<size_t>(bytes);
}

// From a copy, row by row or bin by bin, whichever is the fastest for these sizes.
template <typename T>
void run(cudaStream_t stream, Params const& p, void* memory) {
  if (p.channels * p.rois_count == 0) return;
  Plan const plan(p, sizeof(T));
  if (plan.pays(p, sizeof(T))) return run_by_pixels<T>(stream, p, plan, memory);
  if (goes_by_rows(p)) return run_by_rows<T>(stream, p, memory);
  int64_t const threads = p.chunks() * p.rois_count * p.out_height * p.out_width;
  trtreg::launch(roi_align_kernel<T>, trtreg::grid_for(threads), stream, p);
}

}  // namespace roi_align

#endif  // TRTPLUGIN_ROI_ALIGN_PIXELS_H
