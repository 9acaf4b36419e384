// ScatterND and ScatterElements: a copy of the data in which updates replace, or are combined with, what indices name.
#include <trtreg/pack.h>
#include <trtreg/plugin.h>

#include "kernels.h"

namespace {

// What both have in common.
class Scatter : public trtreg::Plugin {
 public:
  static constexpr trtreg::Arity inputs{3};  // data, indices, updates

  std::string reduction = "none";

  void attributes(trtreg::Attributes& all) { all.add("reduction", reduction); }

  static trtreg::Signatures signatures() {
    using Type = trtreg::DataType;
    trtreg::Signatures all;
    for (Type const type : {Type::kFLOAT, Type::kHALF, Type::kBF16, Type::kINT32, Type::kINT64}) {
      for (Type const index : {Type::kINT32, Type::kINT64}) all.push_back({{type, index, type}, {type}});
    }
    return all;
  }

  // 16-bit numbers are combined as floats.
  size_t workspace(trtreg::TensorSpecs const& in, trtreg::TensorSpecs const&) const {
    bool const wide = how() != Reduction::kNone && trtreg::size_of(in[0].type) == 2;
    return wide ? static_cast<size_t>(in[0].size()) * sizeof(float) : 0;
  }

 protected:
  Reduction how() const {
    static constexpr char const* kNames[] = {"none", "add", "mul", "max", "min"};
    for (int32_t i = 0; i < 5; ++i) {
      if (reduction == kNames[i]) return static_cast<Reduction>(i);
    }
    throw trtreg::Error("attribute 'reduction': found '" + reduction + "', expected none, add, mul, max or min");
  }

  static Indices indices(trtreg::Call const& call) {
    return {call.inputs[1].data, call.inputs[1].type == trtreg::DataType::kINT64};
  }

  // The steps from one index of each axis to the next.
  static Extents extents(trtreg::TensorSpec const& tensor) {
    Extents result{tensor.rank(), {}, {}};
    int64_t step = 1;
    for (int axis = tensor.rank() - 1; axis >= 0; --axis) {
      result.sizes[axis] = tensor[axis];
      result.steps[axis] = step;
      step *= tensor[axis];
    }
    return result;
  }

  static void copy(trtreg::Call const& call) {
    auto const& x = call.inputs[0];
    if (x.data == call.outputs[0].data) return;
    size_t const bytes = static_cast<size_t>(x.size()) * trtreg::size_of(x.type);
    trtreg::check(cudaMemcpyAsync(call.outputs[0].data, x.data, bytes, cudaMemcpyDeviceToDevice, call.stream),
                  "cudaMemcpyAsync");
  }

  // Calls body(where the data is combined, updates) between the copy and, for 16-bit numbers, the way back.
  template <typename Body>
  static void combine(trtreg::Call const& call, Body const& body) {
    using trtreg::dispatch, trtreg::elementwise;
    dispatch<float, __half, __nv_bfloat16, int32_t, int64_t>(call.inputs[0].type, [&](auto zero) {
      using T = decltype(zero);
      if constexpr (sizeof(T) == 2) {
        auto* const wide = static_cast<float*>(call.workspace);
        int64_t const size = call.inputs[0].size();
        elementwise(call.stream, size, Convert<float>{}, wide, call.in<T>(0));
        body(wide, call.in<T>(2));
        elementwise(call.stream, size, Convert<T>{}, call.out<T>(0), static_cast<float const*>(wide));
      } else {
        copy(call);
        body(call.out<T>(0), call.in<T>(2));
      }
    });
  }
};

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

TRTREG_PLUGINS(ScatterND, ScatterElements)
