// Sorts many lists at once: each is cut into chunks, which blocks sort in shared memory and further passes merge.
//
// A key is a score and the place of its candidate, so no two keys of a list are equal, and the order is the same in
// every run: higher scores first, of equal ones the first candidate. 0 is no candidate; such keys come last.
#ifndef TRTPLUGIN_NMS_SORT_H
#define TRTPLUGIN_NMS_SORT_H

#include <trtreg/launch.h>
#include <trtreg/scalar.h>

#include <utility>

namespace nms {
namespace {

using Key = unsigned long long;

#ifdef TRTREG_ON_HOST
constexpr int64_t kLargestChunk = 128;  // so that small tests merge too
#else
constexpr int64_t kLargestChunk = 4096;  // 32 KB of shared memory, which every GPU has
#endif

// Unsigned numbers in the order of floats; NaN is not among them.
__device__ inline Key make_key(float score, int64_t place) {
  unsigned const bits = __float_as_uint(score == 0.f ? 0.f : score);  // -0 is as large as 0
  unsigned const ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return static_cast<Key>(ordered) << 32 | ~static_cast<unsigned>(place);
}
__device__ inline int64_t place_of(Key key) { return ~static_cast<unsigned>(key); }

// A block sorts one chunk, a power of two, of one list: a bitonic network. source(list, place) gives a key.
template <typename Source>
__global__ void __launch_bounds__(1024)
    sort_kernel(Source source, Key* keys, int64_t size, int64_t chunks, int64_t chunk) {
  Key* const shared = trtreg::dynamic_shared<Key>();
  trtreg::Quotient const block = trtreg::divide(blockIdx.x, chunks);
  int64_t const first = block.remainder * chunk;
  bool found = false;
  for (int64_t i = threadIdx.x; i < chunk; i += blockDim.x) {
    shared[i] = first + i < size ? source(block.quotient, first + i) : 0;
    found = found || shared[i] != 0;
  }
  if (__syncthreads_or(found)) {
    for (int64_t run = 2; run <= chunk; run *= 2) {
      for (int64_t step = run / 2; step > 0; step /= 2) {
        for (int64_t pair = threadIdx.x; pair < chunk / 2; pair += blockDim.x) {
          int64_t const i = 2 * pair - (pair & (step - 1));
          Key const a = shared[i];
          Key const b = shared[i + step];
          if ((a < b) == ((i & run) == 0)) {  // every other run ascends
            shared[i] = b;
            shared[i + step] = a;
          }
        }
        __syncthreads();
      }
    }
  }
  for (int64_t i = threadIdx.x; i < chunk && first + i < size; i += blockDim.x) {
    keys[block.quotient * size + first + i] = shared[i];
  }
}

// Merges neighbouring runs of `run` keys, a power of two: a key's new place is its own in its run, and the number of
// keys in the other run that come before it.
__global__ void merge_kernel(Key const* from, Key* to, int64_t lists, int64_t size, int64_t run) {
  for (int64_t i = trtreg::thread_index(); i < lists * size; i += trtreg::thread_count()) {
    trtreg::Quotient const at = trtreg::divide(i, size);
    int64_t const begin = at.remainder & -run;  // of this run
    bool const is_left = (begin & run) == 0;
    int64_t const pair = is_left ? begin : begin - run;
    int64_t low = is_left ? min(begin + run, size) : pair;
    int64_t high = is_left ? min(begin + 2 * run, size) : begin;
    int64_t const other = low;
    Key const key = from[i];
    Key const* const list = from + at.quotient * size;
    while (low < high) {
      int64_t const middle = (low + high) / 2;
      // Only zeros are equal; those of the left run stay before those of the right one.
      bool const before = is_left ? list[middle] > key : list[middle] >= key;
      low = before ? middle + 1 : low;
      high = before ? high : middle;
    }
    to[at.quotient * size + pair + (at.remainder - begin) + (low - other)] = key;
  }
}

// Sorts `lists` lists of `size` keys, and says which of the two arrays of that size has them.
template <typename Source>
Key* sort(cudaStream_t stream, Source const& source, int64_t lists, int64_t size, Key* keys, Key* other) {
  int64_t chunk = 64;
  while (chunk < std::min(size, kLargestChunk)) chunk *= 2;
  int64_t const chunks = trtreg::ceil_div(size, chunk);
  auto const threads = static_cast<int>(std::min<int64_t>(chunk / 2, 1024));
  trtreg::Grid const grid{lists * chunks, threads, static_cast<size_t>(chunk) * sizeof(Key)};
  trtreg::launch(sort_kernel<Source>, grid, stream, source, keys, size, chunks, chunk);
  for (int64_t run = chunk; run < size; run *= 2) {
    trtreg::launch(merge_kernel, trtreg::grid_for(lists * size), stream, keys, other, lists, size, run);
    std::swap(keys, other);
  }
  return keys;
}

}  // namespace
}  // namespace nms

#endif  // TRTPLUGIN_NMS_SORT_H
