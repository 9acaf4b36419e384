"""The configuration of MMCV 1.7's test of its TensorRT plugin, and its tolerance: that of torch.allclose."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from trtplugin_deform_conv import DeformConv2dPack

from trtreg.testing.deform_conv import Case, oracle
from trtreg.testing.device import DevicePlugin
from trtreg.testing.host import HostPlugin

IMAGE = [[1, 2, 3], [0, 1, 2], [3, 5, 2]]
WEIGHT = [[0.4, 0.2], [0.1, 0.9]]
OFFSET_WEIGHT = [
    [0.1, 0.4, 0.6, 0.1],
    [0.3, 0.2, 0.1, 0.3],
    [0.5, 0.5, 0.2, 0.8],
    [0.8, 0.3, 0.9, 0.1],
    [0.3, 0.1, 0.2, 0.5],
    [0.3, 0.7, 0.5, 0.3],
    [0.6, 0.2, 0.5, 0.3],
    [0.4, 0.1, 0.8, 0.4],
]
OFFSET_BIAS = [0.7, 0.1, 0.8, 0.5, 0.6, 0.5, 0.4, 0.7]


def check(plugin: HostPlugin | DevicePlugin, where: str) -> None:
    module = DeformConv2dPack(1, 1, 2)
    with torch.no_grad():
        module.weight.copy_(torch.tensor(WEIGHT).reshape(1, 1, 2, 2))
        module.conv_offset.weight.copy_(torch.tensor(OFFSET_WEIGHT).reshape(8, 1, 2, 2))
        module.conv_offset.bias.copy_(torch.tensor(OFFSET_BIAS))
        x = torch.tensor(IMAGE, dtype=torch.float32).reshape(1, 1, 3, 3)
        inputs = {"x": x, "offset": module.conv_offset(x), "weight": module.weight.detach()}
        expected = module(x)
    exact = oracle(Case(size=(3, 3), kernel=(2, 2)), {name: each.double().numpy() for name, each in inputs.items()})
    assert torch.allclose(expected, torch.from_numpy(exact).float())
    (y,) = plugin.run("MMCVDeformConv2d", [each.to(where) for each in inputs.values()])
    assert torch.allclose(y.cpu(), expected)


def test_on_host() -> None:
    check(HostPlugin(Path(__file__).parents[1]), "cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device")
def test_on_device() -> None:
    check(DevicePlugin("trtplugin_deform_conv"), "cuda")
