"""Deformable convolution as a TensorRT plugin, and as a PyTorch op and module.

Importing this package imports nothing; PyTorch comes with the first use of the op.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._module import DeformConv2dPack
    from ._op import deform_conv2d

__all__ = ["DeformConv2dPack", "deform_conv2d"]


def __getattr__(name: str) -> object:
    if name == "deform_conv2d":
        from . import _op

        return _op.deform_conv2d
    if name == "DeformConv2dPack":
        from . import _module

        return _module.DeformConv2dPack
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
