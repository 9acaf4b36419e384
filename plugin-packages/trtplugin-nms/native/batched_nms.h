// BatchedNMS: suppression in each class, then the best boxes of all classes of an image.
#ifndef TRTPLUGIN_NMS_BATCHED_NMS_H
#define TRTPLUGIN_NMS_BATCHED_NMS_H

#include <trtreg/plugin.h>

#include "select.h"

namespace nms {
namespace {

// The boxes kept in all classes of an image, as candidates of a second sort; a place is class * room + rank.
struct OfAllClasses {
  Kept kept;
  int64_t classes;

  __device__ Key operator()(int64_t image, int64_t place) const {
    trtreg::Quotient const at = trtreg::divide(place, kept.room);
    int64_t const list = image * classes + at.quotient;
    if (at.remainder >= kept.counts[list]) return 0;
    return (kept.keys[list * kept.room + at.remainder] >> 32 << 32) | ~static_cast<unsigned>(place);
  }
};

// Outputs; null where an operator has no such one. TensorRT's operator has boxes and scores apart, MMDeploy's rows of
// five numbers.
template <typename T>
struct Detections {
  int32_t* counts;
  T* boxes;
  T* scores;
  int64_t box_step, score_step;
  T* classes;
  int32_t* labels;
  int32_t* indices;
};

template <typename T>
__global__ void detections_kernel(Candidates<T> candidates, Kept kept, Key const* sorted, int64_t size, int64_t images,
                                  int64_t top, bool clip, Detections<T> out) {
  for (int64_t i = trtreg::thread_index(); i < images * top; i += trtreg::thread_count()) {
    trtreg::Quotient const at = trtreg::divide(i, top);
    Key const key = at.remainder < size ? sorted[at.quotient * size + at.remainder] : 0;
    Key const next = at.remainder + 1 < size ? sorted[at.quotient * size + at.remainder + 1] : 0;
    int64_t list = -1;
    int64_t place = -1;
    if (key != 0) {
      trtreg::Quotient const from = trtreg::divide(place_of(key), kept.room);
      list = at.quotient * candidates.classes + from.quotient;
      place = place_of(kept.keys[list * kept.room + from.remainder]);
    }
    for (int k = 0; k < 4; ++k) {
      float value = list < 0 ? 0.f : trtreg::to_float(candidates.box(list, place)[k]);
      if (clip) value = trtreg::clamp(value, 0.f, 1.f);
      out.boxes[i * out.box_step + k] = trtreg::from_float<T>(value);
    }
    out.scores[i * out.score_step] = trtreg::from_float<T>(list < 0 ? 0.f : candidates.score(list, place));
    int64_t const label = list < 0 ? -1 : list % candidates.classes;
    if (out.classes) out.classes[i] = trtreg::from_float<T>(static_cast<float>(label));
    if (out.labels) out.labels[i] = static_cast<int32_t>(label);
    if (out.indices) out.indices[i] = static_cast<int32_t>(place);
    // The last detection of an image knows their number.
    if (out.counts && at.remainder == 0 && key == 0) out.counts[at.quotient] = 0;
    bool const is_last = key != 0 && (next == 0 || at.remainder + 1 == top);
    if (out.counts && is_last) out.counts[at.quotient] = static_cast<int32_t>(at.remainder + 1);
  }
}

// What TensorRT's and MMDeploy's operators have in common.
class BatchedBase : public trtreg::Plugin {
 public:
  static constexpr trtreg::Arity inputs{2};  // boxes [N, boxes, 1 or classes, 4], scores [N, boxes, classes]

  int32_t share_location = -1;
  int32_t background = -1;
  int32_t num_classes = 0;
  int64_t top_k = 0;
  int64_t keep_top_k = 0;
  float score = 0.f;
  float iou = 0.f;
  int32_t is_normalized = 1;
  int32_t clip_boxes = 1;
  int32_t score_bits = 16;
  int32_t caffe_semantics = 1;

  void attributes(trtreg::Attributes& all) {
    all.add("shareLocation", share_location).between(-1, 1);
    all.add("backgroundLabelId", background).alias("background_label_id").at_least(-1);
    all.add("numClasses", num_classes).alias("num_classes").at_least(0);
    all.add("topK", top_k).alias("topk");
    all.add("keepTopK", keep_top_k).alias("keep_topk").between(1, 1 << 30).required();
    all.add("scoreThreshold", score).alias("score_threshold");
    all.add("iouThreshold", iou).alias("iou_threshold").between(0, 1);
    all.add("isNormalized", is_normalized).alias("is_normalized").between(0, 1);
    all.add("clipBoxes", clip_boxes).alias("clip_boxes").between(0, 1);
    all.add("scoreBits", score_bits);
    all.add("caffeSemantics", caffe_semantics).between(0, 1);
  }

  size_t workspace(trtreg::TensorSpecs const& in, trtreg::TensorSpecs const&) const {
    Arena arena(nullptr);
    Scratch(arena, *this, in[1]);
    return arena.size();
  }

 protected:
  // Checks the inputs; the number of images.
  trtreg::Dim images(trtreg::Shapes const& s) const {
    s.expect_rank(0, 4);
    bool const flat = s.inputs[1].size() == 3;
    if (!flat) s.expect_rank(1, 4);
    if (!flat) s.expect(1, 3, 1, "one score of each box and class");
    s.expect(0, 3, 4, "a box");
    s.expect(1, 0, s.inputs[0][0], "images of boxes and scores");
    s.expect(1, 1, s.inputs[0][1], "boxes and their scores");
    if (num_classes > 0) s.expect(1, 2, num_classes, "numClasses");
    trtreg::Dim const sets = s.inputs[0][2];
    if (share_location == 1) s.expect(0, 2, 1, "shareLocation");
    if (!sets.known() || sets.value() != 1) s.expect(0, 2, s.inputs[1][2], "boxes of each class, or 1 for all");
    return s.inputs[0][0];
  }

  template <typename T>
  void run(trtreg::Call const& call, Detections<T> const& out) const {
    auto const& boxes = call.inputs[0];
    auto const& scores = call.inputs[1];
    int64_t const images = scores[0], size = scores[1], classes = scores[2], lists = images * classes, sets = boxes[2];
    Arena arena(call.workspace);
    Scratch const scratch(arena, *this, scores);
    Kept const& kept = scratch.first.kept;
    Candidates<T> const candidates{call.in<T>(0),
                                   call.in<T>(1),
                                   classes,
                                   {size * sets * 4, sets == 1 ? 0 : 4, sets * 4},
                                   {size * classes, 1, classes},
                                   background,
                                   false,
                                   score,
                                   nullptr};
    float const offset = is_normalized ? 0.f : 1.f;
    Rule const rule{iou, nullptr, offset, caffe_semantics ? offset : 0.f};
    Key const* sorted = nullptr;
    int64_t const all = classes * kept.room;
    if (lists > 0 && size > 0) {
      select(call.stream, candidates, rule, lists, size, examined(size), scratch.first);
      sorted = sort(call.stream, OfAllClasses{kept, classes}, images, all, scratch.keys, scratch.other);
    }
    trtreg::launch(detections_kernel<T>, trtreg::grid_for(images * keep_top_k), call.stream, candidates, kept, sorted,
                   sorted ? all : 0, images, keep_top_k, clip_boxes != 0, out);
  }

 private:
  struct Scratch {
    Memory first;
    Key* keys;
    Key* other;
    Scratch(Arena& arena, BatchedBase const& op, trtreg::TensorSpec const& scores)
        : first(arena, scores[0] * scores[2], scores[1], std::min(op.examined(scores[1]), op.keep_top_k)) {
      int64_t const all = scores[2] * first.kept.room;
      keys = arena.take<Key>(scores[0] * all);
      other = arena.take<Key>(all > kLargestChunk ? scores[0] * all : 0);
    }
  };

  int64_t examined(int64_t size) const { return top_k > 0 ? std::min(top_k, size) : size; }
};

template <typename Body>
void for_floats(trtreg::Call const& call, Body const& body) {
  trtreg::dispatch<float, __half, __nv_bfloat16>(call.inputs[0].type, body);
}

// TensorRT's: num_detections, nmsed_boxes, nmsed_scores, nmsed_classes.
class BatchedNMS : public BatchedBase {
 public:
  static constexpr char const* name = "BatchedNMS";
  static constexpr trtreg::Arity outputs{4};

  static trtreg::Signatures signatures() {
    using Type = trtreg::DataType;
    trtreg::Signatures all;
    for (Type const type : {Type::kFLOAT, Type::kHALF, Type::kBF16}) all.push_back({{type}, {Type::kINT32, type}});
    return all;
  }
  void shapes(trtreg::Shapes& s) const {
    trtreg::Dim const n = images(s);
    s.outputs = {{n, 1}, {n, keep_top_k, 4}, {n, keep_top_k}, {n, keep_top_k}};
  }
  void enqueue(trtreg::Call const& call) const {
    for_floats(call, [&](auto zero) {
      using T = decltype(zero);
      run<T>(call, {call.out<int32_t>(0), call.out<T>(1), call.out<T>(2), 4, 1, call.out<T>(3), nullptr, nullptr});
    });
  }
};
struct BatchedNmsTrt : BatchedNMS {
  static constexpr char const* name = "BatchedNMS_TRT";
};
struct BatchedNmsDynamicTrt : BatchedNMS {
  static constexpr char const* name = "BatchedNMSDynamic_TRT";
};

// MMDeploy's: dets [N, keep, 5], labels, and with return_index the numbers of the boxes.
class TRTBatchedNMS : public BatchedBase {
 public:
  static constexpr char const* name = "TRTBatchedNMS";
  static constexpr trtreg::Arity outputs{2, 3};

  int32_t return_index = 0;

  void attributes(trtreg::Attributes& all) {
    BatchedBase::attributes(all);
    all.add("return_index", return_index).between(0, 1);
  }
  int32_t output_count() const { return return_index ? 3 : 2; }
  static trtreg::Signatures signatures() {
    using Type = trtreg::DataType;
    trtreg::Signatures all;
    for (Type const type : {Type::kFLOAT, Type::kHALF, Type::kBF16}) all.push_back({{type}, {type, Type::kINT32}});
    return all;
  }
  void shapes(trtreg::Shapes& s) const {
    trtreg::Dim const n = images(s);
    s.outputs[0] = {n, keep_top_k, 5};
    for (size_t i = 1; i < s.outputs.size(); ++i) s.outputs[i] = {n, keep_top_k};
  }
  void enqueue(trtreg::Call const& call) const {
    for_floats(call, [&](auto zero) {
      using T = decltype(zero);
      T* const rows = call.out<T>(0);
      int32_t* const index = return_index ? call.out<int32_t>(2) : nullptr;
      run<T>(call, {nullptr, rows, rows + 4, 5, 5, nullptr, call.out<int32_t>(1), index});
    });
  }
};

}  // namespace
}  // namespace nms

#endif  // TRTPLUGIN_NMS_BATCHED_NMS_H
