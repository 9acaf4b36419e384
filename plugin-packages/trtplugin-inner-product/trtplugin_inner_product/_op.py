"""The PyTorch op: imports torch, so it is loaded on first use."""

from __future__ import annotations

import torch

from trtreg.errors import ShapeError
from trtreg.sdk.torch_op import TorchOp

__all__ = ["inner_product"]

_MATRIX = 2


def _axis(x: torch.Tensor, axis: int) -> int:
    if not -x.dim() <= axis < x.dim():
        raise ShapeError("'axis' is out of range", found=str(axis), expected=f"{-x.dim()} to {x.dim() - 1}")
    return axis % x.dim()


def _reference(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, num_output: int, axis: int, transpose: int
) -> torch.Tensor:
    first = _axis(x, axis)
    if weight.dim() != _MATRIX:
        raise ShapeError("'weight' has the wrong rank", found=str(weight.dim()), expected="2")
    matrix = weight.t() if transpose else weight
    k = x.shape[first:].numel()
    if matrix.shape[1] != k or num_output not in {0, matrix.shape[0]}:
        raise ShapeError(
            "'weight' does not fit", found=str(tuple(matrix.shape)), expected=f"{num_output or 'outputs'} x {k}"
        )
    if bias is not None and bias.shape != matrix.shape[:1]:
        raise ShapeError("'bias' does not fit", found=str(tuple(bias.shape)), expected=f"[{matrix.shape[0]}]")
    wide = torch.promote_types(x.dtype, torch.float32)
    y = x.flatten(first).to(wide) @ matrix.t().to(wide)
    return (y if bias is None else y + bias.to(wide)).to(x.dtype)


def _fake(
    x: torch.Tensor, weight: torch.Tensor, _bias: torch.Tensor | None, _num_output: int, axis: int, transpose: int
) -> torch.Tensor:
    shape = (*x.shape[: _axis(x, axis)], weight.shape[1 if transpose else 0])
    return torch.empty(shape, dtype=x.dtype, device=x.device)


_OP = TorchOp(
    package="trtplugin_inner_product",
    name="inner_product",
    creator="InnerProduct",
    domain="trtreg",
    inputs=["x", "weight", "bias?"],
    attributes={"num_output": "int", "axis": "int", "transpose": "int"},
    reference=_reference,
    fake=_fake,
)


def inner_product(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    *,
    num_output: int = 0,
    axis: int = 1,
    transpose: bool = False,
) -> torch.Tensor:
    """Multiply vectors by a matrix: a fully connected layer.

    Caffe's InnerProduct layer (https://caffe.berkeleyvision.org/tutorial/layers/innerproduct.html): the axes of x from
    `axis` on are one vector, ``y = x.flatten(axis) @ weight.T + bias``. With the defaults and a matrix x, it is
    :func:`torch.nn.functional.linear`. The op has no gradient.

    Args:
        x: any shape; float32, float16 or bfloat16 (on the CPU float64 too). Products are summed in float32, and rounded
            to x's dtype once, after the bias.
        weight: [outputs, K], or [K, outputs] with `transpose`; dtype of x.
        bias: [outputs], dtype of x.
        num_output: the outputs, checked against the weights; 0 takes what they have.
        axis: the first axis of the vectors; negative ones count from the end.
        transpose: whether the weights are [K, outputs].

    Returns:
        [*x.shape[:axis], outputs], dtype of x.

    Raises:
        trtreg.errors.TrtregError: arguments that do not fit together, or a library that does not load.
    """
    result: torch.Tensor = _OP(x, weight, bias, num_output, axis, int(transpose))
    return result
