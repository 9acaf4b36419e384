"""The convolution as a PyTorch module, which predicts its own offsets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtplugin_deform_conv._op import deform_conv2d
from trtreg.sdk.torch_deform_conv import Pack

if TYPE_CHECKING:
    import torch

__all__ = ["DeformConv2dPack"]


class DeformConv2dPack(Pack):
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

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve [N, Cin, H, W] to [N, Cout, Ho, Wo]."""
        return deform_conv2d(
            *(x, self.conv_offset(x), self.weight),
            *(self.stride, self.padding, self.dilation, self.groups, self.deform_groups),
        )
