"""What benchmarks/operators.py times: corner pooling of a feature map of CornerNet, down and along."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHAPE = (8, 256, 128, 128)


def cases(torch: Any) -> Iterator[dict[str, Any]]:
    """Give the cases; `torch` is PyTorch, which sees a GPU."""
    for mode, dim in (("top", 2), ("left", 3)):
        for dtype in (torch.float32, torch.float16):
            yield {
                "op": f"corner pool, {mode}",
                "size": "x".join(map(str, _SHAPE)),
                "dtype": str(dtype).removeprefix("torch."),
                "creator": "MMCVCornerPool",
                "attributes": {"mode": 0 if mode == "top" else 2},
                "inputs": lambda dtype=dtype: [torch.randn(_SHAPE, device="cuda").to(dtype)],
                "outputs": lambda given: [torch.empty_like(given[0])],
                "peer": ("flip, torch.cummax, flip", lambda x, dim=dim: x.flip(dim).cummax(dim).values.flip(dim)),
                "bytes": 2 * math.prod(_SHAPE) * dtype.itemsize,
                "flops": 0,
            }
