"""Sizes to time against PyTorch: read by the repository's benchmarks/operators.py."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHAPE = (8, 3, 270, 480)
_SIZE = (1080, 1920)


def cases(torch: Any) -> Iterator[dict[str, Any]]:
    """Give images to four times their height and width, bicubic and nearest."""

    def image(dtype: Any) -> Any:
        return torch.randn(_SHAPE, device="cuda", dtype=dtype)

    def sized(dtype: Any) -> list[Any]:
        return [image(dtype), torch.empty(_SIZE, device="cuda")]

    def bicubic(x: Any, _size: Any) -> Any:
        return torch.nn.functional.interpolate(x, _SIZE, mode="bicubic", align_corners=False)

    def nearest(x: Any) -> Any:
        return torch.nn.functional.interpolate(x, _SIZE, mode="nearest")

    for dtype in (torch.float32, torch.float16):
        planes = _SHAPE[0] * _SHAPE[1]
        common = {
            "size": f"{'x'.join(map(str, _SHAPE))} to {_SIZE[0]}x{_SIZE[1]}",
            "dtype": str(dtype).removeprefix("torch."),
            "outputs": lambda given: [given[0].new_empty((*_SHAPE[:2], *_SIZE))],
            "bytes": planes * (_SHAPE[2] * _SHAPE[3] + _SIZE[0] * _SIZE[1]) * dtype.itemsize,
            "flops": 0,
        }
        yield common | {
            "op": "bicubic resize",
            "creator": "DynamicTRTResize",
            "attributes": {},
            "inputs": partial(sized, dtype),
            "peer": ("F.interpolate", bicubic),
        }
        yield common | {
            "op": "nearest resize",
            "creator": "ResizeNearest",
            "attributes": {"scales": [4.0]},
            "inputs": partial(lambda dtype: [image(dtype)], dtype),
            "peer": ("F.interpolate", nearest),
        }
