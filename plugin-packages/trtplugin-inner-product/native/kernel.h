// The kernels: y = x W^T + b for few rows of x, for many, and for many on tensor cores.
#ifndef TRTPLUGIN_INNER_PRODUCT_KERNEL_H
#define TRTPLUGIN_INNER_PRODUCT_KERNEL_H

#include <trtreg/block.h>
#include <trtreg/pack.h>
#include <trtreg/scalar.h>

#ifndef TRTREG_ON_HOST
#include <cuda_pipeline.h>
#include <mma.h>
#endif

namespace inner_product {

template <typename T>
struct Problem {
  T const* x;       // [m, k]
  T const* weight;  // [n, k], or [k, n] where it is transposed
  T const* bias;    // [n], or null
  T* y;             // [m, n]
  int64_t m;
  int64_t n;
  int64_t k;
  bool transposed;
  bool packs;  // whether rows of x and weight begin at multiples of 16 bytes, and end there
};

// ------------------------------------------------------------------------------------- few rows: as fast as memory
// A warp makes one column of y: it reads its row of the weights once, for up to kRows rows of x.
template <typename T, int kRows>
__global__ void __launch_bounds__(trtreg::kThreads) few_rows_kernel(Problem<T> const p) {
  constexpr int kPack = trtreg::kPackOf<T>;
  int const lane = static_cast<int>(threadIdx.x) % trtreg::kWarp;
  int64_t const column = trtreg::thread_index() / trtreg::kWarp;
  if (column >= p.n) return;
  T const* const weight = p.weight + column * p.k;
  float sums[kRows] = {};
  int64_t const packs = p.packs ? p.k / kPack : 0;
#pragma unroll 4
  for (int64_t i = lane; i < packs; i += trtreg::kWarp) {
    auto const w = trtreg::load<T, kPack>(weight + i * kPack);
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      if (row >= p.m) break;
      auto const x = trtreg::load<T, kPack>(p.x + row * p.k + i * kPack);
#pragma unroll
      for (int j = 0; j < kPack; ++j) sums[row] += trtreg::to_float(x[j]) * trtreg::to_float(w[j]);
    }
  }
  for (int64_t i = packs * kPack + lane; i < p.k; i += trtreg::kWarp) {
    float const w = trtreg::to_float(weight[i]);
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      if (row < p.m) sums[row] += trtreg::to_float(p.x[row * p.k + i]) * w;
    }
  }
  float const bias = p.bias ? trtreg::to_float(p.bias[column]) : 0;
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
    float const sum = trtreg::warp_reduce(sums[row], trtreg::Sum{});
    if (lane == 0 && row < p.m) p.y[row * p.n + column] = trtreg::from_float<T>(sum + bias);
  }
}

// ------------------------------------------------------------------------------------------------ many rows: tiles
constexpr int kTile = 128;  // rows and columns of y that a block makes; a thread makes 8 x 8 of them
constexpr int kDepth = 16;  // of k at once

template <typename T>
__global__ void __launch_bounds__(trtreg::kThreads) tiles_kernel(Problem<T> const p) {
  __shared__ __align__(16) float xs[kDepth][kTile + 4];
  __shared__ __align__(16) float ws[kDepth][kTile + 4];
  trtreg::Quotient const tile = trtreg::divide(blockIdx.x, (p.m + kTile - 1) / kTile);
  int64_t const first_row = tile.remainder * kTile;
  int64_t const first_column = tile.quotient * kTile;
  int const thread = static_cast<int>(threadIdx.x);
  // Of each half of the tile four, so that what neighbours read from shared memory lies side by side.
  int const row = thread / 16 * 4;
  int const column = thread % 16 * 4;
  auto const half = [](int i) { return i % 4 + i / 4 * (kTile / 2); };
  float sums[8][8] = {};
  for (int64_t k = 0; k < p.k; k += kDepth) {
    for (int i = thread; i < kTile * kDepth; i += trtreg::kThreads) {
      int const depth = i % kDepth;
      int64_t const line = first_row + i / kDepth;
      xs[depth][i / kDepth] = line < p.m && k + depth < p.k ? trtreg::to_float(p.x[line * p.k + k + depth]) : 0;
    }
    for (int i = thread; i < kTile * kDepth; i += trtreg::kThreads) {  // neighbours read neighbours
      int const depth = p.transposed ? i / kTile : i % kDepth;
      int const at = p.transposed ? i % kTile : i / kDepth;
      int64_t const line = first_column + at;
      bool const inside = line < p.n && k + depth < p.k;
      int64_t const from = p.transposed ? (k + depth) * p.n + line : line * p.k + k + depth;
      ws[depth][at] = inside ? trtreg::to_float(p.weight[from]) : 0;
    }
    __syncthreads();
#pragma unroll
    for (int depth = 0; depth < kDepth; ++depth) {
      float a[8];
      float b[8];
#pragma unroll
      for (int i = 0; i < 8; i += 4) {
        auto const xs4 = trtreg::load<float, 4>(&xs[depth][row + half(i)]);
        auto const ws4 = trtreg::load<float, 4>(&ws[depth][column + half(i)]);
#pragma unroll
        for (int j = 0; j < 4; ++j) a[i + j] = xs4[j], b[i + j] = ws4[j];
      }
#pragma unroll
      for (int i = 0; i < 8; ++i) {
#pragma unroll
        for (int j = 0; j < 8; ++j) sums[i][j] += a[i] * b[j];
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) {
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      int64_t const at[2] = {first_row + row + half(i), first_column + column + half(j)};
      if (at[0] >= p.m || at[1] >= p.n) continue;
      float const bias = p.bias ? trtreg::to_float(p.bias[at[1]]) : 0;
      p.y[at[0] * p.n + at[1]] = trtreg::from_float<T>(sums[i][j] + bias);
    }
  }
}

// ------------------------------------------------------------------------------------------ many rows: tensor cores
#ifndef TRTREG_ON_HOST
constexpr int kCoreTile = 128;         // rows and columns of y that a block makes; each of its 8 warps 64 x 32 of them
constexpr int kCoreDepth = 32;         // of k at once
constexpr int kLine = kCoreDepth + 8;  // elements from row to row in shared memory, so that rows lie in other banks
constexpr int kStages = 3;             // parts of k on their way
constexpr int kPart = kCoreTile * kLine;
template <typename T>
constexpr size_t kCoreShared = size_t{2} * kStages * kPart * sizeof(T);

// Brings [kCoreTile, kCoreDepth] of a matrix [rows, k] to shared memory, zeros for what lies outside.
template <typename T>
__device__ void bring(T* to, T const* from, int64_t first, int64_t rows, int64_t k, Problem<T> const& p, bool turned) {
  constexpr int kPack = trtreg::kPackOf<T>;
  int const thread = static_cast<int>(threadIdx.x);
  if (p.packs && !turned) {
    for (int i = thread; i < kPart / kLine * kCoreDepth / kPack; i += trtreg::kThreads) {
      int const line = i / (kCoreDepth / kPack);
      int const depth = i % (kCoreDepth / kPack) * kPack;
      bool const inside = first + line < rows && k + depth < p.k;
      // Of a copy that is all zeros, the address is not read.
      T const* const address = inside ? from + (first + line) * p.k + k + depth : from;
      __pipeline_memcpy_async(to + line * kLine + depth, address, 16, inside ? 0 : 16);
    }
    return;
  }
  for (int i = thread; i < kCoreTile * kCoreDepth; i += trtreg::kThreads) {
    int const line = turned ? i % kCoreTile : i / kCoreDepth;
    int const depth = turned ? i / kCoreTile : i % kCoreDepth;
    bool const inside = first + line < rows && k + depth < p.k;
    int64_t const at = turned ? (k + depth) * rows + first + line : (first + line) * p.k + k + depth;
    to[line * kLine + depth] = inside ? from[at] : trtreg::from_float<T>(0);
  }
}

template <typename T>
__global__ void __launch_bounds__(trtreg::kThreads, 2) tensor_core_kernel(Problem<T> const p) {
// Compute capability 7.5 has none for bfloat16, and is never asked to.
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  constexpr bool kHasCores = true;
#else
  constexpr bool kHasCores = std::is_same_v<T, __half>;
#endif
  if constexpr (kHasCores) {
    using namespace nvcuda;
    T* const xs = trtreg::dynamic_shared<T>();
    T* const ws = xs + kStages * kPart;
    trtreg::Quotient const tile = trtreg::divide(blockIdx.x, (p.m + kCoreTile - 1) / kCoreTile);
    int64_t const first_row = tile.remainder * kCoreTile;
    int64_t const first_column = tile.quotient * kCoreTile;
    int const warp = static_cast<int>(threadIdx.x) / trtreg::kWarp;
    int const lane = static_cast<int>(threadIdx.x) % trtreg::kWarp;
    int const row = warp / 4 * 64;
    int const column = warp % 4 * 32;
    auto const start = [&](int64_t k, int stage) {
      if (k < p.k) {
        bring(xs + stage * kPart, p.x, first_row, p.m, k, p, false);
        bring(ws + stage * kPart, p.weight, first_column, p.n, k, p, p.transposed);
      }
      __pipeline_commit();
    };

    wmma::fragment<wmma::accumulator, 16, 16, 16, float> sums[4][2];
#pragma unroll
    for (auto& line : sums) {
#pragma unroll
      for (auto& sum : line) wmma::fill_fragment(sum, 0.f);
    }
    for (int part = 0; part < kStages - 1; ++part) start(part * kCoreDepth, part);
    int now = 0;
    for (int64_t k = 0; k < p.k; k += kCoreDepth) {
      __pipeline_wait_prior(kStages - 2);
      __syncthreads();  // this part is here, and nobody needs the one before, whose place another takes
      start(k + (kStages - 1) * kCoreDepth, (now + kStages - 1) % kStages);
      int const stage = now * kPart;
      now = (now + 1) % kStages;
#pragma unroll
      for (int depth = 0; depth < kCoreDepth; depth += 16) {
        wmma::fragment<wmma::matrix_b, 16, 16, 16, T, wmma::col_major> b[2];
#pragma unroll
        for (int j = 0; j < 2; ++j) wmma::load_matrix_sync(b[j], ws + stage + (column + j * 16) * kLine + depth, kLine);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          wmma::fragment<wmma::matrix_a, 16, 16, 16, T, wmma::row_major> a;
          wmma::load_matrix_sync(a, xs + stage + (row + i * 16) * kLine + depth, kLine);
#pragma unroll
          for (int j = 0; j < 2; ++j) wmma::mma_sync(sums[i][j], a, b[j], sums[i][j]);
        }
      }
    }
    __pipeline_wait_prior(0);
    __syncthreads();
    // Each warp takes its sums through a place of its own in shared memory, to add the bias and to round them.
    float* const patch = trtreg::dynamic_shared<float>() + warp * 256;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        wmma::store_matrix_sync(patch, sums[i][j], 16, wmma::mem_row_major);
        __syncwarp();
        for (int k = lane; k < 256; k += trtreg::kWarp) {
          int64_t const at[2] = {first_row + row + i * 16 + k / 16, first_column + column + j * 16 + k % 16};
          if (at[0] >= p.m || at[1] >= p.n) continue;
          float const bias = p.bias ? trtreg::to_float(p.bias[at[1]]) : 0;
          p.y[at[0] * p.n + at[1]] = trtreg::from_float<T>(patch[k] + bias);
        }
        __syncwarp();
      }
    }
  }
}
#endif

}  // namespace inner_product

#endif  // TRTPLUGIN_INNER_PRODUCT_KERNEL_H
