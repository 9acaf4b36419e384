// The kernels: y = (x - mean) / sqrt(variance + epsilon) * scale + bias, with mean and variance of each instance.
//
// An instance is one channel of one image. One that fits into a block's registers is read once. A larger one is cut
// into tiles, and each is read twice, for its moments and to be normalized: the second time soon after the first, so
// that it still lies in the L2 cache.
#ifndef TRTPLUGIN_INSTANCE_NORM_KERNEL_H
#define TRTPLUGIN_INSTANCE_NORM_KERNEL_H

#include <trtreg/block.h>
#include <trtreg/pack.h>
#include <trtreg/scalar.h>

namespace instance_norm {

using trtreg::Pack;

// Elements of an instance that a thread keeps in registers: more would not leave room for two blocks of 512 threads in
// a multiprocessor, so that one reads while the other writes. Single elements take a register each, whatever their
// size.
template <int kSize>
constexpr int kKept = kSize == 1 ? 16 : 32;

constexpr int kTileBlock = 256;
constexpr int kResident = 3;  // of these blocks in a multiprocessor

// Elements of a tile: 32 KB, in 32 registers of a thread.
template <int kSize>
constexpr int kTile = kTileBlock * (kSize == 1 ? 16 : 8 * kSize);

struct Params {
  void const* x;  // [instances, size]
  void const* scale;
  void const* bias;
  void* y;
  int64_t instances, channels, size;
  int64_t tiles, lag;  // of an instance; see tiles_kernel
  float epsilon;
  bool scale_is_float;  // scale and bias are float32, else of x's type
};

// Number of values, their mean, and the sum of their squared distances from it.
struct Moments {
  float count, mean, squares;
};

// Of two sets of values (Chan et al. 1983): without the loss that a sum of squares has where the mean is large.
struct Merge {
  __device__ Moments operator()(Moments const& a, Moments const& b) const {
    if (a.count == 0.f) return b;
    if (b.count == 0.f) return a;
    float const count = a.count + b.count;
    float const distance = b.mean - a.mean;
    float const share = b.count / count;
    return {count, a.mean + distance * share, a.squares + b.squares + distance * distance * a.count * share};
  }
};

// y = x * factor + shift, but exact where x is the mean.
struct Line {
  float mean, factor, bias;
  __device__ float operator()(float x) const { return (x - mean) * factor + bias; }
};

// Of the channel that `instance` is of, for a variance of 1 and a mean of 0.
template <typename T>
__device__ Line line_of(Params const& p, int64_t instance) {
  int64_t const channel = trtreg::divide(instance, p.channels).remainder;
  auto const read = [&](void const* values) {
    return p.scale_is_float ? static_cast<float const*>(values)[channel]
                            : trtreg::to_float(static_cast<T const*>(values)[channel]);
  };
  return {0.f, read(p.scale), read(p.bias)};
}

template <int kSize>
__device__ float total(float const (&values)[kSize]) {
  float sum = values[0];
#pragma unroll
  for (int k = 1; k < kSize; ++k) sum += values[k];
  return sum;
}

// A block for an instance, which its threads keep in registers: all is on its way before the first sum waits for it.
template <typename T, int kSize, int kThreads>
__global__ void __launch_bounds__(kThreads) small_kernel(Params const p) {
  constexpr int kPacks = kKept<kSize> / kSize;
  int const size = static_cast<int>(p.size);
  int const first = static_cast<int>(threadIdx.x) * kSize;
  auto const count = static_cast<float>(size);
  for (int64_t instance = blockIdx.x; instance < p.instances; instance += gridDim.x) {
    T const* const x = static_cast<T const*>(p.x) + instance * p.size + first;
    T* const y = static_cast<T*>(p.y) + instance * p.size + first;
    constexpr int kStep = kThreads * kSize;
    auto const has = [&](int pack) { return first + pack * kStep < size; };
    Pack<T, kSize> packs[kPacks];
#pragma unroll
    for (int a = 0; a < kPacks; ++a) {
      if (has(a)) packs[a] = trtreg::load<T, kSize>(x + a * kStep);
    }
    Line line = line_of<T>(p, instance);  // on its way together with x

    float sums[kSize]{};
#pragma unroll
    for (int a = 0; a < kPacks; ++a) {
#pragma unroll
      for (int k = 0; k < kSize; ++k) {
        if (has(a)) sums[k] += trtreg::to_float(packs[a][k]);
      }
    }
    line.mean = trtreg::block_reduce<kThreads>(total(sums), trtreg::Sum{}) / count;

    float squares[kSize]{};
#pragma unroll
    for (int a = 0; a < kPacks; ++a) {
#pragma unroll
      for (int k = 0; k < kSize; ++k) {
        float const distance = trtreg::to_float(packs[a][k]) - line.mean;
        if (has(a)) squares[k] += distance * distance;
      }
    }
    float const variance = trtreg::block_reduce<kThreads>(total(squares), trtreg::Sum{}) / count;
    line.factor /= sqrtf(variance + p.epsilon);
#pragma unroll
    for (int a = 0; a < kPacks; ++a) {
      if (!has(a)) break;
#pragma unroll
      for (int k = 0; k < kSize; ++k) packs[a][k] = trtreg::from_float<T>(line(trtreg::to_float(packs[a][k])));
      trtreg::store(y + a * kStep, packs[a]);
    }
  }
}

// ------------------------------------------------------------------------------------------------------------- tiles
// A mean in the upper half, and in the lower one a variance, or squares, with the sign set: never 0, which means that
// there is nothing yet. It is read and written at once, so no fence is needed.
using Word = unsigned long long;

__device__ inline Word to_word(float mean, float squares) {
  return Word{__float_as_uint(mean)} << 32 | __float_as_uint(squares) | 0x80000000u;
}
__device__ inline Moments from_word(Word word, int64_t count) {
  return {static_cast<float>(count), __uint_as_float(static_cast<uint32_t>(word >> 32)),
          __uint_as_float(static_cast<uint32_t>(word) & 0x7fffffffu)};
}
__device__ inline Word peek(Word const* word) { return *static_cast<Word const volatile*>(word); }
__device__ inline void poke(Word* word, Word value) { *static_cast<Word volatile*>(word) = value; }

// Of an instance; all is 0 at first.
struct State {
  Word found;      // mean and variance
  unsigned tiles;  // whose moments are on their way
  unsigned taken;  // of the first instance: what blocks have taken of all instances' work
};

// What a thread has of a tile: packs of kSize elements, those of the other threads between them.
template <int kSize>
struct Place {
  int64_t instance;
  int64_t offset;  // of its first pack in memory
  int left;        // so many elements of the tile are there from it on
  int count;       // elements of the tile
  static constexpr int kPacks = kTile<kSize> / kTileBlock / kSize;
  static constexpr int kStep = kTileBlock * kSize;
  __device__ bool has(int pack) const { return pack * kStep < left; }
};

template <typename T, int kSize>
__device__ Place<kSize> read(Params const& p, int64_t number, Pack<T, kSize> (&packs)[Place<kSize>::kPacks]) {
  auto const [instance, tile] = trtreg::divide(number, p.tiles);
  int const first = static_cast<int>(threadIdx.x) * kSize;
  int64_t const begin = tile * kTile<kSize>;
  auto const count = static_cast<int>(min(p.size - begin, int64_t{kTile<kSize>}));
  Place<kSize> const place{instance, instance * p.size + begin + first, count - first, count};
#pragma unroll
  for (int a = 0; a < place.kPacks; ++a) {
    if (place.has(a)) packs[a] = trtreg::load<T, kSize>(static_cast<T const*>(p.x) + place.offset + a * place.kStep);
  }
  return place;
}

// The moments of a tile. The block that comes last puts together those of its instance. Only the first warp does that:
// the others go on.
template <typename T, int kSize>
__device__ void find_moments(Params const& p, int64_t number, Place<kSize> const& place,
                             Pack<T, kSize> const (&packs)[Place<kSize>::kPacks], State* states, Word* all) {
  auto const count = static_cast<float>(place.count);
  float sums[kSize]{};
#pragma unroll
  for (int a = 0; a < place.kPacks; ++a) {
#pragma unroll
    for (int k = 0; k < kSize; ++k) {
      if (place.has(a)) sums[k] += trtreg::to_float(packs[a][k]);
    }
  }
  float const mean = trtreg::block_reduce<kTileBlock>(total(sums), trtreg::Sum{}) / count;
  float squares[kSize]{};
#pragma unroll
  for (int a = 0; a < place.kPacks; ++a) {
#pragma unroll
    for (int k = 0; k < kSize; ++k) {
      float const distance = trtreg::to_float(packs[a][k]) - mean;
      if (place.has(a)) squares[k] += distance * distance;
    }
  }
  float const square = trtreg::block_reduce<kTileBlock>(total(squares), trtreg::Sum{});

  if (threadIdx.x >= trtreg::kWarp) return;
  State& state = states[place.instance];
  bool is_last = false;
  if (threadIdx.x == 0) {
    poke(all + number, to_word(mean, square));
    is_last = atomicAdd(&state.tiles, 1u) + 1 == p.tiles;
  }
  if (!__any_sync(0xffffffffu, is_last)) return;
  Moments moments{};
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < p.tiles; i += trtreg::kWarp) {
    Word const* const word = all + place.instance * p.tiles + i;
    Word each = peek(word);
    while (each == 0) each = peek(word);  // on its way
    moments = Merge{}(moments, from_word(each, min(p.size - i * kTile<kSize>, int64_t{kTile<kSize>})));
  }
  moments = trtreg::warp_reduce(moments, Merge{});
  if (threadIdx.x == 0) poke(&state.found, to_word(moments.mean, moments.squares / moments.count));
}

// As something that nobody reads soon: x shall stay in the L2 cache.
template <typename T, int kSize>
__device__ void store_last(T* address, Pack<T, kSize> const& pack) {
#ifndef TRTREG_ON_HOST
  if constexpr (sizeof(pack) == sizeof(uint4)) {
    uint4 bits;
    memcpy(&bits, &pack, sizeof bits);
    __stcs(reinterpret_cast<uint4*>(address), bits);
    return;
  }
#endif
  trtreg::store(address, pack);
}

template <typename T, int kSize>
__device__ void normalize(Params const& p, Place<kSize> const& place, Pack<T, kSize> (&packs)[Place<kSize>::kPacks],
                          Line line, Word word) {
  Moments const found = from_word(word, 1);
  line.mean = found.mean;
  line.factor /= sqrtf(found.squares + p.epsilon);
#pragma unroll
  for (int a = 0; a < place.kPacks; ++a) {
    if (!place.has(a)) break;
#pragma unroll
    for (int k = 0; k < kSize; ++k) packs[a][k] = trtreg::from_float<T>(line(trtreg::to_float(packs[a][k])));
    store_last(static_cast<T*>(p.y) + place.offset + a * place.kStep, packs[a]);
  }
}

// Each tile is taken twice: for its moments and, p.lag tiles later, to be normalized, so that both go on at the same
// time. Blocks take one after the other, in a fixed order. One that normalizes waits for the moments of its instance;
// p.lag is at least p.tiles, so all of those were taken before. Of all that is not done, what comes first in the order
// is in the hands of a block that runs, and waits for nothing: whatever else the GPU does, this ends.
template <typename T, int kSize>
__global__ void __launch_bounds__(kTileBlock, kResident) tiles_kernel(Params const p, State* states, Word* moments) {
  __shared__ unsigned taken[2];  // in turns: a slow warp may still read the one while the other is written
  __shared__ Word found[2];
  int64_t const count = p.instances * p.tiles;
  int64_t const ahead = min(p.lag, count);  // moments only; then in turns; then no moments are left
  if (threadIdx.x == 0) taken[1] = atomicAdd(&states->taken, 1u);
  __syncthreads();
  int64_t ticket = taken[1];
  for (int slot = 0; ticket < 2 * count; slot ^= 1) {
    int64_t const turn = ticket - ahead;
    bool const in_turns = turn >= 0 && turn < 2 * (count - ahead);
    bool const is_first = turn < 0 || (in_turns && turn % 2 == 0);
    int64_t const tile = turn < 0 ? ticket : !in_turns ? ticket - count : is_first ? ahead + turn / 2 : turn / 2;
    Pack<T, kSize> packs[Place<kSize>::kPacks];
    Place<kSize> const place = read(p, tile, packs);
    if (threadIdx.x == 0) taken[slot] = atomicAdd(&states->taken, 1u);  // while x is on its way
    if (is_first) {
      find_moments<T, kSize>(p, tile, place, packs, states, moments);
    } else {
      Line const line = line_of<T>(p, place.instance);
      if (threadIdx.x == 0) {
        do {
          found[slot] = peek(&states[place.instance].found);
        } while (found[slot] == 0);
      }
      __syncthreads();
      normalize<T, kSize>(p, place, packs, line, found[slot]);
    }
    ticket = taken[slot];
  }
}

}  // namespace instance_norm

#endif  // TRTPLUGIN_INSTANCE_NORM_KERNEL_H
