// What sm_90a has besides mma.h: barriers that also count bytes, copies of whole tiles, and blocks that work together.
//
// Nothing here exists elsewhere: the sources that use it stand behind `#ifdef __CUDA_ARCH_FEAT_SM90_ALL`, and their
// kernels are launched only where `available` says so.
#ifndef TRTREG_HOPPER_H
#define TRTREG_HOPPER_H

#include <cuda.h>

#include "trtreg/mma.h"

// Blocks of a cluster, behind __launch_bounds__.
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define TRTREG_CLUSTER(blocks) __cluster_dims__(blocks, 1, 1)
#else
#define TRTREG_CLUSTER(blocks)
#endif

namespace TRTREG_NAMESPACE {
namespace hopper {

// Whether this library has code for sm_90a, and whether it runs there.
#ifdef TRTREG_SM_90A  // by the build
constexpr bool kBuilt = true;
#else
constexpr bool kBuilt = false;
#endif
inline bool available() { return kBuilt && compute_capability() == 90; }

// Elements of a row of 128 bytes, as mma.h's tiles have them.
template <typename T>
constexpr int kRowOf = mma::kChunks * mma::kChunkOf<T>;

// Makes `map` that of a matrix in global memory, [rows, columns], of which tiles of `tile_rows` rows of 128 bytes are
// copied, chunks placed as mma::place has it, and zeros for what lies outside. False where that cannot be: rows have to
// begin at multiples of 16 bytes. The driver is asked for the function, as no library may depend on libcuda.
template <typename T>
bool map_matrix(CUtensorMap& map, T const* matrix, int64_t rows, int64_t columns, int tile_rows) {
  static auto const encode = [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result{};
#if CUDART_VERSION >= 12050
    auto const status =
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result);
#else
    auto const status = cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &found, cudaEnableDefault, &result);
#endif
    if (status != cudaSuccess || result != cudaDriverEntryPointSuccess) {
      (void)cudaGetLastError();
      found = nullptr;
    }
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(found);
  }();
  constexpr int64_t kMost = 0x7fffffff;  // coordinates are signed
  if (!encode || rows < 1 || columns < 1 || rows > kMost || columns > kMost) return false;
  constexpr auto kType = std::is_same_v<T, __half>          ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                         : std::is_same_v<T, __nv_bfloat16> ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                                            : CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
  cuuint64_t const sizes[2]{static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows)};
  cuuint64_t const row_bytes = sizes[0] * sizeof(T);
  cuuint32_t const tile[2]{kRowOf<T>, static_cast<cuuint32_t>(tile_rows)};
  cuuint32_t const every[2]{1, 1};
  return encode(&map, kType, 2, const_cast<T*>(matrix), sizes, &row_bytes, tile, every, CU_TENSOR_MAP_INTERLEAVE_NONE,
                CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

__device__ inline uint32_t shared_address(void const* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// A barrier in shared memory. A phase of it ends when as many have arrived as it was made for, and all bytes that were
// expected are there; `wait` takes the parity of the phase whose end is waited for.
class Barrier {
 public:
  __device__ void make(int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&state_)), "r"(arrivals) : "memory");
  }
  __device__ void arrive() {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(&state_)) : "memory");
  }
  // Copies `bytes`, a multiple of 16, to shared memory; arrives, and is behind that when they are there.
  __device__ void copy(void* to, void const* from, uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&state_)), "r"(bytes)
                 : "memory");
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                     shared_address(to)),
                 "l"(from), "r"(bytes), "r"(shared_address(&state_))
                 : "memory");
  }
  // Arrives, and expects `bytes` that others copy.
  __device__ void expect(uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&state_)), "r"(bytes)
                 : "memory");
  }
  // Copies a tile of a matrix, from an element of a row on, to shared memory; this barrier was told to expect it.
  __device__ void copy_tile(mma::Chunk* to, CUtensorMap const& map, int row, int column) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
            shared_address(to)),
        "l"(&map), "r"(column), "r"(row), "r"(shared_address(&state_))
        : "memory");
  }
  __device__ void wait(uint32_t parity) {
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "again_%=:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@!done bra again_%=;\n"
        "}" ::"r"(shared_address(&state_)),
        "r"(parity)
        : "memory");
  }

 private:
  uint64_t state_;
};

// Makes barriers known to what is not of this block's threads; to be called by the one that made them.
__device__ inline void publish_barriers() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

// What is copied by a map can begin sooner once it is there.
__device__ inline void prefetch(CUtensorMap const& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}

// True in one thread of a warp, all of which call it.
__device__ inline bool elect() {
  uint32_t elected;
  asm volatile("{ .reg .pred p; elect.sync _|p, 0xffffffff; selp.u32 %0, 1, 0, p; }" : "=r"(elected));
  return elected != 0;
}

// Waits for the `kThreads` threads that call it with the same id, 1 to 15.
template <int kId, int kThreads>
__device__ void sync_some() {
  asm volatile("bar.sync %0, %1;" ::"n"(kId), "n"(kThreads) : "memory");
}

// Registers of each thread of four warps: fewer for those that need few, to have more for the others.
template <int kRegisters>
__device__ void leave_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// Which block of its cluster this is, and a barrier of all their threads.
__device__ inline uint32_t block_of_cluster() {
  uint32_t rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
__device__ inline void sync_cluster() {
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}
// Where `pointer`, into shared memory, lies in that of another block of the cluster.
__device__ inline uint32_t shared_address_of(void const* pointer, uint32_t block) {
  uint32_t address;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(shared_address(pointer)), "r"(block));
  return address;
}
__device__ inline void store_remote(uint32_t address, float const (&values)[4]) {
  asm volatile("st.shared::cluster.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(address), "f"(values[0]), "f"(values[1]),
               "f"(values[2]), "f"(values[3])
               : "memory");
}

// Four 8x8 matrices of 16 bits each, as a product has its sums, into rows of 16 bytes that the lanes point to, eight
// lanes each; or transposed.
__device__ inline void store_matrices(void* mine, uint32_t const (&words)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(shared_address(mine)),
               "r"(words[0]), "r"(words[1]), "r"(words[2]), "r"(words[3])
               : "memory");
}
__device__ inline void store_transposed(void* mine, uint32_t const (&words)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(shared_address(mine)),
               "r"(words[0]), "r"(words[1]), "r"(words[2]), "r"(words[3])
               : "memory");
}

// The second factor of mma::multiply_async where it is turned: tiles of kRowOf<T> rows, along what is summed up, which
// follow one another; 16 of these rows from `row` on.
__device__ inline uint64_t describe_turned(mma::Chunk const* tiles, int row) {
  constexpr uint64_t kSwapped = uint64_t{1} << 62;
  constexpr uint64_t kEightRows = uint64_t{1024 / 16} << 32;
  constexpr uint64_t kTile = uint64_t{64 * 128 / 16} << 16;
  return kSwapped | kEightRows | kTile | (shared_address(tiles + row * mma::kChunks) >> 4 & 0x3fff);
}
#endif

// Between a kernel and the next one, if that is launched with Grid::early: the first lets it begin, and it waits before
// it reads what the first has written.
__device__ inline void let_next_begin() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
__device__ inline void wait_for_previous() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

}  // namespace hopper
}  // namespace TRTREG_NAMESPACE

#endif  // TRTREG_HOPPER_H
