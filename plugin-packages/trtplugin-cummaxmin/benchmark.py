"""What benchmarks/operators.py times: rows of some length, one long row, and columns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def cases(torch: Any) -> Iterator[dict[str, Any]]:
    """Give the cases; `torch` is PyTorch, which sees a GPU."""
    for shape, dim in (((128, 65536), 1), ((1, 16777216), 1), ((65536, 128), 1), ((64, 128, 4096), 1)):
        for dtype in (torch.float32, torch.float16):
            yield {
                "op": "cummax",
                "size": f"{list(shape)}, dim {dim}",
                "dtype": str(dtype).removeprefix("torch."),
                "creator": "cummax",
                "attributes": {"dim": dim},
                "inputs": lambda shape=shape, dtype=dtype: [torch.randn(shape, device="cuda").to(dtype)],
                "outputs": lambda given: [torch.empty_like(given[0]), torch.empty_like(given[0], dtype=torch.int32)],
                "peer": ("torch.cummax", lambda x, dim=dim: torch.cummax(x, dim)),
                "bytes": math.prod(shape) * (2 * dtype.itemsize + 4),
                "flops": 0,
            }
