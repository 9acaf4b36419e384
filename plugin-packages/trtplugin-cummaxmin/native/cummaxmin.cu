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
    return cummaxmin::kMaxParts * sizeof(cummaxmin::Entry<int64_t>);  // of all rows that are cut together
  }

 protected:
  void scan(trtreg::Call const& call, bool smallest) const {
    trtreg::dispatch<float, __half, __nv_bfloat16, int32_t, int64_t>(call.inputs[0].type, [&](auto zero) {
      using T = decltype(zero);
      auto const& x = call.inputs[0];
      cummaxmin::Params<T> p{call.in<T>(0), call.out<T>(0), call.out<int32_t>(1), 1, 1, 1, 1, 1, smallest};
      auto const axis = static_cast<int32_t>(axis_of(x.rank()));
      for (int32_t i = 0; i < x.rank(); ++i) (i < axis ? p.outer : i == axis ? p.length : p.inner) *= x[i];
      p.part_size = p.length;
      if (p.inner >= 16 && (p.outer * p.inner >= 8192 || p.length <= 256)) {  // a thread for each row
        trtreg::launch(cummaxmin::columns_kernel<T>, trtreg::grid_for(p.outer * p.inner), call.stream, p);
        return;
      }
      bool const packed = p.inner == 1 && p.length % cummaxmin::kPack == 0 && trtreg::aligned(16, p.indices) &&
                          trtreg::aligned(sizeof(T) * cummaxmin::kPack, p.x, p.values);
      packed ? launch<true>(call, p) : launch<false>(call, p);
    });
  }

 private:
  size_t axis_of(int32_t rank) const {
    int32_t const most = std::max(rank, 1);
    trtreg::require(dim >= -most && dim < most, "attribute 'dim' is ", dim, ", expected a dimension of rank ", rank);
    return static_cast<size_t>(dim < 0 ? dim + most : dim);
  }

  template <bool kPacked, typename T>
  static void launch(trtreg::Call const& call, cummaxmin::Params<T> p) {
    using namespace cummaxmin;
    int64_t const rows = p.outer * p.inner;
    if (p.length <= 512) {  // a warp for each
      int64_t const blocks = trtreg::grid_for(rows, 1, trtreg::kThreads / trtreg::kWarp).blocks;
      trtreg::launch(rows_kernel<T, trtreg::kWarp, kPack, kPacked>, {blocks, trtreg::kThreads}, call.stream, p,
                     static_cast<Entry<T>*>(nullptr));
      return;
    }
    Entry<T>* largest = nullptr;
    if (rows <= 64 && p.length > 2 * kChunk) {  // too few for all multiprocessors: about 256 blocks
      p.parts = std::min(trtreg::ceil_div(256, rows), trtreg::ceil_div(p.length, kChunk));
      p.part_size = trtreg::ceil_div(trtreg::ceil_div(p.length, p.parts), kChunk) * kChunk;
      p.parts = trtreg::ceil_div(p.length, p.part_size);
      largest = static_cast<Entry<T>*>(call.workspace);
      trtreg::launch(parts_kernel<T, kPacked>, {rows * p.parts, kBlock}, call.stream, p, largest);
    }
    trtreg::launch(rows_kernel<T, kBlock, kItems, kPacked>, {std::min<int64_t>(rows * p.parts, 0x7fffffff), kBlock},
                   call.stream, p, largest);
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
