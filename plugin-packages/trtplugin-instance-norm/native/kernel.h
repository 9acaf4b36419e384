// The kernels: y = (x - mean) / sqrt(variance + epsilon) * scale + bias, with mean and variance of each instance.
//
// An instance is one channel of one image. One that fits into a block's registers is read once. A larger one is cut
// into parts: `moments_kernel` finds the moments of each, `normalize_kernel` puts them together, and reads x again.
#ifndef TRTPLUGIN_INSTANCE_NORM_KERNEL_H
#define TRTPLUGIN_INSTANCE_NORM_KERNEL_H

#include <trtreg/block.h>
#include <trtreg/pack.h>
#include <trtreg/scalar.h>

namespace instance_norm {

using trtreg::Pack;

constexpr int kAhead = 4;  // packs that a thread reads before it uses them: stores in between would hold the reads up

// Elements of an instance that a thread keeps in registers: more would not leave room for two blocks of 512 threads in
// a multiprocessor, so that one reads while the other writes. Single elements take a register each, whatever their
// size.
template <int kSize>
constexpr int kKept = kSize == 1 ? 16 : 32;

constexpr int kPartBlock = 256;
constexpr int64_t kMaxParts = kPartBlock;  // of an instance: one for each thread that puts them together

struct Params {
  void const* x;  // [instances, size]
  void const* scale;
  void const* bias;
  void* y;
  int64_t instances, channels, size, parts, part_size;
  float epsilon;
  bool scale_is_float;  // scale and bias are float32, else of x's type
};

// Number of values, their mean, and the sum of their squared distances from it.
struct Moments {
  float count, mean, squares;
};

// Of two sets of values (Chan et al. 1983): without the loss that a sum of squares has where the mean is large.
struct Merge {
  __device__ Moments operator()(Moments const& a, Moments const& b) const {
    if (a.count == 0.f) return b;
    if (b.count == 0.f) return a;
    float const count = a.count + b.count;
    float const distance = b.mean - a.mean;
    float const share = b.count / count;
    return {count, a.mean + distance * share, a.squares + b.squares + distance * distance * a.count * share};
  }
};

// y = x * factor + shift, but exact where x is the mean.
struct Line {
  float mean, factor, bias;
  __device__ float operator()(float x) const { return (x - mean) * factor + bias; }
};

// Of the channel that `instance` is of, for a variance of 1 and a mean of 0.
template <typename T>
__device__ Line line_of(Params const& p, int64_t instance) {
  int64_t const channel = trtreg::divide(instance, p.channels).remainder;
  auto const read = [&](void const* values) {
    return p.scale_is_float ? static_cast<float const*>(values)[channel]
                            : trtreg::to_float(static_cast<T const*>(values)[channel]);
  };
  return {0.f, read(p.scale), read(p.bias)};
}

template <int kSize>
__device__ float total(float const (&values)[kSize]) {
  float sum = values[0];
#pragma unroll
  for (int k = 1; k < kSize; ++k) sum += values[k];
  return sum;
}

// A block for an instance, which its threads keep in registers: all is on its way before the first sum waits for it.
template <typename T, int kSize, int kThreads>
__global__ void __launch_bounds__(kThreads) small_kernel(Params const p) {
  constexpr int kPacks = kKept<kSize> / kSize;
  int const size = static_cast<int>(p.size);
  int const first = static_cast<int>(threadIdx.x) * kSize;
  auto const count = static_cast<float>(size);
  for (int64_t instance = blockIdx.x; instance < p.instances; instance += gridDim.x) {
    T const* const x = static_cast<T const*>(p.x) + instance * p.size + first;
    T* const y = static_cast<T*>(p.y) + instance * p.size + first;
    constexpr int kStep = kThreads * kSize;
    auto const has = [&](int pack) { return first + pack * kStep < size; };
    Pack<T, kSize> packs[kPacks];
#pragma unroll
    for (int a = 0; a < kPacks; ++a) {
      if (has(a)) packs[a] = trtreg::load<T, kSize>(x + a * kStep);
    }
    Line line = line_of<T>(p, instance);  // on its way together with x

    float sums[kSize]{};
#pragma unroll
    for (int a = 0; a < kPacks; ++a) {
#pragma unroll
      for (int k = 0; k < kSize; ++k) {
        if (has(a)) sums[k] += trtreg::to_float(packs[a][k]);
      }
    }
    line.mean = trtreg::block_reduce<kThreads>(total(sums), trtreg::Sum{}) / count;

    float squares[kSize]{};
#pragma unroll
    for (int a = 0; a < kPacks; ++a) {
#pragma unroll
      for (int k = 0; k < kSize; ++k) {
        float const distance = trtreg::to_float(packs[a][k]) - line.mean;
        if (has(a)) squares[k] += distance * distance;
      }
    }
    float const variance = trtreg::block_reduce<kThreads>(total(squares), trtreg::Sum{}) / count;
    line.factor /= sqrtf(variance + p.epsilon);
#pragma unroll
    for (int a = 0; a < kPacks; ++a) {
      if (!has(a)) break;
#pragma unroll
      for (int k = 0; k < kSize; ++k) packs[a][k] = trtreg::from_float<T>(line(trtreg::to_float(packs[a][k])));
      trtreg::store(y + a * kStep, packs[a]);
    }
  }
}

// A block for a part of an instance.
template <typename T, int kSize>
__global__ void __launch_bounds__(kPartBlock) moments_kernel(Params const p, Moments* parts) {
  auto const [instance, part] = trtreg::divide(blockIdx.x, p.parts);
  T const* const x = static_cast<T const*>(p.x) + instance * p.size;
  int64_t const end = min(p.size, (part + 1) * p.part_size);
  Moments moments{};
#pragma unroll 4
  for (int64_t i = part * p.part_size + static_cast<int64_t>(threadIdx.x) * kSize; i < end; i += kPartBlock * kSize) {
    auto const pack = trtreg::load<T, kSize>(x + i);
    float sum = 0.f;
    float squares = 0.f;
#pragma unroll
    for (int k = 0; k < kSize; ++k) sum += trtreg::to_float(pack[k]);
    float const mean = sum / kSize;
#pragma unroll
    for (int k = 0; k < kSize; ++k) {
      float const distance = trtreg::to_float(pack[k]) - mean;
      squares += distance * distance;
    }
    moments = Merge{}(moments, {kSize, mean, squares});
  }
  moments = trtreg::block_reduce<kPartBlock>(moments, Merge{});
  if (threadIdx.x == 0) parts[blockIdx.x] = moments;
}

template <typename T, int kSize>
__global__ void __launch_bounds__(kPartBlock) normalize_kernel(Params const p, Moments const* parts) {
  auto const [instance, part] = trtreg::divide(blockIdx.x, p.parts);
  Line line = line_of<T>(p, instance);
  bool const has_part = threadIdx.x < p.parts;
  Moments moments = has_part ? parts[instance * p.parts + threadIdx.x] : Moments{};
  moments = trtreg::block_reduce<kPartBlock>(moments, Merge{});
  line.mean = moments.mean;
  line.factor /= sqrtf(moments.squares / moments.count + p.epsilon);
  T const* const x = static_cast<T const*>(p.x) + instance * p.size;
  T* const y = static_cast<T*>(p.y) + instance * p.size;
  int64_t const end = min(p.size, (part + 1) * p.part_size);
  constexpr int64_t kStep = kPartBlock * kSize;
  for (int64_t begin = part * p.part_size + static_cast<int64_t>(threadIdx.x) * kSize; begin < end;
       begin += kAhead * kStep) {
    Pack<T, kSize> packs[kAhead];
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      if (begin + a * kStep < end) packs[a] = trtreg::load<T, kSize>(x + begin + a * kStep);
    }
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      if (begin + a * kStep >= end) break;
#pragma unroll
      for (int k = 0; k < kSize; ++k) packs[a][k] = trtreg::from_float<T>(line(trtreg::to_float(packs[a][k])));
      trtreg::store(y + begin + a * kStep, packs[a]);
    }
  }
}

}  // namespace instance_norm

#endif  // TRTPLUGIN_INSTANCE_NORM_KERNEL_H
