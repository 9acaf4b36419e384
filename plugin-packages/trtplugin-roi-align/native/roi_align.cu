// RoIAlign (arXiv:1703.06870): the features of each region of interest, resampled to a grid of fixed size.
#include <trtreg/plugin.h>

#include "pixels.h"

namespace {

using trtreg::DataType;

// Of a bin in each direction. Nobody takes more than a few; the square of a large number would keep a GPU for hours.
constexpr int kMostSamples = 256;

// x, rois and y of one type, or rois in float32, in which large coordinates keep their fractions.
trtreg::Signatures types(bool rois_first) {
  trtreg::Signatures all;
  for (DataType const type : {DataType::kFLOAT, DataType::kHALF, DataType::kBF16}) {
    for (DataType const rois : {type, DataType::kFLOAT}) {
      all.push_back(
          {rois_first ? std::vector<trtreg::TypeFormat>{rois, type} : std::vector<trtreg::TypeFormat>{type, rois},
           {type}});
    }
  }
  all.erase(all.begin());  // float32 would come twice
  return all;
}

struct RoiAlign : trtreg::Plugin {
  int32_t output_height = 7;
  int32_t output_width = 7;

  void add_sizes(trtreg::Attributes& all) {
    all.add("output_height", output_height).alias("pooled_height").alias("aligned_height").at_least(1);
    all.add("output_width", output_width).alias("pooled_width").alias("aligned_width").at_least(1);
  }

  void pooled(trtreg::Shapes& s, size_t rois, size_t x) const {
    s.expect_rank(rois, 2);
    s.expect_rank(x, 4);
    s.expect(rois, 1, 5, "image, x1, y1, x2, y2");
    s.outputs[0] = {s.inputs[rois][0], s.inputs[x][1], output_height, output_width};
  }

  // What the kernels have to know but for addresses and scales: input `rois`, and the feature maps from input `x` on.
  template <typename Tensors>
  roi_align::Params sizes(Tensors const& in, size_t rois, size_t x, int32_t sampling_ratio) const {
    roi_align::Params p{};
    p.levels_count = static_cast<int>(in.size()) - 1;
    for (int i = 0; i < p.levels_count; ++i) {
      auto const& level = in[x + static_cast<size_t>(i)];
      p.levels[i].height = level[2];
      p.levels[i].width = level[3];
    }
    p.batch = in[x][0];
    p.channels = in[x][1];
    p.rois_count = in[rois][0];
    p.out_height = output_height;
    p.out_width = output_width;
    p.sampling_ratio = sampling_ratio;
    return p;
  }

  size_t memory(trtreg::TensorSpecs const& in, size_t rois, size_t x, int32_t sampling_ratio) const {
    return roi_align::workspace(sizes(in, rois, x, sampling_ratio), trtreg::size_of(in[x].type));
  }

  void launch(trtreg::Call const& call, size_t rois, size_t x, roi_align::Params p) const {
    for (int i = 0; i < p.levels_count; ++i) p.levels[i].x = call.inputs[x + static_cast<size_t>(i)].data;
    p.rois = call.inputs[rois].data;
    p.y = call.outputs[0].data;
    p.rois_are_floats = call.inputs[rois].type == DataType::kFLOAT;
    trtreg::dispatch<float, __half, __nv_bfloat16>(
        call.inputs[x].type, [&](auto zero) { roi_align::run<decltype(zero)>(call.stream, p, call.workspace); });
  }
};

struct MMCVRoiAlign : RoiAlign {
  static constexpr char const* name = "MMCVRoiAlign";
  static constexpr trtreg::Arity inputs{2};  // x, rois

  float spatial_scale = 1.f;
  int32_t sampling_ratio = 0;
  std::string mode = "avg";
  int32_t aligned = 1;

  void attributes(trtreg::Attributes& all) {
    add_sizes(all);
    all.add("spatial_scale", spatial_scale).finite();
    all.add("sampling_ratio", sampling_ratio).alias("sample_num").between(0, kMostSamples);
    all.add("mode", mode).alias("pool_mode");
    all.add("aligned", aligned);
  }

  static trtreg::Signatures signatures() { return types(false); }

  void shapes(trtreg::Shapes& s) const {
    trtreg::require(mode == "avg" || mode == "max", "attribute 'mode' is '", mode, "', expected 'avg' or 'max'");
    pooled(s, 1, 0);
  }

  size_t workspace(trtreg::TensorSpecs const& in, trtreg::TensorSpecs const&) const {
    return memory(in, 1, 0, sampling_ratio);
  }

  void enqueue(trtreg::Call const& call) const {
    roi_align::Params p = sizes(call.inputs, 1, 0, sampling_ratio);
    p.levels[0].scale = spatial_scale;
    p.offset = aligned ? -0.5f : 0.f;
    p.smallest = aligned ? -INFINITY : 1.f;
    p.finest_scale = 1.f;
    p.largest = mode == "max";
    launch(call, 1, 0, p);
  }
};

struct MMCVMultiLevelRoiAlign : RoiAlign {
  static constexpr char const* name = "MMCVMultiLevelRoiAlign";
  static constexpr trtreg::Arity inputs{2, 1 + roi_align::kMaxLevels};  // rois, feature maps

  int32_t pool_mode = 0;
  int32_t sampling_ratio = 2;
  std::vector<float> featmap_strides;
  float roi_scale_factor = -1.f;
  float finest_scale = 56.f;
  int32_t aligned = 0;

  void attributes(trtreg::Attributes& all) {
    add_sizes(all);
    all.add("pool_mode", pool_mode).between(0, 1);
    all.add("sampling_ratio", sampling_ratio).alias("sample_num").between(0, kMostSamples);
    all.add("featmap_strides", featmap_strides).between(1e-30, 1e30).required();
    all.add("roi_scale_factor", roi_scale_factor).finite();
    all.add("finest_scale", finest_scale).between(1e-30, 1e30);
    all.add("aligned", aligned);
  }

  static trtreg::Signatures signatures() { return types(true); }

  void shapes(trtreg::Shapes& s) const {
    trtreg::require(featmap_strides.size() + 1 == s.inputs.size(), "attribute 'featmap_strides' has ",
                    featmap_strides.size(), " values, expected one for each of the ", s.inputs.size() - 1,
                    " feature maps");
    pooled(s, 0, 1);
    for (size_t i = 2; i < s.inputs.size(); ++i) {
      s.expect_rank(i, 4);
      s.expect(i, 0, s.inputs[1][0], "the batch of the first feature map");
      s.expect(i, 1, s.inputs[1][1], "the channels of the first feature map");
    }
  }

  size_t workspace(trtreg::TensorSpecs const& in, trtreg::TensorSpecs const&) const {
    return memory(in, 0, 1, sampling_ratio);
  }

  void enqueue(trtreg::Call const& call) const {
    roi_align::Params p = sizes(call.inputs, 0, 1, sampling_ratio);
    for (int i = 0; i < p.levels_count; ++i) p.levels[i].scale = 1.f / featmap_strides[static_cast<size_t>(i)];
    p.offset = aligned ? -0.5f : 0.f;
    p.smallest = aligned ? 0.f : 1.f;
    p.finest_scale = finest_scale;
    p.enlargement = roi_scale_factor;
    p.largest = pool_mode == 0;
    launch(call, 0, 1, p);
  }
};

}  // namespace

TRTREG_PLUGINS(MMCVRoiAlign, MMCVMultiLevelRoiAlign)
