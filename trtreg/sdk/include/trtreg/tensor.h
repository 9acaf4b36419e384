// Tensors as a plugin sees them: type, dimensions, memory; and the dispatch from a run-time type to a C++ type.
#ifndef TRTREG_TENSOR_H
#define TRTREG_TENSOR_H

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <string>
#include <vector>

#include "trtreg/error.h"

namespace TRTREG_NAMESPACE {

using abi::DataType;
using abi::Dims;
using abi::TensorFormat;

// Names as they stand in trtplugin.json.
inline char const* name_of(DataType type) {
  static constexpr char const* kNames[] = {"float32", "float16",  "int8",  "int32", "bool", "uint8",
                                           "fp8",     "bfloat16", "int64", "int4",  "fp4",  "e8m0"};
  auto const index = static_cast<size_t>(type);
  return index < std::size(kNames) ? kNames[index] : "unknown";
}

inline char const* name_of(TensorFormat format) {
  static constexpr char const* kNames[] = {"linear", "chw2", "hwc8",       "chw4",     "chw16", "chw32", "dhwc8",
                                           "cdhw32", "hwc",  "dla_linear", "dla_hwc4", "hwc16", "dhwc"};
  auto const index = static_cast<size_t>(format);
  return index < std::size(kNames) ? kNames[index] : "unknown";
}

// Bytes of one element; types smaller than a byte do not fit this layer.
inline size_t size_of(DataType type) {
  switch (type) {
    case DataType::kFLOAT:
    case DataType::kINT32:
      return 4;
    case DataType::kHALF:
    case DataType::kBF16:
      return 2;
    case DataType::kINT64:
      return 8;
    case DataType::kINT8:
    case DataType::kBOOL:
    case DataType::kUINT8:
    case DataType::kFP8:
    case DataType::kE8M0:
      return 1;
    default:
      throw Error(std::string("elements of type ") + name_of(type) + " have no size in bytes");
  }
}

inline std::string to_string(Dims const& dims) {
  std::string text = "[";
  for (int32_t i = 0; i < dims.nbDims; ++i) text += (i ? ", " : "") + std::to_string(dims.d[i]);
  return text + "]";
}

inline bool operator==(Dims const& a, Dims const& b) {
  return a.nbDims == b.nbDims && std::equal(a.d, a.d + std::max(a.nbDims, 0), b.d);
}

// More elements than any memory holds. Below it, authors may multiply sizes without a thought.
constexpr int64_t kMostElements = int64_t{1} << 40;

// Refuses sizes that are negative, and so many elements that products of sizes would overflow. Sizes of zero count as
// one: what stands beside them is multiplied too.
inline void expect_size(Dims const& dims, char const* what, size_t index) {
  int64_t product = 1;
  for (int32_t axis = 0; axis < dims.nbDims; ++axis) {
    int64_t const size = dims.d[axis];
    require(size >= 0, "dimension ", axis, " of ", what, " ", index, " is ", size);
    require(size <= kMostElements / product, what, " ", index, " has more elements than any memory: ", to_string(dims));
    product *= std::max<int64_t>(size, 1);
  }
}

// A tensor without its memory. While an engine is built, `dims` are the largest of the profile.
struct TensorSpec {
  DataType type;
  Dims dims;
  TensorFormat format{TensorFormat::kLINEAR};

  int64_t operator[](int32_t axis) const { return dims.d[axis]; }
  int32_t rank() const { return dims.nbDims; }
  int64_t size() const {  // number of elements
    int64_t product = 1;
    for (int32_t i = 0; i < dims.nbDims; ++i) product *= dims.d[i];
    return product;
  }
};

using TensorSpecs = std::vector<TensorSpec>;

// Where the elements of a map [N, C, H, W] lie: how many there are from one image, channel or pixel to the next. In the
// format hwc8 channels are filled up to a multiple of 8; what fills them up in an output should be 0.
struct MapStrides {
  int64_t image, channel, pixel;
};
inline MapStrides map_strides(TensorSpec const& map) {
  int64_t const area = map[2] * map[3];
  if (map.format == TensorFormat::kLINEAR) return {map[1] * area, area, 1};
  require(map.format == TensorFormat::kHWC || map.format == TensorFormat::kHWC8, "no strides for the format ",
          name_of(map.format));
  int64_t const pixel = map.format == TensorFormat::kHWC ? map[1] : (map[1] + 7) / 8 * 8;
  return {pixel * area, 1, pixel};
}

// One call of a plugin: device memory, shapes and the stream to work on. Tensors live as long as the call.
class Call {
 public:
  struct Tensor : TensorSpec {
    void* data;
  };

  std::vector<Tensor> const& inputs;
  std::vector<Tensor> const& outputs;
  void* workspace;      // device memory of the size that `workspace()` answered
  cudaStream_t stream;  // all work goes here: no default stream, no allocation, no synchronization
  int32_t tactic{0};    // of those that `tactics()` answered, the one to use; 0: whichever is best

  bool has_input(size_t index) const { return index < inputs.size(); }
  template <typename T>
  T const* in(size_t index) const {
    return static_cast<T const*>(inputs[index].data);
  }
  template <typename T>
  T* out(size_t index) const {
    return static_cast<T*>(outputs[index].data);
  }
};

template <typename T>
constexpr DataType type_of() {
  if constexpr (std::is_same_v<T, float>) return DataType::kFLOAT;
  if constexpr (std::is_same_v<T, __half>) return DataType::kHALF;
  if constexpr (std::is_same_v<T, __nv_bfloat16>) return DataType::kBF16;
  if constexpr (std::is_same_v<T, int8_t>) return DataType::kINT8;
  if constexpr (std::is_same_v<T, uint8_t>) return DataType::kUINT8;
  if constexpr (std::is_same_v<T, int32_t>) return DataType::kINT32;
  if constexpr (std::is_same_v<T, int64_t>) return DataType::kINT64;
  if constexpr (std::is_same_v<T, bool>) return DataType::kBOOL;
}

// Calls `body(T{})` with the one of `Ts` that `type` names: `dispatch<float, __half>(type, [&](auto zero) {...})`.
template <typename... Ts, typename Body>
void dispatch(DataType type, Body&& body) {
  bool const found = ((type == type_of<Ts>() && (body(Ts{}), true)) || ...);
  require(found, "no kernel for type ", name_of(type));
}

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace TRTREG_NAMESPACE

#endif  // TRTREG_TENSOR_H
