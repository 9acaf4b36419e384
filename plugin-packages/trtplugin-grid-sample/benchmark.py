"""Sizes to time against PyTorch: read by the repository's benchmarks/operators.py."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHAPE = (8, 64, 256, 256)


def cases(torch: Any) -> Iterator[dict[str, Any]]:
    """Give a smooth grid, which an image warp has, and a random one, in float32 and float16."""

    def inputs(dtype: Any, *, smooth: bool) -> list[Any]:
        batch, _, *size = _SHAPE
        x = torch.randn(_SHAPE, device="cuda", dtype=dtype)
        identity = torch.eye(2, 3, device="cuda").expand(batch, 2, 3)
        grid = torch.nn.functional.affine_grid(identity, _SHAPE, align_corners=False)
        shift = 0.01 if smooth else 2.0
        moved = grid + shift * torch.rand((batch, 1, 1, 2) if smooth else (batch, *size, 2), device="cuda")
        return [x, moved.to(dtype)]

    def peer(x: Any, grid: Any) -> Any:
        return torch.nn.functional.grid_sample(x, grid, align_corners=False)

    for dtype in (torch.float32, torch.float16):
        for smooth in (True, False):
            pixels = _SHAPE[0] * _SHAPE[2] * _SHAPE[3]
            yield {
                "op": "grid_sampler",
                "size": f"{'x'.join(map(str, _SHAPE))}, {'smooth' if smooth else 'random'} grid",
                "dtype": str(dtype).removeprefix("torch."),
                "creator": "grid_sampler",
                "attributes": {},
                "inputs": partial(inputs, dtype, smooth=smooth),
                "outputs": lambda given: [torch.empty_like(given[0])],
                "peer": ("F.grid_sample", peer),
                "bytes": pixels * (2 * _SHAPE[1] + 2) * dtype.itemsize,
                "flops": 0,
            }
