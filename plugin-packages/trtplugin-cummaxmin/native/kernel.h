// The kernels: a scan over pairs of a value and its index. x is seen as [outer, length, inner]; a row is what lies
// along the middle axis.
//
// Where there are many rows side by side in memory, a thread walks down each. Else a block takes a row, or a warp a
// short one: chunk by chunk, and what it has found so far goes from one to the next. Where rows are too few for that,
// they are cut into parts, the largest of each part is found first, and each part begins with that of those before it.
#ifndef TRTPLUGIN_CUMMAXMIN_KERNEL_H
#define TRTPLUGIN_CUMMAXMIN_KERNEL_H

#include <trtreg/block.h>
#include <trtreg/pack.h>
#include <trtreg/scalar.h>

#include <type_traits>

namespace cummaxmin {

using trtreg::Pack;

constexpr int kBlock = 512;
constexpr int kItems = 16;  // of a thread, in a chunk
constexpr int kPack = 4;    // of which so many lie side by side: 16 bytes of indices
constexpr int kColumn = 8;  // of a thread that walks down a column
constexpr int64_t kChunk = kBlock * kItems;
constexpr int64_t kMaxParts = kBlock;  // of a row: one for each thread that puts them together

template <typename T>
struct Params {
  T const* x;
  T* values;
  int32_t* indices;
  int64_t outer, length, inner;
  int64_t parts, part_size;  // of a row
  bool smallest;             // and not the largest
};

// Values are compared as integers of the same order: one comparison, with NaN above all and -0 equal to 0.
template <typename T>
using Key = std::conditional_t<std::is_same_v<T, int64_t>, int64_t, int32_t>;

// Floats below 0 have their order reversed in their bits. 0x7fffffff, the largest key, is a NaN as a float, too.
__device__ inline int32_t ordered(int32_t bits) { return bits ^ ((bits >> 31) & 0x7fffffff); }

// The smallest value has the largest key if `smallest`.
template <typename T>
__device__ Key<T> to_key(T value, bool smallest) {
  if constexpr (trtreg::is_floating<T>) {
    float const wide = fmaf(trtreg::to_float(value), smallest ? -1.f : 1.f, 0.f);  // 0 of -0
    return wide != wide ? trtreg::highest<int32_t>() : ordered(__float_as_int(wide));
  } else {
    return smallest ? ~value : value;
  }
}

template <typename T>
__device__ T from_key(Key<T> key, bool smallest) {
  if constexpr (trtreg::is_floating<T>) {
    return trtreg::from_float<T>(fmaf(__int_as_float(ordered(key)), smallest ? -1.f : 1.f, 0.f));
  } else {
    return smallest ? ~key : key;
  }
}

template <typename T>
struct Entry {
  Key<T> key;
  int32_t index;
};

struct Later {  // the later one where it is as large, as in PyTorch
  template <typename T>
  __device__ Entry<T> operator()(Entry<T> const& a, Entry<T> const& b) const {
    bool const is_b = b.key >= a.key;
    return {is_b ? b.key : a.key, is_b ? b.index : a.index};
  }
};

// What comes before the first element, and loses against any.
template <typename T>
__device__ Entry<T> nothing() {
  return {trtreg::lowest<Key<T>>(), -1};
}

// A thread's items lie in packs of kPack, and those of the other lanes of its warp between them: then what a warp reads
// or writes at once lies side by side. Where item `item` lies, from the first on:
template <int kLanes>
__device__ constexpr int place_of(int item) {
  return item / kPack * kLanes * kPack + item % kPack;
}

// A piece of a row, the part of which that a thread has begins at `first`.
struct Chunk {
  int64_t offset;  // of the thread's first item in memory
  uint32_t first;  // its index in the row
  int32_t left;    // so many elements of the row, or part, are there from it on; below 0 where the thread has none
};

// The items of a thread. What would lie behind the end is the last element again: in a scan it comes after everything
// that is written. They are used by `entries` only, so that nothing waits for them before.
template <int kLanes, bool kPacked, typename T, int kCount>
__device__ void read(Params<T> const& p, Chunk const& chunk, T (&items)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; i += kPack) {
    int const at = place_of<kLanes>(i);
    if constexpr (kPacked) {
      auto const pack = trtreg::load<T, kPack>(p.x + chunk.offset + min(at, chunk.left - kPack));
#pragma unroll
      for (int k = 0; k < kPack; ++k) items[i + k] = pack[k];
    } else {
#pragma unroll
      for (int k = 0; k < kPack; ++k) items[i + k] = p.x[chunk.offset + min(at + k, chunk.left - 1) * p.inner];
    }
  }
}

template <int kLanes, typename T, int kCount>
__device__ void entries(Params<T> const& p, Chunk const& chunk, T const (&items)[kCount], Entry<T> (&result)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    result[i] = {to_key(items[i], p.smallest), static_cast<int32_t>(chunk.first + place_of<kLanes>(i))};
  }
}

template <int kLanes, bool kPacked, typename T, int kCount>
__device__ void write(Params<T> const& p, Chunk const& chunk, Entry<T> const (&items)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; i += kPack) {
    int const at = place_of<kLanes>(i);
    if constexpr (kPacked) {
      if (at >= chunk.left) break;
      Pack<T, kPack> values;
      Pack<int32_t, kPack> indices;
#pragma unroll
      for (int k = 0; k < kPack; ++k) {
        values[k] = from_key<T>(items[i + k].key, p.smallest);
        indices[k] = items[i + k].index;
      }
      trtreg::store(p.values + chunk.offset + at, values);
      trtreg::store(p.indices + chunk.offset + at, indices);
    } else {
#pragma unroll
      for (int k = 0; k < kPack; ++k) {
        if (at + k >= chunk.left) break;
        p.values[chunk.offset + (at + k) * p.inner] = from_key<T>(items[i + k].key, p.smallest);
        p.indices[chunk.offset + (at + k) * p.inner] = items[i + k].index;
      }
    }
  }
}

// Where row `row` begins.
template <typename T>
__device__ int64_t offset_of(Params<T> const& p, int64_t row) {
  auto const [outside, inside] = trtreg::divide(row, p.inner);
  return outside * p.length * p.inner + inside;
}

// What comes before this warp: `before` and the totals of the warps before it. `total` gets that and those of all.
template <int kThreads, typename T>
__device__ Entry<T> before_warp(Entry<T> const before, Entry<T> const& mine, Entry<T>& total) {
  if constexpr (kThreads == trtreg::kWarp) {
    total = Later{}(before, mine);
    return before;
  } else {
    constexpr int kWarps = kThreads / trtreg::kWarp;
    __shared__ trtreg::detail::WarpValues<Entry<T>> warps;
    int const warp = static_cast<int>(threadIdx.x) / trtreg::kWarp;
    int const lane = static_cast<int>(threadIdx.x) % trtreg::kWarp;
    if (lane == 0) warps.set(warp, mine);
    __syncthreads();
    Entry<T> const each = trtreg::warp_scan(lane < kWarps ? warps.get(lane) : nothing<T>(), Later{});
    __syncthreads();  // the next call writes there
    total = Later{}(before, trtreg::shuffle_from(each, kWarps - 1));
    Entry<T> const earlier = trtreg::shuffle_from(each, warp == 0 ? 0 : warp - 1);
    return warp == 0 ? before : Later{}(before, earlier);
  }
}

// The chunk of a row that begins at `begin`, as kThreads threads share it, each with kCount items.
template <int kThreads, int kCount, typename T>
__device__ Chunk chunk_at(Params<T> const& p, int64_t row, int64_t begin, int64_t end) {
  int const thread = static_cast<int>(threadIdx.x) % kThreads;
  int64_t const first = begin + thread / trtreg::kWarp * trtreg::kWarp * kCount + thread % trtreg::kWarp * kPack;
  return {row + first * p.inner, static_cast<uint32_t>(first), static_cast<int32_t>(end - first)};
}

// The largest element of each part of a row, and where.
template <typename T, bool kPacked>
__global__ void __launch_bounds__(kBlock) parts_kernel(Params<T> const p, Entry<T>* largest) {
  auto const [row, part] = trtreg::divide(blockIdx.x, p.parts);
  int64_t const offset = offset_of(p, row);
  int64_t const end = min(p.length, (part + 1) * p.part_size);
  Entry<T> found = nothing<T>();
  for (int64_t begin = part * p.part_size; begin < end; begin += kChunk) {
    Chunk const chunk = chunk_at<kBlock, kItems>(p, offset, begin, end);
    T values[kItems];
    Entry<T> items[kItems];
    read<trtreg::kWarp, kPacked>(p, chunk, values);
    entries<trtreg::kWarp>(p, chunk, values, items);
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      if (place_of<trtreg::kWarp>(i) < chunk.left) found = Later{}(found, items[i]);
    }
  }
  // A thread has taken elements of every chunk, so of two threads the one on the right need not have the later one.
  found = trtreg::block_reduce<kBlock>(
      found, [](Entry<T> const& a, Entry<T> const& b) { return a.index < b.index ? Later{}(a, b) : Later{}(b, a); });
  if (threadIdx.x == 0) largest[blockIdx.x] = found;
}

// kThreads threads, a block or a warp of one, for each part of a row. `largest` has what parts_kernel found; null where
// a row is one part.
template <typename T, int kThreads, int kCount, bool kPacked>
__global__ void __launch_bounds__(kThreads == trtreg::kWarp ? trtreg::kThreads : kThreads)
    rows_kernel(Params<T> const p, Entry<T> const* largest) {
  int const groups = static_cast<int>(blockDim.x) / kThreads;
  int64_t index = static_cast<int64_t>(blockIdx.x) * groups + threadIdx.x / kThreads;
  for (; index < p.outer * p.inner * p.parts; index += static_cast<int64_t>(gridDim.x) * groups) {
    auto const [row, part] = trtreg::divide(index, p.parts);
    int64_t const offset = offset_of(p, row);
    int64_t const end = min(p.length, (part + 1) * p.part_size);
    Entry<T> before = nothing<T>();
    if constexpr (kThreads > trtreg::kWarp) {
      if (largest) {
        if (threadIdx.x < part) before = largest[row * p.parts + threadIdx.x];
        // The threads behind have nothing, which would win against an equal value.
        before = trtreg::block_reduce<kThreads>(
            before, [](Entry<T> const& a, Entry<T> const& b) { return b.index < 0 ? a : Later{}(a, b); });
      }
    }
    int64_t begin = part * p.part_size;
    Chunk chunk = chunk_at<kThreads, kCount>(p, offset, begin, end);
    T values[kCount];
    read<trtreg::kWarp, kPacked>(p, chunk, values);
    while (begin < end) {
      Entry<T> items[kCount];
      entries<trtreg::kWarp>(p, chunk, values, items);
      begin += kThreads * kCount;
      Chunk const next = chunk_at<kThreads, kCount>(p, offset, begin, end);

      // Of the warp, before each pack: what the lanes before have of it, and all packs that came earlier.
      Entry<T> earlier[kCount / kPack];
      Entry<T> warp_total = nothing<T>();
#pragma unroll
      for (int pack = 0; pack < kCount / kPack; ++pack) {
        Entry<T>* const of_pack = items + pack * kPack;
#pragma unroll
        for (int k = 1; k < kPack; ++k) of_pack[k] = Later{}(of_pack[k - 1], of_pack[k]);
        Entry<T> const so_far = trtreg::warp_scan(of_pack[kPack - 1], Later{});
        Entry<T> const neighbour = trtreg::shuffle_up(so_far, 1);
        earlier[pack] = threadIdx.x % trtreg::kWarp == 0 ? warp_total : Later{}(warp_total, neighbour);
        warp_total = Later{}(warp_total, trtreg::shuffle_from(so_far, trtreg::kWarp - 1));
      }
      Entry<T> const outside = before_warp<kThreads>(before, warp_total, before);
#pragma unroll
      for (int i = 0; i < kCount; ++i) items[i] = Later{}(Later{}(outside, earlier[i / kPack]), items[i]);
      read<trtreg::kWarp, kPacked>(p, next, values);  // before the stores, behind which they would wait
      write<trtreg::kWarp, kPacked>(p, chunk, items);
      chunk = next;
    }
  }
}

// A thread for each row; rows lie side by side.
template <typename T>
__global__ void __launch_bounds__(trtreg::kThreads) columns_kernel(Params<T> const p) {
  for (int64_t row = trtreg::thread_index(); row < p.outer * p.inner; row += trtreg::thread_count()) {
    int64_t const offset = offset_of(p, row);
    Entry<T> before = nothing<T>();
    for (int64_t first = 0; first < p.length; first += kColumn) {
      Chunk const chunk{offset + first * p.inner, static_cast<uint32_t>(first), static_cast<int32_t>(p.length - first)};
      T values[kColumn];
      Entry<T> items[kColumn];
      read<1, false>(p, chunk, values);
      entries<1>(p, chunk, values, items);
#pragma unroll
      for (Entry<T>& item : items) item = before = Later{}(before, item);
      write<1, false>(p, chunk, items);
    }
  }
}

}  // namespace cummaxmin

#endif  // TRTPLUGIN_CUMMAXMIN_KERNEL_H
