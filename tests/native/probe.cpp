// Plugins that show what the author's layer does with attributes, shapes and errors. No kernels: they never run.
#include <trtreg/plugin.h>

namespace {

using trtreg::DataType;

class Attributed : public trtreg::Plugin {
 public:
  static constexpr char const* name = "ProbeAttributes";
  static constexpr char const* version = "2";
  static constexpr char const* plugin_namespace = "probe";
  static constexpr trtreg::Arity inputs{0, 8};

  int32_t axis = 0;
  std::array<int32_t, 2> stride{1, 2};
  std::vector<float> scales{0.5f};
  std::vector<int64_t> sizes;
  std::string mode = "sum \"of\" all";
  float alpha = 0.1f;

  void attributes(trtreg::Attributes& all) {
    all.add("axis", axis).required();
    all.add("stride", stride).alias("strides").alias("step").at_least(1);
    all.add("scales", scales).finite();
    all.add("sizes", sizes).between(0, 100);
    all.add("mode", mode);
    all.add("alpha", alpha);
  }
  static trtreg::Signatures signatures() { return trtreg::uniform({DataType::kFLOAT}); }
  // Answers with its attributes, so that a test reads them back.
  void shapes(trtreg::Shapes& s) const {
    s.outputs[0] = {axis,
                    stride[0],
                    stride[1],
                    static_cast<int64_t>(scales.size()),
                    sizes.empty() ? 0 : sizes.back(),
                    static_cast<int64_t>(mode.size()),
                    static_cast<int64_t>(alpha * 1000.f)};
  }
  void enqueue(trtreg::Call const&) const {}
};

class Shaped : public trtreg::Plugin {
 public:
  static constexpr char const* name = "ProbeShapes";
  static constexpr trtreg::Arity inputs{1, 2};
  static constexpr trtreg::Arity outputs{1, 3};
  static constexpr trtreg::Arity shape_inputs{0, 1};

  int32_t copies = 2;

  void attributes(trtreg::Attributes& all) { all.add("copies", copies).between(1, 3); }
  static trtreg::Signatures signatures() {
    return {{{DataType::kHALF, DataType::kINT32}, {DataType::kFLOAT, DataType::kINT64}},
            {{{DataType::kINT8, trtreg::TensorFormat::kCHW32}}, {DataType::kFLOAT}}};
  }
  int32_t output_count() const { return copies; }
  void shapes(trtreg::Shapes& s) const {
    s.expect_rank(0, 2);
    trtreg::Dim const n = s.inputs[0][0];
    trtreg::Dim const m = s.inputs[0][1];
    if (s.inputs.size() > 1) s.expect(1, 0, n, "as long as x");
    s.outputs[0] = {n + 1, m - 1, n * m, floor_div(m, 2), ceil_div(m, 2), max(n, m), min(n, m)};
    if (copies > 1) s.outputs[1] = s.shape_inputs.empty() ? trtreg::Shape{} : s.shape_inputs[0];
    if (copies > 2) s.outputs[2] = {s.size_tensor(1, n, n * m)};
  }
  size_t workspace(trtreg::TensorSpecs const& in, trtreg::TensorSpecs const& out) const {
    return static_cast<size_t>(in[0].size()) * trtreg::size_of(out[0].type);
  }
  void enqueue(trtreg::Call const&) const {}
};

class Throwing : public trtreg::Plugin {
 public:
  static constexpr char const* name = "ProbeThrows";
  static constexpr trtreg::Arity inputs{1};

  std::string where = "nowhere";

  void attributes(trtreg::Attributes& all) { all.add("where", where); }
  static trtreg::Signatures signatures() { return trtreg::uniform({DataType::kFLOAT}); }
  void shapes(trtreg::Shapes& s) const {
    if (where == "shapes") throw std::runtime_error("shapes said no");
    if (where == "shapes with an int") throw 42;
    s.outputs[0] = s.inputs[0];
  }
  size_t workspace(trtreg::TensorSpecs const&, trtreg::TensorSpecs const&) const {
    if (where == "workspace") throw trtreg::Error("workspace said no");
    return 0;
  }
  void enqueue(trtreg::Call const&) const { throw trtreg::Error("enqueue said no"); }
};

}  // namespace

TRTREG_PLUGINS(Attributed, Shaped, Throwing)
