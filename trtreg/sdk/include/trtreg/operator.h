// The contract of a plugin, and the few functions over it that both faces (TensorRT's and plain C) share.
#ifndef TRTREG_OPERATOR_H
#define TRTREG_OPERATOR_H

#include <limits>
#include <string>
#include <vector>

#include "trtreg/attribute.h"
#include "trtreg/error.h"
#include "trtreg/shape.h"
#include "trtreg/tensor.h"

namespace TRTREG_NAMESPACE {

// How many tensors: exactly n, or from min to max.
struct Arity {
  int32_t min;
  int32_t max;
  constexpr Arity(int32_t n) : min(n), max(n) {}  // NOLINT: a number is an arity
  constexpr Arity(int32_t low, int32_t high) : min(low), max(high) {}
};

// A type and a memory layout.
struct TypeFormat {
  DataType type;
  TensorFormat format{TensorFormat::kLINEAR};
  TypeFormat(DataType t, TensorFormat f = TensorFormat::kLINEAR) : type(t), format(f) {}  // NOLINT: a type is linear
};

// As it stands in trtplugin.json.
inline std::string name_of(TypeFormat const& entry) {
  std::string const type = name_of(entry.type);
  return entry.format == TensorFormat::kLINEAR ? type : type + ":" + name_of(entry.format);
}

// One combination that a plugin takes. Tensors beyond the end of a list are like its last entry.
struct Signature {
  std::vector<TypeFormat> inputs;
  std::vector<TypeFormat> outputs;
};

using Signatures = std::vector<Signature>;

// Numbers above 0, of which each stands for a way to do it.
using Tactics = std::vector<int32_t>;

// All tensors of one type, for each of `types`.
inline Signatures uniform(std::initializer_list<DataType> types) {
  Signatures all;
  for (DataType const type : types) all.push_back({{type}, {type}});
  return all;
}

// What an author derives from, and hides where the default does not fit:
//
//   static constexpr char const* name            required: the op type of the ONNX node
//   static constexpr Arity inputs                required
//   void attributes(Attributes&)                 names the members that are attributes; their values are the defaults
//   static Signatures signatures()               required: the type/format combinations, from which output types follow
//   void shapes(Shapes&) const                   required: output shapes; refuses inputs that do not fit together
//   size_t workspace(in, out) const              bytes of device memory that one call needs; for the largest shapes
//   void enqueue(Call const&) const              required: puts the work on the stream
//   int32_t output_count() const                 where the number of outputs depends on attributes
//   Tactics tactics(in, out) const               ways to do it, of which a builder times each, or takes the first;
//                                                Call::tactic is the one, 0 where there was none: enqueue chooses
//   static int32_t aliased_input(int32_t)        the input whose memory an output shares, or -1 (with kAliases = true)
//
// Each throws trtreg::Error (see require, check) to refuse.
//
// How special inputs and outputs are declared. Each works in both faces; tests/testing/ has a plugin for each:
//
//   integers: signatures() lists their types. {{kFLOAT, kINT64}, {kFLOAT, kINT32}} is one combination of inputs and of
//       outputs; the outputs follow from the first signature whose inputs fit.
//   optional inputs: `inputs{4, 5}`, then Call::has_input(4), and s.inputs.size() in shapes(). They come last.
//   text, lists: members std::string, std::vector<float>, std::vector<int64_t>. shapes() checks what a text may be.
//   values as shapes: `shape_inputs{0, 1}`. shapes() reads s.shape_inputs[0][axis]; enqueue does not get them. An ONNX
//       node lists them in its attribute tensorrt_plugin_shape_input_indices, a caller of the C face gives them apart.
//       Where only the shape of a tensor counts, it is an ordinary input.
//   sizes that depend on data: s.size_tensor(1, opt, upper), where output 1 is a scalar, int32 or int64. The C face
//       gives the output that has that size with `upper` elements.
//   an output over an input: kAliases. A builder refuses it unless its preview feature ALIASED_PLUGIN_IO_10_03 is set,
//       which neither trtreg nor trtexec sets, so a package for everybody copies. Through the C face, a caller may give
//       one address for both where a plugin says that it works.
//   channels last: {{{kHALF, TensorFormat::kHWC8}, kHALF}, {{kHALF, TensorFormat::kHWC8}}} is a combination whose first
//       input and whose output lie so; map_strides says where an element is. TensorRT chooses among the combinations, a
//       caller of the C face gives formats with its inputs.
class Plugin {
 public:
  static constexpr char const* version = "1";
  static constexpr char const* plugin_namespace = "";
  static constexpr Arity outputs{1};
  static constexpr Arity shape_inputs{0};
  static constexpr bool kAliases = false;

  void attributes(Attributes&) {}
  size_t workspace(TensorSpecs const&, TensorSpecs const&) const { return 0; }
  Tactics tactics(TensorSpecs const&, TensorSpecs const&) const { return {}; }
  int32_t output_count() const { return -1; }
};

namespace detail {

inline TypeFormat const& at(std::vector<TypeFormat> const& list, int32_t index) {
  return list[std::min(static_cast<size_t>(index), list.size() - 1)];
}

// A plugin with the attributes of `fields`, the defaults for the rest.
template <typename P>
P create(abi::PluginFieldCollection const* fields) {
  P plugin{};
  Attributes attributes;
  plugin.attributes(attributes);
  attributes.assign(fields ? *fields : abi::PluginFieldCollection{});
  return plugin;
}

template <typename P>
int32_t output_count(P const& plugin) {
  int32_t const count = plugin.output_count();
  return count >= 0 ? count : P::outputs.min;
}

template <typename P>
void expect_inputs(int32_t count) {
  require(count >= P::inputs.min && count <= P::inputs.max, "found ", count, " inputs, expected ", P::inputs.min,
          P::inputs.min == P::inputs.max ? "" : " to " + std::to_string(P::inputs.max));
}

// What the outputs are by the first signature that takes `inputs`; without `formats` any format will do.
template <typename P>
std::vector<TypeFormat> outputs_of(P const& plugin, std::vector<TypeFormat> const& inputs, bool formats) {
  auto const count = static_cast<int32_t>(inputs.size());
  expect_inputs<P>(count);
  for (Signature const& signature : P::signatures()) {
    bool fits = true;
    for (int32_t i = 0; i < count; ++i) {
      TypeFormat const& wanted = at(signature.inputs, i);
      TypeFormat const& found = at(inputs, i);
      fits = fits && wanted.type == found.type && (!formats || wanted.format == found.format);
    }
    if (!fits) continue;
    std::vector<TypeFormat> result;
    for (int32_t i = 0; i < output_count(plugin); ++i) result.push_back(at(signature.outputs, i));
    return result;
  }
  std::string found;
  for (TypeFormat const& each : inputs) found += (found.empty() ? "" : ", ") + trtreg::name_of(each);
  throw Error("no signature takes inputs of types (" + found + ")");
}

// Output shapes of concrete inputs.
template <typename P>
std::vector<Dims> output_dims(P const& plugin, std::vector<Dims> const& inputs, std::vector<Shape> shape_inputs = {}) {
  expect_inputs<P>(static_cast<int32_t>(inputs.size()));
  Shapes shapes(static_cast<size_t>(output_count(plugin)));
  for (size_t i = 0; i < inputs.size(); ++i) expect_size(inputs[i], "input", i);
  for (Dims const& dims : inputs) shapes.inputs.emplace_back(dims.d, dims.d + dims.nbDims);
  shapes.shape_inputs = std::move(shape_inputs);
  plugin.shapes(shapes);
  std::vector<Dims> result;
  for (Shape const& shape : shapes.outputs) {
    require(shape.size() <= static_cast<size_t>(Dims::MAX_DIMS), "an output of rank ", shape.size());
    Dims dims{static_cast<int32_t>(shape.size()), {}};
    for (size_t i = 0; i < shape.size(); ++i) {
      dims.d[i] = shape[i].value();
      require(dims.d[i] >= 0, "dimension ", i, " of an output would be ", dims.d[i]);
    }
    expect_size(dims, "output", result.size());
    result.push_back(dims);
  }
  return result;
}

inline std::vector<Dims> dims_of(TensorSpecs const& tensors) {
  std::vector<Dims> result;
  for (TensorSpec const& tensor : tensors) result.push_back(tensor.dims);
  return result;
}

// Runs the plugin and sees that every launch was accepted.
template <typename P>
void run(P const& plugin, Call const& call) {
  bool const idle = !call.outputs.empty() && std::all_of(call.outputs.begin(), call.outputs.end(),
                                                         [](TensorSpec const& tensor) { return tensor.size() == 0; });
  if (idle) return;  // nothing to write; a grid of zero blocks is an error in CUDA
  plugin.enqueue(call);
  check(cudaGetLastError(), "kernel launch");
}

template <typename P>
std::string describe() {
  auto const range = [](Arity arity) {
    return "[" + std::to_string(arity.min) + ", " + std::to_string(arity.max) + "]";
  };
  auto const types = [](std::vector<TypeFormat> const& list) {
    std::string text;
    for (TypeFormat const& entry : list) text += (text.empty() ? "" : ", ") + quoted(trtreg::name_of(entry));
    return "[" + text + "]";
  };
  P plugin{};
  Attributes attributes;
  plugin.attributes(attributes);
  std::string fields;
  for (auto const& entry : attributes.entries()) {
    std::string const shape =
        ", \"type\": " + quoted(name_of(entry->type)) + ", \"length\": " + std::to_string(entry->length);
    fields += (fields.empty() ? "" : ", ") + ("{\"name\": " + quoted(entry->name)) + shape;
    fields += (entry->is_required ? "" : ", \"default\": " + entry->json()) + "}";
    for (std::string const& alias : entry->aliases) {
      fields += ", {\"name\": " + quoted(alias) + shape + ", \"alias_of\": " + quoted(entry->name) + "}";
    }
  }
  std::string signatures;
  for (Signature const& signature : P::signatures()) {
    signatures += (signatures.empty() ? "" : ", ") + ("{\"inputs\": " + types(signature.inputs)) +
                  ", \"outputs\": " + types(signature.outputs) + "}";
  }
  return "{\"name\": " + quoted(P::name) + ", \"version\": " + quoted(P::version) +
         ", \"namespace\": " + quoted(P::plugin_namespace) + ", \"inputs\": " + range(P::inputs) +
         ", \"outputs\": " + range(P::outputs) + ", \"fields\": [" + fields + "], \"signatures\": [" + signatures +
         "]}";
}

}  // namespace detail
}  // namespace TRTREG_NAMESPACE

#endif  // TRTREG_OPERATOR_H
