"""Sizes to time against torchvision: read by the repository's benchmarks/operators.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trtreg.testing import deform_conv

if TYPE_CHECKING:
    from collections.abc import Iterator


def cases(torch: Any) -> Iterator[dict[str, Any]]:
    """Give a layer of a detector's head, at two batches, in all types, and with its channels last."""

    def theirs(x: Any, offset: Any, weight: Any) -> Any:
        from torchvision.ops import deform_conv2d

        return deform_conv2d(x, offset, weight, padding=1)

    def undeformed(x: Any, _offset: Any, weight: Any) -> Any:
        return torch.nn.functional.conv2d(x, weight, padding=1)

    return deform_conv.timed("MMCVDeformConv2d", theirs, undeformed, modulated=False)
