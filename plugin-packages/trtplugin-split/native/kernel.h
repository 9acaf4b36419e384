// The kernels of Split: x is a matrix of which each output takes some columns.
#ifndef TRTPLUGIN_SPLIT_KERNEL_H
#define TRTPLUGIN_SPLIT_KERNEL_H

#include <trtreg/pack.h>

namespace split {

constexpr int kMost = 64;     // outputs: their addresses and places travel with the launch
constexpr int kTile = 16384;  // bytes of x that a block takes through shared memory

// x is a matrix of `rows` rows; output i takes its columns from begin[i] on, up to begin[i + 1]. The host counts
// columns in bytes; the kernels in numbers of up to 16 bytes, of which all parts and addresses are multiples.
struct Parts {
  int64_t rows;
  int64_t columns;
  int32_t count;
  int64_t begin[kMost + 1];
  void* y[kMost];
};

template <typename T>
__global__ void __launch_bounds__(trtreg::kThreads) split_kernel(T const* x, Parts const p) {
  int64_t const size = p.rows * p.columns;
  for (int64_t i = trtreg::thread_index(); i < size; i += trtreg::thread_count()) {
    trtreg::Quotient const at = trtreg::divide(i, p.columns);
    int part = 0;
    while (p.begin[part + 1] <= at.remainder) ++part;
    int64_t const width = p.begin[part + 1] - p.begin[part];
    static_cast<T*>(p.y[part])[at.quotient * width + at.remainder - p.begin[part]] = x[i];
  }
}

// For rows of a few bytes. A block takes some rows at a time, all that lie in kTile bytes of x, and of each output they
// make a run as well: both are read and written in pieces of 16 bytes, and only shared memory is accessed by elements.
struct Tiles {
  int32_t rows;             // of a tile: a multiple of 16, so that each run begins at a multiple of 16 bytes
  uint32_t inverse[kMost];  // 2^31 over the width of a part, rounded up: divides what is smaller than 2^15
};

template <typename T>
struct Tile {
  // Elements many columns apart would lie in the same bank, were it not for a gap after every 128 bytes.
  static constexpr uint32_t kGap = sizeof(T) < 4 ? 4 : sizeof(T);
  alignas(16) unsigned char bytes[kTile + kTile / 128 * kGap];

  template <typename U>
  __device__ U& at(uint32_t byte) {
    return *reinterpret_cast<U*>(bytes + byte + byte / 128 * kGap);
  }
};

template <typename T>
__global__ void __launch_bounds__(trtreg::kThreads) split_tiles_kernel(T const* x, Parts const p, Tiles const tiles) {
  constexpr uint32_t kPack = trtreg::kPackOf<T>;
  constexpr uint32_t kLoads = kTile / 16 / trtreg::kThreads;  // of a thread, on their way together
  using Piece = trtreg::Pack<uint32_t, 4>;
  __shared__ Tile<T> tile;
  auto const columns = static_cast<uint32_t>(p.columns);
  for (int64_t first = int64_t{blockIdx.x} * tiles.rows; first < p.rows; first += int64_t{gridDim.x} * tiles.rows) {
    auto const rows = static_cast<uint32_t>(p.rows - first < tiles.rows ? p.rows - first : tiles.rows);
    T const* const from = x + first * columns;
    uint32_t const bytes = rows * columns * static_cast<uint32_t>(sizeof(T));
    Piece pieces[kLoads];
#pragma unroll
    for (uint32_t i = 0; i < kLoads; ++i) {
      uint32_t const byte = (i * trtreg::kThreads + threadIdx.x) * 16;
      if (byte + 16 <= bytes) pieces[i] = *reinterpret_cast<Piece const*>(reinterpret_cast<char const*>(from) + byte);
    }
#pragma unroll
    for (uint32_t i = 0; i < kLoads; ++i) {
      uint32_t const byte = (i * trtreg::kThreads + threadIdx.x) * 16;
      if (byte + 16 <= bytes) {
#pragma unroll
        for (uint32_t word = 0; word < 4; ++word) tile.template at<uint32_t>(byte + word * 4) = pieces[i][word];
      } else {
        for (uint32_t each = byte; each < bytes; each += sizeof(T)) tile.template at<T>(each) = from[each / sizeof(T)];
      }
    }
    __syncthreads();

    // The pieces of all parts in a row, piece by piece to the threads.
    int part = -1;
    uint32_t begin = 0, end = 0;  // pieces of the part
    uint32_t place = 0, width = 0, size = 0;
    for (uint32_t piece = threadIdx.x;; piece += trtreg::kThreads) {
      while (piece >= end && ++part < p.count) {
        place = static_cast<uint32_t>(p.begin[part]);
        width = static_cast<uint32_t>(p.begin[part + 1]) - place;
        size = rows * width;
        begin = end;
        end += (size + kPack - 1) / kPack;
      }
      if (part >= p.count) break;
      uint32_t const element = (piece - begin) * kPack;
      auto const row = static_cast<uint32_t>(uint64_t{element} * tiles.inverse[part] >> 31);
      uint32_t column = element - row * width;
      uint32_t source = row * columns + place + column;
      T* const to = static_cast<T*>(p.y[part]) + first * width + element;
      trtreg::Pack<T, kPack> result;
#pragma unroll
      for (uint32_t k = 0; k < kPack; ++k) {
        if (element + k < size) result[k] = tile.template at<T>(source * sizeof(T));
        ++source;
        if (++column == width) {
          column = 0;
          source += columns - width;
        }
      }
      if (element + kPack <= size) {
        trtreg::store(to, result);
      } else {
#pragma unroll
        for (uint32_t k = 0; k < kPack; ++k) {
          if (element + k < size) to[k] = result[k];
        }
      }
    }
    __syncthreads();  // the next tile comes there
  }
}

template <typename T>
void run(cudaStream_t stream, T const* x, Parts p) {
  bool aligned = trtreg::aligned(16, x);
  for (int32_t i = 0; i <= p.count; ++i) {
    p.begin[i] /= static_cast<int64_t>(sizeof(T));
    if (i < p.count) aligned = aligned && trtreg::aligned(16, p.y[i]);
  }
  p.columns = p.begin[p.count];
  if constexpr (sizeof(T) < 16) {  // else all accesses are of 16 bytes already
    int64_t const row = p.columns * static_cast<int64_t>(sizeof(T));
    if (aligned && row > 0 && row * 16 <= kTile) {
      Tiles tiles{static_cast<int32_t>(kTile / row / 16 * 16), {}};
      for (int32_t i = 0; i < p.count; ++i) {
        int64_t const width = p.begin[i + 1] - p.begin[i];
        if (width > 0) tiles.inverse[i] = static_cast<uint32_t>(trtreg::ceil_div(int64_t{1} << 31, width));
      }
      return trtreg::launch(split_tiles_kernel<T>, {trtreg::grid_for(p.rows, tiles.rows, 1).blocks}, stream, x, p,
                            tiles);
    }
  }
  trtreg::launch(split_kernel<T>, trtreg::grid_for(p.rows * p.columns), stream, x, p);
}

// Columns of `p` are bytes; an output without elements has no address.
inline void run(cudaStream_t stream, void const* x, Parts const& p) {
  uintptr_t bits = 16 | reinterpret_cast<uintptr_t>(x);
  for (int32_t i = 0; i < p.count; ++i) {
    bits |= static_cast<uintptr_t>(p.begin[i + 1]) | reinterpret_cast<uintptr_t>(p.y[i]);
  }
  switch (bits & (~bits + 1)) {
    case 16:
      return run(stream, static_cast<trtreg::Pack<uint64_t, 2> const*>(x), p);
    case 8:
      return run(stream, static_cast<uint64_t const*>(x), p);
    case 4:
      return run(stream, static_cast<uint32_t const*>(x), p);
    case 2:
      return run(stream, static_cast<uint16_t const*>(x), p);
    default:
      return run(stream, static_cast<uint8_t const*>(x), p);
  }
}

}  // namespace split

#endif  // TRTPLUGIN_SPLIT_KERNEL_H
