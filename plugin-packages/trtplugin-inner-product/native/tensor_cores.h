// y = x W^T + b for many rows of x, on tensor cores (sm_80 and newer).
//
// A block makes kRows x kColumns of y. It walks over k in slices of 128 bytes of each row of x and of W, which lie in
// shared memory as trtreg/mma.h wants them; kStages of them are there or on their way.
#ifndef TRTPLUGIN_INNER_PRODUCT_TENSOR_CORES_H
#define TRTPLUGIN_INNER_PRODUCT_TENSOR_CORES_H

#include <trtreg/mma.h>

#include "problem.h"

namespace inner_product {
namespace {

constexpr int kRows = 128;
constexpr int kColumns = 256;
constexpr int kCoreThreads = 512;

struct Slice {
  trtreg::mma::Chunk x[kRows * trtreg::mma::kChunks];
  trtreg::mma::Chunk weight[kColumns * trtreg::mma::kChunks];
};

template <typename T, int kStages>
__global__ void __launch_bounds__(kCoreThreads, 1) tensor_core_kernel(Problem<T> const p) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  namespace mma = trtreg::mma;
  constexpr int kAhead = kStages - 1;
  constexpr int kSize = mma::kChunkOf<T>;
  constexpr int kDepth = mma::kChunks * kSize;
  constexpr int kSteps = mma::kChunks / mma::kStep;
  auto* const slices = trtreg::dynamic_shared<Slice>();

  trtreg::Quotient const tile = trtreg::divide(blockIdx.x, (p.m + kRows - 1) / kRows);
  int64_t const first_row = tile.remainder * kRows;
  int64_t const first_column = tile.quotient * kColumns;
  int const thread = static_cast<int>(threadIdx.x);
  auto const count = static_cast<int>((p.k + kDepth - 1) / kDepth);

  // A thread brings one chunk of every kLines lines.
  constexpr int kLines = kCoreThreads / mma::kChunks;
  int const line = thread / mma::kChunks;
  int const chunk = thread % mma::kChunks;
  auto const bring = [&](int index) {
    if (index < count) {
      Slice& slice = slices[index % kStages];
      int64_t const k = static_cast<int64_t>(index) * kDepth + chunk * kSize;
      auto const copy = [&](mma::Chunk* to, T const* from, int64_t at, int64_t lines, bool turned) {
        bool const exists = at < lines && k < p.k;
        if (p.packs && !turned) {
          mma::copy_async(to, exists ? from + at * p.k + k : from, exists);
          return;
        }
        trtreg::Pack<T, kSize> pack;
#pragma unroll
        for (int i = 0; i < kSize; ++i) {
          bool const inside = exists && k + i < p.k;
          pack[i] = inside ? from[turned ? (k + i) * lines + at : at * p.k + k + i] : T(0.f);
        }
        trtreg::store(reinterpret_cast<T*>(to), pack);
      };
#pragma unroll
      for (int i = line; i < kRows; i += kLines) copy(slice.x + mma::place(i, chunk), p.x, first_row + i, p.m, false);
#pragma unroll
      for (int i = line; i < kColumns; i += kLines) {
        copy(slice.weight + mma::place(i, chunk), p.weight, first_column + i, p.n, p.transposed);
      }
    }
    mma::end_copies();
  };

  constexpr int kOfWarp[2] = {2, 8};  // products of 16 x 8, each way
  int const warp = thread / trtreg::kWarp;
  int const row = warp / 4 * 32;
  int const column = warp % 4 * 64;
  float sums[kOfWarp[0]][kOfWarp[1]][4]{};

  for (int index = 0; index < kAhead; ++index) bring(index);
  for (int index = 0; index < count; ++index) {
    mma::wait_for_copies<kAhead - 1>();
    __syncthreads();  // this slice is here, and the one whose place is taken next is not needed any more
    Slice const& slice = slices[index % kStages];
    bring(index + kAhead);
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      uint32_t rows[kOfWarp[0]][4];
#pragma unroll
      for (int i = 0; i < kOfWarp[0]; ++i) {
        mma::read_first(rows[i], slice.x + (row + i * 16) * mma::kChunks, step * mma::kStep);
      }
#pragma unroll
      for (int j = 0; j < kOfWarp[1] / 2; ++j) {
        uint32_t columns[4];
        mma::read_second(columns, slice.weight + (column + j * 16) * mma::kChunks, step * mma::kStep);
#pragma unroll
        for (int i = 0; i < kOfWarp[0]; ++i) {
          mma::multiply<T>(sums[i][2 * j], rows[i], columns);
          mma::multiply<T>(sums[i][2 * j + 1], rows[i], columns + 2);
        }
      }
    }
  }

  int const lane = thread % trtreg::kWarp;
#pragma unroll
  for (int j = 0; j < kOfWarp[1]; ++j) {
    int64_t const to = first_column + column + j * 8 + lane % 4 * 2;
    if (to >= p.n) continue;
    bool const second = to + 1 < p.n;
    float const bias[2] = {p.bias ? trtreg::to_float(p.bias[to]) : 0.f,
                           p.bias && second ? trtreg::to_float(p.bias[to + 1]) : 0.f};
#pragma unroll
    for (int i = 0; i < kOfWarp[0]; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        int64_t const from = first_row + row + i * 16 + half * 8 + lane / 4;
        if (from >= p.m) continue;
        trtreg::Pack<T, 2> const y{trtreg::from_float<T>(sums[i][j][half * 2] + bias[0]),
                                   trtreg::from_float<T>(sums[i][j][half * 2 + 1] + bias[1])};
        T* const place = p.y + from * p.n + to;
        if (p.pairs) {
          trtreg::store(place, y);
        } else {
          place[0] = y[0];
          if (second) place[1] = y[1];
        }
      }
    }
  }
#endif
}

template <typename T>
void run_on_tensor_cores(Problem<T> const& p, cudaStream_t stream) {
  int64_t const blocks = trtreg::ceil_div(p.m, kRows) * trtreg::ceil_div(p.n, kColumns);
  if (static_cast<size_t>(trtreg::shared_memory()) >= 4 * sizeof(Slice)) {
    trtreg::launch(tensor_core_kernel<T, 4>, {blocks, kCoreThreads, 4 * sizeof(Slice)}, stream, p);
  } else {
    trtreg::launch(tensor_core_kernel<T, 2>, {blocks, kCoreThreads, 2 * sizeof(Slice)}, stream, p);
  }
}

}  // namespace
}  // namespace inner_product

#endif  // TRTPLUGIN_INNER_PRODUCT_TENSOR_CORES_H
