"""Sizes to time against torchvision: read by the repository's benchmarks/operators.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trtreg.testing import deform_conv

if TYPE_CHECKING:
    from collections.abc import Iterator


def cases(torch: Any) -> Iterator[dict[str, Any]]:
    """Give a layer of a detector's head, at two batches, in all types, and with its channels last."""

    def theirs(x: Any, offset: Any, mask: Any, weight: Any, bias: Any) -> Any:
        from torchvision.ops import deform_conv2d

        return deform_conv2d(x, offset, weight, bias, padding=1, mask=mask)

    def undeformed(x: Any, _offset: Any, _mask: Any, weight: Any, bias: Any) -> Any:
        return torch.nn.functional.conv2d(x, weight, bias, padding=1)

    return deform_conv.timed("MMCVModulatedDeformConv2d", theirs, undeformed, modulated=True)
