// Split: x cut along one axis, in one kernel for all outputs.
#include <trtreg/plugin.h>

#include "kernel.h"

namespace {

using split::kMost;
using trtreg::DataType;

class Split : public trtreg::Plugin {
 public:
  static constexpr char const* name = "Split";
  static constexpr trtreg::Arity inputs{1};
  static constexpr trtreg::Arity outputs{1, kMost};

  int32_t axis = 0;
  std::vector<int64_t> split;
  int32_t num_outputs = 0;

  void attributes(trtreg::Attributes& all) {
    all.add("axis", axis).alias("dim").between(-8, 7);
    all.add("split", split).alias("split_sizes").alias("output_lengths").at_least(0);
    all.add("num_outputs", num_outputs).between(0, kMost);
  }

  static trtreg::Signatures signatures() {
    return trtreg::uniform({DataType::kFLOAT, DataType::kHALF, DataType::kBF16, DataType::kINT8, DataType::kINT32,
                            DataType::kINT64, DataType::kBOOL});
  }

  int32_t output_count() const {
    return split.empty() ? std::max(num_outputs, 1) : static_cast<int32_t>(std::min<size_t>(split.size(), kMost));
  }

  void shapes(trtreg::Shapes& s) const {
    trtreg::require(split.empty() != (num_outputs == 0), "expected attribute 'split', or 'num_outputs', and not both");
    trtreg::require(split.size() <= kMost, "attribute 'split': found ", split.size(), " parts, expected up to ", kMost);
    auto const rank = static_cast<int32_t>(s.inputs[0].size());
    trtreg::require(axis >= -rank && axis < rank, "attribute 'axis': found ", axis, " for rank ", rank);
    size_t const along = positive(rank);
    trtreg::Dim const size = s.inputs[0][along];
    if (!split.empty()) {
      trtreg::Dim total = 0;
      for (int64_t const each : split) total = total + trtreg::Dim(each);
      s.expect(0, along, total, "the sum of 'split'");
    }
    trtreg::Dim const chunk = num_outputs ? ceil_div(size, trtreg::Dim(num_outputs)) : trtreg::Dim(0);
    for (size_t i = 0; i < s.outputs.size(); ++i) {
      s.outputs[i] = s.inputs[0];
      // As ONNX has it: equal parts, but for the last ones.
      trtreg::Dim const rest = max(size - chunk * trtreg::Dim(static_cast<int64_t>(i)), trtreg::Dim(0));
      s.outputs[i][along] = split.empty() ? min(chunk, rest) : trtreg::Dim(split[i]);
    }
  }

  void enqueue(trtreg::Call const& call) const {
    auto const& x = call.inputs[0];
    auto const along = static_cast<int32_t>(positive(x.rank()));
    split::Parts p{};
    p.count = static_cast<int32_t>(call.outputs.size());
    p.rows = 1;
    for (int32_t i = 0; i < along; ++i) p.rows *= x[i];
    auto bytes = static_cast<int64_t>(trtreg::size_of(x.type));  // of one step along the axis
    for (int32_t i = along + 1; i < x.rank(); ++i) bytes *= x[i];
    for (int32_t i = 0; i < p.count; ++i) {
      auto const& y = call.outputs[static_cast<size_t>(i)];
      p.y[i] = y.size() > 0 ? y.data : nullptr;
      p.begin[i + 1] = p.begin[i] + y[along] * bytes;
    }
    split::run(call.stream, x.data, p);
  }

 private:
  size_t positive(int32_t rank) const { return static_cast<size_t>(axis < 0 ? axis + rank : axis); }
};

}  // namespace

TRTREG_PLUGINS(Split)
