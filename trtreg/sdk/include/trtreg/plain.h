// The plain-C face, made from an author's contract (see face.h, operator.h).
#ifndef TRTREG_PLAIN_H
#define TRTREG_PLAIN_H

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "trtreg/face.h"
#include "trtreg/operator.h"

// The opaque type of face.h: one plugin of any kind.
struct __attribute__((visibility("hidden"))) trtreg_plugin {
  virtual ~trtreg_plugin() = default;
  virtual char const* name() const = 0;
  virtual int32_t output_count() const = 0;
  virtual void infer(trtreg::TensorSpecs const& inputs, std::vector<trtreg::Shape> shape_inputs,
                     trtreg::TensorSpecs& outputs, uint64_t& workspace_size) const = 0;
  virtual void run(trtreg::Call const& call) const = 0;
};

namespace TRTREG_NAMESPACE {
namespace detail {

// TensorRT gives a plugin only the attributes that its creator names; a caller of this face may give any.
template <typename P>
P create_strict(abi::PluginFieldCollection const& fields) {
  P prototype{};
  Attributes attributes;
  prototype.attributes(attributes);
  for (int32_t i = 0; i < fields.nbFields; ++i) {
    char const* name = fields.fields[i].name;
    require(attributes.has(name), "unknown attribute '", name ? name : "", "'");
  }
  return create<P>(&fields);
}

template <typename P>
struct PlainPlugin final : trtreg_plugin {
  P plugin;

  explicit PlainPlugin(abi::PluginFieldCollection const& fields) : plugin(create_strict<P>(fields)) {}
  char const* name() const override { return P::name; }
  int32_t output_count() const override { return detail::output_count(plugin); }

  void infer(TensorSpecs const& inputs, std::vector<Shape> shape_inputs, TensorSpecs& outputs,
             uint64_t& workspace_size) const override {
    std::vector<TypeFormat> given;
    for (TensorSpec const& input : inputs) given.emplace_back(input.type, input.format);
    std::vector<TypeFormat> const result = outputs_of(plugin, given, true);
    std::vector<Dims> const dims = output_dims(plugin, dims_of(inputs), std::move(shape_inputs));
    outputs.clear();
    for (size_t i = 0; i < dims.size(); ++i) outputs.push_back({result[i].type, dims[i], result[i].format});
    workspace_size = plugin.workspace(inputs, outputs);
  }
  void run(Call const& call) const override { detail::run(plugin, call); }
};

template <typename T>
void expect_list(T const* list, int32_t count) {
  require(count >= 0 && (list || count == 0), "a list of ", count, list ? "" : ", which is null");
}

inline std::vector<Call::Tensor> tensors_of(trtreg_tensor const* list, int32_t count) {
  expect_list(list, count);
  std::vector<Call::Tensor> result;
  for (int32_t i = 0; i < count; ++i) {
    trtreg_tensor const& tensor = list[i];
    require(tensor.rank >= 0 && tensor.rank <= TRTREG_MAX_DIMS, "tensor ", i, " has rank ", tensor.rank);
    Dims dims{tensor.rank, {}};
    for (int32_t axis = 0; axis < tensor.rank; ++axis) {
      dims.d[axis] = tensor.dims[axis];
      require(dims.d[axis] >= 0, "dimension ", axis, " of tensor ", i, " is ", dims.d[axis]);
    }
    result.push_back(
        {{static_cast<DataType>(tensor.type), dims, static_cast<TensorFormat>(tensor.format)}, tensor.data});
  }
  return result;
}

inline std::vector<Shape> values_of(trtreg_tensor const* list, int32_t count) {
  expect_list(list, count);
  std::vector<Shape> result;
  for (int32_t i = 0; i < count; ++i) {
    require(list[i].rank >= 0 && list[i].rank <= TRTREG_MAX_DIMS, "shape input ", i, " has ", list[i].rank, " values");
    result.emplace_back(list[i].dims, list[i].dims + list[i].rank);
  }
  return result;
}

inline TensorSpecs specs_of(std::vector<Call::Tensor> const& tensors) { return {tensors.begin(), tensors.end()}; }

struct Plain {
  static char const* last_error() noexcept { return detail::last_error; }

  template <typename Body>
  static int32_t asked(trtreg_plugin const* plugin, Body&& body) noexcept {
    return guarded(plugin ? plugin->name() : "", -1, [&] {
      require(plugin, "no plugin");
      return body();
    });
  }

  static void destroy(trtreg_plugin* plugin) noexcept { delete plugin; }

  static int32_t output_count(trtreg_plugin const* plugin) noexcept {
    return asked(plugin, [&] { return plugin->output_count(); });
  }

  static int32_t infer(trtreg_plugin const* plugin, trtreg_tensor const* inputs, int32_t input_count,
                       trtreg_tensor const* shape_inputs, int32_t shape_input_count, trtreg_tensor* outputs,
                       int32_t output_count, uint64_t* workspace_size) noexcept {
    return asked(plugin, [&] {
      TensorSpecs found;
      uint64_t bytes = 0;
      plugin->infer(specs_of(tensors_of(inputs, input_count)), values_of(shape_inputs, shape_input_count), found,
                    bytes);
      expect_list(outputs, output_count);
      require(workspace_size, "no place for the size of the workspace");
      require(found.size() == static_cast<size_t>(output_count), "found room for ", output_count, " outputs, expected ",
              found.size());
      for (size_t i = 0; i < found.size(); ++i) {
        outputs[i] = {outputs[i].data,
                      static_cast<int32_t>(found[i].type),
                      static_cast<int32_t>(found[i].format),
                      found[i].rank(),
                      0,
                      {}};
        std::copy_n(found[i].dims.d, found[i].rank(), outputs[i].dims);
      }
      *workspace_size = bytes;
      return 0;
    });
  }

  static int32_t enqueue(trtreg_plugin const* plugin, trtreg_tensor const* inputs, int32_t input_count,
                         trtreg_tensor const* shape_inputs, int32_t shape_input_count, trtreg_tensor const* outputs,
                         int32_t output_count, void* workspace, void* stream) noexcept {
    return asked(plugin, [&] {
      auto const in = tensors_of(inputs, input_count);
      auto const out = tensors_of(outputs, output_count);
      TensorSpecs expected;
      uint64_t bytes = 0;
      plugin->infer(specs_of(in), values_of(shape_inputs, shape_input_count), expected, bytes);
      require(expected.size() == out.size(), "found ", out.size(), " outputs, expected ", expected.size());
      for (size_t i = 0; i < out.size(); ++i) {
        TypeFormat const is{out[i].type, out[i].format};
        TypeFormat const wanted{expected[i].type, expected[i].format};
        require(is.type == wanted.type && is.format == wanted.format && out[i].dims == expected[i].dims, "output ", i,
                " is ", trtreg::name_of(is), to_string(out[i].dims), ", expected ", trtreg::name_of(wanted),
                to_string(expected[i].dims));
        require(out[i].data || out[i].size() == 0, "output ", i, " has no memory");
      }
      for (size_t i = 0; i < in.size(); ++i) require(in[i].data || in[i].size() == 0, "input ", i, " has no memory");
      require(workspace || bytes == 0, "no workspace, expected ", bytes, " bytes");
      plugin->run(Call{in, out, workspace, static_cast<cudaStream_t>(stream)});
      return 0;
    });
  }
};

}  // namespace detail
}  // namespace TRTREG_NAMESPACE

#endif  // TRTREG_PLAIN_H
