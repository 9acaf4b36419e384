"""Fully connected layers as TensorRT plugins, and as a PyTorch op: ``trtplugin_inner_product.inner_product``.

Importing this package imports nothing; PyTorch comes with the first use of the op.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._op import inner_product

__all__ = ["inner_product"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from . import _op

        return getattr(_op, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
