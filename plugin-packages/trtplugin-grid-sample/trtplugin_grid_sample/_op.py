"""The PyTorch op: imports torch, so it is loaded on first use."""

from __future__ import annotations

from typing import Final

import torch

from trtreg.errors import ShapeError
from trtreg.sdk.torch_op import TorchOp

__all__ = ["grid_sample"]

_MODES: Final = ("bilinear", "nearest", "bicubic")
_PADDINGS: Final = ("zeros", "border", "reflection")
_REFLECTION: Final = 2
_FAR: Final = 8  # from here on, all that a point is made of lies outside the image


def _fake(x: torch.Tensor, grid: torch.Tensor, _mode: int, _padding: int, _align_corners: int) -> torch.Tensor:
    return torch.empty((*x.shape[:2], *grid.shape[1:-1]), dtype=x.dtype, device=x.device)


def _reference(x: torch.Tensor, grid: torch.Tensor, mode: int, padding: int, align_corners: int) -> torch.Tensor:
    dtype = torch.promote_types(x.dtype, torch.float32)
    points = grid.to(dtype)
    if padding == _REFLECTION:
        nowhere = ~points.isfinite()
    else:
        nowhere = points.isnan()
        points = points.clamp(-_FAR, _FAR)  # PyTorch's result for an infinity depends on the machine
    points = torch.where(nowhere, 0, points)
    y = torch.nn.functional.grid_sample(x.to(dtype), points, _MODES[mode], _PADDINGS[padding], bool(align_corners))
    return torch.where(nowhere.any(-1)[:, None], torch.nan, y).to(x.dtype)


_OP = TorchOp(
    package="trtplugin_grid_sample",
    name="grid_sample",
    creator="grid_sampler",
    domain="mmcv",
    inputs=["x", "grid"],
    attributes={"interpolation_mode": "int", "padding_mode": "int", "align_corners": "int"},
    reference=_reference,
    fake=_fake,
)


def grid_sample(
    x: torch.Tensor,
    grid: torch.Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool = False,
) -> torch.Tensor:
    """Sample images or volumes where a grid says, as :func:`torch.nn.functional.grid_sample` does.

    The sampling of "Spatial Transformer Networks" (Jaderberg et al. 2015, arXiv:1506.02025, section 3.3), with the
    modes of PyTorch and of ONNX's GridSample; bicubic is the convolution of Keys (1981) with A = -0.75.

    Args:
        x: [N, C, H, W] or [N, C, D, H, W]; float32, float16 or bfloat16 (on the CPU float64 too). Computed in float32
            at least, and rounded to x's dtype once.
        grid: [N, Ho, Wo, 2] or [N, Do, Ho, Wo, 3], dtype of x or float32; (x, y) or (x, y, z) of each point, where -1
            and 1 are the ends of the image. NaN gives NaN; so does an infinity under "reflection", else it is outside.
        mode: "bilinear" (trilinear for volumes), "nearest" or "bicubic" (images only).
        padding_mode: what lies outside is "zeros", the "border", or a "reflection" at it.
        align_corners: whether -1 and 1 are the centres of the outermost pixels, or their outer edges.

    Returns:
        [N, C, Ho, Wo] or [N, C, Do, Ho, Wo], dtype of x.

    Raises:
        trtreg.errors.TrtregError: an unknown mode, or a library that does not load or refuses the arguments.
    """
    result: torch.Tensor = _OP(
        *(x, grid),
        *(_number("mode", mode, _MODES), _number("padding_mode", padding_mode, _PADDINGS), int(align_corners)),
    )
    return result


def _number(name: str, value: str, known: tuple[str, ...]) -> int:
    if value not in known:
        raise ShapeError(f"'{name}' is unknown", found=value, expected=", ".join(known))
    return known.index(value)
