// The kernels that sum up in float32 without tensor cores: y = x W^T + b for one row of x, for few, and for many.
#ifndef TRTPLUGIN_INNER_PRODUCT_KERNEL_H
#define TRTPLUGIN_INNER_PRODUCT_KERNEL_H

#include <trtreg/block.h>
#include <trtreg/hopper.h>
#include <trtreg/pack.h>
#include <trtreg/scalar.h>

#include "problem.h"

namespace inner_product {
namespace {

// --------------------------------------------------------------------------------------- one row: as fast as memory
constexpr int kColumnsOfBlock = 8;
constexpr int kAtOnce = 2;

// What is read once only: it does not drive out what is read again.
__device__ inline trtreg::mma::Chunk read_once(trtreg::mma::Chunk const* from) {
#ifdef __CUDA_ARCH__
  uint4 const words = __ldcs(reinterpret_cast<uint4 const*>(from));
  return {words.x, words.y, words.z, words.w};
#else
  return *from;
#endif
}

// A block makes kColumnsOfBlock columns of y. A thread takes the same part of each of their rows of the weights, so it
// reads that part of x once; kAtOnce chunks of every row are on their way together.
template <typename T, int kBlock>
__global__ void __launch_bounds__(kBlock, 512 / kBlock) one_row_kernel(Problem<T> const p) {
  using Chunk = trtreg::mma::Chunk;
  constexpr int kWarps = kBlock / trtreg::kWarp;
  __shared__ float parts[kColumnsOfBlock][kWarps];
  trtreg::hopper::let_next_begin();
  trtreg::hopper::wait_for_previous();
  auto const thread = static_cast<int>(threadIdx.x);
  int64_t const first = static_cast<int64_t>(blockIdx.x) * kColumnsOfBlock;
  int64_t const chunks = p.k / trtreg::mma::kChunkOf<T>;
  bool const writes = thread < kColumnsOfBlock && first + thread < p.n;
  float const bias = writes && p.bias ? trtreg::to_float(p.bias[first + thread]) : 0;

  auto const* const x = reinterpret_cast<Chunk const*>(p.x);
  Chunk const* rows[kColumnsOfBlock];
#pragma unroll
  for (int i = 0; i < kColumnsOfBlock; ++i) {
    int64_t const row = first + i < p.n ? first + i : p.n - 1;  // one that is there
    rows[i] = reinterpret_cast<Chunk const*>(p.weight) + row * chunks;
  }
  float sums[kColumnsOfBlock]{};
  auto const add = [&](auto count, int64_t at) {
    constexpr int kCount = decltype(count)::value;
    Chunk weights[kCount][kColumnsOfBlock];
    Chunk mine[kCount];
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
#pragma unroll
      for (int j = 0; j < kColumnsOfBlock; ++j) weights[i][j] = read_once(rows[j] + at + i * kBlock);
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) mine[i] = x[at + i * kBlock];
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
#pragma unroll
      for (int k = 0; k < trtreg::mma::kChunkOf<T>; ++k) {
        constexpr int kOfWord = 4 / static_cast<int>(sizeof(T));
        float const value = trtreg::mma::element<T>(mine[i][k / kOfWord], k % kOfWord);
#pragma unroll
        for (int j = 0; j < kColumnsOfBlock; ++j) {
          sums[j] += value * trtreg::mma::element<T>(weights[i][j][k / kOfWord], k % kOfWord);
        }
      }
    }
  };
  int64_t at = thread;
  for (; at + (kAtOnce - 1) * kBlock < chunks; at += kAtOnce * kBlock) add(std::integral_constant<int, kAtOnce>{}, at);
  for (; at < chunks; at += kBlock) add(std::integral_constant<int, 1>{}, at);

#pragma unroll
  for (int i = 0; i < kColumnsOfBlock; ++i) {
    float const sum = trtreg::warp_reduce(sums[i], trtreg::Sum{});
    if (thread % trtreg::kWarp == 0) parts[i][thread / trtreg::kWarp] = sum;
  }
  __syncthreads();
  if (!writes) return;
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kWarps; ++i) sum += parts[thread][i];
  p.y[first + thread] = trtreg::from_float<T>(sum + bias);
}

// ------------------------------------------------------------------------------------------------------- a few rows
constexpr int kFewRows = 8;

// A warp makes one column of y: it reads its row of the weights once.
template <typename T>
__global__ void __launch_bounds__(trtreg::kThreads) few_rows_kernel(Problem<T> const p) {
  constexpr int kPack = trtreg::kPackOf<T>;
  int const lane = static_cast<int>(threadIdx.x) % trtreg::kWarp;
  int64_t const column = trtreg::thread_index() / trtreg::kWarp;
  if (column >= p.n) return;
  T const* const weight = p.weight + column * p.k;
  float sums[kFewRows] = {};
  int64_t const packs = p.packs ? p.k / kPack : 0;
#pragma unroll 4
  for (int64_t i = lane; i < packs; i += trtreg::kWarp) {
    auto const w = trtreg::load<T, kPack>(weight + i * kPack);
#pragma unroll
    for (int row = 0; row < kFewRows; ++row) {
      if (row >= p.m) break;
      auto const x = trtreg::load<T, kPack>(p.x + row * p.k + i * kPack);
#pragma unroll
      for (int j = 0; j < kPack; ++j) sums[row] += trtreg::to_float(x[j]) * trtreg::to_float(w[j]);
    }
  }
  for (int64_t i = packs * kPack + lane; i < p.k; i += trtreg::kWarp) {
    float const w = trtreg::to_float(weight[i]);
#pragma unroll
    for (int row = 0; row < kFewRows; ++row) {
      if (row < p.m) sums[row] += trtreg::to_float(p.x[row * p.k + i]) * w;
    }
  }
  float const bias = p.bias ? trtreg::to_float(p.bias[column]) : 0;
#pragma unroll
  for (int row = 0; row < kFewRows; ++row) {
    float const sum = trtreg::warp_reduce(sums[row], trtreg::Sum{});
    if (lane == 0 && row < p.m) p.y[row * p.n + column] = trtreg::from_float<T>(sum + bias);
  }
}

// ------------------------------------------------------------------------------------------------ many rows: tiles
constexpr int kTile = 128;  // rows and columns of y that a block makes; a thread makes 8 x 8 of them
constexpr int kDepth = 16;  // of k at once

template <typename T>
__device__ void make_tile(Problem<T> const& p) {
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

template <typename T>
__global__ void __launch_bounds__(trtreg::kThreads) tiles_kernel(Problem<T> const p) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  constexpr bool kHere = sizeof(T) == 4;  // the others have tensor cores
#else
  constexpr bool kHere = true;
#endif
  if constexpr (kHere) make_tile(p);
}

}  // namespace
}  // namespace inner_product

#endif  // TRTPLUGIN_INNER_PRODUCT_KERNEL_H
