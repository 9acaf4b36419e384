"""The PyTorch ops: imports torch, so it is loaded on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from trtreg.sdk.torch_op import TorchOp

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["cummax", "cummin"]


def _fake(x: torch.Tensor, _dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    return (
        torch.empty(x.shape, dtype=x.dtype, device=x.device),
        torch.empty(x.shape, dtype=torch.int32, device=x.device),
    )


def _op(name: str, function: Callable[[torch.Tensor, int], tuple[torch.Tensor, torch.Tensor]]) -> TorchOp:
    def reference(x: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
        values, indices = function(x, dim)
        return values.contiguous(), indices.int().contiguous()

    return TorchOp(
        package="trtplugin_cummaxmin",
        name=name,
        creator=name,
        domain="mmcv",
        inputs=["x"],
        attributes={"dim": "int"},
        outputs=2,
        reference=reference,
        fake=_fake,
    )


_MAX = _op("cummax", torch.cummax)
_MIN = _op("cummin", torch.cummin)


def cummax(x: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the largest element so far along `dim`, and its index.

    As :func:`torch.cummax`, whose definition it follows: of equal elements the last one counts, and so does the last
    NaN, which is larger than all. MMCV's plugin gives the index of the first. The op has no gradient.

    Args:
        x: any shape; float32, float16, bfloat16, int32 or int64; at most 2^31 - 1 elements along `dim`.
        dim: the dimension, from ``-x.dim()`` to ``x.dim() - 1``.

    Returns:
        Values, of x's dtype, and indices, int64 (the ONNX node gives int32, behind which the exporters write a Cast);
        both of x's shape.

    Raises:
        IndexError: on the CPU, x has no such dimension.
        trtreg.errors.TrtregError: the plugin's library does not load, or refuses the arguments.
    """
    values, indices = _MAX(x, dim)
    return values, indices.long()


def cummin(x: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the smallest element so far along `dim`, and its index.

    As :func:`torch.cummin`; of equal elements the last one counts, and so does the last NaN, which here is smaller than
    all. Arguments, results and errors are those of :func:`cummax`.
    """
    values, indices = _MIN(x, dim)
    return values, indices.long()
