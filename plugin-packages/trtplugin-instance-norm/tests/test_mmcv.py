"""The configurations of MMCV 1.7's own test of instance normalization in TensorRT: its shapes and tolerance."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from trtplugin_instance_norm import instance_norm

from trtreg.testing import device
from trtreg.testing.device import DevicePlugin
from trtreg.testing.host import HostPlugin

SHAPES = [(2, 3, 10, 10), (4, 3, 20, 20)]  # the second is the largest of the dynamic profile


def case(shape: tuple[int, ...], dtype: torch.dtype) -> tuple[list[torch.Tensor], torch.Tensor]:
    norm = torch.nn.InstanceNorm2d(shape[1], affine=True)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    with torch.no_grad():
        return [x, norm.weight.detach(), norm.bias.detach()], norm(x.float())


def check(y: torch.Tensor, expected: torch.Tensor) -> None:
    if y.dtype == torch.float32:
        torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-6)
    else:  # MMCV's test lets its engine compute in float32; here inputs and outputs are float16
        torch.testing.assert_close(y.float(), expected, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("shape", SHAPES)
def test_on_host(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    inputs, expected = case(shape, dtype)
    (y,) = HostPlugin(Path(__file__).parents[1]).run("MMCVInstanceNormalization", inputs)
    check(y, expected)
    check(instance_norm(*inputs), expected)


class TestOnDevice:
    pytestmark = device.marks()

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
    @pytest.mark.parametrize("shape", SHAPES)
    def test_kernel(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        inputs, expected = case(shape, dtype)
        plugin = DevicePlugin("trtplugin_instance_norm")
        (y,) = plugin.run("MMCVInstanceNormalization", [each.cuda() for each in inputs])
        check(y.cpu(), expected)
