// Output shapes, written once: the same author's function serves TensorRT's symbolic dimensions and plain numbers.
#ifndef TRTREG_SHAPE_H
#define TRTREG_SHAPE_H

#include <limits>
#include <vector>

#include "trtreg/error.h"
#include "trtreg/tensor.h"

namespace TRTREG_NAMESPACE {

// One dimension: a number, or an expression over dimensions that are not known before run time.
class Dim {
 public:
  Dim(int64_t value = 0) : value_(value) {}  // NOLINT: a number is a dimension
  Dim(abi::IDimensionExpr const* expression, abi::IExprBuilder* builder) : builder_(builder) {
    if (expression->isConstant()) {
      value_ = expression->getConstantValue();
    } else {
      expression_ = expression;
    }
  }

  bool known() const { return !expression_; }
  int64_t value() const { return value_; }  // only where known()

  friend Dim operator+(Dim a, Dim b) { return apply(abi::DimensionOperation::kSUM, a, b); }
  friend Dim operator-(Dim a, Dim b) { return apply(abi::DimensionOperation::kSUB, a, b); }
  friend Dim operator*(Dim a, Dim b) { return apply(abi::DimensionOperation::kPROD, a, b); }
  friend Dim max(Dim a, Dim b) { return apply(abi::DimensionOperation::kMAX, a, b); }
  friend Dim min(Dim a, Dim b) { return apply(abi::DimensionOperation::kMIN, a, b); }
  friend Dim floor_div(Dim a, Dim b) { return apply(abi::DimensionOperation::kFLOOR_DIV, a, b); }
  friend Dim ceil_div(Dim a, Dim b) { return apply(abi::DimensionOperation::kCEIL_DIV, a, b); }

  // The expression that TensorRT takes; it owns it.
  abi::IDimensionExpr const* expression(abi::IExprBuilder& builder) const {
    abi::IDimensionExpr const* result = expression_ ? expression_ : builder.constant(value_);
    require(result, "TensorRT refused a dimension");
    return result;
  }

 private:
  static Dim apply(abi::DimensionOperation op, Dim a, Dim b) {
    if (a.known() && b.known()) return fold(op, a.value_, b.value_);
    abi::IExprBuilder* builder = a.builder_ ? a.builder_ : b.builder_;
    abi::IDimensionExpr const* result = builder->operation(op, *a.expression(*builder), *b.expression(*builder));
    require(result, "TensorRT refused an operation on dimensions");
    return Dim(result, builder);
  }

  static int64_t fold(abi::DimensionOperation op, int64_t a, int64_t b) {
    using Op = abi::DimensionOperation;
    int64_t result = 0;
    switch (op) {
      case Op::kSUM:
        require(!__builtin_add_overflow(a, b, &result), "a dimension is too large: ", a, " + ", b);
        return result;
      case Op::kSUB:
        require(!__builtin_sub_overflow(a, b, &result), "a dimension is too large: ", a, " - ", b);
        return result;
      case Op::kPROD:
        require(!__builtin_mul_overflow(a, b, &result), "a dimension is too large: ", a, " * ", b);
        return result;
      case Op::kMAX:
        return a > b ? a : b;
      case Op::kMIN:
        return a < b ? a : b;
      case Op::kFLOOR_DIV:
      case Op::kCEIL_DIV:
        require(b != 0, "a dimension is divided by zero");
        require(a != std::numeric_limits<int64_t>::min() || b != -1, "a dimension is too large: ", a, " / ", b);
        result = a / b - ((a % b != 0) && ((a < 0) != (b < 0)));
        return result + (op == Op::kCEIL_DIV && a % b != 0);
      default:
        throw Error("an operation that Dim does not have");
    }
  }

  int64_t value_{0};
  abi::IDimensionExpr const* expression_{nullptr};
  abi::IExprBuilder* builder_{nullptr};
};

using Shape = std::vector<Dim>;

// What an author's `shapes()` reads and writes.
class Shapes {
 public:
  std::vector<Shape> inputs;
  std::vector<Shape> shape_inputs;  // the values of inputs that are shape tensors
  std::vector<Shape> outputs;

  // A dimension known only after the run: output `index`, a scalar, will hold it. `opt` guides the builder, `upper`
  // bounds it.
  Dim size_tensor(int32_t index, Dim opt, Dim upper) {
    outputs[static_cast<size_t>(index)] = {};
    if (!builder_) return upper;
    return Dim(builder_->declareSizeTensor(index, *opt.expression(*builder_), *upper.expression(*builder_)), builder_);
  }

  // Refuses a rank, always known, with a message that names the input.
  void expect_rank(size_t input, size_t rank) const {
    require(inputs[input].size() == rank, "input ", input, " has rank ", inputs[input].size(), ", expected ", rank);
  }

  // Refuses `input[axis] != expected` where both are known: at the latest when the engine runs.
  void expect(size_t input, size_t axis, Dim expected, char const* what) const {
    Dim const found = inputs[input][axis];
    require(!found.known() || !expected.known() || found.value() == expected.value(), "dimension ", axis, " of input ",
            input, " is ", found.value(), ", expected ", expected.value(), " (", what, ")");
  }

  explicit Shapes(size_t output_count, abi::IExprBuilder* builder = nullptr)
      : outputs(output_count), builder_(builder) {}

 private:
  abi::IExprBuilder* builder_;
};

}  // namespace TRTREG_NAMESPACE

#endif  // TRTREG_SHAPE_H
