"""MMCV 1.7 has no TensorRT test of an activation; these are the shapes and numbers of tensorRT_Pro's own recipes."""

from __future__ import annotations

from pathlib import Path

import torch
from trtplugin_activation import activation, hsigmoid

from trtreg.testing.host import HostPlugin


def test_gates_of_mobilenet_v3() -> None:
    plugin = HostPlugin(Path(__file__).parents[1])
    for shape in [(1, 16, 1, 1), (2, 72, 14, 14)]:
        x = torch.randn(shape) * 4
        (gate,) = plugin.run("HSigmoid", [x])
        torch.testing.assert_close(gate, torch.nn.functional.hardsigmoid(x), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(hsigmoid(x), gate)
        (swish,) = plugin.run("FancyActivation", [x], {"activation": "HardSwish"})
        torch.testing.assert_close(swish, torch.nn.functional.hardswish(x), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(activation(x, "HardSwish"), swish)
