// What ScatterND and ScatterElements have in common: a copy of the data, and how updates are combined with it.
#ifndef TRTPLUGIN_SCATTER_SCATTER_H
#define TRTPLUGIN_SCATTER_SCATTER_H

#include <trtreg/pack.h>
#include <trtreg/plugin.h>

#include "kernels.h"

namespace {

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

}  // namespace

#endif  // TRTPLUGIN_SCATTER_SCATTER_H
