"""Sizes to time against PyTorch: read by the repository's benchmarks/operators.py."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIZE = 64 * 2**20


def cases(torch: Any) -> Iterator[dict[str, Any]]:
    """Give a cheap activation, one with an exponential, and one with more."""

    def inputs(dtype: Any) -> list[Any]:
        return [torch.randn(_SIZE, device="cuda", dtype=dtype)]

    functions = torch.nn.functional
    for dtype in (torch.float32, torch.float16):
        for name in ("leaky_relu", "elu", "mish"):
            yield {
                "op": f"FancyActivation {name}",
                "size": f"{_SIZE // 2**20} Mi elements",
                "dtype": str(dtype).removeprefix("torch."),
                "creator": "FancyActivation",
                "attributes": {"activation": name},
                "inputs": partial(inputs, dtype),
                "outputs": lambda given: [torch.empty_like(given[0])],
                "peer": (f"F.{name}", getattr(functions, name)),
                "bytes": 2 * _SIZE * dtype.itemsize,
                "flops": 0,
            }
