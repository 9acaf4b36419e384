"""The PyTorch ops: imports torch, so it is loaded on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch

from trtreg.errors import ShapeError
from trtreg.sdk.torch_op import TorchOp

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["bicubic_interpolate", "resize_like", "resize_nearest"]

_LARGEST: Final = 65536.0  # scale, and one over the smallest
_IMAGE_RANK: Final = 4
_RANKS: Final = (3, 4, 5)


def fraction(scale: float) -> tuple[int, int]:
    """Give the first fraction of the scale's continued one that rounds to it in float32: (7, 10) for 0.7."""
    value = torch.tensor(scale, dtype=torch.float32)
    if not 1 / _LARGEST <= value.item() <= _LARGEST:
        raise ShapeError("a scale is out of range", found=str(scale), expected=f"1/{_LARGEST:.0f} to {_LARGEST:.0f}")
    n, d = value.item().as_integer_ratio()
    last, now = (0, 1), (1, 0)
    while True:
        last, now = now, (n // d * now[0] + last[0], n // d * now[1] + last[1])
        if torch.tensor(now[0] / now[1], dtype=torch.float32) == value:
            return now
        n, d = d, n % d


def _scaled(size: Any, scale: float) -> Any:
    above, below = fraction(scale)
    return size * above // below


def _scales(rank: int, scales: Sequence[float], axes: int) -> list[float]:
    """Give one scale for each of the last `axes` axes."""
    if len(scales) == rank and axes == rank - 2 and list(scales[:2]) == [1, 1]:
        return list(scales[2:])
    if len(scales) not in {1, axes}:
        raise ShapeError("the scales do not fit the input", found=f"{len(scales)} for rank {rank}", expected=str(axes))
    return list(scales) * (axes // len(scales))


def _expect_rank(x: torch.Tensor, ranks: tuple[int, ...]) -> None:
    if x.dim() not in ranks:
        raise ShapeError("an input has the wrong rank", found=str(x.dim()), expected=" or ".join(map(str, ranks)))


def _bicubic(x: torch.Tensor, size: tuple[int, int], align_corners: int) -> torch.Tensor:
    if x.numel() == 0 or 0 in size:
        return x.new_empty((*x.shape[:2], *size))
    # PyTorch takes coordinates of float64 for float64 only.
    y = torch.nn.functional.interpolate(x.double(), size, mode="bicubic", align_corners=bool(align_corners))
    return y.to(x.dtype)


def _like_size(x: torch.Tensor, like: torch.Tensor) -> tuple[int, int]:
    _expect_rank(x, (_IMAGE_RANK,))
    return like.shape[-2], like.shape[-1]


def _like_reference(x: torch.Tensor, like: torch.Tensor, align_corners: int) -> torch.Tensor:
    return _bicubic(x, _like_size(x, like), align_corners)


def _like_fake(x: torch.Tensor, like: torch.Tensor, _align_corners: int) -> torch.Tensor:
    return torch.empty((*x.shape[:2], *_like_size(x, like)), dtype=x.dtype, device=x.device)


def _factor_size(x: torch.Tensor, scale_factor: Sequence[float]) -> tuple[Any, Any]:
    _expect_rank(x, (_IMAGE_RANK,))
    height, width = _scales(_IMAGE_RANK, scale_factor, 2)
    return _scaled(x.shape[2], height), _scaled(x.shape[3], width)


def _factor_reference(x: torch.Tensor, align_corners: int, scale_factor: Sequence[float]) -> torch.Tensor:
    return _bicubic(x, _factor_size(x, scale_factor), align_corners)


def _factor_fake(x: torch.Tensor, _align_corners: int, scale_factor: Sequence[float]) -> torch.Tensor:
    return torch.empty((*x.shape[:2], *_factor_size(x, scale_factor)), dtype=x.dtype, device=x.device)


def _nearest_reference(x: torch.Tensor, scales: Sequence[float]) -> torch.Tensor:
    _expect_rank(x, _RANKS)
    result = x
    for axis, scale in enumerate(_scales(x.dim(), scales, x.dim() - 2), 2):
        above, below = fraction(scale)
        places = torch.arange(_scaled(x.shape[axis], scale), device=x.device) * below // above
        result = result.index_select(axis, places)
    return result.clone() if result is x else result


def _nearest_fake(x: torch.Tensor, scales: Sequence[float]) -> torch.Tensor:
    _expect_rank(x, _RANKS)
    every = _scales(x.dim(), scales, x.dim() - 2)
    sizes = [_scaled(size, scale) for size, scale in zip(x.shape[2:], every, strict=True)]
    return torch.empty((*x.shape[:2], *sizes), dtype=x.dtype, device=x.device)


_PACKAGE: Final = "trtplugin_resize"
_LIKE = TorchOp(
    package=_PACKAGE,
    name="resize_like",
    creator="DynamicTRTResize",
    domain="mmdeploy",
    inputs=["x", "like"],
    attributes={"align_corners": "int"},
    reference=_like_reference,
    fake=_like_fake,
)
_FACTOR = TorchOp(
    package=_PACKAGE,
    name="bicubic_interpolate",
    creator="bicubic_interpolate",
    domain="mmdeploy",
    inputs=["x"],
    attributes={"align_corners": "int", "scale_factor": "floats"},
    reference=_factor_reference,
    fake=_factor_fake,
)
_NEAREST = TorchOp(
    package=_PACKAGE,
    name="resize_nearest",
    creator="ResizeNearest",
    domain="trtreg",
    inputs=["x"],
    attributes={"scales": "floats"},
    reference=_nearest_reference,
    fake=_nearest_fake,
)


def resize_like(x: torch.Tensor, like: torch.Tensor, align_corners: bool = False) -> torch.Tensor:
    """Resize images by cubic convolution to the height and width of another tensor.

    ``torch.nn.functional.interpolate(x, like.shape[-2:], mode="bicubic", align_corners=align_corners)``: the cubic
    convolution of Keys (1981, doi:10.1109/TASSP.1981.1163711) with A = -0.75, pixels beyond the edge being those at it.
    The node is DynamicTRTResize of OpenMMLab's tutorial on TensorRT plugins.

    It differs from MMDeploy's kernel: float16 and bfloat16 too, and coordinates are exact.

    Args:
        x: [N, C, H, W]; float32, float16 or bfloat16 (on the CPU float64 too). Computed in float32, and rounded to x's
            dtype once.
        like: of rank 2 or more, only its last two sizes count; dtype of x, float32, int32 or int64.
        align_corners: whether the centres of the corner pixels stay, or their outer edges.

    Returns:
        [N, C, *like.shape[-2:]], dtype of x.

    Raises:
        trtreg.errors.TrtregError: arguments that do not fit together, or a library that does not load.
    """
    result: torch.Tensor = _LIKE(x, like, int(align_corners))
    return result


def bicubic_interpolate(
    x: torch.Tensor, scale_factor: float | Sequence[float], align_corners: bool = False
) -> torch.Tensor:
    """Resize images by cubic convolution and factors.

    As :func:`resize_like`, to the height ``floor(H * factor)`` and the same of the width. The ratio of a pixel is that
    of the sizes, as with ``recompute_scale_factor=True`` of :func:`torch.nn.functional.interpolate`. A factor is read
    as the simplest fraction that rounds to it in float32: 0.7 is 7/10.

    Args:
        x: [N, C, H, W]; float32, float16 or bfloat16 (on the CPU float64 too).
        scale_factor: of height and width, or of both; between 1/65536 and 65536.
        align_corners: whether the centres of the corner pixels stay, or their outer edges.

    Returns:
        [N, C, floor(H * factor), floor(W * factor)], dtype of x.

    Raises:
        trtreg.errors.TrtregError: arguments that do not fit together, or a library that does not load.
    """
    result: torch.Tensor = _FACTOR(x, int(align_corners), _list(scale_factor))
    return result


def resize_nearest(x: torch.Tensor, scales: float | Sequence[float]) -> torch.Tensor:
    """Resize by repeating or leaving out elements: ``y[o] = x[floor(o / scale)]`` along each axis behind the channels.

    onnx-tensorrt's ResizeNearest, and ONNX's Upsample in mode "nearest". A size becomes ``floor(size * scale)``; a
    scale is read as the simplest fraction that rounds to it in float32, so that no element moves by a rounding.

    Args:
        x: [N, C, L], [N, C, H, W] or [N, C, D, H, W]; float32, float16, bfloat16, int8, int32, int64 or bool.
        scales: of each axis behind the channels, of all of them, or of every axis (then the first two are 1); between
            1/65536 and 65536.

    Returns:
        The resized tensor, dtype of x.

    Raises:
        trtreg.errors.TrtregError: arguments that do not fit together, or a library that does not load.
    """
    result: torch.Tensor = _NEAREST(x, _list(scales))
    return result


def _list(scales: float | Sequence[float]) -> list[float]:
    return [float(scales)] if isinstance(scales, int | float) else [float(each) for each in scales]
