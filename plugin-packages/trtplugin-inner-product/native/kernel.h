// The kernels in float32: y = x W^T + b for few rows of x, and for many.
#ifndef TRTPLUGIN_INNER_PRODUCT_KERNEL_H
#define TRTPLUGIN_INNER_PRODUCT_KERNEL_H

#include <trtreg/block.h>
#include <trtreg/pack.h>
#include <trtreg/scalar.h>

#include "problem.h"

namespace inner_product {

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

}  // namespace inner_product

#endif  // TRTPLUGIN_INNER_PRODUCT_KERNEL_H
