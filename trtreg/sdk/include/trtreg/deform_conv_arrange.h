// x and the weight of a deformable convolution in the order that the tensor cores' kernels read them in.
//
// x has its channels last, so that a sample takes 16 bytes of neighbouring channels at once; where it comes so, it is
// not copied. The weight lies in tiles
// as mma.h wants them: 128 bytes of channels of one tap, a slice, for all output channels that a block makes. A block
// takes the slices one after another:
//
//   for each set of channels that share their points
//     for each group of taps whose points are known at a time
//       for each 128 bytes of the set's channels
//         for each tap of the group
//
// A float32 may stand as two terms, itself rounded to TF32 and what that leaves. Then each slice has two tiles, one of
// the first terms and one of the second.
#ifndef TRTREG_DEFORM_CONV_ARRANGE_H
#define TRTREG_DEFORM_CONV_ARRANGE_H

#include "trtreg/deform_conv_params.h"
#include "trtreg/hopper.h"
#include "trtreg/mma.h"

namespace TRTREG_NAMESPACE {
namespace deform_conv {

// Output channels and pixels that a block makes: many, which samples least, or few, so that all multiprocessors have a
// block.
enum class Tiles { kBest, kLarge, kSmall };

// In place of a neighbour of x: it lies outside, and counts as 0.
constexpr uint32_t kNowhere = UINT32_MAX;

// What the kernels need besides: see Arrangement.
template <typename T>
struct TensorParams {
  Params<T> p;
  T const* x;            // [batch, h.in * w.in, channels]
  mma::Chunk* weight;    // [groups, tiles, slices, terms, out, 8]
  int32_t depth;         // channels of a set: those of one group and one deform group
  int32_t sets;          // in a group
  int32_t parts;         // of 128 bytes, in a set
  int32_t slices;        // in a group
  int32_t terms;         // of each factor
  int32_t out;           // output channels of a tile
  int32_t taps_at_once;  // in a group of taps
  bool pairs;            // of pixels of x can be read at once
  int64_t x_tiles[2];    // that x is laid out anew in: of channels, of pixels
};

// The copies of x and of the weight, in the workspace: how large they are, and whether tensor cores can do it at all.
template <typename T>
struct Arrangement {
  static constexpr int kAlignment = 256;
  static constexpr int kSize = mma::kChunkOf<T>;
  static constexpr int kDepth = mma::kChunks * kSize;  // channels of a slice

  Arrangement(Params<T> const& p, int32_t terms) : terms(terms) {
    int64_t const group = p.channels / p.groups;
    int64_t const deform_group = p.channels / p.deform_groups;
    int64_t const out = p.out_channels / p.groups;
    depth = std::min(group, deform_group);
    // Groups and deform groups lie within one another, and a sample takes channels of one of each. A pixel is found by
    // the number of chunks before it.
    fits = depth > 0 && std::max(group, deform_group) % depth == 0 && depth % kSize == 0 && out >= 16 &&
           p.batch * p.h.in * p.w.in * (p.channels / kSize) < kNowhere && depth < INT32_MAX;
    if (!fits) return;
    parts = ceil_div(depth, kDepth);
    slices = group / depth * parts * p.taps();
    // With its channels last already, x is read where it is.
    fits = !p.channels_last() || (p.x_at.pixel == p.channels && trtreg::aligned(16, p.x));
    x = p.channels_last() ? 0 : p.batch * p.h.in * p.w.in * p.channels;
    weight = p.groups * ceil_div(out, widest(p)) * widest(p) * slices * kDepth * terms;
    fits = fits && slices < INT32_MAX / mma::kChunks && weight / kSize < INT32_MAX;
  }

  // Output channels of the largest tile.
  static int64_t widest(Params<T> const& p) { return p.out_channels / p.groups > 128 ? 256 : 128; }

  size_t bytes() const { return fits ? static_cast<size_t>(aligned(x) + aligned(weight)) * sizeof(T) : 0; }
  static int64_t aligned(int64_t size) { return ceil_div(size, kAlignment) * kAlignment; }

  int32_t terms;
  int64_t depth{0}, parts{0}, slices{0}, x{0}, weight{0};
  bool fits{false};
};

constexpr int kArranged = 64;  // pixels and channels of a tile that a block lays out anew

// A thread for each chunk of the weight's tiles, or for all terms of it.
template <typename T>
__device__ void arrange_weight(TensorParams<T> const& t, int64_t index) {
  Params<T> const& p = t.p;
  constexpr int kSize = mma::kChunkOf<T>;
  auto const channels = static_cast<uint32_t>(p.channels / p.groups);
  auto const out = static_cast<uint32_t>(p.out_channels / p.groups);
  auto const tiles = static_cast<uint32_t>(p.tiles(t.out));
  auto const taps = static_cast<uint32_t>(p.taps());
  auto const parts = static_cast<uint32_t>(t.parts);
  auto left = static_cast<uint32_t>(index);
  auto const next = [&](uint32_t size) {
    uint32_t const rest = left / size;
    uint32_t const at = left - rest * size;
    left = rest;
    return at;
  };
  uint32_t const tap = next(taps);
  uint32_t const chunk = next(mma::kChunks);
  uint32_t const part = next(parts);
  uint32_t const set = next(static_cast<uint32_t>(t.sets));
  uint32_t const row = next(tiles * t.out);  // of the tiles of a group
  uint32_t const group = left;
  if (group >= p.groups) return;
  T const* const from = p.weight + static_cast<int64_t>(group * out + row) * channels * taps;
  auto const first = static_cast<int32_t>((part * mma::kChunks + chunk) * kSize);  // channel of the set
  float values[kSize];
#pragma unroll
  for (int k = 0; k < kSize; ++k) {
    bool const exists = row < out && first + k < t.depth;
    int64_t const channel = static_cast<int64_t>(set) * t.depth + first + k;
    values[k] = exists ? to_float(from[channel * taps + tap]) : 0.f;
  }
  uint32_t const first_tap = tap - tap % t.taps_at_once;
  uint32_t const at_once = min(taps - first_tap, static_cast<uint32_t>(t.taps_at_once));
  uint32_t const slice = (set * taps + first_tap) * parts + part * at_once + tap - first_tap;
  int64_t const first_tile = (static_cast<int64_t>(group * tiles + row / t.out) * t.slices + slice) * t.terms;
  for (int term = 0; term < t.terms; ++term) {
    Pack<T, kSize> pack;
#pragma unroll
    for (int k = 0; k < kSize; ++k) pack[k] = mma::next_term<T>(values[k]);
    mma::Chunk* const tile = t.weight + (first_tile + term) * t.out * mma::kChunks;
    store(reinterpret_cast<T*>(tile + mma::place(row % t.out, chunk)), pack);
  }
}

// The tiles of x, then the weight.
template <typename T>
__global__ void __launch_bounds__(kThreads) arrange_kernel(TensorParams<T> const t, T* const copy) {
  Params<T> const& p = t.p;
  hopper::let_next_begin();
  int64_t const x_blocks = p.batch * t.x_tiles[0] * t.x_tiles[1];
  int const thread = static_cast<int>(threadIdx.x);
  if (blockIdx.x >= x_blocks) {
    arrange_weight(t, (blockIdx.x - x_blocks) * kThreads + thread);
    return;
  }
  constexpr int kSize = mma::kChunkOf<T>;
  __shared__ T tile[kArranged][kArranged + 2];
  int64_t const plane = p.h.in * p.w.in;
  int64_t const dims[3]{p.batch, t.x_tiles[0], t.x_tiles[1]};
  int64_t at[3];
  unravel(blockIdx.x, dims, at);
  int64_t const first_channel = at[1] * kArranged;
  int64_t const first_pixel = at[2] * kArranged;
  auto const channels = static_cast<int>(p.channels - first_channel);  // that are left, and pixels
  auto const pixels = static_cast<int>(plane - first_pixel < kArranged ? plane - first_pixel : kArranged);
  T const* const from = p.x + (at[0] * p.channels + first_channel) * plane + first_pixel;
  T* const to = copy + (at[0] * plane + first_pixel) * p.channels + first_channel;
  if (t.pairs) {
#pragma unroll
    for (int i = thread / (kArranged / 2); i < kArranged; i += kThreads / (kArranged / 2)) {
      int const pixel = thread % (kArranged / 2) * 2;
      if (i < channels && pixel < pixels) {
        *reinterpret_cast<Pack<T, 2>*>(&tile[i][pixel]) = load<T, 2>(from + i * plane + pixel);
      }
    }
  } else {
#pragma unroll
    for (int i = thread / kArranged; i < kArranged; i += kThreads / kArranged) {
      int const pixel = thread % kArranged;
      if (i < channels && pixel < pixels) tile[i][pixel] = from[i * plane + pixel];
    }
  }
  __syncthreads();
  constexpr int kPacks = kArranged / kSize;
#pragma unroll
  for (int i = thread; i < kArranged * kPacks; i += kThreads) {
    int const pixel = i / kPacks;
    int const channel = i % kPacks * kSize;
    if (pixel >= pixels || channel >= channels) continue;
    Pack<T, kSize> pack;
#pragma unroll
    for (int k = 0; k < kSize; ++k) pack[k] = tile[channel + k][pixel];
    store(to + pixel * p.channels + channel, pack);
  }
}

// Lays x and the weight out in `workspace`, which has Arrangement::bytes(): in tiles of `out` output channels.
template <typename T>
TensorParams<T> arrange(Params<T> const& p, Arrangement<T> const& arrangement, int out, int taps_at_once,
                        void* workspace, cudaStream_t stream) {
  TensorParams<T> t{};
  t.p = p;
  auto* const copy = static_cast<T*>(workspace);
  t.x = p.channels_last() ? p.x : copy;
  t.weight = reinterpret_cast<mma::Chunk*>(copy + Arrangement<T>::aligned(arrangement.x));
  t.depth = static_cast<int32_t>(arrangement.depth);
  t.sets = static_cast<int32_t>(p.channels / p.groups / t.depth);
  t.parts = static_cast<int32_t>(arrangement.parts);
  t.slices = static_cast<int32_t>(arrangement.slices);
  t.terms = arrangement.terms;
  t.out = out;
  t.taps_at_once = taps_at_once;
  t.pairs = p.h.in * p.w.in % 2 == 0 && aligned(2 * sizeof(T), p.x);
  t.x_tiles[0] = p.channels_last() ? 0 : ceil_div(p.channels, kArranged);
  t.x_tiles[1] = ceil_div(p.h.in * p.w.in, kArranged);
  int64_t const chunks = p.groups * p.tiles(out) * out * t.slices * mma::kChunks;  // of the weight
  launch(arrange_kernel<T>, {p.batch * t.x_tiles[0] * t.x_tiles[1] + ceil_div(chunks, kThreads)}, stream, t, copy);
  return t;
}

}  // namespace deform_conv
}  // namespace TRTREG_NAMESPACE

#endif  // TRTREG_DEFORM_CONV_ARRANGE_H
