"""What benchmarks/operators.py times for this package."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROWS, _WIDTH, _SLICES = 2**20, 64, 200_000
_LINES, _LINE, _UPDATES = 65536, 256, 128


def _slices(torch: Any, kind: Any) -> list[Any]:
    places = torch.randperm(_ROWS, device="cuda")[:_SLICES, None].contiguous()
    data = torch.randn(_ROWS, _WIDTH, device="cuda").to(kind)
    return [data, places, torch.randn(_SLICES, _WIDTH, device="cuda").to(kind)]


def _elements(torch: Any, kind: Any) -> list[Any]:
    places = torch.rand(_LINES, _LINE, device="cuda").argsort(1)[:, :_UPDATES].contiguous()
    data, updates = (torch.randn(_LINES, width, device="cuda").to(kind) for width in (_LINE, _UPDATES))
    return [data, places, updates]


def _put_slices(data: Any, places: Any, updates: Any) -> Any:
    return data.clone().index_put_((places[:, 0],), updates)


def _put_elements(data: Any, places: Any, updates: Any) -> Any:
    return data.clone().scatter_(1, places, updates)


def _add_elements(data: Any, places: Any, updates: Any) -> Any:
    return data.clone().scatter_add_(1, places, updates)


def cases(torch: Any) -> Iterator[dict[str, Any]]:
    """Give the cases: see benchmarks/operators.py."""
    for dtype in ("float32", "float16"):
        kind = getattr(torch, dtype)
        common = {"dtype": dtype, "flops": 0, "outputs": lambda inputs: [torch.empty_like(inputs[0])]}
        yield common | {
            "op": "ScatterND",
            "size": "1Mx64, 200k rows",
            "creator": "ScatterND",
            "attributes": {},
            "inputs": partial(_slices, torch, kind),
            "peer": ("clone + index_put_", _put_slices),
            "bytes": 2 * (_ROWS + _SLICES) * _WIDTH * kind.itemsize + _SLICES * 8,
        }
        peers = {"none": ("clone + scatter_", _put_elements), "add": ("clone + scatter_add_", _add_elements)}
        for reduction, peer in peers.items():
            yield common | {
                "op": f"ScatterElements {reduction}",
                "size": f"[{_LINES},{_LINE}] <- [{_LINES},{_UPDATES}]",
                "creator": "ScatterElements",
                "attributes": {"axis": 1, "reduction": reduction},
                "inputs": partial(_elements, torch, kind),
                "peer": peer,
                "bytes": _LINES * (2 * _LINE * kind.itemsize + _UPDATES * (kind.itemsize + 8)),
            }
