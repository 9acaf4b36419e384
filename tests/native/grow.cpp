// A plugin whose attribute shows in the output shape: the last dimension grows by `by`, which the node must have.
#include "trtreg/plugin.h"

namespace {

struct Grow : trtreg::Plugin {
  static constexpr char const* name = "TrtregTestGrow";
  static constexpr trtreg::Arity inputs{1};
  float by = 0.f;
  void attributes(trtreg::Attributes& all) { all.add("by", by).between(0, 100).required(); }
  static trtreg::Signatures signatures() { return trtreg::uniform({trtreg::DataType::kFLOAT}); }
  void shapes(trtreg::Shapes& shapes) const {
    shapes.outputs[0] = shapes.inputs[0];
    auto& last = shapes.outputs[0].back();
    last = last + trtreg::Dim(static_cast<int64_t>(by));
  }
  void enqueue(trtreg::Call const&) const {}
};

}  // namespace

TRTREG_PLUGINS(Grow)
