// The fibers behind on_host.h, and the few functions of the CUDA runtime that a plugin calls.
#include "on_host.h"

#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

namespace on_host {
namespace {

constexpr size_t kStack = 256 * 1024;

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack{new char[kStack]};
  bool done;
};

struct Gathering {  // lanes of one mask that wait for one another
  unsigned arrived{0};
  uint64_t generation{0};
  uint64_t words[2][32]{};  // of this generation, and of the one before, which slow lanes still read
};

std::vector<Fiber> fibers;
ucontext_t scheduler;
std::mt19937 randomness;
std::function<void()> const* body;
int count;                                                      // fibers of the block
int arrived;                                                    // at the barrier
uint64_t generation;                                            // of the barrier
uint64_t progress;                                              // changes while the block gets on
std::map<std::pair<unsigned, unsigned>, Gathering> gatherings;  // by warp and mask
std::unique_ptr<unsigned char[]> shared_memory;

[[noreturn]] void fail(char const* what) {
  std::fprintf(stderr, "on_host: %s (block %u, thread %u)\n", what, blockIdx.x, threadIdx.x);
  std::abort();
}

void enter() {
  (*body)();
  fibers[threadIdx.x].done = true;
  ++progress;
  swapcontext(&fibers[threadIdx.x].context, &scheduler);
}

void prepare(Fiber& fiber) {
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = kStack;
  fiber.context.uc_link = nullptr;
  fiber.done = false;
  makecontext(&fiber.context, enter, 0);
}

void begin_block() {
  std::for_each_n(fibers.begin(), count, prepare);
  arrived = 0;
  gatherings.clear();
}

void pause() { swapcontext(&fibers[threadIdx.x].context, &scheduler); }

}  // namespace

void other_threads() {
  ++progress;
  pause();
}

void barrier() {
  uint64_t const mine = generation;
  ++progress;
  if (++arrived == count) {
    arrived = 0;
    ++generation;
  }
  while (generation == mine) pause();
}

uint64_t const* exchange(unsigned mask, uint64_t word) {
  unsigned const lane = threadIdx.x % 32;
  if (!(mask >> lane & 1)) fail("a lane is not in the mask that it names");
  Gathering& all = gatherings[{threadIdx.x / 32, mask}];
  uint64_t const mine = all.generation;
  all.words[mine % 2][lane] = word;
  all.arrived |= 1u << lane;
  ++progress;
  if (all.arrived == mask) {
    all.arrived = 0;
    ++all.generation;
  }
  while (all.generation == mine) pause();
  return all.words[mine % 2];
}

void* dynamic_shared() { return shared_memory.get(); }

void run(int64_t blocks, int threads, size_t shared, std::function<void()> const& kernel) {
  if (threads < 1 || threads > 1024) fail("a block has 1 to 1024 threads");
  body = &kernel;
  count = threads;
  if (fibers.size() < static_cast<size_t>(threads)) fibers = std::vector<Fiber>(static_cast<size_t>(threads));
  blockDim = {static_cast<unsigned>(threads), 1, 1};
  gridDim = {static_cast<unsigned>(blocks), 1, 1};
  std::vector<unsigned> order(static_cast<size_t>(threads));
  std::iota(order.begin(), order.end(), 0u);
  for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x) {
    // Of its exact size, for the address sanitizer, and full of NaN.
    shared_memory.reset(new unsigned char[shared]);
    std::memset(shared_memory.get(), 0xff, shared);
    begin_block();
    for (bool finished = false; !finished;) {
      uint64_t const before = progress;
      finished = true;
      bool waited = false;
      std::shuffle(order.begin(), order.end(), randomness);
      for (unsigned const thread : order) {
        if (fibers[thread].done) continue;
        threadIdx.x = thread;
        swapcontext(&scheduler, &fibers[thread].context);
        finished = finished && fibers[thread].done;
        waited = true;
      }
      if (waited && !finished && progress == before) {
        fail("the threads that are left wait at a barrier, or in a warp, for some that have gone or wait elsewhere");
      }
    }
  }
}

}  // namespace on_host

// ------------------------------------------------------------------------------------------------ the CUDA runtime's
cudaError_t cudaGetLastError() { return cudaSuccess; }
char const* cudaGetErrorName(cudaError_t) { return "an error"; }
char const* cudaGetErrorString(cudaError_t) { return "on the host"; }
cudaError_t cudaMemcpyAsync(void* to, void const* from, size_t size, cudaMemcpyKind, cudaStream_t) {
  std::memmove(to, from, size);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t size, cudaStream_t) {
  std::memset(to, value, size);
  return cudaSuccess;
}
cudaError_t cudaFuncSetAttribute(void const*, cudaFuncAttribute, int) { return cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = 4;
      break;
    case cudaDevAttrWarpSize:
      *value = 32;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = 8;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 0;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = 163 * 1024;
      break;
    default:
      *value = 48 * 1024;
  }
  return cudaSuccess;
}
