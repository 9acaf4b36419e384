"""The PyTorch op: imports torch, so it is loaded on first use."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

import torch

from trtreg.errors import ShapeError
from trtreg.sdk.torch_op import TorchOp

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["split"]

_MOST: Final = 64  # parts


def _axis(x: torch.Tensor, axis: int) -> int:
    if not -x.dim() <= axis < x.dim():
        raise ShapeError("'axis' is out of range", found=str(axis), expected=f"{-x.dim()} to {x.dim() - 1}")
    return axis % x.dim()


def _equal(size: Any, parts: int) -> list[Any]:
    """Sizes of equal parts, but for the last ones; `size` may be symbolic."""
    chunk = (size + parts - 1) // parts
    return [torch.sym_min(chunk, torch.sym_max(size - i * chunk, 0)) for i in range(parts)]


def _empty(x: torch.Tensor, axis: int, sizes: Sequence[Any]) -> tuple[torch.Tensor, ...]:
    shapes = [(*x.shape[:axis], size, *x.shape[axis + 1 :]) for size in sizes]
    return tuple(torch.empty(shape, dtype=x.dtype, device=x.device) for shape in shapes)


def _result(parts: Sequence[torch.Tensor]) -> torch.Tensor | tuple[torch.Tensor, ...]:
    return parts[0] if len(parts) == 1 else tuple(parts)


def _cut(x: torch.Tensor, axis: int, sizes: Sequence[int]) -> torch.Tensor | tuple[torch.Tensor, ...]:
    along = _axis(x, axis)
    if sum(sizes) != x.shape[along]:
        raise ShapeError("the sizes do not add up", found=str(sum(sizes)), expected=str(x.shape[along]))
    return _result([part.clone() for part in x.split(list(sizes), along)])


def _sizes_fake(x: torch.Tensor, axis: int, sizes: Sequence[int]) -> torch.Tensor | tuple[torch.Tensor, ...]:
    return _result(_empty(x, _axis(x, axis), sizes))


def _into(x: torch.Tensor, axis: int, parts: int) -> torch.Tensor | tuple[torch.Tensor, ...]:
    return _cut(x, axis, _equal(x.shape[_axis(x, axis)], parts))


def _into_fake(x: torch.Tensor, axis: int, parts: int) -> torch.Tensor | tuple[torch.Tensor, ...]:
    along = _axis(x, axis)
    return _result(_empty(x, along, _equal(x.shape[along], parts)))


@functools.cache
def _op(count: int, *, by_sizes: bool) -> TorchOp:
    """Give the op with `count` results: an op's schema has a fixed number."""
    return TorchOp(
        package="trtplugin_split",
        name=f"split_{'sizes' if by_sizes else 'into'}_{count}",
        creator="Split",
        domain="trtreg",
        inputs=["x"],
        attributes={"axis": "int", "split": "ints"} if by_sizes else {"axis": "int", "num_outputs": "int"},
        reference=_cut if by_sizes else _into,
        fake=_sizes_fake if by_sizes else _into_fake,
        outputs=count,
    )


def split(x: torch.Tensor, parts: int | Sequence[int], axis: int = 0) -> tuple[torch.Tensor, ...]:
    """Cut a tensor along an axis, as ONNX's Split does (https://onnx.ai/onnx/operators/onnx__Split.html).

    It differs from :func:`torch.split` in that the results are copies, and that a number is one of parts, not a size.

    Args:
        x: any shape; float32, float16, bfloat16, int8, int32, int64 or bool (on the CPU any).
        parts: the sizes of the parts, 1 to 64 of them; or into how many equal ones to cut, where the last ones are
            smaller, or empty, if the axis is no multiple.
        axis: along which; negative ones count from the end.

    Returns:
        The parts, dtype of x.

    Raises:
        trtreg.errors.TrtregError: arguments that do not fit together, or a library that does not load.
    """
    count = parts if isinstance(parts, int) else len(parts)
    if not 1 <= count <= _MOST:
        raise ShapeError("the number of parts is out of range", found=str(count), expected=f"1 to {_MOST}")
    op = _op(count, by_sizes=not isinstance(parts, int))
    result = op(x, axis, parts if isinstance(parts, int) else list(parts))
    return (result,) if count == 1 else tuple(result)
