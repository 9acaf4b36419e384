// Deformable convolution on tensor cores (sm_80 and newer): float16, bfloat16, and float32 as TF32.
//
// As in deform_conv_exact.h the sampled columns exist only in shared memory. Here they have 16 bits (or are TF32), and
// x and the weight lie as deform_conv_arrange.h has them, a tap at a time. A block owns a tile of y, `kOut` output
// channels of `kPixels` pixels, and walks over the slices. While it multiplies one slice, it samples the next: the
// reads of a part of it are under way during a part of the products.
#ifndef TRTREG_DEFORM_CONV_TENSOR_H
#define TRTREG_DEFORM_CONV_TENSOR_H

#include "trtreg/deform_conv_arrange.h"

namespace TRTREG_NAMESPACE {
namespace deform_conv {

// Where the taps of a block's pixels lie, of one tap and deform group.
template <int kPixels>
struct Points {
  Pack<uint32_t, 4> pixel[kPixels];  // of all images; kNowhere for what lies outside
  Pack<float, 4> weight[kPixels];
  float scale[kPixels];
};

template <int kOut, int kPixels>
struct Tile {  // of one slice
  mma::Chunk weights[kOut * mma::kChunks];
  mma::Chunk columns[kPixels * mma::kChunks];
};

// Two of what one slice needs: one is filled while the other is read.
template <typename T, int kOut, int kPixels>
struct Shared {
  Tile<kOut, kPixels> tiles[2];
  Points<kPixels> points[2];
  Sampler<T> samplers[kPixels];  // here, and not in registers, which the sums need
};

// One step of a block's walk: a tap of a set, and up to 128 bytes of the set's channels.
struct Slice {
  int32_t index{0};
  int32_t tap_of_set{0};  // of all sets
  int32_t set{0};
  int32_t row{0}, column{0};  // of the tap
  int32_t first{0};           // channel, in the set
};

template <typename T, int kOut, int kPixels, int kOutWarps, int kPixelWarps>
__global__ void __launch_bounds__(kOutWarps * kPixelWarps * kWarp, 1) tensor_kernel(TensorParams<T> const t) {
#if (!defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800) && \
    !defined(__CUDA_ARCH_FEAT_SM90_ALL)  // see deform_conv_hopper.h
  constexpr int kThreads = kOutWarps * kPixelWarps * kWarp;
  constexpr int kSize = mma::kChunkOf<T>;
  constexpr int kDepth = mma::kChunks * kSize;
  // Products of 16 x 8 that a warp has, each way.
  constexpr int kOfWarp[2] = {kOut / kOutWarps / 16, kPixels / kPixelWarps / 8};
  constexpr int kPasses = kPixels * mma::kChunks / kThreads;  // chunks that a thread samples
  constexpr int kSteps = mma::kChunks / mma::kStep;
  static_assert(kOfWarp[0] > 0 && kOfWarp[1] % 2 == 0 && kPasses > 0 && 4 * kPixels >= kThreads);
  auto& shared = *dynamic_shared<Shared<T, kOut, kPixels>>();

  Params<T> const& p = t.p;
  int const thread = static_cast<int>(threadIdx.x);
  int64_t const tiles = p.tiles(kOut);
  int64_t const group = blockIdx.x / tiles % p.groups;
  int64_t const channels = p.channels / p.groups;  // per group, in and out
  int64_t const out_channels = p.out_channels / p.groups;
  int64_t const first_channel = blockIdx.x % tiles * kOut;  // in the group
  int64_t const first_pixel = blockIdx.x / tiles / p.groups * kPixels;

  auto const after = [&](Slice slice) {
    ++slice.index;
    slice.first += kDepth;
    if (slice.first < t.depth) return slice;
    slice.first = 0;
    ++slice.tap_of_set;
    if (++slice.column == p.w.kernel) {
      slice.column = 0;
      if (++slice.row == p.h.kernel) {
        slice.row = 0;
        ++slice.set;
      }
    }
    return slice;
  };

  // Neighbour `index % 4` of pixel `index / 4`: so that all warps have as much to do, four threads find a point.
  constexpr int kFinds = 4 * kPixels / kThreads;
  int64_t const first_deform_group = group * channels / (p.channels / p.deform_groups);
  auto const tap_of = [&](Slice const& slice) { return slice.row * static_cast<int32_t>(p.w.kernel) + slice.column; };
  auto const read_moves = [&](Slice const& slice, Moves(&moves)[kFinds]) {
#pragma unroll
    for (int i = 0; i < kFinds; ++i) {
      Sampler<T> const& sampler = shared.samplers[(thread + i * kThreads) / 4];
      moves[i] = sampler.read(p, first_deform_group + slice.set, tap_of(slice));
    }
  };
  auto const keep_points = [&](Slice const& slice, Moves const(&moves)[kFinds]) {
    Points<kPixels>& points = shared.points[slice.tap_of_set % 2];
#pragma unroll
    for (int i = 0; i < kFinds; ++i) {
      int const pixel = (thread + i * kThreads) / 4;
      Sampler<T> const& sampler = shared.samplers[pixel];
      Moves const at = sampler.place(p, slice.row, slice.column, moves[i]);
      Neighbour found{-1, 0.f};
      if (has_neighbours(at.y, at.x, p.h.in, p.w.in)) found = neighbour(at.y, at.x, thread % 4, p.h.in, p.w.in);
      int64_t const image = sampler.image() * p.h.in * p.w.in;
      points.pixel[pixel][thread % 4] = found.offset < 0 ? kNowhere : static_cast<uint32_t>(image + found.offset);
      points.weight[pixel][thread % 4] = found.weight;
      if (thread % 4 == 0) points.scale[pixel] = at.y != at.y || at.x != at.x ? NAN : at.mask;
    }
  };

  // Of each tile a thread fills one chunk of every kRows rows.
  constexpr int kRows = kThreads / mma::kChunks;
  int const row = thread / mma::kChunks;
  int const chunk = thread % mma::kChunks;
  uint32_t const place = mma::place(row, chunk);
  int64_t const tile = group * tiles + blockIdx.x % tiles;
  mma::Chunk const* const weight = t.weight + tile * t.slices * kOut * mma::kChunks + thread;
  auto const fetch_weights = [&](Slice const& slice, Tile<kOut, kPixels>& tiles) {
    constexpr int kSize = kOut * mma::kChunks;
    mma::Chunk const* const from = weight + static_cast<int64_t>(slice.index) * kSize;
#pragma unroll
    for (int i = 0; i < kSize; i += kThreads) mma::copy_async(tiles.weights + thread + i, from + i, true);
    mma::end_copies();
  };

  struct Corners {
    mma::Chunk values[4];
  };
  auto const* const x = reinterpret_cast<unsigned char const*>(t.x + group * channels + chunk * kSize);
  auto const pixel_bytes = static_cast<uint32_t>(p.channels * static_cast<int64_t>(sizeof(T)));
  auto const gather = [&](Slice const& slice, int pass) {
    Pack<uint32_t, 4> const pixel = shared.points[slice.tap_of_set % 2].pixel[row + pass * kRows];
    uint32_t const channel = (slice.set * t.depth + slice.first) * static_cast<uint32_t>(sizeof(T));
    bool const exists = slice.index < t.slices && slice.first + chunk * kSize < t.depth;
    Corners corners;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      uint64_t const at = static_cast<uint64_t>(pixel[i]) * pixel_bytes;
      corners.values[i] = {};
      if (exists && pixel[i] != kNowhere) corners.values[i] = *reinterpret_cast<mma::Chunk const*>(x + at + channel);
    }
    return corners;
  };
  auto const keep_columns = [&](Slice const& slice, Tile<kOut, kPixels>& tiles, int pass, Corners const& corners) {
    Points<kPixels> const& points = shared.points[slice.tap_of_set % 2];
    Pack<float, 4> const share = points.weight[row + pass * kRows];
    float const scale = points.scale[row + pass * kRows];
    Pack<T, kSize> result;
#pragma unroll
    for (int k = 0; k < kSize; ++k) {
      constexpr int kOfWord = kSize / 4;
      float sum = 0.f;
#pragma unroll
      for (int i = 0; i < 4; ++i) sum += share[i] * mma::element<T>(corners.values[i][k / kOfWord], k % kOfWord);
      result[k] = mma::rounded<T>(sum * scale);
    }
    store(reinterpret_cast<T*>(tiles.columns + place + pass * kRows * mma::kChunks), result);
  };

  int const warp = thread / kWarp;
  int const warp_out = warp / kPixelWarps * kOfWarp[0] * 16;
  int const warp_pixel = warp % kPixelWarps * kOfWarp[1] * 8;
  float sums[kOfWarp[0]][kOfWarp[1]][4]{};
  auto const multiply = [&](Tile<kOut, kPixels> const& tiles, int step) {
    uint32_t columns[kOfWarp[1] / 2][4];
#pragma unroll
    for (int j = 0; j < kOfWarp[1] / 2; ++j) {
      mma::read_second(columns[j], tiles.columns + (warp_pixel + j * 16) * mma::kChunks, step * mma::kStep);
    }
#pragma unroll
    for (int i = 0; i < kOfWarp[0]; ++i) {
      uint32_t weights[4];
      mma::read_first(weights, tiles.weights + (warp_out + i * 16) * mma::kChunks, step * mma::kStep);
#pragma unroll
      for (int j = 0; j < kOfWarp[1]; ++j) {
        mma::multiply<T>(sums[i][j], weights, columns[j / 2] + j % 2 * 2);
      }
    }
  };

  // The first slice, and the points of the second.
  Slice slice;
  Slice next = after(slice);
  if (thread < kPixels) shared.samplers[thread] = Sampler<T>(p, first_pixel + thread);
  __syncthreads();
  Moves moves[kFinds];
  read_moves(slice, moves);
  keep_points(slice, moves);
  if (next.tap_of_set == 1 && next.index < t.slices) {
    read_moves(next, moves);
    keep_points(next, moves);
  }
  fetch_weights(slice, shared.tiles[0]);
  __syncthreads();
#pragma unroll
  for (int pass = 0; pass < kPasses; ++pass) keep_columns(slice, shared.tiles[0], pass, gather(slice, pass));
  mma::wait_for_copies<0>();
  __syncthreads();

  for (int current = 0; slice.index < t.slices; current ^= 1) {
    bool const more = next.index < t.slices;
    Slice const later = after(next);
    Tile<kOut, kPixels>& coming = shared.tiles[current ^ 1];
    if (more) fetch_weights(next, coming);
    // Points are found one slice before they are used. The offsets have the products' time to arrive.
    bool const finds = later.index < t.slices && later.tap_of_set != next.tap_of_set;
    if (finds) read_moves(later, moves);
    // Behind the last slice, too, columns are kept: zeros, where nobody reads.
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
      Corners const corners = gather(next, pass);
#pragma unroll
      for (int step = pass * kSteps / kPasses; step < (pass + 1) * kSteps / kPasses; ++step) {
        multiply(shared.tiles[current], step);
      }
      keep_columns(next, coming, pass, corners);
    }
    if (finds) keep_points(later, moves);
    mma::wait_for_copies<0>();
    __syncthreads();
    slice = next;
    next = later;
  }

  bool const pairs = p.y_at.pixel == 1 && p.area() % 2 == 0 && reinterpret_cast<uintptr_t>(p.y) % (2 * sizeof(T)) == 0;
  int const lane = thread % kWarp;
#pragma unroll
  for (int j = 0; j < kOfWarp[1]; ++j) {
    int64_t const pixel = first_pixel + warp_pixel + j * 8 + lane % 4 * 2;
    if (pixel >= p.pixels()) continue;
    bool const second = pixel + 1 < p.pixels();
    int64_t const at[2] = {p.y_offset(pixel), pairs ? 0 : p.y_offset(pixel + 1)};
#pragma unroll
    for (int i = 0; i < kOfWarp[0]; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        int64_t const channel = first_channel + warp_out + i * 16 + half * 8 + lane / 4;
        if (channel >= out_channels) continue;
        int64_t const out = group * out_channels + channel;
        float const bias = p.bias ? to_float(p.bias[out]) : 0.f;
        Pack<T, 2> const y{from_float<T>(sums[i][j][half * 2] + bias), from_float<T>(sums[i][j][half * 2 + 1] + bias)};
        T* const to = p.y + out * p.y_at.channel;
        if (pairs) {
          store(to + at[0], y);
        } else {
          to[at[0]] = y[0];
          if (second) to[at[1]] = y[1];
        }
      }
    }
  }
#endif
}

// `workspace` has Arrangement::bytes().
template <typename T>
void run_on_tensor_cores(Params<T> const& p, Arrangement<T> const& arrangement, Tiles tiles, void* workspace,
                         cudaStream_t stream) {
  auto const start = [&](auto kernel, int out, int pixels, int threads, size_t shared) {
    TensorParams<T> const t = arrange(p, arrangement, out, 1, workspace, stream);
    int64_t const blocks = ceil_div(p.pixels(), pixels) * p.tiles(out) * p.groups;
    launch(kernel, {blocks, threads, shared}, stream, t);
  };
  bool const many = ceil_div(p.pixels(), 128) * p.tiles(256) * p.groups >= multiprocessors();
  bool const room = shared_memory() >= static_cast<int>(sizeof(Shared<T, 256, 128>));
  bool const large = tiles == Tiles::kLarge || (tiles == Tiles::kBest && many && p.out_channels / p.groups > 128);
  if (room && large) {
    start(tensor_kernel<T, 256, 128, 4, 4>, 256, 128, 512, sizeof(Shared<T, 256, 128>));
  } else {
    start(tensor_kernel<T, 128, 64, 4, 2>, 128, 64, 256, sizeof(Shared<T, 128, 64>));
  }
}

}  // namespace deform_conv
}  // namespace TRTREG_NAMESPACE

#endif  // TRTREG_DEFORM_CONV_TENSOR_H
