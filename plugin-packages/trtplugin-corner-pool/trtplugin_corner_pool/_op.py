"""The PyTorch op: imports torch, so it is loaded on first use."""

from __future__ import annotations

import torch

from trtreg.errors import ShapeError
from trtreg.sdk.torch_op import TorchOp

__all__ = ["corner_pool"]

_MODES = ("top", "bottom", "left", "right")
_RANK = 4


def _reference(x: torch.Tensor, mode: int) -> torch.Tensor:
    if x.dim() != _RANK:
        raise ShapeError("corner_pool: rank of 'x'", found=str(x.dim()), expected=str(_RANK))
    if not 0 <= mode < len(_MODES):
        raise ShapeError("corner_pool: 'mode'", found=str(mode), expected="0 to 3")
    dim = 2 if _MODES[mode] in {"top", "bottom"} else 3
    if _MODES[mode] in {"bottom", "right"}:
        return x.cummax(dim).values.contiguous()
    return x.flip(dim).cummax(dim).values.flip(dim).contiguous()


def _fake(x: torch.Tensor, _mode: int) -> torch.Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


_OP = TorchOp(
    package="trtplugin_corner_pool",
    name="corner_pool",
    creator="MMCVCornerPool",
    domain="mmcv",
    inputs=["x"],
    attributes={"mode": "int"},
    reference=_reference,
    fake=_fake,
)


def corner_pool(x: torch.Tensor, mode: str | int) -> torch.Tensor:
    """Replace each pixel by the largest from it to one side of the image.

    Corner pooling of "CornerNet" (Law and Deng 2018, arXiv:1808.01244, equations 1 and 2). Mode "top" is pooling for a
    corner at the top: each pixel sees those below it. "bottom" sees those above, "left" those to the right, "right"
    those to the left. A NaN reaches all that see it. It differs from MMCV's in the types. The op has no gradient.

    Args:
        x: [N, C, H, W]; float32, float16 or bfloat16.
        mode: "top", "bottom", "left" or "right", or their numbers in the ONNX node, 0 to 3.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        trtreg.errors.TrtregError: arguments that do not fit, or a library that does not load.
    """
    if isinstance(mode, str) and mode not in _MODES:
        raise ShapeError("corner_pool: 'mode'", found=mode, expected=", ".join(_MODES))
    result: torch.Tensor = _OP(x, _MODES.index(mode) if isinstance(mode, str) else mode)
    return result
