"""The convolution as a PyTorch module, which predicts its own offsets."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from trtplugin_deform_conv._op import deform_conv2d

if TYPE_CHECKING:
    from trtplugin_deform_conv._op import IntOrPair

__all__ = ["DeformConv2dPack"]


class DeformConv2dPack(nn.Module):  # type: ignore[misc]  # torch is skipped by mypy here
    """Deformable convolution with a plain convolution that predicts its offsets from the input.

    Names and shapes of the parameters are those of MMCV's module of the same name, so that its checkpoints load. The
    predicting convolution starts at zero: no offset.

    Args:
        in_channels: channels of the input, Cin.
        out_channels: channels of the output, Cout.
        kernel_size: one number, or height and width.
        stride: see :func:`trtplugin_deform_conv.deform_conv2d`, as for the next four.
        padding: likewise.
        dilation: likewise.
        groups: likewise.
        deform_groups: likewise.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: IntOrPair = 1,
        padding: IntOrPair = 0,
        dilation: IntOrPair = 1,
        groups: int = 1,
        deform_groups: int = 1,
    ) -> None:
        super().__init__()
        kernel = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.groups = groups
        self.deform_groups = deform_groups
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, *kernel))
        bound = 1 / math.sqrt(in_channels * kernel[0] * kernel[1])
        nn.init.uniform_(self.weight, -bound, bound)
        points = deform_groups * kernel[0] * kernel[1]
        self.conv_offset = nn.Conv2d(in_channels, 2 * points, kernel, stride, padding, dilation)
        nn.init.zeros_(self.conv_offset.weight)
        nn.init.zeros_(self.conv_offset.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve [N, Cin, H, W] to [N, Cout, Ho, Wo]."""
        return deform_conv2d(
            *(x, self.conv_offset(x), self.weight),
            *(self.stride, self.padding, self.dilation, self.groups, self.deform_groups),
        )
