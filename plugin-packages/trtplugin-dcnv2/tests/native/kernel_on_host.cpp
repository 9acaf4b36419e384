// Runs the kernel without a GPU: each thread of a block is a fiber, in an order that changes from barrier to barrier.
// So a missing barrier gives wrong numbers, and the address sanitizer sees every read and write out of bounds.
//
// stdin: int64 type (0 float, 1 half, 2 bfloat16), tile, has_bias, then Params' numbers; x, offset, mask, weight, bias.
// stdout: y, which was filled with NaN before.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#undef __global__
#undef __host__
#undef __device__
#undef __shared__
#undef __launch_bounds__
#define __global__
#define __host__
#define __device__
#define __shared__ static
#define __launch_bounds__(...)

struct Index {
  unsigned x;
};
static Index threadIdx, blockIdx;
static void __syncthreads();

#include "kernel.h"

namespace {

constexpr size_t kStack = 256 * 1024;

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack{new char[kStack]};
  bool done;
};
std::vector<Fiber> fibers(dcnv2::kThreads);
ucontext_t scheduler;
std::mt19937 randomness;
void (*body)();

void enter() {
  body();
  fibers[threadIdx.x].done = true;
  swapcontext(&fibers[threadIdx.x].context, &scheduler);
}

void run_block() {
  for (Fiber& fiber : fibers) {
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = nullptr;
    fiber.done = false;
    makecontext(&fiber.context, enter, 0);
  }
  std::vector<unsigned> order(fibers.size());
  std::iota(order.begin(), order.end(), 0u);
  while (!fibers[0].done) {
    std::shuffle(order.begin(), order.end(), randomness);
    for (unsigned const thread : order) {
      threadIdx.x = thread;
      swapcontext(&scheduler, &fibers[thread].context);
    }
    for (Fiber const& fiber : fibers) {
      if (fiber.done != fibers[0].done) std::abort();  // some threads are at a barrier that others never reach
    }
  }
}

template <typename T>
std::vector<T> read(int64_t count) {
  std::vector<T> values(static_cast<size_t>(count));
  if (count && std::fread(values.data(), sizeof(T), values.size(), stdin) != values.size()) std::abort();
  return values;
}

template <typename T>
dcnv2::Params<T> params;

template <typename T, int kChannels>
void run() {
  int64_t const blocks = (params<T>.pixels() + dcnv2::kPixels - 1) / dcnv2::kPixels * params<T>.tiles(kChannels);
  body = [] { dcnv2::modulated_deform_conv_kernel<T, kChannels>(params<T>); };
  for (blockIdx.x = 0; blockIdx.x < blocks * params<T>.groups; ++blockIdx.x) run_block();
}

template <typename T>
void main_of(std::vector<int64_t> const& header) {
  auto& p = params<T>;
  int64_t* const numbers[] = {&p.batch, &p.channels, &p.out_channels, &p.groups,    &p.deform_groups, &p.h.in,
                              &p.h.out, &p.h.kernel, &p.h.stride,     &p.h.padding, &p.h.dilation,    &p.w.in,
                              &p.w.out, &p.w.kernel, &p.w.stride,     &p.w.padding, &p.w.dilation};
  for (size_t i = 0; i < std::size(numbers); ++i) *numbers[i] = header[3 + i];
  auto const x = read<T>(p.batch * p.channels * p.h.in * p.w.in);
  auto const offset = read<T>(p.pixels() * p.deform_groups * p.taps() * 2);
  auto const mask = read<T>(p.pixels() * p.deform_groups * p.taps());
  auto const weight = read<T>(p.out_channels * p.channels / p.groups * p.taps());
  auto const bias = read<T>(header[2] ? p.out_channels : 0);
  std::vector<T> y(static_cast<size_t>(p.pixels() * p.out_channels), static_cast<T>(NAN));
  p.x = x.data();
  p.offset = offset.data();
  p.mask = mask.data();
  p.weight = weight.data();
  p.bias = header[2] ? bias.data() : nullptr;
  p.y = y.data();
  header[1] == 32 ? run<T, 32>() : run<T, 128>();
  if (!y.empty()) std::fwrite(y.data(), sizeof(T), y.size(), stdout);
}

}  // namespace

static void __syncthreads() { swapcontext(&fibers[threadIdx.x].context, &scheduler); }

int main() {
  auto const header = read<int64_t>(20);
  if (header[0] == 0) main_of<float>(header);
  if (header[0] == 1) main_of<__half>(header);
  if (header[0] == 2) main_of<__nv_bfloat16>(header);
}
