"""How PyTorch's tensors lie in memory, by the names of TensorRT's formats: linear, or with the channels last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from trtreg.errors import FaceError
from trtreg.sdk.face import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DTYPES", "empty", "format_of", "nbytes", "spec", "view"]

#: Names of trtplugin.json -> PyTorch's types.
DTYPES = {
    "float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "int8": torch.int8,
    "uint8": torch.uint8, "int32": torch.int32, "int64": torch.int64, "bool": torch.bool,
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in DTYPES.items()}

_MAP = 4  # dimensions: images, channels, rows, columns


def _pitch(format: str, channels: int) -> int:  # noqa: A002 - as TensorRT calls it
    """Elements from one pixel to the next."""
    return -(-channels // 8) * 8 if format == "hwc8" else channels


def format_of(tensor: torch.Tensor) -> str | None:
    """Give the format of a tensor: linear, hwc (float32) or hwc8 (16 bits); None for any other order of its elements.

    In hwc8 the channels of a pixel take a multiple of 8 elements. A tensor that is linear, too, is linear.
    """
    if tensor.is_contiguous():
        return "linear"
    last = {torch.float32: "hwc", torch.float16: "hwc8", torch.bfloat16: "hwc8"}.get(tensor.dtype)
    if last is None or tensor.dim() != _MAP:
        return None
    _, channels, height, width = tensor.shape
    pitch = _pitch(last, channels)
    wanted = (height * width * pitch, 1, width * pitch, pitch)
    # Where there is but one, how far it would be to the next does not matter.
    same = all(
        size == 1 or found == stride for size, found, stride in zip(tensor.shape, tensor.stride(), wanted, strict=True)
    )
    return last if same else None


def empty(
    shape: Sequence[int],
    dtype: torch.dtype,
    device: torch.device | str,
    format: str,  # noqa: A002
) -> torch.Tensor:
    """Give memory for a tensor of this format."""
    if format == "linear":
        return torch.empty(tuple(shape), dtype=dtype, device=device)
    images, channels, height, width = shape
    pixels = torch.empty((images, height, width, _pitch(format, channels)), dtype=dtype, device=device)
    return pixels[..., :channels].permute(0, 3, 1, 2)


def nbytes(shape: Sequence[int], dtype: torch.dtype, format: str) -> int:  # noqa: A002
    """Give the bytes that a tensor of this format takes."""
    size: int = empty(shape, dtype, "meta", format).untyped_storage().nbytes()
    return size


def view(memory: torch.Tensor, shape: Sequence[int], dtype: torch.dtype, format: str) -> torch.Tensor:  # noqa: A002
    """Give the tensor of this format that lies in `memory`, which has :func:`nbytes` bytes."""
    strides = empty(shape, dtype, "meta", format).stride()
    return memory.view(dtype).as_strided(tuple(shape), strides, memory.storage_offset() // dtype.itemsize)


def spec(tensor: torch.Tensor) -> TensorSpec:
    """Describe a tensor to a plugin.

    Raises:
        FaceError: it has a type or an order of elements that no plugin takes.
    """
    format = format_of(tensor)  # noqa: A001
    if format is None or tensor.dtype not in _NAMES:
        raise FaceError(
            f"no plugin takes a tensor of {tensor.dtype} with strides {tuple(tensor.stride())}",
            expected=f"one of {', '.join(map(str, _NAMES))}, contiguous or with its channels last",
        )
    return TensorSpec(type=_NAMES[tensor.dtype], shape=tuple(tensor.shape), data=tensor.data_ptr(), format=format)
