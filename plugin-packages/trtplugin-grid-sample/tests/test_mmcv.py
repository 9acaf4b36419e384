"""The configurations of MMCV 1.7's test of its TensorRT plugin, and its tolerance: that of torch.allclose."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from grid_sample_cases import MODES, PADDINGS

from trtreg.testing.device import DevicePlugin
from trtreg.testing.host import HostPlugin


def check(plugin: HostPlugin | DevicePlugin, where: str, mode: int, padding: int, *, align_corners: bool) -> None:
    # An image of 10 x 10 under the identity, at 15 x 15 points.
    x = torch.rand(1, 1, 10, 10, device=where)
    identity = torch.eye(2, 3, device=where)[None]
    grid = torch.nn.functional.affine_grid(identity, [1, 1, 15, 15], align_corners=False)
    attributes = {"interpolation_mode": mode, "padding_mode": padding, "align_corners": int(align_corners)}
    expected = torch.nn.functional.grid_sample(x, grid, MODES[mode], PADDINGS[padding], align_corners)
    (y,) = plugin.run("grid_sampler", [x, grid], attributes)
    assert torch.allclose(y, expected)


@pytest.fixture(scope="module")
def on_host() -> HostPlugin:
    return HostPlugin(Path(__file__).parents[1])


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("padding", range(3))
@pytest.mark.parametrize("mode", range(2))
class TestGridSample:
    def test_on_host(self, on_host: HostPlugin, mode: int, padding: int, align_corners: bool) -> None:
        check(on_host, "cpu", mode, padding, align_corners=align_corners)

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device")
    def test_on_device(self, mode: int, padding: int, align_corners: bool) -> None:
        check(DevicePlugin("trtplugin_grid_sample"), "cuda", mode, padding, align_corners=align_corners)
