"""The PyTorch ops: imports torch, so it is loaded on first use."""

from __future__ import annotations

import torch

from trtreg.errors import FaceError
from trtreg.sdk.torch_op import TorchOp

__all__ = ["scatter_elements", "scatter_nd"]

_REDUCE = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def _check(reduction: str) -> None:
    if reduction != "none" and reduction not in _REDUCE:
        raise FaceError("unknown reduction", found=repr(reduction), expected="none, add, mul, max or min")


def _put(
    data: torch.Tensor, places: torch.Tensor, inside: torch.Tensor, updates: torch.Tensor, how: str
) -> torch.Tensor:
    """Bring `updates` to `places` of the flat data, where `inside` holds."""
    wide = torch.float32 if data.dtype in (torch.float16, torch.bfloat16) else data.dtype
    result = data.to(wide, copy=True).flatten()
    places, values = places[inside], updates[inside].to(wide)
    if how == "none":
        result[places] = values
    else:
        result.scatter_reduce_(0, places, values, _REDUCE[how], include_self=True)
    return result.to(data.dtype).view(data.shape)


def _wrap(indices: torch.Tensor, sizes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Count negative indices from the end, and say which are inside."""
    indices = indices.long()
    indices = torch.where(indices < 0, indices + sizes, indices)
    return indices, (indices >= 0) & (indices < sizes)


def _reference_nd(data: torch.Tensor, indices: torch.Tensor, updates: torch.Tensor, reduction: str) -> torch.Tensor:
    _check(reduction)
    depth = indices.shape[-1]
    slice_size = data.shape[depth:].numel()
    sizes = torch.tensor(data.shape[:depth], dtype=torch.int64, device=data.device)
    places, inside = _wrap(indices, sizes)
    steps = [data.shape[axis + 1 :].numel() for axis in range(depth)]
    rows = (places * torch.tensor(steps, dtype=torch.int64, device=data.device)).sum(-1).flatten()
    columns = torch.arange(slice_size, device=data.device)
    whole = inside.all(-1).flatten()[:, None].expand(-1, slice_size)
    values = updates.reshape(len(rows), slice_size)
    return _put(data, rows[:, None] + columns, whole, values, reduction)


def _fake_nd(data: torch.Tensor, _indices: torch.Tensor, _updates: torch.Tensor, _reduction: str) -> torch.Tensor:
    return torch.empty(data.shape, dtype=data.dtype, device=data.device)


def _reference_elements(
    data: torch.Tensor, indices: torch.Tensor, updates: torch.Tensor, axis: int, reduction: str
) -> torch.Tensor:
    _check(reduction)
    along = axis % data.ndim
    places, inside = _wrap(indices, torch.tensor(data.shape[along], device=data.device))
    total = torch.zeros((), dtype=torch.int64, device=data.device)
    for d in range(data.ndim):
        place = places
        if d != along:
            shape = [-1 if other == d else 1 for other in range(data.ndim)]
            place = torch.arange(indices.shape[d], device=data.device).view(shape)
        total = total + place * data.shape[d + 1 :].numel()
    return _put(data, total, inside, updates, reduction)


def _fake_elements(
    data: torch.Tensor, _indices: torch.Tensor, _updates: torch.Tensor, _axis: int, _reduction: str
) -> torch.Tensor:
    return torch.empty(data.shape, dtype=data.dtype, device=data.device)


_ND = TorchOp(
    package="trtplugin_scatter",
    name="scatter_nd",
    creator="ScatterND",
    domain="trtreg",
    inputs=["data", "indices", "updates"],
    attributes={"reduction": "str"},
    reference=_reference_nd,
    fake=_fake_nd,
)
_ELEMENTS = TorchOp(
    package="trtplugin_scatter",
    name="scatter_elements",
    creator="ScatterElements",
    domain="trtreg",
    inputs=["data", "indices", "updates"],
    attributes={"axis": "int", "reduction": "str"},
    reference=_reference_elements,
    fake=_fake_elements,
)


def scatter_nd(
    data: torch.Tensor, indices: torch.Tensor, updates: torch.Tensor, reduction: str = "none"
) -> torch.Tensor:
    """Give a copy of `data` in which slices are replaced by, or combined with, updates.

    ``y[indices[r]] = updates[r]`` for each row ``r`` of the indices, as ONNX defines ScatterND
    (https://onnx.ai/onnx/operators/onnx__ScatterND.html, opset 18).

    Args:
        data: any shape; float32, float16, bfloat16, int32 or int64 (on the CPU float64 too).
        indices: ``[..., k]``, int32 or int64; negative ones count from the end, rows with one outside are left out.
        updates: ``indices.shape[:-1] + data.shape[k:]``, of data's dtype.
        reduction: none, add, mul, max or min. Floats are combined in float32, in no particular order, and rounded once;
            integers wrap around. Where two rows are the same and nothing is combined, each element gets one of the two.

    Returns:
        A tensor of data's shape and dtype.

    Raises:
        trtreg.errors.TrtregError: the plugin's library does not load, or refuses the arguments.
    """
    result: torch.Tensor = _ND(data, indices, updates, reduction)
    return result


def scatter_elements(
    data: torch.Tensor, indices: torch.Tensor, updates: torch.Tensor, axis: int = 0, reduction: str = "none"
) -> torch.Tensor:
    """Give a copy of `data` in which elements are replaced by, or combined with, updates.

    ``y[i][indices[i][j][k]][k] = updates[i][j][k]`` for axis 1 of three, as ONNX defines ScatterElements
    (https://onnx.ai/onnx/operators/onnx__ScatterElements.html, opset 18); :meth:`torch.Tensor.scatter_reduce`.

    Args:
        data: at least one dimension; float32, float16, bfloat16, int32 or int64 (on the CPU float64 too).
        indices: of data's rank, int32 or int64, but for `axis` nowhere larger than data; negative ones count from the
            end, those outside are left out.
        updates: of the shape of `indices` and data's dtype.
        axis: the dimension that indices are of; negative ones count from the end.
        reduction: none, add, mul, max or min. Floats are combined in float32, in no particular order, and rounded once;
            integers wrap around. Where two indices are the same and nothing is combined, one of the two updates stays.

    Returns:
        A tensor of data's shape and dtype.

    Raises:
        trtreg.errors.TrtregError: the plugin's library does not load, or refuses the arguments.
    """
    result: torch.Tensor = _ELEMENTS(data, indices, updates, axis, reduction)
    return result
