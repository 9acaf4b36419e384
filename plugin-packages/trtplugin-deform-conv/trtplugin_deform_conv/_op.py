"""The PyTorch op: imports torch, so it is loaded on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from trtreg.sdk import torch_deform_conv
from trtreg.sdk.torch_op import TorchOp, pair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trtreg.sdk.torch_op import IntOrPair

__all__ = ["deform_conv2d"]


def _fake(
    x: torch.Tensor,
    _offset: torch.Tensor,
    weight: torch.Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    *_groups: int,
) -> torch.Tensor:
    return torch_deform_conv.like_result(x, weight, stride, padding, dilation)


def _reference(
    x: torch.Tensor,
    offset: torch.Tensor,
    weight: torch.Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    deform_groups: int,
) -> torch.Tensor:
    torch_deform_conv.check(*("deform_conv2d", x, offset, weight, stride, padding, dilation, groups, deform_groups))
    batch, channels = x.shape[:2]
    out_channels, _, *kernel = weight.shape
    extent = offset.shape[2:]
    taps = kernel[0] * kernel[1]
    folded = batch * deform_groups  # the images of each deform group by themselves
    # Where each tap samples, in pixels: [folded, tap, output row, output column].
    moved = offset.double().reshape(folded, taps, 2, *extent)
    places = []
    for axis in range(2):
        tap = torch.arange(kernel[axis], device=x.device) * dilation[axis]
        tap = tap.repeat_interleave(kernel[1]) if axis == 0 else tap.repeat(kernel[0])
        first = torch.arange(extent[axis], device=x.device) * stride[axis] - padding[axis]
        first = first[:, None] if axis == 0 else first
        places.append(moved[:, :, axis] + tap[:, None, None] + first)
    nowhere = places[0].isnan() | places[1].isnan()
    # For grid_sample, which takes no infinity, and -1 for the outer edge of the first pixel.
    scaled = [
        (2 * torch.where(nowhere, 0, place).clamp(-2, size + 1) + 1) / size - 1
        for place, size in zip(places, x.shape[2:], strict=True)
    ]
    grid = torch.stack(scaled[::-1], -1).reshape(folded, taps * extent[0], extent[1], 2)
    planes = x.double().reshape(folded, channels // deform_groups, *x.shape[2:])
    sampled = torch.nn.functional.grid_sample(planes, grid, align_corners=False)
    sampled = torch.where(nowhere.reshape(folded, 1, *grid.shape[1:3]), torch.nan, sampled)
    columns = sampled.reshape(batch, groups, channels // groups * taps, extent[0] * extent[1])
    matrix = weight.double().reshape(groups, out_channels // groups, channels // groups * taps)
    return (matrix @ columns).reshape(batch, out_channels, *extent).to(x.dtype)


_OP = TorchOp(
    package="trtplugin_deform_conv",
    name="deform_conv2d",
    creator="MMCVDeformConv2d",
    domain="mmcv",
    inputs=["x", "offset", "weight"],
    attributes={"stride": "ints", "padding": "ints", "dilation": "ints", "groups": "int", "deform_groups": "int"},
    reference=_reference,
    fake=_fake,
)


def deform_conv2d(
    x: torch.Tensor,
    offset: torch.Tensor,
    weight: torch.Tensor,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    deform_groups: int = 1,
) -> torch.Tensor:
    r"""Convolve, with every tap of the kernel sampling `x` where `offset` moves it.

    "Deformable Convolutional Networks" (Dai et al. 2017, arXiv:1703.06211, equations 2 to 4), and
    ``mmcv.ops.deform_conv2d`` without its `im2col_step` and its `bias`, which is always false there:

    .. math:: y(p) = \sum_k w_k \cdot x(p + p_k + \Delta p_k)

    `x` is 0 outside the image, and fades to 0 over the one pixel around it. An infinite offset samples outside; a NaN
    one gives NaN. The op has no gradient.

    Args:
        x: [N, Cin, H, W]; float32, float16 or bfloat16 (on the CPU float64 too). Computed in float32 at least, and
            rounded to x's dtype once.
        offset: [N, 2 * deform_groups * kh * kw, Ho, Wo], dtype of x; channels 2i and 2i + 1 are the vertical and the
            horizontal offset of tap i, in pixels, deform group after deform group.
        weight: [Cout, Cin / groups, kh, kw], dtype of x.
        stride: one number, or vertical and horizontal; at least 1.
        padding: likewise; at least 0.
        dilation: likewise; at least 1.
        groups: divides Cin and Cout.
        deform_groups: divides Cin; channels of one deform group share offsets.

    Returns:
        [N, Cout, Ho, Wo], dtype of x.

    Raises:
        trtreg.errors.TrtregError: arguments that do not fit together, or a library that does not load.
    """
    result: torch.Tensor = _OP(
        *(x, offset, weight),
        *(pair("stride", stride), pair("padding", padding), pair("dilation", dilation)),
        *(groups, deform_groups),
    )
    return result
