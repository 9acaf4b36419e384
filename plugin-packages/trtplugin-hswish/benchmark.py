"""Sizes to time against PyTorch: read by the repository's benchmarks/operators.py."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIZE = 64 * 2**20


def cases(torch: Any) -> Iterator[dict[str, Any]]:
    """Give one large tensor in each type."""

    def inputs(dtype: Any) -> list[Any]:
        return [torch.randn(_SIZE, device="cuda").to(dtype)]

    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        yield {
            "op": "HSwish",
            "size": "64 Mi elements",
            "dtype": str(dtype).removeprefix("torch."),
            "creator": "HSwish",
            "attributes": {},
            "inputs": partial(inputs, dtype),
            "outputs": lambda given: [torch.empty_like(given[0])],
            "peer": ("F.hardswish", torch.nn.functional.hardswish),
            "bytes": 2 * _SIZE * dtype.itemsize,
            "flops": 0,
        }
