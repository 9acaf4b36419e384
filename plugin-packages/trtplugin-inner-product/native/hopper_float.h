// y = x W^T + b for many rows of x in float32, on sm_90a: tensor cores without TF32's loss.
//
// Each factor is the sum of two TF32 terms, and three products of these make up one: that of the second terms is too
// small to be seen. A group of four warps has tiles copied and splits them, two groups multiply.
#ifndef TRTPLUGIN_INNER_PRODUCT_HOPPER_FLOAT_H
#define TRTPLUGIN_INNER_PRODUCT_HOPPER_FLOAT_H

#include "hopper_tiles.h"

namespace inner_product {
namespace {
namespace on_hopper {

constexpr int kFloatColumns = 128;
constexpr int kTerms = 2;

struct FloatShared {
  static constexpr int kRaw = 3;    // slices as they are in memory
  static constexpr int kSplit = 2;  // slices in terms
  trtreg::mma::Chunk x[kSplit][kTerms][kTileRows * trtreg::mma::kChunks];
  trtreg::mma::Chunk weight[kSplit][kTerms][kFloatColumns * trtreg::mma::kChunks];
  trtreg::mma::Chunk raw_x[kRaw][kTileRows * trtreg::mma::kChunks];
  trtreg::mma::Chunk raw_weight[kRaw][kFloatColumns * trtreg::mma::kChunks];
  float bias[kFloatColumns];
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  trtreg::hopper::Barrier there[kRaw], full[kSplit], empty[kSplit];
#else
  uint64_t barriers[kRaw + 2 * kSplit];
#endif
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
// Splits the chunks of a float slice. The first term is rounded to TF32; of the second the products cut off what they
// do not take. What is no number stays one in the second term.
__device__ inline void write_terms(trtreg::mma::Chunk (*to)[kTileRows * trtreg::mma::kChunks], uint32_t at,
                                   trtreg::mma::Chunk const& values) {
  trtreg::mma::Chunk terms[kTerms];
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    terms[0][k] = (values[k] + 0x1000u) & ~0x1fffu;
    terms[1][k] = __float_as_uint(__uint_as_float(values[k]) - __uint_as_float(terms[0][k]));
  }
#pragma unroll
  for (int term = 0; term < kTerms; ++term) to[term][at] = terms[term];
}

template <bool kTurned>
__device__ void split(Tiles<float> const& t, FloatShared& shared, Place const& place, int count) {
  namespace mma = trtreg::mma;
  constexpr int kSize = trtreg::hopper::kRowOf<float>;
  constexpr int kEach = kTileRows * mma::kChunks / kGroup;  // chunks of a thread
  int const me = static_cast<int>(threadIdx.x) - kMultiplying;
  auto const bring = [&](int slice, int i) {
    copy<kTurned, kFloatColumns>(t, place, i, shared.there[slice], shared.raw_x[slice], shared.raw_weight[slice]);
  };
  if (me == 0) {
    for (int i = 0; i < FloatShared::kRaw && i < count; ++i) bring(i, i);
  }
  Turn raw;
  Turn turn;
  for (int i = 0; i < count; ++i) {
    shared.there[raw.slice].wait(raw.parity);
    shared.empty[turn.slice].wait(turn.parity ^ 1);
    mma::Chunk const* const x = shared.raw_x[raw.slice];
    mma::Chunk const* const weight = shared.raw_weight[raw.slice];
#pragma unroll
    for (int j = 0; j < kEach; ++j) write_terms(shared.x[turn.slice], me + j * kGroup, x[me + j * kGroup]);
#pragma unroll
    for (int j = 0; j < kEach; ++j) {
      if constexpr (kTurned) {  // thread by thread a column, of which a chunk is 4 rows below one another
        mma::Chunk values;
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          values[k] = weight[me / kSize * kSize * mma::kChunks + mma::place(j * 4 + k, me % kSize / 4)][me % 4];
        }
        write_terms(shared.weight[turn.slice], mma::place(me, j), values);
      } else {
        write_terms(shared.weight[turn.slice], me + j * kGroup, weight[me + j * kGroup]);
      }
    }
    mma::publish();
    trtreg::hopper::sync_some<2, kGroup>();
    if (me == 0) {
      shared.full[turn.slice].arrive();
      if (i + FloatShared::kRaw < count) bring(raw.slice, i + FloatShared::kRaw);
    }
    raw.advance<FloatShared::kRaw>();
    turn.advance<FloatShared::kSplit>();
  }
}

// A tensor core cuts off what it cannot keep of a sum: it sums up one slice only, and these are added up outside.
__device__ inline void multiply(FloatShared& shared, int count, float (&sums)[kFloatColumns / 8][4]) {
  namespace mma = trtreg::mma;
  int const group = __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x) / kGroup, 0);  // known to be one of a warp
  Turn turn;
  for (int i = 0; i < count; ++i) {
    float of_slice[kFloatColumns / 8][4]{};
    shared.full[turn.slice].wait(turn.parity);
    mma::begin_products();
#pragma unroll
    for (int chunk = 0; chunk < mma::kChunks; chunk += mma::kStep) {
#pragma unroll
      for (int pair = 2; pair >= 0; --pair) {  // of terms: 0 and 1, 1 and 0, 0 and 0
        mma::Chunk const* const x = shared.x[turn.slice][pair % 2] + group * 64 * mma::kChunks;
        mma::Chunk const* const weight = shared.weight[turn.slice][pair / 2];
        mma::multiply_async<float, kFloatColumns>(of_slice, mma::describe(x, chunk), mma::describe(weight, chunk));
      }
    }
    mma::end_products();
    mma::wait_for_products<0>();
    if (threadIdx.x % trtreg::kWarp == 0) shared.empty[turn.slice].arrive();
#pragma unroll
    for (int j = 0; j < kFloatColumns / 8; ++j) {
#pragma unroll
      for (int k = 0; k < 4; ++k) sums[j][k] += of_slice[j][k];
    }
    turn.advance<FloatShared::kSplit>();
  }
}
#endif

template <bool kTurned>
__global__ void __launch_bounds__(kThreads, 1) float_kernel([[maybe_unused]] __grid_constant__ Tiles<float> const t) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  namespace hopper = trtreg::hopper;
  auto& shared = *trtreg::dynamic_shared<FloatShared>();
  auto const thread = static_cast<int>(threadIdx.x);
  Place const place = place_of(t, kFloatColumns);
  auto const count = static_cast<int>((t.p.k + hopper::kRowOf<float> - 1) / hopper::kRowOf<float>);
  if (thread == 0) {
    for (auto& each : shared.there) each.make(1);
    for (auto& each : shared.full) each.make(1);
    for (auto& each : shared.empty) each.make(kMultiplying / trtreg::kWarp);
    hopper::publish_barriers();
  }
  begin(t, place, shared.bias);
  if (thread >= kMultiplying) {
    hopper::leave_registers<88>();
    split<kTurned>(t, shared, place, count);
  } else {
    hopper::take_registers<208>();
    float sums[kFloatColumns / 8][4]{};
    multiply(shared, count, sums);
    int const lane = thread % trtreg::kWarp;
    int64_t const row = place.row + thread / trtreg::kWarp * 16 + lane / 4;
#pragma unroll
    for (int j = 0; j < kFloatColumns / 8; ++j) {
      int const column = j * 8 + lane % 4 * 2;
      int64_t const to = place.column + column;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        int64_t const line = row + half * 8;
        if (line >= t.p.m || to >= t.p.n) continue;
        float* const y = t.p.y + line * t.p.n + to;
        float const values[2]{sums[j][half * 2] + shared.bias[column], sums[j][half * 2 + 1] + shared.bias[column + 1]};
        if (t.p.pairs) {
          *reinterpret_cast<float2*>(y) = {values[0], values[1]};
        } else {
          y[0] = values[0];
          if (to + 1 < t.p.n) y[1] = values[1];
        }
      }
    }
  }
#endif
}

// False where this kernel is not for the problem. A few products of terms are less exact than a few of floats.
inline bool run(Problem<float> const& p, cudaStream_t stream) {
  Tiles<float> t{p, {}, {}, 0, 0, 0};
  if (p.k < trtreg::hopper::kRowOf<float> || !map(t, kFloatColumns)) return false;
  trtreg::launch(p.transposed ? float_kernel<true> : float_kernel<false>,
                 {t.rows * t.columns, kThreads, sizeof(FloatShared), true}, stream, t);
  return true;
}

}  // namespace on_hopper
}  // namespace
}  // namespace inner_product

#endif  // TRTPLUGIN_INNER_PRODUCT_HOPPER_FLOAT_H
