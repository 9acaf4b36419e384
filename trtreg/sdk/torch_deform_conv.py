"""What the PyTorch ops and modules of the deformable convolutions share: what they refuse, and what they predict.

Like `torch_op.py`, this imports torch, and runs where a plugin package is used, not only where one is built.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn

from trtreg.errors import ShapeError
from trtreg.sdk import torch_layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trtreg.sdk.torch_op import IntOrPair

__all__ = ["Pack", "check", "like_result"]


def like_result(
    x: torch.Tensor, weight: torch.Tensor, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> torch.Tensor:
    """Give a tensor without values, of the convolution's shape, type and, on a GPU, format."""
    extents = (
        (x.shape[2 + i] + 2 * padding[i] - dilation[i] * (weight.shape[2 + i] - 1) - 1) // stride[i] + 1
        for i in range(2)
    )
    format = torch_layout.format_of(x) if x.is_cuda else None  # noqa: A001 - as TensorRT calls it
    return torch_layout.empty((x.shape[0], weight.shape[0], *extents), x.dtype, x.device, format or "linear")


def check(
    op: str,
    x: torch.Tensor,
    offset: torch.Tensor,
    weight: torch.Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    deform_groups: int,
    *,
    mask: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
) -> None:
    """Refuse on the CPU what the plugin refuses on a GPU.

    Raises:
        ShapeError: arguments that do not fit together.
    """

    def expect(what: str, found: object, expected: object, *, fits: bool | None = None) -> None:
        if not (found == expected if fits is None else fits):
            raise ShapeError(f"{op}: {what}", found=str(found), expected=str(expected))

    numbers = {"stride": stride, "dilation": dilation, "groups": [groups], "deform_groups": [deform_groups]}
    for name, values in numbers.items():
        expect(f"'{name}' is too small", min(values), "at least 1", fits=min(values) >= 1)
    expect("'padding' is too small", min(padding), "at least 0", fits=min(padding) >= 0)
    tensors = {"x": x, "offset": offset, "mask": mask, "weight": weight}
    for name, tensor in tensors.items():
        if tensor is not None:
            expect(f"rank of '{name}'", tensor.dim(), 4)
            expect(f"dtype of '{name}'", tensor.dtype, x.dtype)
    out_channels, _, *kernel = weight.shape
    expect("channels of 'x' over the weight's times groups", x.shape[1], weight.shape[1] * groups)
    expect("channels of 'x'", x.shape[1], f"a multiple of {deform_groups}", fits=x.shape[1] % deform_groups == 0)
    expect("channels of the output", out_channels, f"a multiple of {groups}", fits=out_channels % groups == 0)
    padded = [x.shape[2 + i] + 2 * padding[i] for i in range(2)]
    reach = [dilation[i] * (kernel[i] - 1) + 1 for i in range(2)]
    expect("size of the kernel", kernel, "at least 1", fits=min(kernel) >= 1)
    fits = reach[0] <= padded[0] and reach[1] <= padded[1]
    expect("reach of the kernel", reach, f"within the padded input of {padded}", fits=fits)
    extent = [(padded[i] - reach[i]) // stride[i] + 1 for i in range(2)]
    points = deform_groups * kernel[0] * kernel[1]
    expect("shape of 'offset'", list(offset.shape), [x.shape[0], 2 * points, *extent])
    if mask is not None:
        expect("shape of 'mask'", list(mask.shape), [x.shape[0], points, *extent])
    if bias is not None:
        expect("shape of 'bias'", list(bias.shape), [out_channels])
        expect("dtype of 'bias'", bias.dtype, x.dtype)


class Pack(nn.Module):  # type: ignore[misc]  # torch is skipped by mypy here
    """A weight, and a plain convolution that predicts from the input where it samples; a package adds `forward`.

    Names and shapes of the parameters are those of MMCV's modules, so that their checkpoints load. The predicting
    convolution starts at zero.
    """

    #: How many numbers `conv_offset` predicts for each point that is sampled: its offset down and to the right.
    predicted: ClassVar[int] = 2

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
        self.points = deform_groups * kernel[0] * kernel[1]
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, *kernel))
        bound = 1 / math.sqrt(in_channels * kernel[0] * kernel[1])
        nn.init.uniform_(self.weight, -bound, bound)
        self.conv_offset = nn.Conv2d(in_channels, self.predicted * self.points, kernel, stride, padding, dilation)
        nn.init.zeros_(self.conv_offset.weight)
        nn.init.zeros_(self.conv_offset.bias)
