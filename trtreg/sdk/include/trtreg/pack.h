// Memory in pieces of up to 16 bytes, and the operator that works element by element.
#ifndef TRTREG_PACK_H
#define TRTREG_PACK_H

#include "trtreg/launch.h"

namespace TRTREG_NAMESPACE {

// Elements that are read and written at once; its address has to be a multiple of its size.
template <typename T, int kSize>
struct alignas(sizeof(T) * kSize) Pack {
  T values[kSize];

  __host__ __device__ T& operator[](int index) { return values[index]; }
  __host__ __device__ T const& operator[](int index) const { return values[index]; }
};

template <typename T, int kSize>
__device__ Pack<T, kSize> load(T const* address) {
  return *reinterpret_cast<Pack<T, kSize> const*>(address);
}
template <typename T, int kSize>
__device__ void store(T* address, Pack<T, kSize> const& pack) {
  *reinterpret_cast<Pack<T, kSize>*>(address) = pack;
}

// Whether every pointer is a multiple of `bytes`, a power of two.
template <typename... Ts>
bool aligned(size_t bytes, Ts const*... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) | ...) & (bytes - 1)) == 0;
}

// As many elements of each T as 16 bytes have room for.
template <typename... Ts>
constexpr int kPackOf = 16 / static_cast<int>(std::max({sizeof(Ts)...}));

template <int kSize, typename F, typename Out, typename... Ins>
__global__ void __launch_bounds__(kThreads) elementwise_kernel(F f, int64_t size, Out* y, Ins const*... x) {
  int64_t const first = thread_index() * kSize;
  if (first + kSize <= size) {
    auto const apply = [&](Pack<Ins, kSize> const&... packs) {
      Pack<Out, kSize> result;
#pragma unroll
      for (int k = 0; k < kSize; ++k) result[k] = f(packs[k]...);
      store(y + first, result);
    };
    apply(load<Ins, kSize>(x + first)...);
  } else {
    for (int64_t i = first; i < size; ++i) y[i] = f(x[i]...);
  }
}

// y[i] = f(x[i]...) for `size` elements; `f` is a small struct with `__device__ Out operator()(Ins...) const`. Takes 16
// bytes at once where all addresses allow it, else single elements. y may be one of x.
template <typename F, typename Out, typename... Ins>
void elementwise(cudaStream_t stream, int64_t size, F const& f, Out* y, Ins const*... x) {
  constexpr int kSize = kPackOf<Out, Ins...>;
  if (aligned(sizeof(Out) * kSize, y) && (aligned(sizeof(Ins) * kSize, x) && ...)) {
    launch(elementwise_kernel<kSize, F, Out, Ins...>, {ceil_div(size, kThreads * kSize)}, stream, f, size, y, x...);
  } else {
    launch(elementwise_kernel<1, F, Out, Ins...>, {ceil_div(size, kThreads)}, stream, f, size, y, x...);
  }
}

}  // namespace TRTREG_NAMESPACE

#endif  // TRTREG_PACK_H
