"""Formats of PyTorch's tensors, and which of them reach a plugin as they are."""

from __future__ import annotations

import pytest
import torch

from trtreg.errors import FaceError
from trtreg.sdk import torch_layout, torch_op
from trtreg.testing.compare import FLOATS

LAST = torch.channels_last


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("channels", [1, 3, 8, 13])
def test_what_is_made_is_recognized(name: str, channels: int) -> None:
    dtype = getattr(torch, name)
    wanted = "hwc" if name == "float32" else "hwc8"
    pitch = channels if name == "float32" else -(-channels // 8) * 8
    shape = (2, channels, 5, 7)
    tensor = torch_layout.empty(shape, dtype, "cpu", wanted)
    assert tuple(tensor.shape) == shape
    assert tensor.stride(3) == pitch
    assert torch_layout.nbytes(shape, dtype, wanted) == 2 * 5 * 7 * pitch * dtype.itemsize
    assert torch_layout.format_of(tensor) == ("linear" if pitch == 1 else wanted)
    spec = torch_layout.spec(tensor)
    assert (spec.type, spec.shape, spec.data) == (name, shape, tensor.data_ptr())

    memory = torch.zeros(torch_layout.nbytes(shape, dtype, wanted) + 64, dtype=torch.uint8)[64:]
    seen = torch_layout.view(memory, shape, dtype, wanted)
    assert (seen.data_ptr(), seen.stride()) == (memory.data_ptr(), tensor.stride())


def test_channels_last_of_pytorch() -> None:
    x = torch.zeros(2, 16, 4, 6).contiguous(memory_format=LAST)
    assert torch_layout.format_of(x) == "hwc"
    assert torch_layout.format_of(x.half()) == "hwc8"
    # TensorRT fills 12 channels up to 16 and PyTorch does not; what has no such format, or has another order, has none.
    assert torch_layout.format_of(x[:, :12].half().contiguous(memory_format=LAST)) is None
    assert torch_layout.format_of(x.int()) is None
    assert torch_layout.format_of(x.transpose(2, 3)) is None
    assert torch_layout.format_of(x[:, :, ::2]) is None
    assert torch_layout.format_of(x[:1, :, :1, :1]) == "linear"
    with pytest.raises(FaceError, match="contiguous or with its channels last"):
        torch_layout.spec(x.transpose(2, 3))


def test_only_what_the_plugin_takes_stays_channels_last() -> None:
    x = torch.randn(2, 16, 4, 6).contiguous(memory_format=LAST)
    offset = torch.randn(2, 18, 4, 6).contiguous(memory_format=LAST)
    takes = [("hwc", "linear"), ("hwc8", "linear")]

    def taken(*tensors: torch.Tensor, layouts: list[tuple[str, ...]] = takes) -> list[torch.Tensor]:
        found = torch_op._as_taken(list(tensors), layouts)
        assert all(torch.equal(one, other) for one, other in zip(found, tensors, strict=True))
        return found

    first, second = taken(x, offset)
    assert first is x
    assert second.is_contiguous()
    assert taken(x.half())[0].stride() == x.stride()
    plain = x.contiguous()
    assert taken(plain, offset)[0] is plain
    assert taken(x, layouts=[])[0].is_contiguous()
    assert taken(x.transpose(2, 3))[0].is_contiguous()
