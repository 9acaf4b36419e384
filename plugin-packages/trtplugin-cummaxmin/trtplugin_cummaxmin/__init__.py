"""Cumulative maximum and minimum as TensorRT plugins, and as PyTorch ops: ``cummax`` and ``cummin``.

Importing this package imports nothing; PyTorch comes with the first use of an op.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._op import cummax, cummin

__all__ = ["cummax", "cummin"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from . import _op

        return getattr(_op, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
