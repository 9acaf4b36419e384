"""Sizes to time against torchvision: read by the repository's benchmarks/operators.py."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHANNELS, _SIDE, _TAPS = 256, 64, 9


def cases(torch: Any) -> Iterator[dict[str, Any]]:
    """Give a layer of a detector's head, at two batches, in all types, and with its channels last."""

    def inputs(batch: int, dtype: Any, last: bool) -> list[Any]:
        shapes = [(batch, _CHANNELS), (batch, 2 * _TAPS)]
        x, offset = (torch.randn(*shape, _SIDE, _SIDE, device="cuda") for shape in shapes)
        x = x.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
        weight = torch.randn(_CHANNELS, _CHANNELS, 3, 3, device="cuda") / 48
        return [each.to(dtype) for each in (x, offset, weight)]

    def peer(x: Any, offset: Any, weight: Any) -> Any:
        from torchvision.ops import deform_conv2d

        return deform_conv2d(x, offset, weight, padding=1)

    def undeformed(x: Any, _offset: Any, weight: Any) -> Any:
        return torch.nn.functional.conv2d(x, weight, padding=1)

    for batch in (1, 8):
        area = batch * _SIDE * _SIDE
        torchvision, convolution = ("torchvision deform_conv2d", peer), ("F.conv2d", undeformed)
        for dtype, tf32, last, other in (
            (torch.float32, 0, False, torchvision),
            (torch.float32, 1, False, torchvision),
            (torch.float32, 1, True, None),
            (torch.float16, 0, False, torchvision),
            (torch.float16, 0, False, convolution),
            (torch.float16, 0, True, convolution),
            (torch.bfloat16, 0, False, convolution),
            (torch.bfloat16, 0, True, convolution),
        ):
            yield {
                "op": "MMCVDeformConv2d" + ", TF32" * tf32 + ", channels last" * last,
                "size": f"{batch}x{_CHANNELS}x{_SIDE}x{_SIDE}, 3x3",
                "dtype": str(dtype).removeprefix("torch."),
                "creator": "MMCVDeformConv2d",
                "attributes": {"padding": [1, 1], "allow_tf32": tf32},
                "inputs": partial(inputs, batch, dtype, last),
                "outputs": lambda given: [torch.empty_like(given[0])],
                "peer": other,
                "bytes": (area * (2 * _CHANNELS + 2 * _TAPS) + _CHANNELS**2 * _TAPS) * dtype.itemsize,
                "flops": 2 * area * _CHANNELS**2 * _TAPS,
            }
