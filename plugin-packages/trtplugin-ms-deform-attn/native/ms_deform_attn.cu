// Multi-scale deformable attention (arXiv:2010.04159, equation 3): each head of each query sums up a few samples of
// each level of a feature pyramid, weighed by its attention.
#include <trtreg/bilinear.h>
#include <trtreg/pack.h>
#include <trtreg/plugin.h>

namespace {

template <typename T>
struct Params {
  T const* value;      // [batch, pixels, heads, channels]: all levels one behind the other
  void const* sizes;   // [levels, 2]: height and width of each
  void const* starts;  // [levels]: where each begins in value
  T const* locations;  // [batch, queries, heads, levels, points, 2]: x, y in [0, 1]
  T const* weights;    // [batch, queries, heads, levels, points]
  T* y;                // [batch, queries, heads, channels]
  bool wide;           // sizes and starts are int64, else int32
  int64_t batch, pixels, heads, channels, queries, levels, points;
};

__device__ int64_t read(void const* list, bool wide, int64_t index) {
  return wide ? static_cast<int64_t const*>(list)[index] : static_cast<int32_t const*>(list)[index];
}

// A thread sums up kSize neighbouring channels of one head of one query.
template <typename T, int kSize>
__global__ void __launch_bounds__(trtreg::kThreads) attention_kernel(Params<T> const p) {
  int64_t const packs = p.channels / kSize;
  int64_t const dims[4]{p.batch, p.queries, p.heads, packs};
  int64_t const pixel_stride = p.heads * p.channels;
  for (int64_t i = trtreg::thread_index(); i < p.batch * p.queries * p.heads * packs; i += trtreg::thread_count()) {
    int64_t at[4];  // image, query, head, pack
    trtreg::unravel(i, dims, at);
    T const* const value = p.value + at[0] * p.pixels * pixel_stride + at[2] * p.channels + at[3] * kSize;
    int64_t sample = ((at[0] * p.queries + at[1]) * p.heads + at[2]) * p.levels * p.points;
    float sums[kSize]{};
    for (int64_t level = 0; level < p.levels; ++level) {
      int64_t const height = read(p.sizes, p.wide, 2 * level);
      int64_t const width = read(p.sizes, p.wide, 2 * level + 1);
      int64_t const start = read(p.starts, p.wide, level);
      // A level that does not lie in value has no pixels: its samples are 0.
      if (!(height > 0 && width > 0 && start >= 0 && start < p.pixels && height <= (p.pixels - start) / width)) {
        sample += p.points;  // a level that does not lie in value
        continue;
      }
      T const* const plane = value + start * pixel_stride;
#pragma unroll 4
      for (int64_t point = 0; point < p.points; ++point, ++sample) {
        trtreg::Pack<T, 2> location;
        if constexpr (kSize > 1) {
          location = trtreg::load<T, 2>(p.locations + 2 * sample);
        } else {
          location = {p.locations[2 * sample], p.locations[2 * sample + 1]};
        }
        trtreg::Point const place = trtreg::locate(trtreg::to_float(location[1]) * static_cast<float>(height) - 0.5f,
                                                   trtreg::to_float(location[0]) * static_cast<float>(width) - 0.5f,
                                                   trtreg::to_float(p.weights[sample]), height, width);
        float sampled[kSize]{};
#pragma unroll
        for (int corner = 0; corner < 4; ++corner) {
          if (place.neighbour[corner] < 0) continue;
          auto const pixel = trtreg::load<T, kSize>(plane + place.neighbour[corner] * pixel_stride);
#pragma unroll
          for (int k = 0; k < kSize; ++k) sampled[k] += place.weight[corner] * trtreg::to_float(pixel[k]);
        }
#pragma unroll
        for (int k = 0; k < kSize; ++k) sums[k] += place.scale * sampled[k];
      }
    }
    trtreg::Pack<T, kSize> result;
#pragma unroll
    for (int k = 0; k < kSize; ++k) result[k] = trtreg::from_float<T>(sums[k]);
    trtreg::store(p.y + i * kSize, result);
  }
}

class MultiscaleDeformableAttn : public trtreg::Plugin {
 public:
  // TensorRT's own plugin of that name has the same inputs and no attributes.
  static constexpr char const* name = "MultiscaleDeformableAttnPlugin_TRT";
  static constexpr trtreg::Arity inputs{5};
  enum Input : size_t { kValue, kSizes, kStarts, kLocations, kWeights };

  static trtreg::Signatures signatures() {
    using D = trtreg::DataType;
    trtreg::Signatures all;
    for (D const type : {D::kFLOAT, D::kHALF, D::kBF16}) {
      for (D const index : {D::kINT32, D::kINT64}) all.push_back({{type, index, index, type, type}, {type}});
    }
    return all;
  }

  void shapes(trtreg::Shapes& s) const {
    size_t const ranks[]{4, 2, 1, 6, 5};
    for (size_t input = kValue; input <= kWeights; ++input) s.expect_rank(input, ranks[input]);
    trtreg::Shape const& value = s.inputs[kValue];
    trtreg::Shape const& locations = s.inputs[kLocations];
    s.expect(kSizes, 0, locations[3], "the levels of the locations");
    s.expect(kSizes, 1, 2, "height and width");
    s.expect(kStarts, 0, locations[3], "the levels of the locations");
    s.expect(kLocations, 0, value[0], "the batch of the value");
    s.expect(kLocations, 2, value[2], "the heads of the value");
    s.expect(kLocations, 5, 2, "x and y");
    for (size_t axis = 0; axis < 5; ++axis) s.expect(kWeights, axis, locations[axis], "as the locations");
    s.outputs[0] = {value[0], locations[1], value[2], value[3]};
  }

  void enqueue(trtreg::Call const& call) const {
    trtreg::dispatch<float, __half, __nv_bfloat16>(call.inputs[kValue].type, [&](auto zero) {
      using T = decltype(zero);
      auto const& value = call.inputs[kValue];
      auto const& locations = call.inputs[kLocations];
      bool const wide = call.inputs[kSizes].type == trtreg::DataType::kINT64;
      Params<T> const p{call.in<T>(kValue),
                        call.inputs[kSizes].data,
                        call.inputs[kStarts].data,
                        call.in<T>(kLocations),
                        call.in<T>(kWeights),
                        call.out<T>(0),
                        wide,
                        value[0],
                        value[1],
                        value[2],
                        value[3],
                        locations[1],
                        locations[3],
                        locations[4]};
      constexpr int kSize = trtreg::kPackOf<T>;
      bool const packs =
          p.channels % kSize == 0 && trtreg::aligned(16, p.value, p.y) && trtreg::aligned(2 * sizeof(T), p.locations);
      int64_t const items = call.outputs[0].size() / (packs ? kSize : 1);
      trtreg::launch(packs ? attention_kernel<T, kSize> : attention_kernel<T, 1>, trtreg::grid_for(items), call.stream,
                     p);
    });
  }
};

}  // namespace

TRTREG_PLUGINS(MultiscaleDeformableAttn)
