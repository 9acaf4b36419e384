"""The configurations of MMDeploy's own test of resizing in TensorRT; MMCV 1.7 has none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from trtplugin_resize import bicubic_interpolate, resize_like, resize_nearest

from trtreg.testing import device
from trtreg.testing.device import DevicePlugin
from trtreg.testing.host import HostPlugin

SHAPE, SIZE, SCALE = (2, 3, 5, 10), (10, 20), 2.0


def check(plugin: HostPlugin | DevicePlugin, align_corners: bool, where: str) -> None:
    x = torch.randn(SHAPE, device=where)
    flag = {"align_corners": int(align_corners)}
    by_size = plugin.run("DynamicTRTResize", [x, torch.empty(SIZE, device=where)], flag)
    for creator in ("bicubic_interpolate", "TRTBicubicInterpolate"):
        by_scale = plugin.run(creator, [x], flag | {"scale_factor": [SCALE, SCALE]})
        assert torch.equal(by_scale[0], by_size[0])
    expected = torch.nn.functional.interpolate(x, SIZE, mode="bicubic", align_corners=align_corners)
    ops = resize_like(x, torch.empty(SIZE, device=where), align_corners), bicubic_interpolate(x, SCALE, align_corners)
    for y in (*by_size, *ops):
        torch.testing.assert_close(y, expected, rtol=1e-3, atol=1e-5)
    (y,) = plugin.run("ResizeNearest", [x], {"scales": [SCALE]})
    expected = torch.nn.functional.interpolate(x, scale_factor=SCALE)
    assert torch.equal(y, expected)
    assert torch.equal(resize_nearest(x, SCALE), expected)


@pytest.mark.parametrize("align_corners", [True, False])
def test_on_host(align_corners: bool) -> None:
    check(HostPlugin(Path(__file__).parents[1]), align_corners, "cpu")


class TestOnDevice:
    pytestmark = device.marks()

    @pytest.mark.parametrize("align_corners", [True, False])
    def test_kernel(self, align_corners: bool) -> None:
        check(DevicePlugin("trtplugin_resize"), align_corners, "cuda")
