"""The configuration of MMCV 1.7's test of its TensorRT plugin, and PyTorch's tolerance."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from trtplugin_dcnv2 import ModulatedDeformConv2dPack

from trtreg.testing.device import DevicePlugin
from trtreg.testing.host import HostPlugin


def check(plugin: HostPlugin | DevicePlugin, where: str, *, bias: bool) -> None:
    x = torch.tensor([[1.0, 2, 3], [0, 1, 2], [3, 5, 2]]).reshape(1, 1, 3, 3)
    module = ModulatedDeformConv2dPack(1, 1, (2, 2), padding=1, bias=bias)
    with torch.no_grad():
        module.weight.fill_(1)
        offset, mask = module.conv_offset(x).split([8, 4], dim=1)
        expected = module(x)
    # Of no offsets, and masks of 1/2: half the sum of what lies under the kernel.
    half = torch.nn.functional.conv2d(x, torch.full((1, 1, 2, 2), 0.5), padding=1)
    torch.testing.assert_close(expected, half)
    inputs = [x, offset, mask.sigmoid(), module.weight.detach(), *([module.bias.detach()] if bias else [])]
    (y,) = plugin.run("MMCVModulatedDeformConv2d", [each.to(where) for each in inputs], {"padding": [1, 1]})
    torch.testing.assert_close(y.cpu(), expected)


@pytest.mark.parametrize("bias", [True, False])
class TestModulatedDeformConv:
    def test_on_host(self, bias: bool) -> None:
        check(HostPlugin(Path(__file__).parents[1]), "cpu", bias=bias)

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device")
    def test_on_device(self, bias: bool) -> None:
        check(DevicePlugin("trtplugin_dcnv2"), "cuda", bias=bias)
