"""Sizes to time against PyTorch: read by the repository's benchmarks/operators.py."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEVELS = ((100, 134), (50, 67), (25, 34), (13, 17))  # Deformable DETR, an image of 800 x 1066
_BATCH, _HEADS, _CHANNELS, _POINTS = 2, 8, 32, 4


def cases(torch: Any) -> Iterator[dict[str, Any]]:
    """Give an encoder's layer (each pixel is a query) and a decoder's (300 queries)."""
    pixels = sum(height * width for height, width in _LEVELS)

    def inputs(queries: int, dtype: Any) -> list[Any]:
        shape = (_BATCH, queries, _HEADS, len(_LEVELS), _POINTS)
        sizes = torch.tensor(_LEVELS, device="cuda", dtype=torch.int32)
        starts = torch.zeros(len(_LEVELS), device="cuda", dtype=torch.int32)
        starts[1:] = sizes.prod(1).cumsum(0)[:-1]
        centres = torch.rand(_BATCH, queries, 1, 1, 1, 2, device="cuda").sort(1).values
        locations = centres + 0.05 * torch.randn(*shape, 2, device="cuda")
        weights = torch.randn(shape, device="cuda").flatten(3).softmax(-1).view(shape)
        value = torch.randn(_BATCH, pixels, _HEADS, _CHANNELS, device="cuda")
        return [value.to(dtype), sizes, starts, locations.to(dtype), weights.to(dtype)]

    def peer(value: Any, _sizes: Any, _starts: Any, locations: Any, weights: Any) -> Any:
        # As Deformable DETR and MMCV compute it in plain PyTorch.
        functional = torch.nn.functional
        samples = []
        for level, plane in enumerate(value.split([height * width for height, width in _LEVELS], dim=1)):
            image = plane.permute(0, 2, 3, 1).reshape(_BATCH * _HEADS, _CHANNELS, *_LEVELS[level])
            grid = (2 * locations[:, :, :, level] - 1).transpose(1, 2).flatten(0, 1)
            samples.append(functional.grid_sample(image, grid, align_corners=False))
        spread = weights.transpose(1, 2).flatten(3).flatten(0, 1).unsqueeze(1)
        return (torch.stack(samples, -2).flatten(-2) * spread).sum(-1)

    for queries in (pixels, 300):
        for dtype in (torch.float32, torch.float16):
            sample = _BATCH * queries * _HEADS * len(_LEVELS) * _POINTS
            yield {
                "op": "MultiscaleDeformableAttnPlugin_TRT",
                "size": f"{_BATCH}x{queries} queries, {_HEADS}x{_CHANNELS}, {len(_LEVELS)} levels, {_POINTS} points",
                "dtype": str(dtype).removeprefix("torch."),
                "creator": "MultiscaleDeformableAttnPlugin_TRT",
                "attributes": {},
                "inputs": partial(inputs, queries, dtype),
                "outputs": lambda given: [
                    torch.empty(_BATCH, given[3].shape[1], _HEADS, _CHANNELS, device="cuda", dtype=given[0].dtype)
                ],
                "peer": ("PyTorch, grid_sample", peer),
                # Of value each pixel once at most, and no more than is sampled.
                "bytes": dtype.itemsize
                * (
                    _BATCH * _HEADS * _CHANNELS * queries
                    + 3 * sample
                    + min(_BATCH * pixels * _HEADS * _CHANNELS, 4 * sample * _CHANNELS)
                ),
                "flops": 0,
            }
