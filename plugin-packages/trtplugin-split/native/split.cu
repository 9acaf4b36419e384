// Split: x cut along one axis, in one kernel for all outputs.
#include <trtreg/pack.h>
#include <trtreg/plugin.h>

namespace {

using trtreg::DataType;

constexpr int kMost = 64;  // outputs: their addresses and places travel with the launch

// x is a matrix of `rows` rows; output i takes its columns from begin[i] on, up to begin[i + 1].
struct Parts {
  int64_t rows;
  int64_t columns;
  int32_t count;
  int64_t begin[kMost + 1];
  void* y[kMost];
};

// T is a number of bytes and no number: up to 16, which every part is a multiple of.
template <typename T>
__global__ void __launch_bounds__(trtreg::kThreads) split_kernel(T const* x, Parts const p) {
  int64_t const size = p.rows * p.columns;
  for (int64_t i = trtreg::thread_index(); i < size; i += trtreg::thread_count()) {
    trtreg::Quotient const at = trtreg::divide(i, p.columns);
    int part = 0;
    while (p.begin[part + 1] <= at.remainder) ++part;
    int64_t const width = p.begin[part + 1] - p.begin[part];
    static_cast<T*>(p.y[part])[at.quotient * width + at.remainder - p.begin[part]] = x[i];
  }
}

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
      int64_t total = 0;
      for (int64_t const each : split) total += each;
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
    Parts p{};
    p.count = static_cast<int32_t>(call.outputs.size());
    p.rows = 1;
    for (int32_t i = 0; i < along; ++i) p.rows *= x[i];
    auto bytes = static_cast<int64_t>(trtreg::size_of(x.type));  // of one step along the axis
    for (int32_t i = along + 1; i < x.rank(); ++i) bytes *= x[i];
    // Whatever all parts and addresses are multiples of can be moved at once.
    uintptr_t bits = 16 | reinterpret_cast<uintptr_t>(x.data);
    for (int32_t i = 0; i < p.count; ++i) {
      auto const& y = call.outputs[static_cast<size_t>(i)];
      p.y[i] = y.data;
      p.begin[i + 1] = p.begin[i] + y[along] * bytes;
      bits |= static_cast<uintptr_t>(y[along] * bytes);
      if (y.size() > 0) bits |= reinterpret_cast<uintptr_t>(y.data);
    }
    auto const unit = static_cast<int64_t>(bits & (~bits + 1));
    for (int32_t i = 0; i <= p.count; ++i) p.begin[i] /= unit;
    p.columns = p.begin[p.count];
    switch (unit) {
      case 16:
        return run<trtreg::Pack<uint64_t, 2>>(call, p);
      case 8:
        return run<uint64_t>(call, p);
      case 4:
        return run<uint32_t>(call, p);
      case 2:
        return run<uint16_t>(call, p);
      default:
        return run<uint8_t>(call, p);
    }
  }

 private:
  size_t positive(int32_t rank) const { return static_cast<size_t>(axis < 0 ? axis + rank : axis); }

  template <typename T>
  static void run(trtreg::Call const& call, Parts const& p) {
    trtreg::launch(split_kernel<T>, trtreg::grid_for(p.rows * p.columns), call.stream, call.in<T>(0), p);
  }
};

}  // namespace

TRTREG_PLUGINS(Split)
