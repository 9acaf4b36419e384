// Matrix products on tensor cores (sm_80 and newer) from tiles in shared memory, warp by warp, or four at once.
//
// A tile is a matrix of rows of 128 bytes, eight chunks of 16 bytes each. Where chunk c of row r lies is given by
// `place`: chunks are swapped within their row, so that neither eight threads that write a row, nor the eight that read
// one chunk of eight rows, meet in a bank. The rows of both factors run along what is summed up: a step of a product
// takes two chunks of a row, which is 16 elements of 16 bits, or 8 floats as TF32.
#ifndef TRTREG_MMA_H
#define TRTREG_MMA_H

#include <cstring>

#include "trtreg/pack.h"
#include "trtreg/scalar.h"

namespace TRTREG_NAMESPACE {
namespace mma {

constexpr int kChunks = 8;  // of a row
constexpr int kStep = 2;    // chunks that one product takes
using Chunk = Pack<uint32_t, 4>;

template <typename T>
constexpr int kChunkOf = 16 / static_cast<int>(sizeof(T));  // elements

__device__ inline uint32_t place(uint32_t row, uint32_t chunk) { return row * kChunks + (chunk ^ (row % kChunks)); }

// Copies 16 bytes to shared memory while the thread goes on; zeros instead where `exists` is false.
__device__ inline void copy_async(Chunk* shared, void const* global, bool exists) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  auto const to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(exists ? 16 : 0) : "memory");
#else
  *shared = exists ? *static_cast<Chunk const*>(global) : Chunk{};
#endif
}

// Ends a group of copies of this thread.
__device__ inline void end_copies() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits for all groups of this thread but the last `kLeft`; the others need a barrier after it.
template <int kLeft>
__device__ void wait_for_copies() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
#endif
}

// The four 8x8 matrices (of 16 bits; half as wide for floats) whose rows the lanes point to, eight lanes each.
__device__ inline void read(uint32_t (&part)[4], Chunk const* mine) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  auto const from = static_cast<uint32_t>(__cvta_generic_to_shared(mine));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(part[0]), "=r"(part[1]), "=r"(part[2]), "=r"(part[3])
               : "r"(from)
               : "memory");
#elif defined(TRTREG_ON_HOST)
  uint64_t const* const rows = on_host::exchange(0xffffffffu, reinterpret_cast<uintptr_t>(mine));
  for (int i = 0; i < 4; ++i) {
    part[i] = (*reinterpret_cast<Chunk const*>(rows[8 * i + on_host::lane() / 4]))[on_host::lane() % 4];
  }
#endif
}

// 16 rows of a tile, from a multiple of 8 on, and two chunks of each from `chunk` on: what a warp holds of them, as the
// first factor,
__device__ inline void read_first(uint32_t (&part)[4], Chunk const* rows, uint32_t chunk) {
  uint32_t const lane = threadIdx.x % kWarp;
  read(part, rows + place(lane % 16, chunk + lane / 16));
}
// and as the second one, of which a product takes 8 rows: `part` has the two words of the first 8, then of the others.
__device__ inline void read_second(uint32_t (&part)[4], Chunk const* rows, uint32_t chunk) {
  uint32_t const lane = threadIdx.x % kWarp;
  read(part, rows + place(lane % 8 + lane / 16 * 8, chunk + lane / 8 % 2));
}

// The elements of a word, as floats.
template <typename T>
__device__ float element(uint32_t word, int index) {
  if constexpr (std::is_same_v<T, __half>) {
    auto const pair = *reinterpret_cast<__half2 const*>(&word);
    return index == 0 ? __low2float(pair) : __high2float(pair);
  } else {
    uint32_t const bits = sizeof(T) == 4 ? word : index == 0 ? word << 16 : word & 0xffff0000u;
    return *reinterpret_cast<float const*>(&bits);
  }
}

// sums += 16 rows times 8 rows of another tile. A lane's sums are those of rows
// lane / 4 (the first two) and lane / 4 + 8, with rows lane % 4 * 2 and the next of the other tile.
template <typename T>
__device__ void multiply(float (&sums)[4], uint32_t const (&a)[4], uint32_t const* b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define TRTREG_MMA(kind)                                                                                   \
  asm volatile("mma.sync.aligned." kind " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
               : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])                                \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
  if constexpr (std::is_same_v<T, __half>) {
    TRTREG_MMA("m16n8k16.row.col.f32.f16.f16.f32");
  } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    TRTREG_MMA("m16n8k16.row.col.f32.bf16.bf16.f32");
  } else {
    TRTREG_MMA("m16n8k8.row.col.f32.tf32.tf32.f32");
  }
#undef TRTREG_MMA
#elif defined(TRTREG_ON_HOST)
  // The words of all lanes: of `a` those of the first chunk and of the second, and of `b`.
  uint64_t words[3][kWarp];
  uint32_t const* const mine[3] = {a, a + 2, b};
  for (int i = 0; i < 3; ++i) {
    uint64_t word;
    std::memcpy(&word, mine[i], sizeof(word));
    std::memcpy(words[i], on_host::exchange(0xffffffffu, word), sizeof(words[i]));
  }
  auto const word_of = [&](int of, int from, int half) { return static_cast<uint32_t>(words[of][from] >> 32 * half); };
  int const lane = on_host::lane();
  for (int word = 0; word < kStep * 4; ++word) {  // along what is summed up
    for (int i = 0; i < 4; ++i) {
      uint32_t const first = word_of(word / 4, lane / 4 * 4 + word % 4, i / 2);
      uint32_t const second = word_of(2, (lane % 4 * 2 + i % 2) * 4 + word % 4, word / 4);
      for (int k = 0; k < static_cast<int>(4 / sizeof(T)); ++k) sums[i] += element<T>(first, k) * element<T>(second, k);
    }
  }
#endif
}

// Products of four warps at once, which go on while the threads do: on sm_90a.
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
constexpr bool kAsynchronous = true;
#else
constexpr bool kAsynchronous = false;
#endif
constexpr int kWarpGroup = 4;

// What was written to shared memory shall be seen by products that begin behind the next barrier.
__device__ inline void publish() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// A tile from `rows` on, which begins at a multiple of 1024 bytes, and its chunks from `chunk` on.
__device__ inline uint64_t describe(Chunk const* rows, int chunk) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  uint32_t const address = static_cast<uint32_t>(__cvta_generic_to_shared(rows)) + static_cast<uint32_t>(chunk) * 16;
  constexpr uint64_t kSwapped = uint64_t{1} << 62;  // as `place` has it
  constexpr uint64_t kEightRows = uint64_t{1024 / 16} << 32;
  return kSwapped | kEightRows | uint64_t{1} << 16 | (address >> 4 & 0x3fff);
#else
  (void)rows, (void)chunk;
  return 0;
#endif
}

#define TRTREG_SUMS(j) "+f"(sums[j][0]), "+f"(sums[j][1]), "+f"(sums[j][2]), "+f"(sums[j][3])
#define TRTREG_SUMS_4(j) TRTREG_SUMS(j), TRTREG_SUMS(j + 1), TRTREG_SUMS(j + 2), TRTREG_SUMS(j + 3)
#define TRTREG_SUMS_16(j) TRTREG_SUMS_4(j), TRTREG_SUMS_4(j + 4), TRTREG_SUMS_4(j + 8), TRTREG_SUMS_4(j + 12)
#define TRTREG_NAMES_32                                                    \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define TRTREG_NAMES_64                                                              \
  TRTREG_NAMES_32                                                                    \
  ", "                                                                               \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define TRTREG_NAMES_128                                                                         \
  TRTREG_NAMES_64                                                                                \
  ", "                                                                                           \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "             \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "             \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define TRTREG_WGMMA(shape, kind, names, first_name, second_name, tail, ...)                              \
  asm volatile("{ .reg .pred p; setp.eq.b32 p, 0, 0; wgmma.mma_async.sync.aligned." shape kind " {" names \
               "}, " first_name ", " second_name ", p, 1, 1" tail "; }"                                   \
               : __VA_ARGS__                                                                              \
               : "l"(first), "l"(second), "n"(kTurned))
#define TRTREG_WGMMA_OF(kind, tail)                                                                               \
  if constexpr (kRows == 64) {                                                                                    \
    TRTREG_WGMMA("m64n64", kind, TRTREG_NAMES_32, "%32", "%33", tail("%34"), TRTREG_SUMS_4(0), TRTREG_SUMS_4(4)); \
  } else if constexpr (kRows == 128) {                                                                            \
    TRTREG_WGMMA("m64n128", kind, TRTREG_NAMES_64, "%64", "%65", tail("%66"), TRTREG_SUMS_16(0));                 \
  } else {                                                                                                        \
    TRTREG_WGMMA("m64n256", kind, TRTREG_NAMES_128, "%128", "%129", tail("%130"), TRTREG_SUMS_16(0),              \
                 TRTREG_SUMS_16(16));                                                                             \
  }
#define TRTREG_TURNED(name) ", 0, " name
#define TRTREG_AS_IS(name) ""

// sums += 64 rows times kRows rows of another tile, or times as many columns of turned ones: then what is summed up
// runs down the second factor's tiles (of 16 bits; see hopper::describe_turned). Of the 64 each warp has 16, and sums
// as after `multiply`, one after another for each 8 of the other rows. To be called between begin_products and
// end_products.
template <typename T, int kRows, bool kTurned = false>
__device__ void multiply_async(float (&sums)[kRows / 8][4], uint64_t first, uint64_t second) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  static_assert(kRows == 64 || kRows == 128 || kRows == 256);
  static_assert(!kTurned || sizeof(T) == 2);
  if constexpr (std::is_same_v<T, __half>) {
    TRTREG_WGMMA_OF("k16.f32.f16.f16", TRTREG_TURNED)
  } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    TRTREG_WGMMA_OF("k16.f32.bf16.bf16", TRTREG_TURNED)
  } else {
    TRTREG_WGMMA_OF("k8.f32.tf32.tf32", TRTREG_AS_IS)
  }
#endif
}
#undef TRTREG_SUMS
#undef TRTREG_SUMS_4
#undef TRTREG_SUMS_16
#undef TRTREG_NAMES_32
#undef TRTREG_NAMES_64
#undef TRTREG_NAMES_128
#undef TRTREG_WGMMA
#undef TRTREG_WGMMA_OF
#undef TRTREG_TURNED
#undef TRTREG_AS_IS

__device__ inline void begin_products() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}
__device__ inline void end_products() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}
// Waits for all groups of products but the last `kLeft`.
template <int kLeft>
__device__ void wait_for_products() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kLeft) : "memory");
#endif
}

// `value` as a product takes it: floats are rounded to TF32, 10 bits behind the first.
template <typename T>
__host__ __device__ T rounded(float value) {
  if constexpr (sizeof(T) == 4) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    uint32_t bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
    return __uint_as_float(bits);
#else
    if (!(value - value == 0.f)) return value;  // infinities and NaN
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    bits = (bits + 0x1000u) & ~0x1fffu;
    memcpy(&value, &bits, sizeof(bits));
    return value;
#endif
  } else {
    return from_float<T>(value);
  }
}

// `value` as a product takes it; leaves in `value` what that is too small by. The first and the second of these terms
// of a float make up its 24 bits but for two.
template <typename T>
__host__ __device__ T next_term(float& value) {
  T const term = rounded<T>(value);
  float const left = value - to_float(term);
  value = left - left == 0.f ? left : 0.f;  // nothing of infinities and NaN
  return term;
}

}  // namespace mma
}  // namespace TRTREG_NAMESPACE

#endif  // TRTREG_MMA_H
