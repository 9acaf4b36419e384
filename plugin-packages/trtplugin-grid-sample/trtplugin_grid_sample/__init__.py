"""Grid sampling as a TensorRT plugin, and as a PyTorch op: ``trtplugin_grid_sample.grid_sample``.

Importing this package imports nothing; PyTorch comes with the first use of the op.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._op import grid_sample

__all__ = ["grid_sample"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from . import _op

        return getattr(_op, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
