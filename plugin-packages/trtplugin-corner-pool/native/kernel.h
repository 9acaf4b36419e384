// The kernels: the largest value so far, down or along the rows of every plane, from either end.
#ifndef TRTPLUGIN_CORNER_POOL_KERNEL_H
#define TRTPLUGIN_CORNER_POOL_KERNEL_H

#include <trtreg/block.h>
#include <trtreg/pack.h>
#include <trtreg/scalar.h>

namespace corner_pool {

using trtreg::Pack;

constexpr int kAhead = 16;  // rows that a thread reads before it needs them

template <typename T>
struct Params {
  T const* x;  // [planes, height, width]
  T* y;
  int64_t planes, height, width;
  bool backward;  // from the last row to the first
};

// Down the columns: a thread has kSize of them.
template <typename T, int kSize>
__global__ void __launch_bounds__(trtreg::kThreads) vertical_kernel(Params<T> const p) {
  int64_t const packs = p.width / kSize;
  for (int64_t i = trtreg::thread_index(); i < p.planes * packs; i += trtreg::thread_count()) {
    auto const [plane, pack] = trtreg::divide(i, packs);
    int64_t const first = plane * p.height * p.width + pack * kSize + (p.backward ? (p.height - 1) * p.width : 0);
    int64_t const step = p.backward ? -p.width : p.width;
    float largest[kSize];
#pragma unroll
    for (float& each : largest) each = -INFINITY;
    for (int64_t row = 0; row < p.height; row += kAhead) {
      Pack<T, kSize> rows[kAhead];
#pragma unroll
      for (int r = 0; r < kAhead; ++r) {
        if (row + r < p.height) rows[r] = trtreg::load<T, kSize>(p.x + first + (row + r) * step);
      }
#pragma unroll
      for (int r = 0; r < kAhead; ++r) {
        if (row + r >= p.height) break;
#pragma unroll
        for (int k = 0; k < kSize; ++k) {
          largest[k] = trtreg::Largest{}(largest[k], trtreg::to_float(rows[r][k]));
          rows[r][k] = trtreg::from_float<T>(largest[k]);
        }
        trtreg::store(p.y + first + (row + r) * step, rows[r]);
      }
    }
  }
}

// Along the rows: a warp has one, and a lane kSize elements of it at a time, in the order of the scan.
template <typename T, int kSize, bool kBackward>
__global__ void __launch_bounds__(trtreg::kThreads) horizontal_kernel(Params<T> const p) {
  int const lane = static_cast<int>(threadIdx.x) % trtreg::kWarp;
  int64_t const packs = p.width / kSize;
  for (int64_t row = trtreg::thread_index() / trtreg::kWarp; row < p.planes * p.height;
       row += trtreg::thread_count() / trtreg::kWarp) {
    float before = -INFINITY;
    for (int64_t first = 0; first < packs; first += trtreg::kWarp) {
      int64_t const index = first + lane;
      int64_t const at = row * p.width + (kBackward ? packs - 1 - index : index) * kSize;
      float largest[kSize];
#pragma unroll
      for (float& each : largest) each = -INFINITY;
      if (index < packs) {
        auto const pack = trtreg::load<T, kSize>(p.x + at);
#pragma unroll
        for (int k = 0; k < kSize; ++k) largest[k] = trtreg::to_float(pack[kBackward ? kSize - 1 - k : k]);
      }
#pragma unroll
      for (int k = 1; k < kSize; ++k) largest[k] = trtreg::Largest{}(largest[k - 1], largest[k]);
      float const so_far = trtreg::warp_scan(largest[kSize - 1], trtreg::Largest{});
      float const neighbour = trtreg::shuffle_up(so_far, 1);
      float const earlier = lane == 0 ? before : trtreg::Largest{}(before, neighbour);
      before = trtreg::Largest{}(before, trtreg::shuffle_from(so_far, trtreg::kWarp - 1));
      if (index < packs) {
        Pack<T, kSize> pack;
#pragma unroll
        for (int k = 0; k < kSize; ++k) {
          float const value = trtreg::Largest{}(earlier, largest[k]);
          pack[kBackward ? kSize - 1 - k : k] = trtreg::from_float<T>(value);
        }
        trtreg::store(p.y + at, pack);
      }
    }
  }
}

}  // namespace corner_pool

#endif  // TRTPLUGIN_CORNER_POOL_KERNEL_H
