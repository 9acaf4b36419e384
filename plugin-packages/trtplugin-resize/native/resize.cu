// Resizing: bicubic to the size of another tensor or by factors, and nearest by factors.
#include <trtreg/plugin.h>

#include "kernel.h"

namespace {

using trtreg::DataType;

constexpr double kLargest = 65536;  // scale, and one over the smallest

trtreg::Dim scaled(trtreg::Dim const& size, float scale) {
  resize::Fraction const f = resize::fraction(scale);
  return floor_div(size * trtreg::Dim(f.above), trtreg::Dim(f.below));
}

void expect_pixels(trtreg::Shape const& shape) {
  for (size_t axis = 2; axis < shape.size(); ++axis) {
    trtreg::require(!shape[axis].known() || shape[axis].value() > 0, "input 0 has images without pixels");
  }
}

// To the size of a second tensor, of which only the shape counts, else by factors.
class Bicubic : public trtreg::Plugin {
 public:
  int32_t align_corners = 0;
  std::vector<float> scale_factor;  // of height and width, or of both

  void attributes(trtreg::Attributes& all) {
    all.add("align_corners", align_corners).between(0, 1);
    all.add("scale_factor", scale_factor).alias("scales").between(1 / kLargest, kLargest);
  }

  static trtreg::Signatures signatures() {
    trtreg::Signatures all = trtreg::uniform({DataType::kFLOAT, DataType::kHALF, DataType::kBF16});
    for (auto const type : {DataType::kFLOAT, DataType::kHALF, DataType::kBF16}) {
      for (auto const other : {DataType::kFLOAT, DataType::kINT32, DataType::kINT64}) {
        if (type != other) all.push_back({{type, other}, {type}});
      }
    }
    return all;
  }

  void shapes(trtreg::Shapes& s) const {
    s.expect_rank(0, 4);
    expect_pixels(s.inputs[0]);
    s.outputs[0] = s.inputs[0];
    bool const sized = s.inputs.size() > 1;
    trtreg::require(sized == scale_factor.empty() && (sized || scale_factor.size() <= 2),
                    "expected either a second input, to whose size to resize, or 1 or 2 numbers as attribute "
                    "'scale_factor', found ",
                    s.inputs.size(), " inputs and ", scale_factor.size(), " numbers");
    size_t const rank = sized ? s.inputs[1].size() : 0;
    trtreg::require(!sized || rank >= 2, "input 1 has rank ", rank, ", expected at least 2");
    for (size_t const axis : {2, 3}) {
      s.outputs[0][axis] = sized ? s.inputs[1][rank - 4 + axis]
                                 : scaled(s.inputs[0][axis], scale_factor[std::min(axis - 2, scale_factor.size() - 1)]);
    }
  }

  void enqueue(trtreg::Call const& call) const {
    trtreg::dispatch<float, __half, __nv_bfloat16>(call.inputs[0].type, [&](auto zero) {
      using T = decltype(zero);
      auto const& x = call.inputs[0];
      auto const& y = call.outputs[0];
      for (int32_t const axis : {2, 3}) {
        trtreg::require(std::max(x[axis], y[axis]) <= resize::kLongest, "an image of height or width above 2^30");
      }
      resize::Axis const down(x[2], y[2], align_corners != 0);
      resize::Axis const across(x[3], y[3], align_corners != 0);
      resize::Bicubic<T> const p(call.in<T>(0), call.out<T>(0), x[0] * x[1], down, across);
      trtreg::launch(resize::bicubic_kernel<T>, {trtreg::grid_for(p.tiles(), 1, 1).blocks, resize::kStrips},
                     call.stream, p);
    });
  }
};

// The example of OpenMMLab's tutorial.
class DynamicTRTResize : public Bicubic {
 public:
  static constexpr char const* name = "DynamicTRTResize";
  static constexpr trtreg::Arity inputs{1, 2};
};

class BicubicInterpolate : public Bicubic {
 public:
  static constexpr char const* name = "bicubic_interpolate";
  static constexpr trtreg::Arity inputs{1, 2};
};

// As MMDeploy registers it.
class TRTBicubicInterpolate : public Bicubic {
 public:
  static constexpr char const* name = "TRTBicubicInterpolate";
  static constexpr trtreg::Arity inputs{1, 2};

  TRTBicubicInterpolate() { align_corners = 1; }
};

// The example of onnx-tensorrt.
class ResizeNearest : public trtreg::Plugin {
 public:
  static constexpr char const* name = "ResizeNearest";
  static constexpr trtreg::Arity inputs{1};

  std::vector<float> scales;  // of each axis behind the channels, of all of them, or of every axis

  void attributes(trtreg::Attributes& all) {
    all.add("scales", scales).alias("scale").alias("scale_factor").between(1 / kLargest, kLargest).required();
  }

  static trtreg::Signatures signatures() {
    return trtreg::uniform({DataType::kFLOAT, DataType::kHALF, DataType::kBF16, DataType::kINT8, DataType::kINT32,
                            DataType::kINT64, DataType::kBOOL});
  }

  void shapes(trtreg::Shapes& s) const {
    size_t const rank = s.inputs[0].size();
    trtreg::require(rank >= 3 && rank <= 5, "input 0 has rank ", rank, ", expected 3 to 5");
    size_t const count = scales.size();
    bool const every = count == rank && scales[0] == 1 && scales[1] == 1;
    trtreg::require(every || count == 1 || count == rank - 2, "attribute 'scales': found ", count, " numbers for rank ",
                    rank, ", expected 1, ", rank - 2, ", or ", rank, " that begin with 1, 1");
    expect_pixels(s.inputs[0]);
    s.outputs[0] = s.inputs[0];
    for (size_t axis = 2; axis < rank; ++axis) s.outputs[0][axis] = scaled(s.inputs[0][axis], scale_of(axis, rank));
  }

  void enqueue(trtreg::Call const& call) const {
    auto const& x = call.inputs[0];
    auto const& y = call.outputs[0];
    int32_t const rank = y.rank();
    resize::Nearest p{};
    p.planes = y[0] * y[1];
    for (int32_t axis = 2; axis < rank; ++axis) {
      float const scale = scale_of(static_cast<size_t>(axis), static_cast<size_t>(rank));
      p.axes[axis + 3 - rank] = {x[axis], y[axis], scale};
    }
    switch (trtreg::size_of(y.type)) {
      case 1:
        return run<uint8_t>(call, p);
      case 2:
        return run<uint16_t>(call, p);
      case 4:
        return run<uint32_t>(call, p);
      default:
        return run<uint64_t>(call, p);
    }
  }

 private:
  float scale_of(size_t axis, size_t rank) const {
    return scales.size() == 1 ? scales[0] : scales[axis - (rank - scales.size())];
  }

  template <typename T>
  static void run(trtreg::Call const& call, resize::Nearest p) {
    constexpr int kPack = trtreg::kPackOf<T>;
    int64_t const width = p.axes[2].out;
    bool const packs = width % kPack == 0 && trtreg::aligned(16, call.out<T>(0));
    p.groups = packs ? width / kPack : width;
    p.rows = resize::rows_of_strip(p.planes * p.axes[0].out * p.groups, p.axes[1].out, 8);
    p.chunks = trtreg::ceil_div(p.axes[1].out, p.rows);
    auto const kernel = packs ? resize::nearest_kernel<T, kPack> : resize::nearest_kernel<T, 1>;
    trtreg::launch(kernel, trtreg::grid_for(p.strips()), call.stream, call.in<T>(0), call.out<T>(0), p);
  }
};

}  // namespace

TRTREG_PLUGINS(DynamicTRTResize, BicubicInterpolate, TRTBicubicInterpolate, ResizeNearest)
