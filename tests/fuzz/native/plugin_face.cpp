// What a hostile model can hand to a plugin: attributes of any name, type and length, tensors of any type and shape.
//
// Each input becomes one plugin, made and asked through the plain-C face and through TensorRT's V3 interfaces, which
// have to agree; where it is small, its kernels run on the host. The address and the undefined-behaviour sanitizer
// watch. A plugin may refuse anything; it may not crash, throw, abort, or answer differently the second time.
//
// libFuzzer calls LLVMFuzzerTestOneInput; driver.cpp calls it with inputs of its own. The library is linked to this
// file, or opened where TRTREG_FUZZ_LIBRARY names one.
#include "plugin_face.h"

#include <dlfcn.h>
#include <trtreg/abi.h>
#include <trtreg/face.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace abi = trtreg::abi;

FuzzCounts fuzz_counts;

namespace {

using GetCreators = abi::IPluginCreatorInterface* const*(int32_t&);
using GetFace = trtreg_face const*(uint32_t);

[[noreturn]] void broken(std::string const& what) {
  std::fprintf(stderr, "plugin_face: %s\n", what.c_str());
  std::abort();
}

// ------------------------------------------------------------------------------------------------ the library asked
struct Creator {
  abi::IPluginCreatorV3One* v3;
  std::vector<std::vector<int32_t>> signatures;  // types of inputs, as its own description lists them
  int32_t min_inputs, max_inputs;
  std::vector<std::string> texts;  // defaults of its fields
};

struct Library {
  trtreg_face const* face;
  std::vector<Creator> creators;
};

// The few things that are read of a description, whose form is our own (see operator.h).
std::vector<std::string> words_of(std::string const& text, size_t begin, size_t end) {
  std::vector<std::string> words;
  while (true) {
    size_t const open = text.find('"', begin);
    if (open == std::string::npos || open >= end) return words;
    size_t const close = text.find('"', open + 1);
    words.push_back(text.substr(open + 1, close - open - 1));
    begin = close + 1;
  }
}

int32_t type_named(std::string const& name) {
  static char const* const kNames[] = {"float32", "float16",  "int8",  "int32", "bool", "uint8",
                                       "fp8",     "bfloat16", "int64", "int4",  "fp4",  "e8m0"};
  for (int32_t i = 0; i < 12; ++i) {
    if (name.substr(0, name.find(':')) == kNames[i]) return i;
  }
  broken("a signature with the type " + name);
}

Library open_library() {
  Library library{};
  auto* get_face = reinterpret_cast<GetFace*>(dlsym(RTLD_DEFAULT, "trtreg_get_face"));
  auto* get_creators = reinterpret_cast<GetCreators*>(dlsym(RTLD_DEFAULT, "getCreators"));
#ifdef TRTREG_FUZZ_LINKED
  get_face = trtreg_get_face;
#endif
  if (char const* const path = std::getenv("TRTREG_FUZZ_LIBRARY")) {
    void* const opened = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!opened) broken(dlerror());
    get_face = reinterpret_cast<GetFace*>(dlsym(opened, "trtreg_get_face"));
    get_creators = reinterpret_cast<GetCreators*>(dlsym(opened, "getCreators"));
  }
  if (!get_face || !get_creators) broken("no plugin library");
  library.face = get_face(TRTREG_FACE_ABI);
  std::string const text = library.face->describe();
  int32_t count = 0;
  abi::IPluginCreatorInterface* const* const all = get_creators(count);
  size_t at = text.find("\"creators\"");
  for (int32_t i = 0; i < count; ++i) {
    Creator creator{static_cast<abi::IPluginCreatorV3One*>(all[i]), {}, 0, 0, {}};
    at = text.find("\"inputs\": [", at);
    std::sscanf(text.c_str() + at, "\"inputs\": [%d, %d]", &creator.min_inputs, &creator.max_inputs);
    size_t const list = text.find("\"signatures\": [", at), end = text.find("]}]", list);
    for (std::string const& key : words_of(text, at, list)) {
      if (key != "default" && key.size() > 2) creator.texts.push_back(key);
    }
    for (size_t next = list; (next = text.find("{\"inputs\": [", next)) < end; next += 5) {
      std::vector<int32_t> types;
      size_t const begin = text.find('[', next);
      for (std::string const& name : words_of(text, begin, text.find(']', begin))) types.push_back(type_named(name));
      creator.signatures.push_back(std::move(types));
    }
    at = end;
    library.creators.push_back(std::move(creator));
  }
  return library;
}

Library const& library() {
  static Library const opened = open_library();
  return opened;
}

// --------------------------------------------------------------------------------------------------- the input, read
class Bytes {
 public:
  Bytes(uint8_t const* data, size_t size) : data_(data), left_(size) {}

  uint8_t byte() {
    if (!left_) return 0;
    --left_;
    return *data_++;
  }
  template <typename T>
  T raw() {
    T value{};
    for (size_t i = 0; i < sizeof(T); ++i) reinterpret_cast<uint8_t*>(&value)[i] = byte();
    return value;
  }
  size_t below(size_t count) { return count ? byte() % count : 0; }
  bool one_in(size_t count) { return below(count) == count - 1; }

  int64_t integer() {
    static constexpr int64_t kEdges[] = {0,         1,         -1,        2,         3,     4,         7,
                                         8,         16,        255,       256,       65536, INT32_MAX, INT32_MIN,
                                         INT64_MAX, INT64_MIN, 1ll << 40, 1ll << 53, -2,    1000,      1ll << 31};
    uint8_t const kind = byte();
    if (kind < 160) return kind % 9 - 1;
    if (kind < 240) return kEdges[kind % std::size(kEdges)];
    return raw<int64_t>();
  }
  double real() {
    static constexpr double kEdges[] = {0.,    -0.,  1.,   -1.,      .5,        2.,  1e-30,       1e30,
                                        1e300, 1e-7, 1e10, INFINITY, -INFINITY, NAN, 2147483648., 3e38};
    uint8_t const kind = byte();
    if (kind < 128) return kind % 9 / 2. - 1.;
    if (kind < 240) return kEdges[kind % std::size(kEdges)];
    return raw<double>();
  }
  int64_t dimension() {
    uint8_t const kind = byte();
    if (kind < 200) return kind % 8 + 1;
    if (kind < 230) return kind % 40;
    int64_t const edge = integer();
    return edge < 0 ? 0 : edge;
  }

 private:
  uint8_t const* data_;
  size_t left_;
};

// Memory of an exact size, so that a sanitizer sees what lies outside.
class Memory {
 public:
  explicit Memory(size_t size) : size_(size), all_(size ? new uint8_t[size]() : nullptr) {}
  uint8_t* data() const { return all_.get(); }
  size_t size() const { return size_; }

 private:
  size_t size_;
  std::unique_ptr<uint8_t[]> all_;
};

struct Fields {
  std::vector<std::unique_ptr<std::string>> names;
  std::vector<std::unique_ptr<Memory>> values;
  std::vector<trtreg_field> plain;

  std::vector<abi::PluginField> v3() const {
    std::vector<abi::PluginField> fields;
    for (trtreg_field const& field : plain) {
      fields.push_back({field.name, field.data, static_cast<abi::PluginFieldType>(field.type), field.length});
    }
    return fields;
  }
};

size_t field_size(int32_t type) {
  static constexpr size_t kSizes[] = {2, 4, 8, 1, 2, 4, 1, sizeof(abi::Dims), 1, 2, 8, 1, 1, 1};
  return type >= 0 && static_cast<size_t>(type) < std::size(kSizes) ? kSizes[type] : 1;
}

void put_text(Bytes& in, Fields& fields, Creator const& creator, trtreg_field& field) {
  static char const* const kTexts[] = {"",
                                       "zeros",
                                       "border",
                                       "reflection",
                                       "bilinear",
                                       "nearest",
                                       "bicubic",
                                       "linear",
                                       "cubic",
                                       "avg",
                                       "max",
                                       "min",
                                       "add",
                                       "mul",
                                       "none",
                                       "sum",
                                       "half_pixel",
                                       "pytorch_half_pixel",
                                       "asymmetric",
                                       "align_corners",
                                       "floor",
                                       "ceil",
                                       "round_prefer_floor",
                                       "same"};
  std::string text;
  size_t const kind = in.below(4);
  if (kind == 0 && !creator.texts.empty()) {
    text = creator.texts[in.below(creator.texts.size())];
  } else if (kind < 3) {
    text = kTexts[in.below(std::size(kTexts))];
  } else {
    text.resize(in.below(40));
    for (char& c : text) c = static_cast<char>(in.byte());
  }
  fields.values.push_back(std::make_unique<Memory>(text.size()));
  if (!text.empty()) std::memcpy(fields.values.back()->data(), text.data(), text.size());
  field.type = 6;
  field.length = static_cast<int32_t>(text.size());
}

void put_numbers(Bytes& in, Fields& fields, int32_t type, int32_t length, trtreg_field& field) {
  size_t const size = field_size(type);
  fields.values.push_back(std::make_unique<Memory>(size * static_cast<size_t>(length)));
  for (int32_t i = 0; i < length; ++i) {
    uint8_t* const to = fields.values.back()->data() + size * static_cast<size_t>(i);
    if (type == 1) {
      auto const value = static_cast<float>(in.real());
      std::memcpy(to, &value, 4);
    } else if (type == 2) {
      double const value = in.real();
      std::memcpy(to, &value, 8);
    } else {
      int64_t const value = in.integer();
      std::memcpy(to, &value, std::min(size, sizeof value));
    }
  }
  field.type = type;
  field.length = length;
}

void put_field(Bytes& in, Fields& fields, Creator const& creator, abi::PluginField const* known) {
  trtreg_field field{};
  if (known) {
    fields.names.push_back(std::make_unique<std::string>(known->name));
  } else {
    std::string name(in.below(12), ' ');
    for (char& c : name) c = static_cast<char>(in.byte());
    fields.names.push_back(std::make_unique<std::string>(name));
  }
  field.name = fields.names.back()->c_str();
  bool const as_known = known && !in.one_in(8);
  auto type = as_known ? static_cast<int32_t>(known->type) : static_cast<int32_t>(in.below(16)) - 1;
  if (type == 6) {
    put_text(in, fields, creator, field);
  } else {
    if (as_known && in.one_in(6)) type = in.one_in(2) ? 2 : 10;  // numbers of another width, which are converted
    auto const usual = known && known->length ? known->length : static_cast<int32_t>(in.below(5));
    put_numbers(in, fields, type, in.one_in(6) ? static_cast<int32_t>(in.below(70)) : usual, field);
  }
  field.data = fields.values.back()->data();
  if (in.one_in(40)) {  // what no exporter writes
    switch (in.below(4)) {
      case 0:
        field.name = nullptr;
        break;
      case 1:
        field.data = nullptr;
        break;
      case 2:
        field.length = -1 - static_cast<int32_t>(in.byte());
        break;
      default:
        field.type = in.raw<int32_t>();
        field.length = 0;
    }
  }
  fields.plain.push_back(field);
}

Fields read_fields(Bytes& in, Creator const& creator) {
  Fields fields;
  abi::PluginFieldCollection const& known = *creator.v3->getFieldNames();
  for (int32_t i = 0; i < known.nbFields; ++i) {
    if (in.one_in(3)) put_field(in, fields, creator, &known.fields[i]);
  }
  if (in.one_in(12)) put_field(in, fields, creator, nullptr);
  if (known.nbFields && in.one_in(12)) {
    put_field(in, fields, creator, &known.fields[in.below(static_cast<size_t>(known.nbFields))]);
  }
  return fields;
}

std::vector<trtreg_tensor> read_inputs(Bytes& in, Creator const& creator) {
  std::vector<trtreg_tensor> tensors;
  auto count = creator.min_inputs + static_cast<int32_t>(in.below(3));
  if (in.one_in(10)) count = static_cast<int32_t>(in.below(12));
  if (!in.one_in(20)) count = std::min(count, creator.max_inputs);
  auto const* const signature =
      creator.signatures.empty() ? nullptr : &creator.signatures[in.below(creator.signatures.size())];
  trtreg_tensor like{};
  like.rank = static_cast<int32_t>(in.below(6));
  for (int64_t& size : like.dims) size = in.dimension();
  for (int32_t i = 0; i < count; ++i) {
    trtreg_tensor tensor{};
    bool const fits = signature && !signature->empty() && !in.one_in(20);
    tensor.type = fits ? (*signature)[std::min(static_cast<size_t>(i), signature->size() - 1)]
                       : static_cast<int32_t>(in.below(14)) - 1;
    tensor.rank = like.rank;
    std::copy(std::begin(like.dims), std::end(like.dims), tensor.dims);
    if (in.one_in(3)) tensor.rank = static_cast<int32_t>(in.below(in.one_in(30) ? 12 : 9));
    for (int32_t axis = 0; axis < std::min(tensor.rank, TRTREG_MAX_DIMS); ++axis) {
      if (in.one_in(4)) tensor.dims[axis] = in.dimension();
    }
    if (in.one_in(60)) tensor.dims[in.below(8)] = in.raw<int64_t>();
    if (in.one_in(60)) tensor.rank = in.raw<int32_t>();
    if (in.one_in(60)) tensor.format = static_cast<int32_t>(in.below(14));
    tensors.push_back(tensor);
  }
  return tensors;
}

// ------------------------------------------------------------------------------------------------- shapes that repair
// Nearly all shapes are refused for one dimension or rank: what the SDK says about it is taken as advice.
bool repair(char const* words, std::vector<trtreg_tensor>& inputs) {
  long long axis = 0, input = 0, found = 0, expected = 0;
  if (char const* const at = std::strstr(words, "dimension ")) {
    if (std::sscanf(at, "dimension %lld of input %lld is %lld, expected %lld", &axis, &input, &found, &expected) == 4 &&
        input >= 0 && static_cast<size_t>(input) < inputs.size() && axis >= 0 && axis < TRTREG_MAX_DIMS) {
      inputs[static_cast<size_t>(input)].dims[axis] = expected;
      return true;
    }
  }
  if (char const* const at = std::strstr(words, "input ")) {
    if (std::sscanf(at, "input %lld has rank %lld, expected %lld", &input, &found, &expected) == 3 && input >= 0 &&
        static_cast<size_t>(input) < inputs.size() && expected >= 0 && expected <= TRTREG_MAX_DIMS) {
      inputs[static_cast<size_t>(input)].rank = static_cast<int32_t>(expected);
      return true;
    }
  }
  return false;
}

// ----------------------------------------------------------------------------------- dimensions that TensorRT computes
// A dimension that is not known while the engine is built has a value all the same: the one that it will have.
class Expression final : public abi::IDimensionExpr, public abi::apiv::VDimensionExpr {
 public:
  Expression(int64_t value, bool constant) : value(value), constant(constant) { mImpl = this; }
  bool isConstant() const override { return constant; }
  int64_t getConstantValue() const override { return value; }
  bool isSizeTensor() const override { return false; }

  int64_t const value;
  bool const constant;
};

class Builder final : public abi::IExprBuilder, public abi::apiv::VExprBuilder {
 public:
  Builder() { mImpl = this; }

  abi::IDimensionExpr const* make(int64_t value, bool constant) {
    made_.push_back(std::make_unique<Expression>(value, constant));
    return made_.back().get();
  }
  abi::IDimensionExpr const* constant(int64_t value) override { return make(value, true); }
  abi::IDimensionExpr const* operation(abi::DimensionOperation op, abi::IDimensionExpr const& first,
                                       abi::IDimensionExpr const& second) override {
    auto const& a = static_cast<Expression const&>(first);
    auto const& b = static_cast<Expression const&>(second);
    int64_t value = 0;
    if (!compute(op, a.value, b.value, value)) return nullptr;  // as TensorRT refuses
    return make(value, a.constant && b.constant);
  }
  abi::IDimensionExpr const* declareSizeTensor(int32_t, abi::IDimensionExpr const&,
                                               abi::IDimensionExpr const& upper) override {
    return make(static_cast<Expression const&>(upper).value, false);
  }

 private:
  static bool compute(abi::DimensionOperation op, int64_t a, int64_t b, int64_t& out) {
    using Op = abi::DimensionOperation;
    switch (op) {
      case Op::kSUM:
        return !__builtin_add_overflow(a, b, &out);
      case Op::kSUB:
        return !__builtin_sub_overflow(a, b, &out);
      case Op::kPROD:
        return !__builtin_mul_overflow(a, b, &out);
      case Op::kMAX:
        return out = std::max(a, b), true;
      case Op::kMIN:
        return out = std::min(a, b), true;
      case Op::kEQUAL:
        return out = a == b, true;
      case Op::kLESS:
        return out = a < b, true;
      default:
        if (b == 0 || (a == INT64_MIN && b == -1)) return false;
        out = a / b + (op == Op::kCEIL_DIV ? (a % b != 0 && (a < 0) == (b < 0)) : -(a % b != 0 && (a < 0) != (b < 0)));
        return true;
    }
  }

  std::vector<std::unique_ptr<Expression>> made_;
};

// --------------------------------------------------------------------------------------------------------- the plugin
using Plain = std::unique_ptr<trtreg_plugin, void (*)(trtreg_plugin*)>;
using V3 = std::unique_ptr<abi::IPluginV3>;

struct Case {
  Creator const& creator;
  Fields fields;
  std::vector<trtreg_tensor> inputs, outputs;
  std::vector<trtreg_tensor> shape_inputs;
  uint64_t workspace;
};

int32_t count_of(std::vector<trtreg_tensor> const& list) { return static_cast<int32_t>(list.size()); }

abi::IPluginV3OneBuild& build_of(abi::IPluginV3& plugin) {
  return *static_cast<abi::IPluginV3OneBuild*>(plugin.getCapabilityInterface(abi::PluginCapabilityType::kBUILD));
}
abi::IPluginV3OneRuntime& runtime_of(abi::IPluginV3& plugin) {
  return *static_cast<abi::IPluginV3OneRuntime*>(plugin.getCapabilityInterface(abi::PluginCapabilityType::kRUNTIME));
}

std::string serialised(abi::IPluginV3& plugin) {
  abi::PluginFieldCollection const* const all = runtime_of(plugin).getFieldsToSerialize();
  if (!all) broken("a plugin that cannot be serialised");
  std::string text;
  for (int32_t i = 0; i < all->nbFields; ++i) {
    abi::PluginField const& field = all->fields[i];
    text += std::string(field.name) + ":" + std::to_string(static_cast<int>(field.type)) + ":";
    size_t const size = field_size(static_cast<int32_t>(field.type)) * static_cast<size_t>(field.length);
    if (size) text.append(static_cast<char const*>(field.data), size);
    text += ";";
  }
  return text;
}

// An engine that is read again has to have the same plugin.
V3 again(Case const& one, abi::IPluginV3& plugin) {
  std::string const before = serialised(plugin);
  abi::PluginFieldCollection const* const all = runtime_of(plugin).getFieldsToSerialize();
  V3 copy(one.creator.v3->createPlugin("again", all, abi::TensorRTPhase::kRUNTIME));
  if (!copy) broken(std::string("a plugin that is not taken back: ") + library().face->last_error());
  if (serialised(*copy) != before) broken("a plugin that is another one after it was serialised");
  V3 clone(copy->clone());
  if (!clone || serialised(*clone) != before) broken("a clone that is another plugin");
  return clone;
}

bool infer(Case& one, trtreg_plugin* plugin) {
  trtreg_face const& face = *library().face;
  int32_t const outputs = face.output_count(plugin);
  if (outputs < 0) return false;
  one.outputs.assign(static_cast<size_t>(outputs), {});
  for (int32_t turn = 0; turn < 24; ++turn) {
    if (!face.infer(plugin, one.inputs.data(), count_of(one.inputs), one.shape_inputs.data(),
                    count_of(one.shape_inputs), one.outputs.data(), outputs, &one.workspace)) {
      return true;
    }
    if (!repair(face.last_error(), one.inputs)) return false;
  }
  return false;
}

abi::PluginTensorDesc describe(trtreg_tensor const& tensor) {
  abi::PluginTensorDesc desc{};
  desc.dims.nbDims = tensor.rank;
  std::copy_n(tensor.dims, std::min(std::max(tensor.rank, 0), TRTREG_MAX_DIMS), desc.dims.d);
  desc.type = static_cast<abi::DataType>(tensor.type);
  desc.format = static_cast<abi::TensorFormat>(tensor.format);
  return desc;
}

std::vector<abi::PluginTensorDesc> describe(std::vector<trtreg_tensor> const& tensors) {
  std::vector<abi::PluginTensorDesc> all;
  for (trtreg_tensor const& tensor : tensors) all.push_back(describe(tensor));
  return all;
}

std::vector<abi::DimsExprs> symbolic(std::vector<trtreg_tensor> const& tensors, Builder& builder, uint64_t open) {
  std::vector<abi::DimsExprs> all;
  for (trtreg_tensor const& tensor : tensors) {
    abi::DimsExprs dims{tensor.rank, {}};
    for (int32_t axis = 0; axis < tensor.rank; ++axis) {
      dims.d[axis] = builder.make(tensor.dims[axis], !(open & 1));
      open = open >> 1 | open << 63;
    }
    all.push_back(dims);
  }
  return all;
}

// What the build interface says, with every dimension known or some of them open. `accepted`: infer took the same.
void ask_build(Case const& one, abi::IPluginV3& plugin, bool accepted, uint64_t open) {
  abi::IPluginV3OneBuild& build = build_of(plugin);
  int32_t const inputs = count_of(one.inputs), outputs = build.getNbOutputs();
  if (outputs < 0) return;
  if (accepted && outputs != count_of(one.outputs)) broken("the two faces have different numbers of outputs");
  for (trtreg_tensor const& tensor : one.inputs) {
    if (tensor.rank < 0 || tensor.rank > abi::Dims::MAX_DIMS) return;  // which TensorRT does not have
  }
  std::vector<abi::DataType> types(static_cast<size_t>(outputs)), input_types;
  for (trtreg_tensor const& tensor : one.inputs) input_types.push_back(static_cast<abi::DataType>(tensor.type));
  bool const typed = !build.getOutputDataTypes(types.data(), outputs, input_types.data(), inputs);
  if (accepted && !typed) broken("the V3 interface refuses types that the plain face takes");
  Builder builder;
  auto const in = symbolic(one.inputs, builder, open), shapes = symbolic(one.shape_inputs, builder, open);
  std::vector<abi::DimsExprs> out(static_cast<size_t>(outputs));
  bool const shaped = !build.getOutputShapes(in.data(), inputs, shapes.data(), count_of(one.shape_inputs), out.data(),
                                             outputs, builder);
  if (accepted && !shaped && !open)
    broken(std::string("V3 refuses shapes that the plain face takes: ") + library().face->last_error());
  for (int32_t i = 0; accepted && shaped && i < outputs; ++i) {
    trtreg_tensor const& expected = one.outputs[static_cast<size_t>(i)];
    abi::DimsExprs const& found = out[static_cast<size_t>(i)];
    if (static_cast<int32_t>(types[static_cast<size_t>(i)]) != expected.type) broken("two types of one output");
    if (found.nbDims != expected.rank) broken("two ranks of one output");
    for (int32_t axis = 0; axis < found.nbDims; ++axis) {
      int64_t const value = static_cast<Expression const*>(found.d[axis])->value;
      if (value != expected.dims[axis]) {
        broken("output " + std::to_string(i) + " has size " + std::to_string(value) + " or " +
               std::to_string(expected.dims[axis]) + " along axis " + std::to_string(axis));
      }
    }
  }
  std::vector<abi::DynamicPluginTensorDesc> descs;
  for (auto const* list : {&one.inputs, &one.outputs}) {
    for (trtreg_tensor const& tensor : *list) {
      abi::PluginTensorDesc const desc = describe(tensor);
      descs.push_back({desc, desc.dims, desc.dims, desc.dims});
    }
  }
  descs.resize(static_cast<size_t>(inputs + outputs));  // what was refused has no outputs
  for (int32_t i = 0; i < inputs + outputs; ++i) build.supportsFormatCombination(i, descs.data(), inputs, outputs);
  build.configurePlugin(descs.data(), inputs, descs.data() + inputs, outputs);
  size_t const workspace = build.getWorkspaceSize(descs.data(), inputs, descs.data() + inputs, outputs);
  if (accepted && workspace != one.workspace) broken("two sizes of one workspace");
  auto const in_descs = describe(one.inputs), out_descs = describe(one.outputs);
  runtime_of(plugin).onShapeChange(in_descs.data(), inputs, out_descs.data(), count_of(one.outputs));
}

// -------------------------------------------------------------------------------------------------- running it, if
// small
int64_t elements(trtreg_tensor const& tensor) {
  int64_t product = 1;
  for (int32_t i = 0; i < tensor.rank; ++i) {
    if (__builtin_mul_overflow(product, tensor.dims[i], &product)) return INT64_MAX;
  }
  return product;
}

size_t element_size(int32_t type) {
  static constexpr size_t kSizes[] = {4, 2, 1, 4, 1, 1, 1, 2, 8, 0, 0, 1};
  return type >= 0 && static_cast<size_t>(type) < std::size(kSizes) ? kSizes[type] : 0;
}

bool is_small(std::vector<trtreg_tensor> const& tensors, int64_t& left) {
  for (trtreg_tensor const& tensor : tensors) {
    if (tensor.format || !element_size(tensor.type)) return false;
    int64_t const count = elements(tensor);
    if (count < 0 || count > left) return false;
    left -= count;
  }
  return true;
}

void fill(Memory const& memory, int32_t type, int32_t mode, std::mt19937& random) {
  uint8_t* const data = memory.data();
  size_t const size = element_size(type);
  for (size_t at = 0; at < memory.size(); at += size) {
    uint32_t const draw = random();
    if (mode == 3 || (mode == 2 && draw % 8 == 0)) {
      for (size_t i = 0; i < size; ++i) data[at + i] = static_cast<uint8_t>(random());
      if (type == 4) data[at] &= 1;
      continue;
    }
    int32_t const small = static_cast<int32_t>(draw % 12) - (mode ? 3 : 0);
    float const real = mode ? static_cast<float>(small) / 3.f : static_cast<float>(small);
    uint32_t bits = 0;
    std::memcpy(&bits, &real, 4);
    int64_t const whole = small;
    switch (type) {
      case 0:
        std::memcpy(data + at, &real, 4);
        break;
      case 1: {  // near enough: sign, 5 bits of exponent, 10 of fraction
        auto const half = static_cast<uint16_t>(
            (bits >> 16 & 0x8000) | (real != 0.f ? ((bits >> 23 & 0xff) - 112) << 10 | (bits >> 13 & 0x3ff) : 0));
        std::memcpy(data + at, &half, 2);
        break;
      }
      case 7: {
        auto const brain = static_cast<uint16_t>(bits >> 16);
        std::memcpy(data + at, &brain, 2);
        break;
      }
      case 4:
        data[at] = draw & 1;
        break;
      default:
        std::memcpy(data + at, &whole, size);
    }
  }
}

void run(Case& one, trtreg_plugin* plugin, abi::IPluginV3* v3, uint8_t mode, uint32_t seed) {
  // Threads of a kernel are fibers here: running one takes as long as asking hundreds of plugins for their shapes.
  using Clock = std::chrono::steady_clock;
  static Clock::time_point const begin = Clock::now();
  static Clock::duration spent{};
  auto const now = Clock::now();
  if (spent > (now - begin) / 2) return;
  std::shared_ptr<void> const finish(nullptr, [now](void*) { spent += Clock::now() - now; });
  int64_t left = 3000;
  if (!is_small(one.inputs, left) || !is_small(one.outputs, left) || one.workspace > 1 << 20) return;
  std::mt19937 random(seed);
  std::vector<Memory> memory;
  memory.reserve(one.inputs.size() + one.outputs.size() + 1);
  auto const place = [&](trtreg_tensor& tensor, int32_t how) {
    memory.emplace_back(static_cast<size_t>(elements(tensor)) * element_size(tensor.type));
    fill(memory.back(), tensor.type, how, random);
    tensor.data = memory.back().data();
  };
  for (trtreg_tensor& tensor : one.inputs) place(tensor, mode % 4);
  for (trtreg_tensor& tensor : one.outputs) place(tensor, 3);
  Memory const workspace(static_cast<size_t>(one.workspace));
  if (v3) {
    abi::IPluginV3OneRuntime& runtime = runtime_of(*v3);
    auto const in = describe(one.inputs), out = describe(one.outputs);
    std::vector<void const*> from;
    std::vector<void*> to;
    for (trtreg_tensor const& tensor : one.inputs) from.push_back(tensor.data);
    for (trtreg_tensor const& tensor : one.outputs) to.push_back(tensor.data);
    if (runtime.onShapeChange(in.data(), count_of(one.inputs), out.data(), count_of(one.outputs))) return;
    fuzz_counts.run += !runtime.enqueue(in.data(), out.data(), from.data(), to.data(), workspace.data(), nullptr);
    return;
  }
  fuzz_counts.run += !library().face->enqueue(plugin, one.inputs.data(), count_of(one.inputs), one.shape_inputs.data(),
                                              count_of(one.shape_inputs), one.outputs.data(), count_of(one.outputs),
                                              workspace.data(), nullptr);
}

// Calls that no careful caller makes: the face says that nothing aborts.
void ask_badly(Bytes& in, Case& one, trtreg_plugin* plugin) {
  trtreg_face const& face = *library().face;
  trtreg_plugin* made = nullptr;
  trtreg_tensor tensor{};
  uint64_t size = 0;
  int32_t answer = 0;
  auto const fields = static_cast<int32_t>(one.fields.plain.size());
  switch (in.below(12)) {
    case 0:
      answer = face.create(nullptr, "1", "", one.fields.plain.data(), fields, &made);
      break;
    case 1:
      answer = face.create("x", nullptr, nullptr, one.fields.plain.data(), fields, &made);
      break;
    case 2:
      answer = face.create(one.creator.v3->getPluginName(), "1", "", nullptr, 3, &made);
      break;
    case 3:
      answer = face.create(one.creator.v3->getPluginName(), "1", "", one.fields.plain.data(), -1, &made);
      break;
    case 4:
      answer = face.create(one.creator.v3->getPluginName(), "1", "", one.fields.plain.data(), fields, nullptr);
      break;
    case 5:
      answer = face.output_count(nullptr);
      break;
    case 6:
      answer = face.infer(nullptr, &tensor, 1, nullptr, 0, &tensor, 1, &size);
      break;
    case 7:
      answer = face.infer(plugin, nullptr, 2, nullptr, 0, &tensor, 1, &size);
      break;
    case 8:
      answer = face.infer(plugin, &tensor, -1, &tensor, -1, &tensor, -1, &size);
      break;
    case 9:
      answer = face.infer(plugin, one.inputs.data(), count_of(one.inputs), nullptr, 2, nullptr, 7, nullptr);
      break;
    case 10:
      answer = face.enqueue(nullptr, &tensor, 1, nullptr, 0, &tensor, 1, nullptr, nullptr);
      break;
    default:
      face.destroy(nullptr);
      answer = face.enqueue(plugin, nullptr, 1, nullptr, 1, nullptr, 1, nullptr, nullptr);
  }
  if (answer != -1 || made) broken("a call with nulls or a negative count was taken");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(uint8_t const* data, size_t size) {
  Library const& lib = library();
  Bytes in(data, size);
  ++fuzz_counts.inputs;
  Creator const& creator = lib.creators[in.below(lib.creators.size())];
  Case one{creator, read_fields(in, creator), read_inputs(in, creator), {}, {}, 0};
  for (size_t i = in.one_in(4) ? in.below(3) : 0; i > 0; --i) {
    trtreg_tensor values{};
    values.type = 8;
    values.rank = static_cast<int32_t>(in.below(9));
    for (int64_t& value : values.dims) value = in.integer();
    one.shape_inputs.push_back(values);
  }
  uint8_t const mode = in.byte();
  auto const open = in.one_in(3) ? 0 : in.raw<uint64_t>();
  auto const seed = in.raw<uint32_t>();

  trtreg_plugin* made = nullptr;
  auto const fields = one.fields.v3();
  abi::PluginFieldCollection const collection{static_cast<int32_t>(fields.size()), fields.data()};
  bool const plain_made =
      !lib.face->create(creator.v3->getPluginName(), creator.v3->getPluginVersion(), creator.v3->getPluginNamespace(),
                        one.fields.plain.data(), static_cast<int32_t>(one.fields.plain.size()), &made);
  Plain const plain(made, lib.face->destroy);
  V3 const first(creator.v3->createPlugin("fuzzed", &collection, abi::TensorRTPhase::kBUILD));
  if (plain_made && !first) broken("the V3 creator refuses attributes that the plain face takes");
  if (plain_made && in.one_in(16)) ask_badly(in, one, plain.get());
  if (!first) return 0;
  ++fuzz_counts.made;
  V3 const v3 = again(one, *first);
  bool const accepted = plain_made && infer(one, plain.get());
  ask_build(one, *v3, accepted, open);
  if (!accepted) return 0;
  ++fuzz_counts.inferred;
  run(one, plain.get(), mode & 4 ? v3.get() : nullptr, mode, seed);
  return 0;
}
