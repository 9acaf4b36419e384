"""The PyTorch op: imports torch, so it is loaded on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from trtreg.sdk import torch_deform_conv
from trtreg.sdk.torch_op import TorchOp, pair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trtreg.sdk.torch_op import IntOrPair

__all__ = ["modulated_deform_conv2d"]


def _fake(
    x: torch.Tensor,
    _offset: torch.Tensor,
    _mask: torch.Tensor,
    weight: torch.Tensor,
    _bias: torch.Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    *_groups: int,
) -> torch.Tensor:
    return torch_deform_conv.like_result(x, weight, stride, padding, dilation)


def _reference(
    x: torch.Tensor,
    offset: torch.Tensor,
    mask: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    deform_groups: int,
) -> torch.Tensor:
    torch_deform_conv.check(
        *("modulated_deform_conv2d", x, offset, weight, stride, padding, dilation, groups, deform_groups),
        mask=mask,
        bias=bias,
    )
    dtype = torch.promote_types(x.dtype, torch.float32)
    batch, channels, height, width = x.shape
    out_channels, _, kernel_height, kernel_width = weight.shape
    out_height, out_width = offset.shape[2:]
    taps = kernel_height * kernel_width

    def positions(size: int, step: int) -> torch.Tensor:
        return torch.arange(size, device=x.device, dtype=dtype) * step

    # The points to sample, [batch, deform group, tap, output row, output column].
    first_row = positions(out_height, stride[0]) - padding[0]
    first_column = positions(out_width, stride[1]) - padding[1]
    tap_row = positions(kernel_height, dilation[0]).repeat_interleave(kernel_width)
    tap_column = positions(kernel_width, dilation[1]).repeat(kernel_height)
    moved = offset.to(dtype).reshape(batch, deform_groups, taps, 2, out_height, out_width)
    rows = first_row[:, None] + tap_row[:, None, None] + moved[:, :, :, 0]
    columns = first_column + tap_column[:, None, None] + moved[:, :, :, 1]

    # One more pixel of value 0 behind each plane stands for all that lie outside.
    planes = x.to(dtype).reshape(batch, deform_groups, channels // deform_groups, height * width)
    planes = torch.nn.functional.pad(planes, (0, 1))
    sampled = planes.new_zeros(*planes.shape[:3], taps * out_height * out_width)
    flat = (batch, deform_groups, 1, sampled.shape[3])
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        row, column = rows.floor() + down, columns.floor() + right
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        index = torch.where(inside, row, 0).long() * width + torch.where(inside, column, 0).long()
        index = torch.where(inside, index, height * width).reshape(flat)
        share = torch.where(inside, (1 - (rows - row).abs()) * (1 - (columns - column).abs()), 0)
        sampled += share.reshape(flat) * planes.gather(3, index.expand_as(sampled))
    scale = torch.where(rows.isnan() | columns.isnan(), torch.nan, mask.to(dtype).reshape(rows.shape))
    sampled *= scale.reshape(flat)

    matrix = weight.to(dtype).reshape(groups, out_channels // groups, channels // groups * taps)
    y = matrix @ sampled.reshape(batch, groups, matrix.shape[2], out_height * out_width)
    y = y.reshape(batch, out_channels, out_height, out_width)
    if bias is not None:
        y = y + bias.to(dtype)[:, None, None]
    return y.to(x.dtype)


_OP = TorchOp(
    package="trtplugin_dcnv2",
    name="modulated_deform_conv2d",
    creator="MMCVModulatedDeformConv2d",
    domain="mmcv",
    inputs=["x", "offset", "mask", "weight", "bias?"],
    attributes={"stride": "ints", "padding": "ints", "dilation": "ints", "groups": "int", "deform_groups": "int"},
    reference=_reference,
    fake=_fake,
)


def modulated_deform_conv2d(
    x: torch.Tensor,
    offset: torch.Tensor,
    mask: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    deform_groups: int = 1,
) -> torch.Tensor:
    r"""Convolve, with every tap of the kernel sampling `x` where `offset` moves it and weighed by `mask`.

    Modulated deformable convolution of "Deformable ConvNets v2" (Zhu et al. 2018, arXiv:1811.11168, equation 1), over
    the bilinear sampling of "Deformable Convolutional Networks" (Dai et al. 2017, arXiv:1703.06211, equations 3, 4):

    .. math:: y(p) = \sum_k w_k \cdot x(p + p_k + \Delta p_k) \cdot \Delta m_k

    `x` is 0 outside the image, and fades to 0 over the one pixel around it. An infinite offset samples outside; a NaN
    one gives NaN. The op has no gradient.

    Args:
        x: [N, Cin, H, W]; float32, float16 or bfloat16 (on the CPU float64 too). Computed in float32 at least, and
            rounded to x's dtype once.
        offset: [N, 2 * deform_groups * kh * kw, Ho, Wo], dtype of x; channels 2i and 2i + 1 are the vertical and the
            horizontal offset of tap i, in pixels, deform group after deform group.
        mask: [N, deform_groups * kh * kw, Ho, Wo], dtype of x; used as it is, without a sigmoid.
        weight: [Cout, Cin / groups, kh, kw], dtype of x.
        bias: [Cout], dtype of x.
        stride: one number, or vertical and horizontal; at least 1.
        padding: likewise; at least 0.
        dilation: likewise; at least 1.
        groups: divides Cin and Cout.
        deform_groups: divides Cin; channels of one deform group share offsets and masks.

    Returns:
        [N, Cout, Ho, Wo], dtype of x.

    Raises:
        trtreg.errors.TrtregError: arguments that do not fit together, or a library that does not load.
    """
    result: torch.Tensor = _OP(
        *(x, offset, mask, weight, bias),
        *(pair("stride", stride), pair("padding", padding), pair("dilation", dilation)),
        *(groups, deform_groups),
    )
    return result
