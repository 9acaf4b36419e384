// A plugin with the name of an op that TensorRT's parser imports by itself: -DNAME, -DSPACE and -DVERSION give others.
#include "trtreg/plugin.h"

#ifndef NAME
#define NAME "ScatterND"
#endif
#ifndef SPACE
#define SPACE ""
#endif
#ifndef VERSION
#define VERSION "1"
#endif

namespace {

using trtreg::DataType;

struct Scatter : trtreg::Plugin {
  static constexpr char const* name = NAME;
  static constexpr char const* version = VERSION;
  static constexpr char const* plugin_namespace = SPACE;
  static constexpr trtreg::Arity inputs{3};
  // The parser gives int32 to a plugin called ScatterND where the model has int64, and int64 to others.
  static trtreg::Signatures signatures() {
    return {{{DataType::kFLOAT, DataType::kINT32, DataType::kFLOAT}, {DataType::kFLOAT}},
            {{DataType::kFLOAT, DataType::kINT64, DataType::kFLOAT}, {DataType::kFLOAT}}};
  }
  void shapes(trtreg::Shapes& shapes) const { shapes.outputs[0] = shapes.inputs[0]; }
  void enqueue(trtreg::Call const&) const {}
};

}  // namespace

TRTREG_PLUGINS(Scatter)
