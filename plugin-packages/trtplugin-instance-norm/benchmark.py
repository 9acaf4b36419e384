"""What benchmarks/operators.py times: instances that fit into a multiprocessor, and some that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def cases(torch: Any) -> Iterator[dict[str, Any]]:
    """Give the cases; `torch` is PyTorch, which sees a GPU."""

    def peer(x: Any, scale: Any, bias: Any) -> Any:
        return torch.nn.functional.instance_norm(x, weight=scale, bias=bias)

    compiled = torch.compile(peer)

    def inputs(shape: tuple[int, ...], dtype: Any) -> list[Any]:
        line = [torch.randn(shape[1], device="cuda").to(dtype) for _ in range(2)]
        return [torch.randn(shape, device="cuda").to(dtype), *line]

    for shape in ((8, 256, 128, 128), (2, 64, 512, 1024)):
        for dtype in (torch.float32, torch.float16):
            for name, function in (("F.instance_norm", peer), ("torch.compile", compiled)):
                yield {
                    "op": "InstanceNormalization",
                    "size": "x".join(map(str, shape)),
                    "dtype": str(dtype).removeprefix("torch."),
                    "creator": "MMCVInstanceNormalization",
                    "attributes": {},
                    "inputs": lambda shape=shape, dtype=dtype: inputs(shape, dtype),
                    "outputs": lambda given: [torch.empty_like(given[0])],
                    "peer": (name, function),
                    "bytes": 2 * dtype.itemsize * shape[0] * shape[1] * shape[2] * shape[3],
                    "flops": 0,
                }
