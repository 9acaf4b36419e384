"""The configurations of MMCV 1.7's own test of corner pooling in TensorRT: its shapes, modes and tolerance."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from trtplugin_corner_pool import corner_pool

from trtreg.testing import device
from trtreg.testing.device import DevicePlugin
from trtreg.testing.host import HostPlugin

SHAPES = [(2, 3, 5, 5), (1, 2, 4, 6), (2, 1, 3, 2)]
MODES = ["top", "bottom", "left", "right"]


def check(plugin: HostPlugin | DevicePlugin, shape: tuple[int, ...], mode: str, where: str) -> None:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    (y,) = plugin.run("MMCVCornerPool", [x.to(where)], {"mode": MODES.index(mode)})
    # As MMCV's module does it: one pixel more at a time.
    expected = x.clone()
    size = shape[2] if mode in {"top", "bottom"} else shape[3]
    for i in range(1, size):
        if mode == "top":
            expected[:, :, size - 1 - i] = torch.maximum(expected[:, :, size - 1 - i], expected[:, :, size - i])
        elif mode == "bottom":
            expected[:, :, i] = torch.maximum(expected[:, :, i], expected[:, :, i - 1])
        elif mode == "left":
            expected[..., size - 1 - i] = torch.maximum(expected[..., size - 1 - i], expected[..., size - i])
        else:
            expected[..., i] = torch.maximum(expected[..., i], expected[..., i - 1])
    torch.testing.assert_close(y.cpu(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(corner_pool(x, mode), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES)
def test_on_host(shape: tuple[int, ...], mode: str) -> None:
    check(HostPlugin(Path(__file__).parents[1]), shape, mode, "cpu")


class TestOnDevice:
    pytestmark = device.marks()

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("shape", SHAPES)
    def test_kernel(self, shape: tuple[int, ...], mode: str) -> None:
        check(DevicePlugin("trtplugin_corner_pool"), shape, mode, "cuda")
