// A whole plugin, small: TensorRT can parse a model with it and build an engine.
#include "trtreg/plugin.h"

namespace {

struct Identity : trtreg::Plugin {
  static constexpr char const* name = "TrtregTestIdentity";
  static constexpr trtreg::Arity inputs{1};
  static trtreg::Signatures signatures() { return trtreg::uniform({trtreg::DataType::kFLOAT}); }
  void shapes(trtreg::Shapes& shapes) const { shapes.outputs[0] = shapes.inputs[0]; }
  void enqueue(trtreg::Call const&) const {}
};

}  // namespace

TRTREG_PLUGINS(Identity)
