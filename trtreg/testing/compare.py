"""How far a result may be from the exact one, and a report that says where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike

__all__ = ["FLOATS", "ROUNDING", "UNDERFLOW", "assert_close", "assert_same", "name_of", "tolerance", "wide"]

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

#: The floating types that a plugin usually has, by the names of trtplugin.json.
FLOATS = ("float32", "float16", "bfloat16")
#: Half the distance of 1 to the next number: the largest relative error of rounding to the type.
ROUNDING = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
#: Half the smallest step of the type.
UNDERFLOW = {"float32": 2.0**-150, "float16": 2.0**-25, "bfloat16": 2.0**-134}

_SHOWN = 5


def name_of(dtype: torch.dtype) -> str:
    """Give the name that trtplugin.json uses."""
    return str(dtype).removeprefix("torch.")


def wide(tensor: torch.Tensor) -> Array:
    """Give the exact values on the CPU: float64 for floating types, int64 for the others."""
    to = torch.float64 if tensor.is_floating_point() else torch.int64
    array: Array = tensor.detach().cpu().to(to).numpy()
    return array


def tolerance(expected: ArrayLike, dtype: str, before: ArrayLike = 0.0) -> Array:
    """Give how far a result may be from `expected`, an exact one.

    Args:
        expected: the exact result, in float64.
        dtype: the type that results are rounded to, one of FLOATS.
        before: largest absolute error before that rounding, for each element or for all: that of float32 arithmetic.
            For a sum of n products that is about ``n * 2**-24 * sum(abs(products))``, for a bilinear sample at
            coordinates below 64 ``2**-17 * abs(x).max()``.
    """
    slack = np.asarray(before, dtype=np.float64)
    finite = np.where(np.isfinite(expected), np.abs(expected), 0.0)
    allowed: Array = (finite + slack) * ROUNDING[dtype] * 1.01 + UNDERFLOW[dtype] + slack
    return allowed


def assert_close(found: torch.Tensor, expected: ArrayLike, *, before: ArrayLike = 0.0, context: object = "") -> None:
    """Fail unless `found` is `expected` but for one rounding to its type, and `before` it an error of arithmetic.

    Integers and booleans have to be equal; a NaN has to meet a NaN, an infinity the same infinity. A finite value may
    meet an infinity where the type ends.

    Args:
        found: result of a plugin, of any type, on any device.
        expected: the exact result: float64, or integers.
        before: see :func:`tolerance`.
        context: the case, printed in the report.
    """
    exact = wide(expected) if isinstance(expected, torch.Tensor) else np.asarray(expected)
    values = wide(found)
    if values.shape != exact.shape:
        raise AssertionError(f"shape {values.shape}, expected {exact.shape} {context}")
    if not found.is_floating_point():
        allowed = np.zeros(exact.shape)
        bad = values != exact
    else:
        allowed = np.broadcast_to(tolerance(exact, name_of(found.dtype), before), exact.shape)
        with np.errstate(invalid="ignore", over="ignore"):
            error = np.abs(values - exact)
        # What the type rounds to its infinity, an error before included, is at home there.
        end = torch.finfo(found.dtype).max
        overflow = np.isinf(values) & (np.sign(values) == np.sign(exact)) & (np.abs(exact) + allowed >= end)
        same = (values == exact) | (np.isnan(values) & np.isnan(exact)) | overflow
        bad = ~same & ~(error <= allowed)
    if bad.any():
        raise AssertionError(_report(values, exact, allowed, bad, f"{name_of(found.dtype)} {context}".strip()))


def assert_same(found: Iterable[torch.Tensor], expected: Iterable[torch.Tensor], *, context: object = "") -> None:
    """Fail unless all tensors have the same types, shapes and bits."""
    for index, (one, other) in enumerate(zip(found, expected, strict=True)):
        kinds = [(each.dtype, tuple(each.shape)) for each in (one, other)]
        if kinds[0] != kinds[1]:
            raise AssertionError(f"output {index} is {kinds[0]}, expected {kinds[1]} {context}")
        bits = [_bits(each) for each in (one, other)]
        if not torch.equal(*bits):
            bad = (bits[0] != bits[1]).numpy()
            raise AssertionError(_report(wide(one), wide(other), np.zeros(bad.shape), bad, f"output {index} {context}"))


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    return tensor.detach().cpu().contiguous().view(whole)


def _report(found: Array, expected: Array, allowed: Array, bad: Array, context: str) -> str:
    lines = [f"{bad.sum()} of {bad.size} elements of shape {bad.shape} are wrong: {context}"]
    with np.errstate(invalid="ignore", over="ignore"):
        excess = np.where(bad, np.nan_to_num(np.abs(found - expected) - allowed, nan=np.inf), -np.inf)
    worst = np.argsort(excess, axis=None)[::-1][: min(_SHOWN, int(bad.sum()))]
    for flat in worst:
        at = np.unravel_index(flat, bad.shape)
        place = ", ".join(str(int(each)) for each in at)
        lines.append(f"  [{place}] found {found[at]:.9g}, expected {expected[at]:.9g}, allowed error {allowed[at]:.3g}")
    return "\n".join(lines)
