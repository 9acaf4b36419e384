// Cumulative maximum and minimum along one dimension, with the index of each.
#include <trtreg/plugin.h>

#include "kernel.h"

namespace {

using trtreg::DataType;

class Cumulative : public trtreg::Plugin {
 public:
  static constexpr trtreg::Arity inputs{1};
  static constexpr trtreg::Arity outputs{2};  // values, indices

  int32_t dim = 0;

  void attributes(trtreg::Attributes& all) { all.add("dim", dim).alias("axis"); }

  static trtreg::Signatures signatures() {
    trtreg::Signatures all;
    for (DataType const type :
         {DataType::kFLOAT, DataType::kHALF, DataType::kBF16, DataType::kINT32, DataType::kINT64}) {
      all.push_back({{type}, {type, DataType::kINT32}});
    }
    return all;
  }

  void shapes(trtreg::Shapes& s) const {
    trtreg::Shape const& x = s.inputs[0];
    size_t const axis = axis_of(static_cast<int32_t>(x.size()));
    trtreg::require(x.empty() || !x[axis].known() || x[axis].value() <= 0x7fffffff, "dimension ", axis, " is ",
                    x.empty() ? 0 : x[axis].value(), ": indices are int32");
    s.outputs[0] = s.outputs[1] = x;
  }

  size_t workspace(trtreg::TensorSpecs const&, trtreg::TensorSpecs const&) const {
    using namespace cummaxmin;
    return static_cast<size_t>(kParts + kFewRows) * sizeof(Entry<int64_t>);
  }

 protected:
  void scan(trtreg::Call const& call, bool smallest) const {
    trtreg::dispatch<float, __half, __nv_bfloat16, int32_t, int64_t>(call.inputs[0].type, [&](auto zero) {
      using T = decltype(zero);
      using namespace cummaxmin;
      auto const& x = call.inputs[0];
      Params<T> p{call.in<T>(0), call.out<T>(0), call.out<int32_t>(1), 1, 1, 1, 1, 1, smallest};
      auto const axis = static_cast<int32_t>(axis_of(x.rank()));
      for (int32_t i = 0; i < x.rank(); ++i) (i < axis ? p.outer : i == axis ? p.length : p.inner) *= x[i];
      int64_t const rows = p.outer * p.inner;
      auto const packs = [&](int size) {
        return trtreg::aligned(sizeof(T) * size, p.x, p.values) && trtreg::aligned(sizeof(int32_t) * size, p.indices);
      };
      if (p.inner >= 16 && (rows >= 8192 || p.length <= 256)) {
        bool const wide = rows >= kWide * 16384 && p.inner % kWide == 0 && packs(kWide);
        trtreg::launch(wide ? columns_kernel<T, kWide> : columns_kernel<T, 1>, trtreg::grid_for(rows, wide ? kWide : 1),
                       call.stream, p);
        return;
      }
      bool const packed = p.inner == 1 && p.length % kPack == 0 && packs(kPack);
      if (p.length <= 1024) {
        int64_t const blocks = trtreg::grid_for(rows, 1, trtreg::kThreads / trtreg::kWarp).blocks;
        trtreg::launch(packed ? warps_kernel<T, true> : warps_kernel<T, false>,
                       {std::min<int64_t>(blocks, trtreg::multiprocessors() * 16)}, call.stream, p);
        return;
      }
      if (rows <= kFewRows && p.length > 2 * kChunk<T>) {  // too few for all multiprocessors
        p.parts = std::min(trtreg::ceil_div(kParts, rows), trtreg::ceil_div(p.length, kChunk<T>));
      }
      p.part_size = trtreg::ceil_div(trtreg::ceil_div(p.length, p.parts), kChunk<T>) * kChunk<T>;
      p.parts = trtreg::ceil_div(p.length, p.part_size);
      auto* const largest = static_cast<Entry<T>*>(call.workspace);
      trtreg::Grid const grid{rows * p.parts, kBlock};
      if (p.parts > 1) {
        trtreg::launch(packed ? parts_kernel<T, true> : parts_kernel<T, false>, grid, call.stream, p, largest);
      }
      trtreg::launch(packed ? rows_kernel<T, true> : rows_kernel<T, false>, grid, call.stream, p,
                     static_cast<Entry<T> const*>(largest));
    });
  }

 private:
  size_t axis_of(int32_t rank) const {
    int32_t const most = std::max(rank, 1);
    trtreg::require(dim >= -most && dim < most, "attribute 'dim' is ", dim, ", expected a dimension of rank ", rank);
    return static_cast<size_t>(dim < 0 ? dim + most : dim);
  }
};

struct CumMax : Cumulative {
  static constexpr char const* name = "cummax";
  void enqueue(trtreg::Call const& call) const { scan(call, false); }
};

struct CumMin : Cumulative {
  static constexpr char const* name = "cummin";
  void enqueue(trtreg::Call const& call) const { scan(call, true); }
};

}  // namespace

TRTREG_PLUGINS(CumMax, CumMin)
