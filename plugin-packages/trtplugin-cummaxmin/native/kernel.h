// The kernels: a scan over pairs of a value and its index. x is seen as [outer, length, inner]; a row is what lies
// along the middle axis.
//
// Where there are many rows side by side in memory, a thread walks down some of them. Else a warp takes a short row,
// and a block a longer one. Where rows are too few for that, they are cut into parts, the largest of each part is found
// first, and each part begins with that of those before it.
#ifndef TRTPLUGIN_CUMMAXMIN_KERNEL_H
#define TRTPLUGIN_CUMMAXMIN_KERNEL_H

#include <trtreg/block.h>
#include <trtreg/pack.h>
#include <trtreg/scalar.h>

#include <type_traits>

namespace cummaxmin {

using trtreg::kWarp;
using trtreg::Pack;

constexpr int kBlock = 512;
constexpr int kPack = 4;          // items of a thread that lie side by side: 16 bytes of indices
constexpr int kColumn = 4;        // of a column, that a thread reads at once
constexpr int kWide = 4;          // columns of a thread, where their number allows
constexpr int64_t kFewRows = 64;  // which are cut into about kParts parts in all
constexpr int64_t kParts = 256;

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

template <typename T>
constexpr int kItems = sizeof(Key<T>) == 4 ? 32 : 16;  // of a thread, in a chunk: as many as registers hold
template <typename T>
constexpr int64_t kPiece = kWarp * kItems<T>;  // what a warp has of a chunk
template <typename T>
constexpr int64_t kChunk = kBlock * kItems<T>;

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

// What comes before the first element, and loses against any that follows.
template <typename T>
__device__ Entry<T> nothing() {
  return {trtreg::lowest<Key<T>>(), -1};
}

__device__ inline int lane_of_thread() { return static_cast<int>(threadIdx.x) % kWarp; }
__device__ inline int last_of(unsigned lanes) { return 31 - __clz(static_cast<int>(lanes)); }

// What the lanes before this one have: nothing before lane 0. `total` gets that of all. The keys are scanned alone; the
// last lane so far whose own key is the largest has the index.
template <typename T>
__device__ Entry<T> lanes_before(Entry<T> const& mine, Entry<T>& total) {
  int const lane = lane_of_thread();
  Key<T> const largest = trtreg::warp_scan(mine.key, trtreg::Largest{});
  unsigned const leaders = __ballot_sync(0xffffffffu, mine.key == largest);
  total = {trtreg::shuffle_from(largest, kWarp - 1), trtreg::shuffle_from(mine.index, last_of(leaders))};
  unsigned const earlier = leaders & ((1u << lane) - 1);
  Key<T> const key = trtreg::shuffle_up(largest, 1);
  int32_t const index = trtreg::shuffle_from(mine.index, earlier ? last_of(earlier) : 0);
  return lane == 0 ? nothing<T>() : Entry<T>{key, index};
}

// A thread's items lie in packs of kPack, and those of the other lanes of its warp between them: then what a warp reads
// or writes at once lies side by side. Where item `item` lies, from the first on:
__device__ constexpr int place_of(int item) { return item / kPack * kWarp * kPack + item % kPack; }

// A piece of a row, the part of which that a thread has begins at `first`.
struct Chunk {
  int64_t offset;  // of the thread's first item in memory
  uint32_t first;  // its index in the row
  int32_t left;    // so many elements of the row are there from it on; below 0 where the thread has none
};

// Where row `row` begins. Rows of packs have no others beside them.
template <bool kPacked, typename T>
__device__ int64_t offset_of(Params<T> const& p, int64_t row) {
  if (kPacked) return row * p.length;
  auto const [outside, inside] = trtreg::divide(row, p.inner);
  return outside * p.length * p.inner + inside;
}

// What the lane has of the items of row `row` from `begin` on, up to `end`.
template <bool kPacked, typename T>
__device__ Chunk chunk_at(Params<T> const& p, int64_t row, int64_t begin, int64_t end) {
  int64_t const first = begin + lane_of_thread() * kPack;
  int64_t const offset = offset_of<kPacked>(p, row) + first * (kPacked ? 1 : p.inner);
  return {offset, static_cast<uint32_t>(first), static_cast<int32_t>(end - first)};
}

// The items of a thread. What would lie behind the end is the last element again: in a scan it comes after everything
// that is written.
template <bool kPacked, typename T, int kCount>
__device__ void read(Params<T> const& p, Chunk const& chunk, T (&items)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; i += kPack) {
    int const at = place_of(i);
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

// What of the warp's items comes before each pack of the thread's; the result is what all of them make.
template <typename T, int kCount>
__device__ Entry<T> scan(Chunk const& chunk, Key<T> const (&keys)[kCount], Entry<T> (&earlier)[kCount / kPack]) {
  Entry<T> total = nothing<T>();
#pragma unroll
  for (int pack = 0; pack < kCount / kPack; ++pack) {
    Entry<T> mine = nothing<T>();
#pragma unroll
    for (int i = pack * kPack; i < (pack + 1) * kPack; ++i) {
      mine = Later{}(mine, Entry<T>{keys[i], static_cast<int32_t>(chunk.first + place_of(i))});
    }
    Entry<T> of_pack;
    Entry<T> const before = lanes_before(mine, of_pack);
    earlier[pack] = lane_of_thread() == 0 ? total : Later{}(total, before);
    total = Later{}(total, of_pack);
  }
  return total;
}

// The results: `outside` comes before the warp's items, `earlier` between them and a pack.
template <bool kPacked, typename T, int kCount>
__device__ void write(Params<T> const& p, Chunk const& chunk, Key<T> const (&keys)[kCount], Entry<T> const& outside,
                      Entry<T> const (&earlier)[kCount / kPack]) {
#pragma unroll
  for (int i = 0; i < kCount; i += kPack) {
    int const at = place_of(i);
    Entry<T> found = Later{}(outside, earlier[i / kPack]);
    Pack<T, kPack> values;
    Pack<int32_t, kPack> indices;
#pragma unroll
    for (int k = 0; k < kPack; ++k) {
      found = Later{}(found, Entry<T>{keys[i + k], static_cast<int32_t>(chunk.first + at + k)});
      values[k] = from_key<T>(found.key, p.smallest);
      indices[k] = found.index;
    }
    if constexpr (kPacked) {
      if (at >= chunk.left) break;
      trtreg::store(p.values + chunk.offset + at, values);
      trtreg::store(p.indices + chunk.offset + at, indices);
    } else {
#pragma unroll
      for (int k = 0; k < kPack; ++k) {
        if (at + k >= chunk.left) break;
        p.values[chunk.offset + (at + k) * p.inner] = values[k];
        p.indices[chunk.offset + (at + k) * p.inner] = indices[k];
      }
    }
  }
}

// --------------------------------------------------------------------------------------------------------- long rows
// The later of two entries that come in any order; one may be nothing.
struct LaterOfAny {
  template <typename T>
  __device__ Entry<T> operator()(Entry<T> const& a, Entry<T> const& b) const {
    return a.index < b.index ? Later{}(a, b) : b.index < 0 ? a : Later{}(b, a);
  }
};

// The largest element of each part of a row, and where.
template <typename T, bool kPacked>
__global__ void __launch_bounds__(kBlock) parts_kernel(Params<T> const p, Entry<T>* largest) {
  auto const [row, part] = trtreg::divide(blockIdx.x, p.parts);
  int64_t const end = min(p.length, (part + 1) * p.part_size);
  Entry<T> found = nothing<T>();
  for (int64_t begin = part * p.part_size + threadIdx.x / kWarp * kPiece<T>; begin < end; begin += kChunk<T>) {
    Chunk const chunk = chunk_at<kPacked>(p, row, begin, end);
    T items[kItems<T>];
    read<kPacked>(p, chunk, items);
#pragma unroll
    for (int i = 0; i < kItems<T>; ++i) {
      Entry<T> const item{to_key(items[i], p.smallest), static_cast<int32_t>(chunk.first + place_of(i))};
      if (place_of(i) < chunk.left) found = Later{}(found, item);
    }
  }
  found = trtreg::block_reduce<kBlock>(found, LaterOfAny{});
  if (threadIdx.x == 0) largest[blockIdx.x] = found;
}

// A warp hands what has been found to the next one in words of shared memory, each with a half of the key, or all of
// it, below the index. Whoever takes a word leaves it empty: no word is written that has not been taken.
constexpr unsigned long long kEmpty = ~0ull;

template <typename T>
constexpr int kWords = sizeof(Key<T>) / sizeof(uint32_t);

template <typename T>
__device__ void give(unsigned long long* words, Entry<T> const& found) {
  int const lane = lane_of_thread();
  if (lane < kWords<T>) {
    auto const half = static_cast<uint32_t>(static_cast<uint64_t>(found.key) >> 32 * lane);
    atomicExch(words + lane, static_cast<unsigned long long>(found.index) << 32 | half);
  }
}

template <typename T>
__device__ Entry<T> take(unsigned long long* words) {
  int const lane = lane_of_thread();
  unsigned long long word = kEmpty;
  while (lane < kWords<T> && word == kEmpty) word = atomicExch(words + lane, kEmpty);
  __syncwarp();
  uint64_t key = 0;
#pragma unroll
  for (int i = 0; i < kWords<T>; ++i) key |= (trtreg::shuffle_from(word, i) & 0xffffffffu) << 32 * i;
  return {static_cast<Key<T>>(key), static_cast<int32_t>(trtreg::shuffle_from(word, 0) >> 32)};
}

// A block for each part of a row. Its warps take pieces in turns, and what has been found so far goes from one to the
// next, without a barrier: while some read, others write. `largest` has what parts_kernel found; null where a row is
// one part.
template <typename T, bool kPacked>
__global__ void __launch_bounds__(kBlock) rows_kernel(Params<T> const p, Entry<T> const* largest) {
  constexpr int kWarps = kBlock / kWarp;
  __shared__ unsigned long long words[kWarps][kWords<T>];  // what the warp before has found
  int const warp = static_cast<int>(threadIdx.x) / kWarp;
  int const lane = lane_of_thread();
  if (lane < kWords<T>) words[warp][lane] = kEmpty;
  __syncthreads();
  auto const [row, part] = trtreg::divide(blockIdx.x, p.parts);
  int64_t const first = part * p.part_size;
  int64_t const end = min(p.length, first + p.part_size);
  int64_t begin = first + warp * kPiece<T>;
  if (begin >= end) return;
  Chunk chunk = chunk_at<kPacked>(p, row, begin, end);
  T items[kItems<T>];
  read<kPacked>(p, chunk, items);
  Entry<T> outside = nothing<T>();
  if (begin == first) {
    for (int64_t i = lane; i < part; i += kWarp) outside = Later{}(outside, largest[row * p.parts + i]);
    outside = trtreg::warp_reduce(outside, LaterOfAny{});
  }
  for (;;) {
    Key<T> keys[kItems<T>];
#pragma unroll
    for (int i = 0; i < kItems<T>; ++i) keys[i] = to_key(items[i], p.smallest);
    Entry<T> earlier[kItems<T> / kPack];
    Entry<T> const of_warp = scan<T>(chunk, keys, earlier);
    int64_t const next_begin = begin + kChunk<T>;
    bool const more = next_begin < end;
    Chunk const next = more ? chunk_at<kPacked>(p, row, next_begin, end) : chunk;
    if (more) read<kPacked>(p, next, items);  // before the stores, behind which it would wait
    if (begin > first) outside = take<T>(words[warp]);
    give(words[(warp + 1) % kWarps], Later{}(outside, of_warp));
    write<kPacked>(p, chunk, keys, outside, earlier);
    if (!more) break;
    begin = next_begin;
    chunk = next;
  }
}

// -------------------------------------------------------------------------------------------------------- short rows
// A warp for each row. What is next is read before this is written, behind which it would wait.
template <typename T, bool kPacked>
__global__ void __launch_bounds__(trtreg::kThreads) warps_kernel(Params<T> const p) {
  constexpr int kAtOnce = kWarp * kPack;
  int64_t row = trtreg::thread_index() / kWarp;
  if (row >= p.outer * p.inner) return;
  int64_t begin = 0;
  Chunk chunk = chunk_at<kPacked>(p, row, begin, p.length);
  T items[kPack];
  read<kPacked>(p, chunk, items);
  Entry<T> before = nothing<T>();
  for (bool more = true; more;) {
    Key<T> keys[kPack];
#pragma unroll
    for (int i = 0; i < kPack; ++i) keys[i] = to_key(items[i], p.smallest);
    Entry<T> earlier[1];
    Entry<T> const total = scan<T>(chunk, keys, earlier);
    Entry<T> const outside = before;
    before = Later{}(before, total);
    begin += kAtOnce;
    if (begin >= p.length) {
      row += trtreg::thread_count() / kWarp;
      begin = 0;
      before = nothing<T>();
    }
    more = row < p.outer * p.inner;
    Chunk next{};
    if (more) {
      next = chunk_at<kPacked>(p, row, begin, p.length);
      read<kPacked>(p, next, items);
    }
    write<kPacked>(p, chunk, keys, outside, earlier);
    chunk = next;
  }
}

// ----------------------------------------------------------------------------------------------------------- columns
template <typename T, int kSide>
__device__ void read_columns(Params<T> const& p, int64_t offset, int64_t first, Pack<T, kSide> (&items)[kColumn]) {
#pragma unroll
  for (int i = 0; i < kColumn; ++i) {
    items[i] = trtreg::load<T, kSide>(p.x + offset + min(first + i, p.length - 1) * p.inner);
  }
}

// A thread for kSide rows, which lie side by side.
template <typename T, int kSide>
__global__ void __launch_bounds__(trtreg::kThreads) columns_kernel(Params<T> const p) {
  int64_t const rows = p.outer * p.inner;
  for (int64_t row = trtreg::thread_index() * kSide; row < rows; row += trtreg::thread_count() * kSide) {
    int64_t const offset = offset_of<false>(p, row);
    Entry<T> found[kSide];
#pragma unroll
    for (Entry<T>& each : found) each = nothing<T>();
    Pack<T, kSide> next[kColumn];
    read_columns(p, offset, 0, next);
    for (int64_t first = 0; first < p.length; first += kColumn) {
      Pack<T, kSide> items[kColumn];
#pragma unroll
      for (int i = 0; i < kColumn; ++i) items[i] = next[i];
      read_columns(p, offset, first + kColumn, next);  // before the stores, behind which it would wait
#pragma unroll
      for (int i = 0; i < kColumn; ++i) {
        if (first + i >= p.length) break;
        Pack<int32_t, kSide> indices;
#pragma unroll
        for (int k = 0; k < kSide; ++k) {
          found[k] = Later{}(found[k], Entry<T>{to_key(items[i][k], p.smallest), static_cast<int32_t>(first + i)});
          items[i][k] = from_key<T>(found[k].key, p.smallest);
          indices[k] = found[k].index;
        }
        trtreg::store(p.values + offset + (first + i) * p.inner, items[i]);
        trtreg::store(p.indices + offset + (first + i) * p.inner, indices);
      }
    }
  }
}

}  // namespace cummaxmin

#endif  // TRTPLUGIN_CUMMAXMIN_KERNEL_H
