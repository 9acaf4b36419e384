// ScatterElements: updates are single elements, and an index names the place of each along one axis.
#ifndef TRTPLUGIN_SCATTER_SCATTER_ELEMENTS_H
#define TRTPLUGIN_SCATTER_SCATTER_ELEMENTS_H

#include "scatter.h"

namespace {

class ScatterElements : public Scatter {
 public:
  static constexpr char const* name = "ScatterElements";

  int64_t axis = 0;

  void attributes(trtreg::Attributes& all) {
    Scatter::attributes(all);
    all.add("axis", axis);
  }

  void shapes(trtreg::Shapes& s) const {
    (void)how();
    size_t const rank = s.inputs[0].size();
    size_t const along = axis_of(static_cast<int64_t>(rank));
    s.expect_rank(1, rank);
    s.expect_rank(2, rank);
    for (size_t d = 0; d < rank; ++d) {
      trtreg::Dim const size = s.inputs[1][d];
      s.expect(2, d, size, "as many updates as indices");
      trtreg::Dim const room = s.inputs[0][d];
      trtreg::require(d == along || !size.known() || !room.known() || size.value() <= room.value(), "dimension ", d,
                      " of input 1 is ", size.value(), ", expected at most ", room.value());
    }
    s.outputs[0] = s.inputs[0];
  }

  void enqueue(trtreg::Call const& call) const {
    auto const& x = call.inputs[0];
    auto const& index = call.inputs[1];
    auto const along = static_cast<int32_t>(axis_of(x.rank()));
    bool whole = true;  // each line of the data has its updates
    for (int32_t d = 0; d < x.rank(); ++d) {
      trtreg::require(index[d] == call.inputs[2][d] && (d == along || index[d] <= x[d]), "dimension ", d, ": data ",
                      x[d], ", indices ", index[d], ", updates ", call.inputs[2][d]);
      whole = whole && (d == along || index[d] == x[d]);
    }
    Extents shape = extents(x);
    Lines lines{x.size() / x[along], shape.steps[along], x[along], index[along], 0};
    size_t const bytes = static_cast<size_t>(x[along]) * std::max<size_t>(trtreg::size_of(x.type), 4);
    if (whole) lines.per_block = lines_of_a_block(lines, bytes);
    int64_t const blocks = lines.per_block ? trtreg::ceil_div(lines.count, lines.per_block) : 0;
    // In few blocks, long lists of updates would wait for one another.
    if (lines.per_block && (blocks >= trtreg::multiprocessors() || lines.updates <= kFew)) {
      trtreg::Grid const grid{blocks, trtreg::kThreads, bytes * static_cast<size_t>(lines.per_block)};
      trtreg::dispatch<float, __half, __nv_bfloat16, int32_t, int64_t>(x.type, [&](auto zero) {
        using T = decltype(zero);
        size_t const index_size = trtreg::size_of(index.type);
        bool const packed = lines.inner == 1 && lines.size % kPack == 0 && lines.updates % kPack == 0 &&
                            trtreg::aligned(kPack * sizeof(T), call.in<T>(0), call.in<T>(2), call.out<T>(0)) &&
                            trtreg::aligned(kPack * index_size, call.in<char>(1));
        trtreg::launch(packed ? lines_kernel<T, kPack> : lines_kernel<T, 1>, grid, call.stream, Combine{how()},
                       call.in<T>(0), indices(call), call.in<T>(2), call.out<T>(0), lines);
      });
      return;
    }
    for (int32_t d = 0; d < x.rank(); ++d) shape.sizes[d] = index[d];
    if (how() == Reduction::kNone) {
      copy(call);
      trtreg::dispatch<float, __half, __nv_bfloat16, int32_t, int64_t>(x.type, [&](auto zero) {
        using Word = trtreg::Pack<uint16_t, sizeof(zero) / 2>;
        scatter(call, Store{}, call.out<Word>(0), call.in<Word>(2), shape, along);
      });
    } else {
      combine(call, [&](auto* y, auto const* updates) { scatter(call, Combine{how()}, y, updates, shape, along); });
    }
  }

 private:
  static constexpr size_t kShared = 48 * 1024;  // bytes that every GPU gives
  static constexpr int64_t kFew = 4096;
  static constexpr int kPack = 4;

  size_t axis_of(int64_t rank) const {
    trtreg::require(axis >= -rank && axis < rank, "axis ", axis, " of data with ", rank, " dimensions");
    return static_cast<size_t>(axis < 0 ? axis + rank : axis);
  }

  // How many lines of that many bytes a block takes; 0 where they do not fit. At most 32, so that a warp reads 32
  // neighbours: of one line, or of each of 32 lines.
  static int lines_of_a_block(Lines const& lines, size_t bytes) {
    int count = 32;
    if (lines.inner == 1) {
      int threads = 1;
      while (threads < 32 && threads < std::max(lines.size, lines.updates) / kPack) threads *= 2;
      count = trtreg::kThreads / threads;
    }
    int const least = lines.inner == 1 ? 1 : 8;
    while (count >= least && bytes * static_cast<size_t>(count) > kShared) count /= 2;
    return count >= least ? count : 0;
  }

  template <typename Put, typename A, typename T>
  static void scatter(trtreg::Call const& call, Put put, A* y, T const* updates, Extents const& shape, int along) {
    int64_t const count = call.inputs[1].size();
    trtreg::launch(elements_kernel<Put, A, T>, trtreg::grid_for(count), call.stream, put, y, indices(call), updates,
                   shape, along, call.inputs[0][along], count);
  }
};

}  // namespace

#endif  // TRTPLUGIN_SCATTER_SCATTER_ELEMENTS_H
