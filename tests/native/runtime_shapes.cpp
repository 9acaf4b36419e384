// Two ways of cutting a vector, without a kernel: to a length that stands in the CPU's memory (a shape tensor), and to
// one that stands in the GPU's, so that TensorRT knows the shape of the output only after the run.
#include "trtreg/plugin.h"

namespace {

using trtreg::DataType;

void copy(trtreg::Call const& call, size_t count) {
  trtreg::check(
      cudaMemcpyAsync(call.outputs[0].data, call.inputs[0].data, count, cudaMemcpyDeviceToDevice, call.stream), "copy");
}

struct Cut : trtreg::Plugin {
  static constexpr char const* name = "TrtregTestCut";
  static constexpr trtreg::Arity inputs{1, 2};
  static constexpr trtreg::Arity shape_inputs{1};
  static trtreg::Signatures signatures() {
    return {{{DataType::kFLOAT, DataType::kINT64}, {DataType::kFLOAT}},
            {{DataType::kFLOAT, DataType::kINT32}, {DataType::kFLOAT}}};
  }
  void shapes(trtreg::Shapes& shapes) const { shapes.outputs[0] = {shapes.shape_inputs.at(0).at(0)}; }
  void enqueue(trtreg::Call const& call) const { copy(call, static_cast<size_t>(call.outputs[0][0]) * sizeof(float)); }
};

struct Head : trtreg::Plugin {
  static constexpr char const* name = "TrtregTestHead";
  static constexpr trtreg::Arity inputs{2};
  static constexpr trtreg::Arity outputs{2};
  static trtreg::Signatures signatures() {
    return {{{DataType::kFLOAT, DataType::kINT64}, {DataType::kFLOAT, DataType::kINT64}},
            {{DataType::kFLOAT, DataType::kINT32}, {DataType::kFLOAT, DataType::kINT32}}};
  }
  void shapes(trtreg::Shapes& shapes) const {
    trtreg::Dim const n = shapes.inputs[0][0];
    shapes.outputs[0] = {shapes.size_tensor(1, n, n)};
  }
  void enqueue(trtreg::Call const& call) const {
    copy(call, static_cast<size_t>(call.inputs[0].size()) * sizeof(float));  // the output has room for all
    auto const& count = call.inputs[1];
    trtreg::check(cudaMemcpyAsync(call.outputs[1].data, count.data, trtreg::size_of(count.type),
                                  cudaMemcpyDeviceToDevice, call.stream),
                  "copy");
  }
};

}  // namespace

TRTREG_PLUGINS(Cut, Head)
