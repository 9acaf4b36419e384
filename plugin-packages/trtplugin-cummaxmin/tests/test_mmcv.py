"""The configurations of MMCV 1.7's own test of cummax and cummin in TensorRT: its shapes and every dimension."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trtreg.testing import device
from trtreg.testing.device import DevicePlugin
from trtreg.testing.host import HostPlugin

CASES = [(shape, dim) for shape in [(2, 3, 4, 1, 5), (1,)] for dim in range(-len(shape), len(shape))]


def check(plugin: HostPlugin | DevicePlugin, name: str, shape: tuple[int, ...], dim: int, where: str) -> None:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    values, indices = plugin.run(name, [x.to(where)], {"dim": dim})
    expected = getattr(torch, name)(x, dim)
    assert torch.equal(values.cpu(), expected[0])
    assert torch.equal(indices.cpu().long(), expected[1])


@pytest.mark.parametrize("name", ["cummax", "cummin"])
@pytest.mark.parametrize(("shape", "dim"), CASES)
def test_on_host(name: str, shape: tuple[int, ...], dim: int) -> None:
    check(HostPlugin(Path(__file__).parents[1]), name, shape, dim, "cpu")


class TestOnDevice:
    pytestmark = device.marks()

    @pytest.mark.parametrize("name", ["cummax", "cummin"])
    @pytest.mark.parametrize(("shape", "dim"), CASES)
    def test_kernel(self, name: str, shape: tuple[int, ...], dim: int) -> None:
        check(DevicePlugin("trtplugin_cummaxmin"), name, shape, dim, "cuda")
