"""Multi-scale deformable attention as a TensorRT plugin, and as a PyTorch op.

The op is ``trtplugin_ms_deform_attn.ms_deform_attn``. Importing this package imports nothing; PyTorch comes with the
first use of the op.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._op import ms_deform_attn

__all__ = ["ms_deform_attn"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from . import _op

        return getattr(_op, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
