"""The convolution as a PyTorch module, which predicts its own offsets and masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from trtplugin_dcnv2._op import modulated_deform_conv2d
from trtreg.sdk.torch_deform_conv import Pack

if TYPE_CHECKING:
    from trtreg.sdk.torch_op import IntOrPair

__all__ = ["ModulatedDeformConv2dPack"]


class ModulatedDeformConv2dPack(Pack):
    """Modulated deformable convolution with a plain convolution that predicts its offsets and masks from the input.

    Names and shapes of the parameters are those of MMCV's module of the same name, so that its checkpoints load. The
    predicting convolution starts at zero: no offset, and every mask at sigmoid(0) = 0.5.

    Args:
        in_channels: channels of the input, Cin.
        out_channels: channels of the output, Cout.
        kernel_size: one number, or height and width.
        stride: see :func:`trtplugin_dcnv2.modulated_deform_conv2d`, as for the next four.
        padding: likewise.
        dilation: likewise.
        groups: likewise.
        deform_groups: likewise.
        bias: whether the output gets a bias.
    """

    predicted = 3  # and its mask

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
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, deform_groups)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve [N, Cin, H, W] to [N, Cout, Ho, Wo]."""
        offset, mask = self.conv_offset(x).split([2 * self.points, self.points], dim=1)
        return modulated_deform_conv2d(
            *(x, offset, mask.sigmoid(), self.weight, self.bias),
            *(self.stride, self.padding, self.dilation, self.groups, self.deform_groups),
        )
