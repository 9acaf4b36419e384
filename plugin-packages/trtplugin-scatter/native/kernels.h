// How an update reaches its place, and the kernels that bring them there.
#ifndef TRTPLUGIN_SCATTER_KERNELS_H
#define TRTPLUGIN_SCATTER_KERNELS_H

#include <trtreg/block.h>
#include <trtreg/launch.h>
#include <trtreg/pack.h>
#include <trtreg/scalar.h>

#include <cstring>

namespace {

constexpr int kRank = 8;

enum class Reduction : int32_t { kNone, kAdd, kMul, kMax, kMin };

// What is combined is kept in: float for the floating types, so that the result is rounded once.
template <typename T>
using Accumulator = std::conditional_t<trtreg::is_floating<T>, float, T>;

template <typename To, typename From>
__device__ To convert(From value) {
  if constexpr (std::is_same_v<To, From>) {
    return value;
  } else if constexpr (std::is_same_v<To, float>) {
    return trtreg::to_float(value);
  } else {
    return trtreg::from_float<To>(value);
  }
}

// Puts an update in its place as it is.
struct Store {
  template <typename T>
  __device__ void operator()(T* address, T value) const {
    *address = value;
  }
};

// Combines an update with what is in its place; many threads may do so at once.
struct Combine {
  Reduction reduction;

  template <typename A, typename T>
  __device__ void operator()(A* address, T update) const {
    using Bits = std::conditional_t<sizeof(A) == 4, unsigned, unsigned long long>;
    A const value = convert<A>(update);
    if (reduction == Reduction::kNone) {
      *address = value;
    } else if (reduction == Reduction::kAdd) {
      if constexpr (std::is_same_v<A, float>) {
        atomicAdd(address, value);
      } else {
        atomicAdd(reinterpret_cast<Bits*>(address), static_cast<Bits>(value));
      }
    } else {
      auto* const place = reinterpret_cast<Bits*>(address);
      Bits old = *place;
      while (true) {
        A const before = bits_as<A>(old);
        Bits const after = bits_as<Bits>(apply(before, value));
        if (after == old) return;
        Bits const seen = atomicCAS(place, old, after);
        if (seen == old) return;
        old = seen;
      }
    }
  }

 private:
  template <typename To, typename From>
  __device__ static To bits_as(From value) {
    To result;
    memcpy(&result, &value, sizeof result);
    return result;
  }
  template <typename A>
  __device__ A apply(A a, A b) const {
    if (reduction == Reduction::kMax) return trtreg::Largest{}(a, b);
    if (reduction == Reduction::kMin) return trtreg::Smallest{}(a, b);
    if constexpr (std::is_same_v<A, float>) {
      return a * b;
    } else {
      return static_cast<A>(static_cast<std::make_unsigned_t<A>>(a) * static_cast<std::make_unsigned_t<A>>(b));
    }
  }
};

// int32 or int64.
struct Indices {
  void const* data;
  bool wide;

  // From the end where it is negative; -1 where it is outside of [-size, size).
  __device__ static int64_t place(int64_t index, int64_t size) {
    int64_t const result = index < 0 ? index + size : index;
    return result >= 0 && result < size ? result : -1;
  }
  __device__ int64_t get(int64_t i, int64_t size) const {
    return place(wide ? static_cast<int64_t const*>(data)[i] : static_cast<int32_t const*>(data)[i], size);
  }
  // kPack of them at once, as they are.
  template <int kPack>
  __device__ trtreg::Pack<int64_t, kPack> load(int64_t i) const {
    if (wide) return trtreg::load<int64_t, kPack>(static_cast<int64_t const*>(data) + i);
    auto const narrow = trtreg::load<int32_t, kPack>(static_cast<int32_t const*>(data) + i);
    trtreg::Pack<int64_t, kPack> result;
#pragma unroll
    for (int k = 0; k < kPack; ++k) result[k] = narrow[k];
    return result;
  }
};

struct Extents {
  int32_t rank;
  int64_t sizes[kRank];
  int64_t steps[kRank];
};

// ScatterND: row r of the indices says where slice r of the updates goes; data.rank indices to a row.
template <typename Put, typename A, typename T>
__global__ void slices_kernel(Put put, A* y, Indices indices, T const* updates, Extents data, int64_t rows,
                              int64_t slice) {
  for (int64_t i = trtreg::thread_index(); i < rows * slice; i += trtreg::thread_count()) {
    trtreg::Quotient const at = trtreg::divide(i, slice);
    int64_t to = at.remainder;
    bool inside = true;
    for (int axis = 0; axis < data.rank; ++axis) {
      int64_t const index = indices.get(at.quotient * data.rank + axis, data.sizes[axis]);
      inside = inside && index >= 0;
      to += index * data.steps[axis];
    }
    if (inside) put(y + to, updates[i]);
  }
}

// ScatterElements, from anywhere to anywhere: `shape` has the sizes of the indices and the steps of the data.
template <typename Put, typename A, typename T>
__global__ void elements_kernel(Put put, A* y, Indices indices, T const* updates, Extents shape, int axis, int64_t size,
                                int64_t count) {
  for (int64_t i = trtreg::thread_index(); i < count; i += trtreg::thread_count()) {
    int64_t const index = indices.get(i, size);
    if (index < 0) continue;
    int64_t to = index * shape.steps[axis];
    int64_t rest = i;
    for (int d = shape.rank - 1; d >= 0; --d) {
      trtreg::Quotient const at = trtreg::divide(rest, shape.sizes[d]);
      if (d != axis) to += at.remainder * shape.steps[d];
      rest = at.quotient;
    }
    put(y + to, updates[i]);
  }
}

// ScatterElements in one pass: lines of the axis in shared memory, where the updates are combined. A line is one place
// of the `inner` dimensions behind the axis, in one of the outer ones.
struct Lines {
  int64_t count;    // of lines
  int64_t inner;    // elements from one of a line to the next
  int64_t size;     // elements of a line
  int64_t updates;  // of a line
  int per_block;    // a power of two
};

// As many As as 16 bytes have room for, but no more than kPack.
template <typename A, int kPack>
constexpr int kWord = kPack < 16 / static_cast<int>(sizeof(A)) ? kPack : 16 / static_cast<int>(sizeof(A));

// A pack to and from shared memory, 16 bytes at once: one pack has elements one after the other, in aligned memory.
template <typename T, int kPack, typename A>
__device__ void to_shared(A* address, trtreg::Pack<T, kPack> const& pack) {
#pragma unroll
  for (int k = 0; k < kPack; k += kWord<A, kPack>) {
    trtreg::Pack<A, kWord<A, kPack>> word;
#pragma unroll
    for (int i = 0; i < kWord<A, kPack>; ++i) word[i] = convert<A>(pack[k + i]);
    trtreg::store(address + k, word);
  }
}
template <typename T, int kPack, typename A>
__device__ trtreg::Pack<T, kPack> from_shared(A const* address) {
  trtreg::Pack<T, kPack> pack;
#pragma unroll
  for (int k = 0; k < kPack; k += kWord<A, kPack>) {
    auto const word = trtreg::load<A, kWord<A, kPack>>(address + k);
#pragma unroll
    for (int i = 0; i < kWord<A, kPack>; ++i) pack[k + i] = convert<T>(word[i]);
  }
  return pack;
}

// Threads take kPack neighbours of a line at once, and read a few such packs before they use the first: what waits for
// memory is many reads, not one.
template <typename T, int kPack>
__global__ void __launch_bounds__(trtreg::kThreads)
    lines_kernel(Combine combine, T const* x, Indices indices, T const* updates, T* y, Lines lines) {
  using A = Accumulator<T>;
  using Pack = trtreg::Pack<T, kPack>;
  constexpr int kBatch = kPack == 1 ? 4 : 2;
  A* const shared = trtreg::dynamic_shared<A>();
  int const threads = trtreg::kThreads / lines.per_block;  // of a line
  // Threads that follow one another have neighbours in memory: elements of a line, or lines.
  bool const along = lines.inner == 1;
  int const thread = static_cast<int>(threadIdx.x);
  int const line = along ? thread / threads : thread % lines.per_block;
  int64_t const first = (along ? thread % threads : thread / lines.per_block) * kPack;
  int64_t const stride = threads * kPack;
  int64_t const begin = line * (along ? lines.size : 1);
  int64_t const step = along ? 1 : lines.per_block;
  int64_t const number = static_cast<int64_t>(blockIdx.x) * lines.per_block + line;
  bool const mine = number < lines.count;
  trtreg::Quotient const at = trtreg::divide(number, lines.inner);
  int64_t const data = at.quotient * lines.size * lines.inner + at.remainder;
  int64_t const source = at.quotient * lines.updates * lines.inner + at.remainder;
  int64_t const size = mine ? lines.size : 0;
  int64_t const count = mine ? lines.updates : 0;

  for (int64_t i = first; i < size; i += kBatch * stride) {
    Pack packs[kBatch];
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      int64_t const from = i + b * stride;
      if (from < size) packs[b] = trtreg::load<T, kPack>(x + data + from * lines.inner);
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      int64_t const to = i + b * stride;
      if (to < size) to_shared(shared + begin + to * step, packs[b]);
    }
  }
  __syncthreads();

  for (int64_t i = first; i < count; i += kBatch * stride) {
    Pack packs[kBatch];
    trtreg::Pack<int64_t, kPack> places[kBatch];
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      int64_t const from = source + (i + b * stride) * lines.inner;
      if (i + b * stride >= count) break;
      places[b] = indices.load<kPack>(from);
      packs[b] = trtreg::load<T, kPack>(updates + from);
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      if (i + b * stride >= count) break;
#pragma unroll
      for (int k = 0; k < kPack; ++k) {
        int64_t const place = Indices::place(places[b][k], lines.size);
        if (place >= 0) combine(shared + begin + place * step, packs[b][k]);
      }
    }
  }
  __syncthreads();

  for (int64_t i = first; i < size; i += stride) {
    Pack const pack = from_shared<T, kPack>(shared + begin + i * step);
    trtreg::store(y + data + i * lines.inner, pack);
  }
}

// Between a 16-bit type and the floats that it is combined in.
template <typename To>
struct Convert {
  template <typename From>
  __device__ To operator()(From value) const {
    return convert<To>(value);
  }
};

}  // namespace

#endif  // TRTPLUGIN_SCATTER_KERNELS_H
