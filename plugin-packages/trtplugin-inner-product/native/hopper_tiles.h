// y = x W^T + b for many rows of x in 16 bits, on sm_90a: one warp has tiles copied, two groups of four multiply them.
//
// A block makes kTileRows x kColumns of y. It walks over k in slices of 128 bytes of each row of x and of W; kDepth of
// them are in shared memory or on their way. The copying warp and the groups wait for one another at barriers, a pair
// for each slice.
#ifndef TRTPLUGIN_INNER_PRODUCT_HOPPER_TILES_H
#define TRTPLUGIN_INNER_PRODUCT_HOPPER_TILES_H

#include <trtreg/hopper.h>

#include "problem.h"

namespace inner_product {
namespace {
namespace on_hopper {

constexpr int kGroup = trtreg::mma::kWarpGroup * trtreg::kWarp;  // threads that make 64 rows of products together
constexpr int kGroups = 2;
constexpr int kTileRows = kGroups * 64;
constexpr int kMultiplying = kGroups * kGroup;
constexpr int kThreads = kMultiplying + kGroup;
constexpr int kTogether = 8;  // tiles below one another, after which the next columns are taken

template <typename T>
struct Tiles {
  Problem<T> p;
  CUtensorMap x;
  CUtensorMap weight;
  int64_t rows;  // of tiles
  int64_t columns;
  uint32_t x_bytes;  // of a slice
};

template <int kColumns>
struct Shared {
  static constexpr int kDepth = 192 * 1024 / 128 / (kTileRows + kColumns);  // of what 227 KiB have room for
  trtreg::mma::Chunk x[kDepth][kTileRows * trtreg::mma::kChunks];
  trtreg::mma::Chunk weight[kDepth][kColumns * trtreg::mma::kChunks];
  float bias[kColumns];
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  trtreg::hopper::Barrier full[kDepth], empty[kDepth];
#else
  uint64_t barriers[2 * kDepth];
#endif
};

// Where the tile of this block begins. The blocks that run at once have few rows of x in all, which stay in the L2.
struct Place {
  int64_t row;
  int64_t column;
};
template <typename T>
__device__ Place place_of(Tiles<T> const& t, int columns) {
  trtreg::Quotient const band = trtreg::divide(blockIdx.x, kTogether * t.columns);
  int64_t const above = band.quotient * kTogether;
  int64_t const left = t.rows - above;
  trtreg::Quotient const tile = trtreg::divide(band.remainder, left < kTogether ? left : kTogether);
  return {(above + tile.remainder) * kTileRows, tile.quotient * columns};
}

// A place in the ring of slices, and the parity of the barriers' phase there.
struct Turn {
  int slice{0};
  uint32_t parity{0};
  template <int kDepth>
  __device__ void advance() {
    if (++slice == kDepth) {
      slice = 0;
      parity ^= 1;
    }
  }
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
// When the kernel before has ended: reads the bias. All threads of a block have passed it then.
template <typename T, int kColumns>
__device__ void begin(Tiles<T> const& t, Place const& place, float (&bias)[kColumns]) {
  if (threadIdx.x == 0) {
    trtreg::hopper::prefetch(t.x);
    trtreg::hopper::prefetch(t.weight);
  }
  trtreg::hopper::let_next_begin();
  trtreg::hopper::wait_for_previous();
  for (int i = static_cast<int>(threadIdx.x); i < kColumns; i += kThreads) {
    bias[i] = t.p.bias && place.column + i < t.p.n ? trtreg::to_float(t.p.bias[place.column + i]) : 0.f;
  }
  __syncthreads();
}

// Has a slice of x and of W copied.
template <bool kTurned, int kColumns, typename T>
__device__ void copy(Tiles<T> const& t, Place const& place, int slice, trtreg::hopper::Barrier& there,
                     trtreg::mma::Chunk* x, trtreg::mma::Chunk* weight) {
  constexpr int kSize = trtreg::hopper::kRowOf<T>;
  auto const row = static_cast<int>(place.row);
  auto const column = static_cast<int>(place.column);
  there.expect(t.x_bytes + kColumns * 128);
  there.copy_tile(x, t.x, row, slice * kSize);
  if constexpr (kTurned) {
    for (int part = 0; part < kColumns; part += kSize) {
      there.copy_tile(weight + part * trtreg::mma::kChunks, t.weight, slice * kSize, column + part);
    }
  } else {
    there.copy_tile(weight, t.weight, column, slice * kSize);
  }
}

template <typename T, bool kTurned, int kColumns>
__device__ void multiply(Shared<kColumns>& shared, int count, float (&sums)[kColumns / 8][4]) {
  namespace mma = trtreg::mma;
  int const group = __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x) / kGroup, 0);  // known to be one of a warp
  bool const first = threadIdx.x % trtreg::kWarp == 0;
  auto* previous = &shared.empty[0];
  Turn turn;
  for (int i = 0; i < count; ++i) {
    shared.full[turn.slice].wait(turn.parity);
    mma::Chunk const* const x = shared.x[turn.slice] + group * 64 * mma::kChunks;
    mma::Chunk const* const weight = shared.weight[turn.slice];
    mma::begin_products();
#pragma unroll
    for (int chunk = 0; chunk < mma::kChunks; chunk += mma::kStep) {
      uint64_t const second =
          kTurned ? trtreg::hopper::describe_turned(weight, chunk * mma::kChunkOf<T>) : mma::describe(weight, chunk);
      mma::multiply_async<T, kColumns, kTurned>(sums, mma::describe(x, chunk), second);
    }
    mma::end_products();
    mma::wait_for_products<1>();
    if (first && i > 0) previous->arrive();
    previous = &shared.empty[turn.slice];
    turn.advance<Shared<kColumns>::kDepth>();
  }
  mma::wait_for_products<0>();
}

// Writes the sums, a warp its 16 rows, by way of shared memory, so that neighbouring lanes write neighbouring columns.
template <typename T, int kColumns>
__device__ void write(Problem<T> const& p, Shared<kColumns>& shared, int64_t row, int64_t column,
                      float const (&sums)[kColumns / 8][4]) {
  constexpr int kSize = trtreg::kPackOf<T>;
  constexpr int kStride = kColumns + kSize;  // so that rows begin in other banks
  constexpr int kPacks = kColumns / kSize;   // of a row
  static_assert(sizeof(T) * kStride * kTileRows <= sizeof(shared.x) + sizeof(shared.weight));
  auto const thread = static_cast<int>(threadIdx.x);
  int const lane = thread % trtreg::kWarp;
  int const first = thread / trtreg::kWarp * 16;
  T* const lines = reinterpret_cast<T*>(shared.x) + first * kStride;
#pragma unroll
  for (int j = 0; j < kColumns / 8; j += 2) {
    trtreg::Pack<T, 2> pairs[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float const* const bias = shared.bias + (j + i / 2) * 8 + lane % 4 * 2;
      float const* const sum = sums[j + i / 2] + i % 2 * 2;
      pairs[i] = {trtreg::from_float<T>(sum[0] + bias[0]), trtreg::from_float<T>(sum[1] + bias[1])};
    }
    trtreg::hopper::store_matrices(lines + lane % 16 * kStride + (j + lane / 16) * 8,
                                   reinterpret_cast<uint32_t const(&)[4]>(pairs));
  }
  __syncwarp();
  bool const wide = p.n % kSize == 0 && reinterpret_cast<uintptr_t>(p.y) % 16 == 0;
  int64_t const to = column + lane % kPacks * kSize;
#pragma unroll 4
  for (int i = lane / kPacks; i < 16; i += trtreg::kWarp / kPacks) {
    int64_t const line = row + first + i;
    if (line >= p.m || to >= p.n) break;
    T* const y = p.y + line * p.n + to;
    T const* const from = lines + i * kStride + lane % kPacks * kSize;
    if (wide) {
      *reinterpret_cast<trtreg::mma::Chunk*>(y) = *reinterpret_cast<trtreg::mma::Chunk const*>(from);
    } else {
#pragma unroll 1
      for (int k = 0; k < kSize && to + k < p.n; ++k) y[k] = from[k];
    }
  }
}
#endif

template <typename T, bool kTurned, int kColumns>
__global__ void __launch_bounds__(kThreads, 1) tiles_kernel([[maybe_unused]] __grid_constant__ Tiles<T> const t) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  namespace hopper = trtreg::hopper;
  auto& shared = *trtreg::dynamic_shared<Shared<kColumns>>();
  auto const thread = static_cast<int>(threadIdx.x);
  Place const place = place_of(t, kColumns);
  auto const count = static_cast<int>((t.p.k + hopper::kRowOf<T> - 1) / hopper::kRowOf<T>);
  if (thread == 0) {
    for (auto& each : shared.full) each.make(1);
    for (auto& each : shared.empty) each.make(kMultiplying / trtreg::kWarp);
    hopper::publish_barriers();
  }
  begin(t, place, shared.bias);
  if (thread >= kMultiplying) {
    hopper::leave_registers<40>();
    if (thread / trtreg::kWarp > kMultiplying / trtreg::kWarp || !hopper::elect()) return;
    Turn turn;
    for (int i = 0; i < count; ++i) {
      shared.empty[turn.slice].wait(turn.parity ^ 1);  // at first nobody has to be waited for
      copy<kTurned, kColumns>(t, place, i, shared.full[turn.slice], shared.x[turn.slice], shared.weight[turn.slice]);
      turn.advance<Shared<kColumns>::kDepth>();
    }
  } else {
    hopper::take_registers<232>();
    float sums[kColumns / 8][4]{};
    multiply<T, kTurned, kColumns>(shared, count, sums);
    hopper::sync_some<1, kMultiplying>();  // no slice is needed any more
    write<T, kColumns>(t.p, shared, place.row, place.column, sums);
  }
#endif
}

// Maps the matrices for tiles of so many columns. False where these kernels are not for the problem.
template <typename T>
bool map(Tiles<T>& t, int columns) {
  constexpr int kSize = trtreg::hopper::kRowOf<T>;
  Problem<T> const& p = t.p;
  auto const rows = static_cast<int>(std::min<int64_t>(p.m, kTileRows));  // zeros would take longer than rows
  t.rows = trtreg::ceil_div(p.m, kTileRows);
  t.columns = trtreg::ceil_div(p.n, columns);
  t.x_bytes = static_cast<uint32_t>(rows) * 128;
  return p.packs && (!p.transposed || p.n % trtreg::kPackOf<T> == 0) &&
         trtreg::hopper::map_matrix(t.x, p.x, p.m, p.k, rows) &&
         (p.transposed ? trtreg::hopper::map_matrix(t.weight, p.weight, p.k, p.n, kSize)
                       : trtreg::hopper::map_matrix(t.weight, p.weight, p.n, p.k, columns));
}

template <int kColumns, typename T>
bool run_tiles(Problem<T> const& p, cudaStream_t stream) {
  Tiles<T> t{p, {}, {}, 0, 0, 0};
  if (!map(t, kColumns)) return false;
  auto const kernel = p.transposed ? tiles_kernel<T, true, kColumns> : tiles_kernel<T, false, kColumns>;
  trtreg::launch(kernel, {t.rows * t.columns, kThreads, sizeof(Shared<kColumns>), true}, stream, t);
  return true;
}

// False where these kernels are not for the problem.
template <typename T>
bool run(Problem<T> const& p, cudaStream_t stream) {
  // Narrow tiles take less time each, but more in all. As many as there are multiprocessors run at once, and took so
  // many microseconds with a K of 4096 (benchmarks/results/kernel-log.md).
  auto const time = [&](int columns, int64_t of_tile) {
    int64_t const tiles = trtreg::ceil_div(p.m, kTileRows) * trtreg::ceil_div(p.n, columns);
    return trtreg::ceil_div(tiles, trtreg::multiprocessors()) * of_tile;
  };
  int64_t const wide = time(256, 46);
  int64_t const middle = time(128, 26);
  int64_t const narrow = time(64, 19);
  if (wide <= middle && wide <= narrow) return run_tiles<256>(p, stream);
  return middle <= narrow ? run_tiles<128>(p, stream) : run_tiles<64>(p, stream);
}

}  // namespace on_hopper
}  // namespace
}  // namespace inner_product

#endif  // TRTPLUGIN_INNER_PRODUCT_HOPPER_TILES_H
