"""Sizes to time against PyTorch: read by the repository's benchmarks/operators.py."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_K, _N = 4096, 4096


def cases(torch: Any) -> Iterator[dict[str, Any]]:
    """Give a batch, which is as fast as arithmetic, and a single vector, which is as fast as memory."""

    def inputs(m: int, dtype: Any) -> list[Any]:
        return [torch.randn(shape, device="cuda", dtype=dtype) for shape in ((m, _K), (_N, _K), (_N,))]

    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        for m in (1024, 1):
            yield {
                "op": "InnerProduct",
                "size": f"{m}x{_K} by {_K}x{_N}",
                "dtype": str(dtype).removeprefix("torch."),
                "creator": "InnerProduct",
                "attributes": {},
                "inputs": partial(inputs, m, dtype),
                "outputs": lambda given: [given[0].new_empty((len(given[0]), _N))],
                "peer": ("F.linear", torch.nn.functional.linear),
                "bytes": (m * _K + _N * _K + _N + m * _N) * dtype.itemsize,
                "flops": 2 * m * _K * _N,
            }
