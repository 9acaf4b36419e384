// Plugins that use every device header, and some that are wrong on purpose.
#include <trtreg/bilinear.h>
#include <trtreg/block.h>
#include <trtreg/launch.h>
#include <trtreg/pack.h>
#include <trtreg/plugin.h>
#include <trtreg/scalar.h>

#ifndef TRTREG_ON_HOST
#include <cub/block/block_scan.cuh>  // that it is there, and compiles under the flags of a plugin's build
#endif

namespace {

using trtreg::DataType;

// ------------------------------------------------------------------------------------------------- block.h, scalar.h
struct Best {
  float value;
  int64_t index;
};
struct LaterBest {
  __device__ Best operator()(Best a, Best b) const { return a.value > b.value ? a : b; }
};

// Running maximum of a row with its last index, as torch.cummax, and the sum, largest and smallest element.
template <int kBlock, typename T>
__global__ void __launch_bounds__(kBlock)
    rows_kernel(T const* x, T* values, int64_t* indices, T* totals, int64_t size) {
  x += blockIdx.x * size;
  Best carry{trtreg::lowest<float>(), 0};
  float sum = 0.f;
  float largest = trtreg::lowest<float>();
  float smallest = trtreg::highest<float>();
  for (int64_t first = 0; first < size; first += kBlock) {
    int64_t const i = first + threadIdx.x;
    float const value = i < size ? trtreg::to_float(x[i]) : 0.f;
    Best total;
    Best const best = trtreg::block_scan<kBlock>(i < size ? Best{value, i} : carry, LaterBest{}, total);
    Best const mine = LaterBest{}(carry, best);
    if (i < size) {
      values[blockIdx.x * size + i] = trtreg::from_float<T>(mine.value);
      indices[blockIdx.x * size + i] = mine.index;
      sum += value;
      largest = trtreg::Largest{}(largest, value);
      smallest = trtreg::Smallest{}(smallest, value);
    }
    carry = LaterBest{}(carry, total);
  }
  sum = trtreg::block_reduce<kBlock>(sum, trtreg::Sum{});
  largest = trtreg::block_reduce<kBlock>(largest, trtreg::Largest{});
  smallest = trtreg::block_reduce<kBlock>(smallest, trtreg::Smallest{});
  if (threadIdx.x == 0) {
    totals[blockIdx.x * 3] = trtreg::from_float<T>(sum);
    totals[blockIdx.x * 3 + 1] = trtreg::from_float<T>(largest);
    totals[blockIdx.x * 3 + 2] = trtreg::from_float<T>(smallest);
  }
}

struct Rows : trtreg::Plugin {
  static constexpr char const* name = "ProbeRows";
  static constexpr trtreg::Arity inputs{1};
  static constexpr trtreg::Arity outputs{3};
  static trtreg::Signatures signatures() {
    trtreg::Signatures all;
    for (DataType const type : {DataType::kFLOAT, DataType::kHALF, DataType::kBF16}) {
      all.push_back({{type}, {type, DataType::kINT64, type}});
    }
    return all;
  }
  void shapes(trtreg::Shapes& s) const {
    s.expect_rank(0, 2);
    s.outputs[0] = s.outputs[1] = s.inputs[0];
    s.outputs[2] = {s.inputs[0][0], 3};
  }
  void enqueue(trtreg::Call const& call) const {
    trtreg::dispatch<float, __half, __nv_bfloat16>(call.inputs[0].type, [&](auto zero) {
      using T = decltype(zero);
      trtreg::launch(rows_kernel<128, T>, {call.inputs[0][0], 128}, call.stream, call.in<T>(0), call.out<T>(0),
                     call.out<int64_t>(1), call.out<T>(2), call.inputs[0][1]);
    });
  }
};

// ------------------------------------------------------------------------------------------------------- bilinear.h
template <typename T>
__global__ void sample_kernel(T const* x, float const* grid, T* y, int64_t height, int64_t width, int64_t points,
                              int mode, bool align) {
  for (int64_t i = trtreg::thread_index(); i < points; i += trtreg::thread_count()) {
    float at[2];  // x, y
    int64_t const sizes[2] = {width, height};
    for (int k = 0; k < 2; ++k) {
      at[k] = trtreg::to_pixels(grid[2 * i + k], sizes[k], align);
      if (mode == 2) at[k] = trtreg::reflect(at[k], sizes[k], align);
      if (mode != 0) at[k] = trtreg::clamp(at[k], 0.f, static_cast<float>(sizes[k] - 1));
    }
    y[i] = trtreg::from_float<T>(trtreg::sample(x, trtreg::locate(at[1], at[0], 1.f, height, width)));
  }
}

struct Sample : trtreg::Plugin {  // of one plane x[h, w] at grid[n, 2]
  static constexpr char const* name = "ProbeSample";
  static constexpr trtreg::Arity inputs{2};
  std::string padding = "zeros";
  int32_t align_corners = 0;
  void attributes(trtreg::Attributes& all) {
    all.add("padding", padding);
    all.add("align_corners", align_corners).between(0, 1);
  }
  static trtreg::Signatures signatures() {
    return {{{DataType::kFLOAT}, {DataType::kFLOAT}}, {{DataType::kHALF, DataType::kFLOAT}, {DataType::kHALF}}};
  }
  void shapes(trtreg::Shapes& s) const { s.outputs[0] = {s.inputs[1][0]}; }
  void enqueue(trtreg::Call const& call) const {
    int const mode = padding == "zeros" ? 0 : padding == "border" ? 1 : 2;
    trtreg::dispatch<float, __half>(call.inputs[0].type, [&](auto zero) {
      using T = decltype(zero);
      int64_t const points = call.inputs[1][0];
      trtreg::launch(sample_kernel<T>, trtreg::grid_for(points), call.stream, call.in<T>(0), call.in<float>(1),
                     call.out<T>(0), call.inputs[0][0], call.inputs[0][1], points, mode, align_corners != 0);
    });
  }
};

// ------------------------------------------------------------------- operator.h: what the types and shapes may be like
struct Scale {
  float factor;
  __device__ int32_t operator()(float x, int64_t y) const {
    return trtreg::from_float<int32_t>(factor * x + static_cast<float>(y));
  }
};

// y = int32(scales[0] * x + index), of shape `size`; n: how many elements; `size` is a shape tensor.
struct Types : trtreg::Plugin {
  static constexpr char const* name = "ProbeTypes";
  static constexpr trtreg::Arity inputs{2};
  static constexpr trtreg::Arity outputs{1, 2};
  static constexpr trtreg::Arity shape_inputs{0, 1};
  std::string mode = "scale";
  std::vector<float> scales{1.f};
  int32_t copies = 1;
  void attributes(trtreg::Attributes& all) {
    all.add("mode", mode);
    all.add("scales", scales).finite();
    all.add("copies", copies).between(1, 2);
  }
  int32_t output_count() const { return copies; }
  static trtreg::Signatures signatures() {
    return {{{DataType::kFLOAT, DataType::kINT64}, {DataType::kINT32, DataType::kINT64}},
            {{DataType::kFLOAT, DataType::kINT32}, {DataType::kINT32, DataType::kINT64}}};
  }
  void shapes(trtreg::Shapes& s) const {
    trtreg::require(mode == "scale" || mode == "zero", "mode '", mode, "' is unknown");
    s.outputs[0] = s.shape_inputs.empty() ? s.inputs[0] : s.shape_inputs[0];
    if (copies > 1) s.outputs[1] = {};
  }
  void enqueue(trtreg::Call const& call) const {
    float const factor = mode == "zero" || scales.empty() ? 0.f : scales[0];
    trtreg::dispatch<int64_t, int32_t>(call.inputs[1].type, [&](auto zero) {
      if constexpr (sizeof(zero) == 8) {
        trtreg::elementwise(call.stream, call.outputs[0].size(), Scale{factor}, call.out<int32_t>(0), call.in<float>(0),
                            call.in<int64_t>(1));
      }
    });
    if (copies > 1) trtreg::check(cudaMemsetAsync(call.outputs[1].data, 0, 8, call.stream), "cudaMemsetAsync");
  }
};

// The indices of the elements above 0: how many there are is known after the run only.
__global__ void above_kernel(float const* x, int32_t* indices, int32_t* count, int64_t size) {
  int32_t found = 0;
  for (int64_t i = 0; i < size; ++i) {
    if (x[i] > 0.f) indices[found++] = static_cast<int32_t>(i);
  }
  for (int64_t i = found; i < size; ++i) indices[i] = -1;
  *count = found;
}

struct Above : trtreg::Plugin {
  static constexpr char const* name = "ProbeAbove";
  static constexpr trtreg::Arity inputs{1};
  static constexpr trtreg::Arity outputs{2};
  static trtreg::Signatures signatures() { return {{{DataType::kFLOAT}, {DataType::kINT32}}}; }
  void shapes(trtreg::Shapes& s) const {
    s.expect_rank(0, 1);
    s.outputs[0] = {s.size_tensor(1, floor_div(s.inputs[0][0], 2), s.inputs[0][0])};
  }
  void enqueue(trtreg::Call const& call) const {
    trtreg::launch(above_kernel, {1, 1}, call.stream, call.in<float>(0), call.out<int32_t>(0), call.out<int32_t>(1),
                   call.inputs[0].size());
  }
};

struct AddOne {
  __device__ float operator()(float x) const { return x + 1.f; }
};

// Writes over its input where TensorRT lets it.
struct InPlace : trtreg::Plugin {
  static constexpr char const* name = "ProbeInPlace";
  static constexpr trtreg::Arity inputs{1};
  static constexpr bool kAliases = true;
  static int32_t aliased_input(int32_t) { return 0; }
  static trtreg::Signatures signatures() { return trtreg::uniform({DataType::kFLOAT}); }
  void shapes(trtreg::Shapes& s) const { s.outputs[0] = s.inputs[0]; }
  void enqueue(trtreg::Call const& call) const {
    trtreg::elementwise(call.stream, call.inputs[0].size(), AddOne{}, call.out<float>(0), call.in<float>(0));
  }
};

// --------------------------------------------------------------------------------------- launch.h, atomics, and faults
// y[i] = x at the transposed place of [a, b, c]; counts[0] = elements that are positive. With a fault, wrong.
enum Fault { kNone, kRead, kWrite, kBarrier, kUnwritten, kInput, kShared, kDivergent, kMisaligned };

__global__ void __launch_bounds__(64)
    transpose_kernel(float* x, float* y, int32_t* count, int64_t a, int64_t b, int64_t c, int fault) {
  float* const shared = trtreg::dynamic_shared<float>();
  int64_t const dims[3] = {c, b, a};
  int64_t const size = a * b * c;
  if (fault == kDivergent && threadIdx.x % 2) return;
  for (int64_t first = blockIdx.x * static_cast<int64_t>(blockDim.x); first < size; first += trtreg::thread_count()) {
    int64_t const i = first + threadIdx.x;
    int64_t at[3];
    trtreg::unravel(i, dims, at);
    int64_t const from = (at[2] * b + at[1]) * c + at[0];
    shared[threadIdx.x] = i < size || fault == kRead ? x[i < size ? from : i] : 0.f;
    if (fault != kBarrier) __syncthreads();
    // From the neighbour's place and back, so that the barrier counts.
    unsigned const other = threadIdx.x ^ 63u;
    if (fault == kShared) shared[blockDim.x + threadIdx.x] = 0.f;
    float const moved = shared[other];
    int64_t const to = first + other;
    if ((to < size || fault == kWrite) && !(fault == kUnwritten && to == size / 2)) y[to] = moved;
    if (to < size && moved > 0.f) atomicAdd(count, 1);
    if (fault == kInput && i == 0) x[0] = 7.f;
    if (fault == kMisaligned && i == 0) trtreg::store(y + 1, trtreg::load<float, 4>(x));
    __syncthreads();
  }
}

struct Transpose : trtreg::Plugin {
  static constexpr char const* name = "ProbeTranspose";
  static constexpr trtreg::Arity inputs{1};
  static constexpr trtreg::Arity outputs{2};
  int32_t fault = 0;
  void attributes(trtreg::Attributes& all) { all.add("fault", fault); }
  static trtreg::Signatures signatures() { return {{{DataType::kFLOAT}, {DataType::kFLOAT, DataType::kINT32}}}; }
  void shapes(trtreg::Shapes& s) const {
    s.expect_rank(0, 3);
    auto const& x = s.inputs[0];
    s.outputs[0] = {x[2], x[1], x[0]};
    s.outputs[1] = {1};
  }
  void enqueue(trtreg::Call const& call) const {
    auto const& x = call.inputs[0];
    trtreg::check(cudaMemsetAsync(call.outputs[1].data, 0, 4, call.stream), "cudaMemsetAsync");
    trtreg::Grid grid = trtreg::grid_for(x.size(), 2, 64);  // so that each block has to go on
    grid.shared = 64 * sizeof(float);
    trtreg::launch(transpose_kernel, grid, call.stream, static_cast<float*>(x.data), call.out<float>(0),
                   call.out<int32_t>(1), x[0], x[1], x[2], fault);
  }
};

}  // namespace

TRTREG_PLUGINS(Rows, Sample, Types, Above, InPlace, Transpose)
