// ScatterND: updates are slices, and a row of indices names the place of each.
#ifndef TRTPLUGIN_SCATTER_SCATTER_ND_H
#define TRTPLUGIN_SCATTER_SCATTER_ND_H

#include "scatter.h"

namespace {

class ScatterND : public Scatter {
 public:
  static constexpr char const* name = "ScatterND";

  void shapes(trtreg::Shapes& s) const {
    (void)how();
    size_t const rank = s.inputs[0].size();
    size_t const rows = s.inputs[1].size();
    trtreg::require(rank > 0 && rows > 0, "data and indices need a dimension, found ranks ", rank, " and ", rows);
    s.outputs[0] = s.inputs[0];
    for (size_t axis = 0; axis + 1 < rows && axis < s.inputs[2].size(); ++axis) {
      s.expect(2, axis, s.inputs[1][axis], "rows of indices");
    }
    trtreg::Dim const last = s.inputs[1].back();
    if (!last.known()) return;  // then enqueue sees it
    trtreg::require(last.value() <= static_cast<int64_t>(rank), "rows of ", last.value(), " indices into ", rank,
                    " dimensions");
    auto const depth = static_cast<size_t>(last.value());
    s.expect_rank(2, rows - 1 + rank - depth);
    for (size_t axis = depth; axis < rank; ++axis) s.expect(2, rows - 1 + axis - depth, s.inputs[0][axis], "a slice");
  }

  void enqueue(trtreg::Call const& call) const {
    auto const& index = call.inputs[1];
    Extents data = extents(call.inputs[0]);
    int64_t const depth = index[index.rank() - 1];
    trtreg::require(depth <= data.rank, "rows of ", depth, " indices into ", data.rank, " dimensions");
    data.rank = static_cast<int32_t>(depth);
    int64_t rows = 1;
    int64_t slice = 1;
    for (int32_t axis = 0; axis + 1 < index.rank(); ++axis) rows *= index[axis];
    for (int32_t axis = data.rank; axis < call.inputs[0].rank(); ++axis) slice *= call.inputs[0][axis];
    trtreg::require(call.inputs[2].size() == rows * slice, call.inputs[2].size(), " updates, expected ", rows,
                    " slices of ", slice);
    if (how() == Reduction::kNone) {
      copy(call);
      size_t const size = trtreg::size_of(call.inputs[0].type);
      move<16>(call, data, rows, slice * static_cast<int64_t>(size));
    } else {
      combine(call, [&](auto* y, auto const* updates) {
        trtreg::launch(slices_kernel<Combine, Bare<decltype(y)>, Bare<decltype(updates)>>,
                       trtreg::grid_for(rows * slice), call.stream, Combine{how()}, y, indices(call), updates, data,
                       rows, slice);
      });
    }
  }

 private:
  template <typename Pointer>
  using Bare = std::remove_const_t<std::remove_pointer_t<Pointer>>;

  // Slices in the largest words that fit: 16 bytes, or less.
  template <int kBytes>
  static void move(trtreg::Call const& call, Extents data, int64_t rows, int64_t slice_bytes) {
    using Word = trtreg::Pack<uint16_t, kBytes / 2>;
    if constexpr (kBytes > 2) {
      if (slice_bytes % kBytes != 0 || !trtreg::aligned(kBytes, call.out<char>(0), call.in<char>(2))) {
        return move<kBytes / 2>(call, data, rows, slice_bytes);
      }
    }
    auto const size = static_cast<int64_t>(trtreg::size_of(call.inputs[0].type));
    for (int32_t axis = 0; axis < data.rank; ++axis) data.steps[axis] = data.steps[axis] * size / kBytes;
    int64_t const slice = slice_bytes / kBytes;
    trtreg::launch(slices_kernel<Store, Word, Word>, trtreg::grid_for(rows * slice), call.stream, Store{},
                   call.out<Word>(0), indices(call), call.in<Word>(2), data, rows, slice);
  }
};

}  // namespace

#endif  // TRTPLUGIN_SCATTER_SCATTER_ND_H
