"""Sizes to time against PyTorch: read by the repository's benchmarks/operators.py."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHAPE = (8, 256, 128, 128)


def cases(torch: Any) -> Iterator[dict[str, Any]]:
    """Give the channels of images in halves, and rows of four in columns."""

    def inputs(shape: tuple[int, ...], dtype: Any) -> list[Any]:
        return [torch.randn(shape, device="cuda", dtype=dtype)]

    for dtype in (torch.float32, torch.float16):
        for shape, axis, sizes in ((_SHAPE, 1, [64, 192]), ((2**24, 4), 1, [1, 3])):

            def parts(given: Any, axis: int = axis, sizes: list[int] = sizes) -> list[Any]:
                return [part.contiguous() for part in given.split(sizes, axis)]

            size = 1
            for each in shape:
                size *= each
            yield {
                "op": "Split",
                "size": f"{'x'.join(map(str, shape))} into {' + '.join(map(str, sizes))}",
                "dtype": str(dtype).removeprefix("torch."),
                "creator": "Split",
                "attributes": {"axis": axis, "split": sizes},
                "inputs": partial(inputs, shape, dtype),
                "outputs": lambda given, parts=parts: [torch.empty_like(part) for part in parts(given[0])],
                "peer": ("split, contiguous", parts),
                "bytes": 2 * size * dtype.itemsize,
                "flops": 0,
            }
