"""Bicubic and nearest resizing as TensorRT plugins, and as PyTorch ops.

Importing this package imports nothing; PyTorch comes with the first use of an op.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._op import bicubic_interpolate, resize_like, resize_nearest

__all__ = ["bicubic_interpolate", "resize_like", "resize_nearest"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from . import _op

        return getattr(_op, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
