// NonMaxSuppression with ONNX's inputs for thresholds, or MMCV's attributes; rows of -1 at the end.
#ifndef TRTPLUGIN_NMS_NON_MAX_SUPPRESSION_H
#define TRTPLUGIN_NMS_NON_MAX_SUPPRESSION_H

#include <trtreg/block.h>
#include <trtreg/plugin.h>

#include "select.h"

namespace nms {
namespace {

constexpr int kScan = 1024;

// Where the rows of each list begin: offsets[list] = counts before it; one block.
template <typename Index>
__global__ void __launch_bounds__(kScan)
    offsets_kernel(int32_t const* counts, int64_t* offsets, int64_t lists, Index* total) {
  int64_t before = 0;
  for (int64_t first = 0; first < lists; first += kScan) {
    int64_t const i = first + threadIdx.x;
    int64_t const mine = i < lists ? counts[i] : 0;
    int64_t sum;
    int64_t const upto = trtreg::block_scan<kScan>(mine, trtreg::Sum{}, sum);
    if (i < lists) offsets[i] = before + upto - mine;
    before += sum;
  }
  if (threadIdx.x == 0 && total) *total = static_cast<Index>(before);
}

template <typename Index>
__global__ void rows_kernel(Kept kept, int64_t const* offsets, int64_t classes, Index* rows) {
  int64_t const list = blockIdx.x;
  trtreg::Quotient const at = trtreg::divide(list, classes);
  for (int64_t i = threadIdx.x; i < kept.counts[list]; i += blockDim.x) {
    Index* const row = rows + (offsets[list] + i) * 3;
    row[0] = static_cast<Index>(at.quotient);
    row[1] = static_cast<Index>(at.remainder);
    row[2] = static_cast<Index>(place_of(kept.keys[list * kept.room + i]));
  }
}

class NonMaxSuppression : public trtreg::Plugin {
 public:
  static constexpr char const* name = "NonMaxSuppression";
  // boxes, scores; ONNX's max_output_boxes_per_class, iou_threshold, score_threshold
  static constexpr trtreg::Arity inputs{2, 5};
  static constexpr trtreg::Arity outputs{1, 2};

  int64_t limit = 0;
  float iou = 0.f;
  float score = 0.f;
  int32_t centered = 0;
  float offset = 0.f;
  int32_t return_count = 0;

  void attributes(trtreg::Attributes& all) {
    all.add("max_output_boxes_per_class", limit).at_least(0);
    all.add("iou_threshold", iou).between(0, 1);
    all.add("score_threshold", score);
    all.add("center_point_box", centered).between(0, 1);
    all.add("offset", offset).between(0, 1);
    all.add("return_count", return_count).between(0, 1);
  }
  int32_t output_count() const { return 1 + return_count; }

  static trtreg::Signatures signatures() {
    using Type = trtreg::DataType;
    trtreg::Signatures all;  // two inputs fit both; the first counts: MMCV's int32
    for (Type const type : {Type::kFLOAT, Type::kHALF, Type::kBF16}) {
      all.push_back({{type}, {Type::kINT32}});
      all.push_back({{type, type, Type::kINT64, Type::kFLOAT}, {Type::kINT64}});
    }
    return all;
  }

  void shapes(trtreg::Shapes& s) const {
    s.expect_rank(0, 3);
    s.expect_rank(1, 3);
    s.expect(0, 2, 4, "a box");
    s.expect(1, 0, s.inputs[0][0], "images of boxes and scores");
    s.expect(1, 2, s.inputs[0][1], "boxes and their scores");
    for (size_t i = 2; i < s.inputs.size(); ++i) {
      trtreg::require(s.inputs[i].size() <= 1, "input ", i, " has rank ", s.inputs[i].size(), ", expected a scalar");
      if (!s.inputs[i].empty()) s.expect(i, 0, 1, "a scalar");
    }
    trtreg::Dim room = s.inputs[0][1];
    if (limit > 0) room = min(room, limit);
    trtreg::Dim rows = s.inputs[0][0] * s.inputs[1][1] * room;
    // A size that only the run knows needs an output of its own, and a parser takes no node with fewer outputs than its
    // plugin has. So ONNX's number of rows has to be asked for, and all else is padded.
    if (return_count) rows = s.size_tensor(1, rows, rows);
    s.outputs[0] = {rows, 3};
  }

  size_t workspace(trtreg::TensorSpecs const& in, trtreg::TensorSpecs const&) const {
    Arena arena(nullptr);
    int64_t const lists = in[1][0] * in[1][1];
    Memory(arena, lists, in[1][2], room(in[1][2]));
    arena.take<int64_t>(lists);
    return arena.size();
  }

  void enqueue(trtreg::Call const& call) const {
    // The signature of two inputs would take more of their type.
    for (size_t i = 2; i < call.inputs.size(); ++i) {
      auto const type = i == 2 ? trtreg::DataType::kINT64 : trtreg::DataType::kFLOAT;
      trtreg::require(call.inputs[i].type == type, "input ", i, " is ", trtreg::name_of(call.inputs[i].type),
                      ", expected ", trtreg::name_of(type));
    }
    trtreg::dispatch<float, __half, __nv_bfloat16>(call.inputs[0].type, [&](auto zero) {
      if (call.outputs[0].type == trtreg::DataType::kINT32) {
        run<decltype(zero), int32_t>(call);
      } else {
        run<decltype(zero), int64_t>(call);
      }
    });
  }

 private:
  int64_t room(int64_t size) const { return limit > 0 ? std::min(limit, size) : size; }

  template <typename T, typename Index>
  void run(trtreg::Call const& call) const {
    auto const& scores = call.inputs[1];
    int64_t const classes = scores[1], size = scores[2], lists = scores[0] * classes;
    Arena arena(call.workspace);
    Memory memory(arena, lists, size, room(size));
    auto* const offsets = arena.take<int64_t>(lists);
    memory.kept.limit_input = call.has_input(2) ? call.in<int64_t>(2) : nullptr;
    // Without its input, ONNX has no score threshold.
    float const least = call.has_input(2) ? -INFINITY : score;
    Candidates<T> const candidates{call.in<T>(0),
                                   call.in<T>(1),
                                   classes,
                                   {size * 4, 0, 4},
                                   {size * classes, size, 1},
                                   -1,
                                   centered != 0,
                                   least,
                                   call.has_input(4) ? call.in<float>(4) : nullptr};
    Rule const rule{iou, call.has_input(3) ? call.in<float>(3) : nullptr, offset, offset};
    trtreg::check(cudaMemsetAsync(call.outputs[0].data, 0xff, call.outputs[0].size() * sizeof(Index), call.stream),
                  "cudaMemsetAsync");  // rows of -1
    if (lists > 0 && size > 0) select(call.stream, candidates, rule, lists, size, size, memory);
    int64_t const filled = size > 0 ? lists : 0;
    trtreg::launch(offsets_kernel<Index>, {1, kScan}, call.stream, memory.kept.counts, offsets, filled,
                   return_count ? call.out<Index>(1) : nullptr);
    trtreg::launch(rows_kernel<Index>, {filled, 128}, call.stream, memory.kept, offsets, classes, call.out<Index>(0));
  }
};

}  // namespace
}  // namespace nms

#endif  // TRTPLUGIN_NMS_NON_MAX_SUPPRESSION_H
