// Deformable convolution on sm_90a: some warps sample, others multiply.
//
// A block owns a tile of y: `kOut` output channels of `kPixels` pixels. Its producers find where the taps lie, sample x
// slice by slice into shared memory, and have the weight's tiles copied there. Its consumers, two groups of four warps,
// multiply what is there. Both wait for one another at barriers, a pair for each of the `kStages` slices that there is
// room for. Where the pixels are too few for all multiprocessors, `kSplit` blocks share a tile, each with its part of
// the slices, and the first one sums up.
//
// In float32 without TF32 each factor is the sum of two TF32 terms, and three products of these make up one: that of
// the second terms is too small to be seen.
//
// All taps (up to kTaps) of a slice of channels follow one another, so what they sample is still in the L1 cache.
#ifndef TRTREG_DEFORM_CONV_HOPPER_H
#define TRTREG_DEFORM_CONV_HOPPER_H

#include "trtreg/deform_conv_arrange.h"

namespace TRTREG_NAMESPACE {
namespace deform_conv {
namespace on_hopper {

constexpr int kTaps = 9;  // whose points are known at a time
constexpr int kProducers = 256;
constexpr int kConsumers = 256;
constexpr int kThreads = kProducers + kConsumers;
constexpr int kGroup = mma::kWarpGroup * kWarp;  // threads that make 64 rows of products together

// Samples of float16 are summed up in float16, two channels at once; those of bfloat16, which has too few digits for
// that, and of float32 in float32.
template <typename T>
constexpr bool kInPairs = std::is_same_v<T, __half>;

// Where a tap of a pixel lies: its four neighbours in x, counted in chunks, and their shares. A share is a float, or a
// pair of equal float16.
struct Point {
  Pack<uint32_t, 4> at;  // kNowhere for what lies outside
  Pack<uint32_t, 4> share;
};

// The weight's tiles, and what is sampled.
template <int kOut, int kPixels, int kTerms, int kStages>
struct Shared {
  mma::Chunk weights[kStages][kTerms][kOut * mma::kChunks];
  mma::Chunk columns[kStages][kTerms][kPixels * mma::kChunks];
  Point points[kTaps][kPixels];
  float bias[kOut];
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  hopper::Barrier full[kStages], empty[kStages];
#else
  uint64_t barriers[2 * kStages];
#endif
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

template <typename T>
__device__ uint32_t encode(float share) {
  if constexpr (kInPairs<T>) {
    __half2 const pair = __float2half2_rn(share);
    return *reinterpret_cast<uint32_t const*>(&pair);
  } else {
    return __float_as_uint(share);
  }
}

// The sum of a chunk of each neighbour, by their shares; in terms.
template <typename T, int kTerms>
__device__ void interpolate(mma::Chunk const (&values)[4], Pack<uint32_t, 4> const& share,
                            mma::Chunk (&result)[kTerms]) {
#pragma unroll
  for (int word = 0; word < 4; ++word) {
    if constexpr (kInPairs<T>) {
      uint32_t sum = 0x80008000u;  // twice -0, to which all adds exactly
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        asm("fma.rn.f16x2 %0, %1, %2, %0;" : "+r"(sum) : "r"(share[i]), "r"(values[i][word]));
      }
      result[0][word] = sum;
    } else {
      constexpr int kOfWord = 4 / sizeof(T);
      Pack<T, kOfWord> terms[kTerms];
#pragma unroll
      for (int k = 0; k < kOfWord; ++k) {
        float sum = 0.f;
#pragma unroll
        for (int i = 0; i < 4; ++i) sum += __uint_as_float(share[i]) * mma::element<T>(values[i][word], k);
#pragma unroll
        for (int term = 0; term < kTerms; ++term) terms[term][k] = mma::next_term<T>(sum);
      }
#pragma unroll
      for (int term = 0; term < kTerms; ++term) {
        result[term][word] = *reinterpret_cast<uint32_t const*>(&terms[term]);
      }
    }
  }
}

// Which slices a block takes, of those that follow one another with the same points.
struct Run {
  int set, first_tap, taps;  // of the points
  int first, last;           // slices; where the taps begin to be sampled, and behind the last
};
template <typename T>
__device__ Run run_of(TensorParams<T> const& t, int slice, int end) {
  auto const taps = static_cast<int>(t.p.taps());
  Run run;
  run.set = slice / (t.parts * taps);
  int const in_set = slice - run.set * t.parts * taps;
  run.first_tap = in_set / (t.parts * kTaps) * kTaps;
  run.taps = min(taps - run.first_tap, kTaps);
  run.first = (run.set * taps + run.first_tap) * t.parts;
  run.last = min(end, run.first + run.taps * t.parts);
  return run;
}

// Finds the points of a run: `me` is one of kThreads, which share the taps of each pixel.
template <int kThreads, typename T, int kPixels>
__device__ void find_points(Params<T> const& p, Run const& run, int64_t group, int64_t first_pixel, int me,
                            Point (&points)[kTaps][kPixels]) {
  constexpr int kStride = kThreads / kPixels;
  constexpr int kFinds = (kTaps + kStride - 1) / kStride;
  int const first = me / kPixels;
  Sampler<T> const sampler(p, first_pixel + me % kPixels);
  int64_t const deform_group = group * (p.channels / p.groups) / (p.channels / p.deform_groups) + run.set;
  Moves moves[kFinds];
#pragma unroll
  for (int i = 0; i < kFinds; ++i) {
    int const tap = first + i * kStride;
    if (tap < run.taps) moves[i] = sampler.read(p, deform_group, run.first_tap + tap);
  }
  auto const chunks = static_cast<uint32_t>(p.channels / mma::kChunkOf<T>);  // of a pixel
  auto const height = static_cast<int>(p.h.in);
  auto const width = static_cast<int>(p.w.in);
  auto const image = static_cast<uint32_t>(sampler.image() * p.h.in * p.w.in) * chunks;
  uint32_t const below = static_cast<uint32_t>(width) * chunks;
#pragma unroll
  for (int i = 0; i < kFinds; ++i) {
    int const tap = first + i * kStride;
    if (tap >= run.taps) break;
    auto const kernel_width = static_cast<uint32_t>(p.w.kernel);
    uint32_t const row = static_cast<uint32_t>(run.first_tap + tap) / kernel_width;
    Moves const at = sampler.place(p, row, run.first_tap + tap - row * kernel_width, moves[i]);
    bool const near =
        at.y > -1.f && at.x > -1.f && at.y < static_cast<float>(height) && at.x < static_cast<float>(width);
    bool const nan = at.y != at.y || at.x != at.x || at.mask != at.mask;
    float const top = floorf(at.y);
    float const left = floorf(at.x);
    float const dy = at.y - top;
    float const dx = at.x - left;
    int const y = near ? static_cast<int>(top) : -2;
    int const x = near ? static_cast<int>(left) : -2;
    bool const rows[2]{y >= 0, y >= -1 && y + 1 < height};
    bool const columns[2]{x >= 0, x >= -1 && x + 1 < width};
    uint32_t const corner = image + static_cast<uint32_t>(y) * below + static_cast<uint32_t>(x) * chunks;
    Point point;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      point.at[k] = rows[k / 2] && columns[k % 2] ? corner + (k / 2 ? below : 0) + (k % 2 ? chunks : 0) : kNowhere;
      // What has no part in the sample has no share, not even of an infinite mask.
      float const part = (k / 2 ? dy : 1.f - dy) * (k % 2 ? dx : 1.f - dx);
      point.share[k] = encode<T>(nan ? NAN : near && part != 0.f ? part * at.mask : 0.f);
    }
    points[tap][me % kPixels] = point;
  }
}

template <typename T, int kOut, int kPixels, int kTerms, int kStages>
__device__ void produce(TensorParams<T> const& t, Shared<kOut, kPixels, kTerms, kStages>& shared, int64_t group,
                        int64_t first_pixel, mma::Chunk const* weight, int begin, int end) {
  constexpr int kSize = mma::kChunkOf<T>;
  constexpr int kRows = kProducers / mma::kChunks;  // pixels that are sampled at a time
  constexpr int kPasses = kPixels / kRows;
  constexpr int kRing = 4;  // chunks that a thread reads ahead
  static_assert(kRing % kPasses == 0);
  constexpr uint32_t kTileChunks = kOut * mma::kChunks * kTerms;
  Params<T> const& p = t.p;
  int const me = static_cast<int>(threadIdx.x) - kConsumers;
  int const row = me / mma::kChunks;
  int const chunk = me % mma::kChunks;
  uint32_t const place = mma::place(row, chunk);
  int64_t const first_channel = group * (p.channels / p.groups);
  auto const* const x = reinterpret_cast<mma::Chunk const*>(t.x + first_channel) + chunk;

  // Where the slices are read: the channels of a part, and a tap. A chunk behind the last channel does not exist.
  struct Cursor {
    int slice, part, tap;
    mma::Chunk const* x;
    bool exists;
  };
  struct Corners {
    mma::Chunk values[4];
  };

  hopper::wait_for_previous();
  int stage = 0;
  uint32_t parity = 1;  // at first nobody has to be waited for
  for (int slice = begin; slice < end;) {
    Run const run = run_of(t, slice, end);
    if (slice > begin) {
      hopper::sync_some<1, kProducers>();
      find_points<kProducers>(p, run, group, first_pixel, me, shared.points);
      hopper::sync_some<1, kProducers>();
    }

    auto const look = [&](Cursor& c) {
      c.exists = (c.part * mma::kChunks + chunk) * kSize < t.depth;
      c.x = x + (run.set * t.depth) / kSize + c.part * mma::kChunks;
    };
    auto const advance = [&](Cursor& c) {
      ++c.slice;
      if (++c.tap == run.taps) {
        c.tap = 0;
        ++c.part;
        look(c);
      }
    };
    auto const read = [&](Cursor const& c, int pass, Corners& corners) {
      Pack<uint32_t, 4> const at = shared.points[c.tap][row + pass * kRows].at;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        corners.values[i] = {};
        if (c.exists && at[i] != kNowhere) corners.values[i] = c.x[at[i]];
      }
    };

    Cursor now{slice, (slice - run.first) / run.taps, (slice - run.first) % run.taps, nullptr, false};
    look(now);
    Cursor ahead = now;
    Corners ring[kRing];
#pragma unroll
    for (int i = 0; i < kRing; ++i) {
      if (ahead.slice < run.last) read(ahead, i % kPasses, ring[i]);
      if (i % kPasses == kPasses - 1) advance(ahead);
    }
    while (now.slice < run.last) {
#pragma unroll
      for (int i = 0; i < kRing; ++i) {
        constexpr bool kSeveral = kRing > kPasses;
        int const pass = i % kPasses;
        if (pass == 0) {
          if (kSeveral && i > 0 && now.slice >= run.last) break;
          shared.empty[stage].wait(parity);
          if (me == 0) {
            mma::Chunk const* const tile = weight + static_cast<int64_t>(now.slice) * kTileChunks;
            shared.full[stage].copy(shared.weights[stage], tile, kTileChunks * sizeof(mma::Chunk));
          }
        }
        mma::Chunk terms[kTerms];
        interpolate<T, kTerms>(ring[i].values, shared.points[now.tap][row + pass * kRows].share, terms);
#pragma unroll
        for (int term = 0; term < kTerms; ++term) {
          shared.columns[stage][term][place + pass * kRows * mma::kChunks] = terms[term];
        }
        if (ahead.slice < run.last) read(ahead, pass, ring[i]);
        if (pass == kPasses - 1) {
          mma::publish();
          __syncwarp();
          if (me % kWarp == 0) shared.full[stage].arrive();
          advance(now);
          advance(ahead);
          if (++stage == kStages) {
            stage = 0;
            parity ^= 1;
          }
        }
      }
    }
    slice = run.last;
  }
}

// Adds the products of all slices to `sums`. A tensor core cuts off what it cannot keep of a sum. Where float32 is to
// be kept, it sums up a few slices only, and they are added up outside.
template <typename T, int kOut, int kPixels, int kTerms, int kStages, int kColumns>
__device__ void consume(Shared<kOut, kPixels, kTerms, kStages>& shared, int count, float (&sums)[kColumns / 8][4]) {
  constexpr int kAtOnce = kColumns < 128 ? kColumns : 128;
  constexpr int kFew = 4;
  int const group = static_cast<int>(threadIdx.x) / kGroup;
  int const first_pixel = kPixels == 128 ? group * 64 : 0;
  int const first_out = kPixels == 128 ? 0 : group * kColumns;
  float of_few[kTerms == 1 ? 1 : kColumns / 8][4]{};
  auto const add = [&] {
    mma::wait_for_products<0>();
#pragma unroll
    for (int j = 0; j < kColumns / 8; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        sums[j][i] += of_few[j][i];
        of_few[j][i] = 0.f;
      }
    }
  };
  int stage = 0;
  uint32_t parity = 0;
  int previous = -1;
  for (int i = 0; i < count; ++i) {
    shared.full[stage].wait(parity);
    mma::begin_products();
#pragma unroll
    for (int chunk = 0; chunk < mma::kChunks; chunk += mma::kStep) {
#pragma unroll
      for (int k = 0; k < kColumns; k += kAtOnce) {
        float (*const first)[4] = kTerms == 1 ? &sums[k / 8] : &of_few[k / 8];
        auto& part = *reinterpret_cast<float (*)[kAtOnce / 8][4]>(first);
#pragma unroll
        for (int pair = 2 * kTerms - 2; pair >= 0; --pair) {  // of terms: 0 and 1, 1 and 0, 0 and 0
          mma::Chunk const* const columns = shared.columns[stage][pair % 2] + first_pixel * mma::kChunks;
          mma::Chunk const* const weights = shared.weights[stage][pair / 2] + (first_out + k) * mma::kChunks;
          mma::multiply_async<T, kAtOnce>(part, mma::describe(columns, chunk), mma::describe(weights, chunk));
        }
      }
    }
    mma::end_products();
    if constexpr (kTerms == 1) {
      mma::wait_for_products<1>();
    } else {
      if (i % kFew == kFew - 1) {
        add();
      } else {
        mma::wait_for_products<1>();
      }
    }
    if (previous >= 0 && threadIdx.x % kWarp == 0) shared.empty[previous].arrive();
    previous = stage;
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
  if constexpr (kTerms == 1) {
    mma::wait_for_products<0>();
  } else {
    add();
  }
}

// The sums of columns `j` and `j + 1` of a product, with the bias: of pixel lane / 4 and of that 8 further, two
// channels each.
template <typename T, int kCount>
__device__ void take(float const (&sums)[kCount][4], int j, float const* bias, Pack<T, 2> (&pairs)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    float const* const two = bias + (j + i / 2) * 8 + threadIdx.x % 4 * 2;
    float const* const sum = sums[j + i / 2] + i % 2 * 2;
    pairs[i] = {from_float<T>(sum[0] + two[0]), from_float<T>(sum[1] + two[1])};
  }
}

// Writes the sums where y has its channels last, by way of shared memory, so that neighbouring threads write
// neighbouring channels.
template <typename T, int kOut, int kPixels, int kTerms, int kStages, int kColumns>
__device__ void write_channels_last(Params<T> const& p, Shared<kOut, kPixels, kTerms, kStages>& shared, int64_t group,
                                    int64_t first_out, int64_t first_pixel, float const (&sums)[kColumns / 8][4]) {
  constexpr int kSize = mma::kChunkOf<T>;
  constexpr int kRounds = sizeof(T) * (kOut + kSize) * kPixels > sizeof(shared.weights) ? 2 : 1;
  constexpr int kOfRound = kOut / kRounds;
  constexpr int kStride = kOfRound + kSize;  // so that lines begin in other banks
  static_assert(sizeof(T) * kStride * kPixels <= sizeof(shared.weights));
  T* const lines = reinterpret_cast<T*>(shared.weights);
  int const thread = static_cast<int>(threadIdx.x);
  int const lane = thread % kWarp;
  int const pixel = (kPixels == 128 ? thread / kGroup * 64 : 0) + thread % kGroup / kWarp * 16;
  int const out = kPixels == 128 ? 0 : thread / kGroup * kColumns;

  constexpr int kPacks = kOfRound / kSize;
  int const mine = thread % kPacks * kSize;                    // of the channels
  int64_t const outs = p.out_channels / p.groups - first_out;  // that are left
  int64_t const first_channel = group * (p.out_channels / p.groups) + first_out;
  bool const whole =
      first_channel % kSize == 0 && p.y_at.pixel % kSize == 0 && reinterpret_cast<uintptr_t>(p.y) % 16 == 0;
#pragma unroll
  for (int round = 0; round < kRounds; ++round) {
    int const low = round * kOfRound;
    if (round > 0) hopper::sync_some<2, kConsumers>();
#pragma unroll
    for (int j = 0; j < kColumns / 8; j += 2) {
      if (kRounds > 1 && j * 8 / kOfRound != round) continue;
      Pack<T, 2> pairs[4];
      take(sums, j, shared.bias + out, pairs);
      T* const first = lines + pixel * kStride + out + j * 8 - low;
      if constexpr (sizeof(T) == 2) {
        hopper::store_matrices(first + lane % 16 * kStride + lane / 16 * 8,
                               reinterpret_cast<uint32_t const(&)[4]>(pairs));
      } else {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          store(first + (lane / 4 + i % 2 * 8) * kStride + i / 2 * 8 + lane % 4 * 2, pairs[i]);
        }
      }
    }
    hopper::sync_some<2, kConsumers>();
    auto const count = static_cast<int>(outs - low - mine < kSize ? outs - low - mine : kSize);
    if (count <= 0) continue;
    T* const to = p.y + first_pixel * p.y_at.pixel + first_channel + low + mine;
    auto const pixels = static_cast<int>(p.pixels() - first_pixel < kPixels ? p.pixels() - first_pixel : kPixels);
    if (whole && count == kSize) {
#pragma unroll 4
      for (int i = thread / kPacks; i < pixels; i += kConsumers / kPacks) {
        auto const* const pack = reinterpret_cast<mma::Chunk const*>(lines + i * kStride + mine);
        *reinterpret_cast<mma::Chunk*>(to + i * p.y_at.pixel) = *pack;
      }
    } else {
#pragma unroll 1
      for (int i = thread / kPacks; i < pixels; i += kConsumers / kPacks) {
#pragma unroll 1
        for (int k = 0; k < count; ++k) to[i * p.y_at.pixel + k] = lines[i * kStride + mine + k];
      }
    }
  }
}

// The same where y is linear: neighbouring threads write neighbouring pixels.
template <typename T, int kOut, int kPixels, int kTerms, int kStages, int kColumns>
__device__ void write(Params<T> const& p, Shared<kOut, kPixels, kTerms, kStages>& shared, int64_t group,
                      int64_t first_out, int64_t first_pixel, float const (&sums)[kColumns / 8][4]) {
  constexpr int kSize = mma::kChunkOf<T>;
  constexpr int kStride = kPixels + kSize;  // so that lines begin in other banks
  constexpr int kRounds = sizeof(T) * kStride * kOut > sizeof(shared.weights) ? 2 : 1;
  constexpr int kOfRound = kOut / kRounds;
  static_assert(sizeof(T) * kStride * kOfRound <= sizeof(shared.weights));
  T* const lines = reinterpret_cast<T*>(shared.weights);
  int const thread = static_cast<int>(threadIdx.x);
  int const lane = thread % kWarp;
  int const pixel = (kPixels == 128 ? thread / kGroup * 64 : 0) + thread % kGroup / kWarp * 16;
  int const out = kPixels == 128 ? 0 : thread / kGroup * kColumns;

  constexpr int kPacks = kPixels / kSize;
  int const mine = thread % kPacks * kSize;  // of the pixels
  Quotient const at = divide(first_pixel + mine, p.area());
  bool const wide = p.area() % kSize == 0 && reinterpret_cast<uintptr_t>(p.y) % 16 == 0;
  int64_t const outs = p.out_channels / p.groups - first_out;  // that are left
#pragma unroll
  for (int round = 0; round < kRounds; ++round) {
    int const low = round * kOfRound;
    if (round > 0) hopper::sync_some<2, kConsumers>();
#pragma unroll
    for (int j = 0; j < kColumns / 8; j += 2) {
      if (kRounds > 1 && j * 8 / kOfRound != round) continue;
      Pack<T, 2> pairs[4];
      take(sums, j, shared.bias + out, pairs);
      T* const first = lines + (out + j * 8 - low) * kStride + pixel;
      if constexpr (sizeof(T) == 2) {
        hopper::store_transposed(first + (lane % 8 + lane / 16 * 8) * kStride + lane / 8 % 2 * 8,
                                 reinterpret_cast<uint32_t const(&)[4]>(pairs));
      } else {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          T* const line = first + (i / 2 * 8 + lane % 4 * 2) * kStride + lane / 4 + i % 2 * 8;
          line[0] = pairs[i][0];
          line[kStride] = pairs[i][1];
        }
      }
    }
    hopper::sync_some<2, kConsumers>();
    int64_t const first_channel = group * (p.out_channels / p.groups) + first_out + low;
    auto const count = static_cast<int>(outs - low < kOfRound ? outs - low : kOfRound);
    if (wide) {
      if (first_pixel + mine >= p.pixels()) continue;
      T* const to = p.y + (at.quotient * p.out_channels + first_channel) * p.area() + at.remainder;
#pragma unroll 4
      for (int i = thread / kPacks; i < count; i += kConsumers / kPacks) {
        store(to + i * p.area(), load<T, kSize>(lines + i * kStride + mine));
      }
    } else {
#pragma unroll 1
      for (int k = 0; k < kSize && first_pixel + mine + k < p.pixels(); ++k) {
        Quotient const each = divide(first_pixel + mine + k, p.area());
        T* const to = p.y + (each.quotient * p.out_channels + first_channel) * p.area() + each.remainder;
#pragma unroll 1
        for (int i = thread / kPacks; i < count; i += kConsumers / kPacks)
          to[i * p.area()] = lines[i * kStride + mine + k];
      }
    }
  }
}
#endif

template <typename T, int kOut, int kPixels, int kTerms, int kSplit, int kStages>
__global__ void __launch_bounds__(kThreads, 1) TRTREG_CLUSTER(kSplit) kernel([[maybe_unused]] TensorParams<T> const t) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  constexpr int kColumns = kOut * kPixels / 128;  // output channels of a group of consumers
  auto& shared = *dynamic_shared<Shared<kOut, kPixels, kTerms, kStages>>();
  Params<T> const& p = t.p;
  int const thread = static_cast<int>(threadIdx.x);
  int const split = kSplit > 1 ? static_cast<int>(hopper::block_of_cluster()) : 0;
  int64_t const tiles = p.tiles(kOut);
  Quotient const in_group = divide(blockIdx.x / kSplit, tiles);
  Quotient const place = divide(in_group.quotient, p.groups);
  int64_t const group = place.remainder;
  int64_t const first_out = in_group.remainder * kOut;
  int64_t const first_pixel = place.quotient * kPixels;
  auto const begin = static_cast<int>(static_cast<int64_t>(t.slices) * split / kSplit);
  auto const end = static_cast<int>(static_cast<int64_t>(t.slices) * (split + 1) / kSplit);

  int64_t const outs = p.out_channels / p.groups;
  for (int i = thread; i < kOut; i += kThreads) {
    shared.bias[i] = p.bias && first_out + i < outs ? to_float(p.bias[group * outs + first_out + i]) : 0.f;
  }
  if (thread == 0) {
    for (int i = 0; i < kStages; ++i) {
      shared.full[i].make(kProducers / kWarp + 1);
      shared.empty[i].make(kConsumers / kWarp);
    }
    hopper::publish_barriers();
  }
  // The first points are found by all.
  if (begin < end) find_points<kThreads>(p, run_of(t, begin, end), group, first_pixel, thread, shared.points);
  __syncthreads();

  // Each branch goes to its end: the registers that one leaves are the other's.
  constexpr bool kManySums = kColumns * kTerms == 256;
  if (thread >= kConsumers) {
    if constexpr (kManySums) hopper::leave_registers<96>();
    mma::Chunk const* const weight =
        t.weight + (group * tiles + in_group.remainder) * t.slices * kTerms * kOut * static_cast<int64_t>(mma::kChunks);
    produce(t, shared, group, first_pixel, weight, begin, end);
    if constexpr (kSplit > 1) {
      hopper::sync_cluster();
      hopper::sync_cluster();
    }
    return;
  }
  if constexpr (kManySums) hopper::take_registers<160>();
  float sums[kColumns / 8][4]{};
  consume<T, kOut, kPixels, kTerms, kStages, kColumns>(shared, end - begin, sums);
  if constexpr (kSplit > 1) {
    static_assert(kSplit == 2 && sizeof(sums) * kConsumers <= sizeof(shared.weights));
    hopper::sync_cluster();  // no block needs its tiles any more
    if (split == 1) {
      uint32_t const to = hopper::shared_address_of(shared.weights, 0) + thread * sizeof(sums[0]);
#pragma unroll
      for (int j = 0; j < kColumns / 8; ++j) hopper::store_remote(to + j * kConsumers * sizeof(sums[0]), sums[j]);
    }
    hopper::sync_cluster();
    if (split == 1) return;
    auto const* const others = reinterpret_cast<Pack<float, 4> const*>(shared.weights) + thread;
#pragma unroll
    for (int j = 0; j < kColumns / 8; ++j) {
      Pack<float, 4> const other = others[j * kConsumers];
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[j][i] += other[i];
    }
  }
  hopper::sync_some<2, kConsumers>();
  if (p.y_at.pixel == 1) {
    write<T, kOut, kPixels, kTerms, kStages, kColumns>(p, shared, group, first_out, first_pixel, sums);
  } else {
    write_channels_last<T, kOut, kPixels, kTerms, kStages, kColumns>(p, shared, group, first_out, first_pixel, sums);
  }
#endif
}

template <typename T, int kOut, int kTerms>
void start(Params<T> const& p, Arrangement<T> const& arrangement, Tiles tiles, void* workspace, cudaStream_t stream) {
  TensorParams<T> const t = arrange(p, arrangement, kOut, kTaps, workspace, stream);
  auto const start = [&](auto kernel, int pixels, int split, size_t shared) {
    int64_t const blocks = ceil_div(p.pixels(), pixels) * p.tiles(kOut) * p.groups * split;
    launch(kernel, {blocks, kThreads, shared, true}, stream, t);
  };
  // There is no room for a large tile with two terms.
  constexpr int kPixels = kTerms == 1 ? 128 : 64;
  constexpr int kStages = kTerms == 1 ? 4 : 2;  // of the small tile
  bool const many = ceil_div(p.pixels(), kPixels) * p.tiles(kOut) * p.groups >= multiprocessors();
  if (tiles == Tiles::kLarge || (tiles == Tiles::kBest && many)) {
    constexpr int kMany = kTerms == 1 ? 3 : 2;
    start(kernel<T, kOut, kPixels, kTerms, 1, kMany>, kPixels, 1, sizeof(Shared<kOut, kPixels, kTerms, kMany>));
  } else {
    start(kernel<T, kOut, 64, kTerms, 2, kStages>, 64, 2, sizeof(Shared<kOut, 64, kTerms, kStages>));
  }
}

// `workspace` has Arrangement::bytes().
template <typename T>
void run(Params<T> const& p, Arrangement<T> const& arrangement, Tiles tiles, void* workspace, cudaStream_t stream) {
  bool const wide = Arrangement<T>::widest(p) == 256;
  if constexpr (sizeof(T) == 4) {
    if (arrangement.terms == 2) {
      return wide ? start<T, 256, 2>(p, arrangement, tiles, workspace, stream)
                  : start<T, 128, 2>(p, arrangement, tiles, workspace, stream);
    }
  }
  wide ? start<T, 256, 1>(p, arrangement, tiles, workspace, stream)
       : start<T, 128, 1>(p, arrangement, tiles, workspace, stream);
}

}  // namespace on_hopper
}  // namespace deform_conv
}  // namespace TRTREG_NAMESPACE

#endif  // TRTREG_DEFORM_CONV_HOPPER_H
