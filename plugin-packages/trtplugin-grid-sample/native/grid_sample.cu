// Grid sampling: y[n, c, point] = x[n, c] at the place that grid[n, point] names, for images and volumes.
#include <trtreg/plugin.h>

#include "kernel.h"

namespace {

class GridSampler : public trtreg::Plugin {
 public:
  static constexpr trtreg::Arity inputs{2};  // x, grid

  static trtreg::Signatures signatures() {
    using D = trtreg::DataType;
    auto all = trtreg::uniform({D::kFLOAT, D::kHALF, D::kBF16});
    for (D const narrow : {D::kHALF, D::kBF16}) all.push_back({{narrow, D::kFLOAT}, {narrow}});
    return all;
  }

 protected:
  static void infer(trtreg::Shapes& s, int32_t mode) {
    size_t const rank = s.inputs[0].size();
    trtreg::require(rank == 4 || rank == 5, "input 0 has rank ", rank, ", expected 4 or 5");
    trtreg::require(rank == 4 || mode != grid_sample::kCubic, "the cubic mode is for inputs of rank 4");
    s.expect_rank(1, rank);
    s.expect(1, 0, s.inputs[0][0], "the batch of x");
    s.expect(1, rank - 1, static_cast<int64_t>(rank - 2), "one coordinate for each axis of an image");
    s.outputs[0] = {s.inputs[0][0], s.inputs[0][1]};
    for (size_t axis = 2; axis < rank; ++axis) {
      auto const& size = s.inputs[0][axis];
      trtreg::require(!size.known() || size.value() > 0, "input 0 has images without pixels");
      s.outputs[0].push_back(s.inputs[1][axis - 1]);
    }
  }

  static void run(trtreg::Call const& call, int32_t mode, int32_t padding, bool align_corners) {
    trtreg::dispatch<float, __half, __nv_bfloat16>(call.inputs[0].type, [&](auto zero) {
      using T = decltype(zero);
      using namespace grid_sample;
      auto const& x = call.inputs[0];
      auto const& y = call.outputs[0];
      bool const volume = x.rank() == 5;
      int64_t const width = y[y.rank() - 1];
      int32_t tile = 1;
      while (tile < kTile && tile < width) tile *= 2;
      Params<T> p{call.in<T>(0),
                  call.inputs[1].data,
                  call.out<T>(0),
                  call.inputs[1].type == trtreg::DataType::kFLOAT,
                  x[0],
                  x[1],
                  y.size() / (x[0] * x[1]),
                  {x[2], x[3], volume ? x[4] : 1},
                  width,
                  tile,
                  padding,
                  align_corners};
      p.chunks = trtreg::ceil_div(p.channels, kChannels);
      p.columns = trtreg::ceil_div(width, tile);
      p.rows = trtreg::ceil_div(p.points / width, kBlock / tile);
      p.blocks = p.batch * p.chunks * p.rows * p.columns;
      auto const kernel = mode == kCubic     ? sample_kernel<T, 2, kCubic>
                          : mode == kNearest ? volume ? sample_kernel<T, 3, kNearest> : sample_kernel<T, 2, kNearest>
                          : volume           ? sample_kernel<T, 3, kLinear>
                                             : sample_kernel<T, 2, kLinear>;
      trtreg::launch(kernel, {std::min<int64_t>(p.blocks, 0x7fffffff), kBlock}, call.stream, p);
    });
  }
};

// As MMCV and MMDeploy export PyTorch's op of that name.
class MMCVGridSampler : public GridSampler {
 public:
  static constexpr char const* name = "grid_sampler";

  int32_t interpolation_mode = 0;
  int32_t padding_mode = 0;
  int32_t align_corners = 0;

  void attributes(trtreg::Attributes& all) {
    all.add("interpolation_mode", interpolation_mode).between(0, 2);
    all.add("padding_mode", padding_mode).between(0, 2);
    all.add("align_corners", align_corners).between(0, 1);
  }
  void shapes(trtreg::Shapes& s) const { infer(s, interpolation_mode); }
  void enqueue(trtreg::Call const& call) const { run(call, interpolation_mode, padding_mode, align_corners != 0); }
};

// ONNX's own operator.
class OnnxGridSample : public GridSampler {
 public:
  static constexpr char const* name = "GridSample";

  std::string mode = "linear";
  std::string padding_mode = "zeros";
  int32_t align_corners = 0;

  void attributes(trtreg::Attributes& all) {
    all.add("mode", mode);
    all.add("padding_mode", padding_mode);
    all.add("align_corners", align_corners).between(0, 1);
  }
  void shapes(trtreg::Shapes& s) const {
    number_of_padding();
    infer(s, number_of_mode());
  }
  void enqueue(trtreg::Call const& call) const { run(call, number_of_mode(), number_of_padding(), align_corners != 0); }

 private:
  int32_t number_of_mode() const {
    if (mode == "linear" || mode == "bilinear") return grid_sample::kLinear;
    if (mode == "cubic" || mode == "bicubic") return grid_sample::kCubic;
    trtreg::require(mode == "nearest", "attribute 'mode': found ", mode, ", expected linear, nearest or cubic");
    return grid_sample::kNearest;
  }
  int32_t number_of_padding() const {
    if (padding_mode == "border") return grid_sample::kBorder;
    if (padding_mode == "reflection") return grid_sample::kReflection;
    trtreg::require(padding_mode == "zeros", "attribute 'padding_mode': found ", padding_mode,
                    ", expected zeros, border or reflection");
    return grid_sample::kZeros;
  }
};

}  // namespace

TRTREG_PLUGINS(MMCVGridSampler, OnnxGridSample)
