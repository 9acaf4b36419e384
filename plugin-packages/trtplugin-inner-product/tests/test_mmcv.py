"""MMCV 1.7 has no TensorRT test of a fully connected layer; these are the shapes of Caffe's classifiers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from trtplugin_inner_product import inner_product

from trtreg.testing.host import HostPlugin


@pytest.mark.parametrize(("shape", "outputs"), [((1, 50, 4, 4), 500), ((2, 500), 10), ((12, 800), 65)])
@pytest.mark.parametrize("transpose", [False, True])
def test_layers_of_lenet(shape: tuple[int, ...], outputs: int, transpose: bool) -> None:
    x = torch.randn(shape)
    weight, bias = torch.randn(outputs, x[0].numel()), torch.randn(outputs)
    matrix = weight.t().contiguous() if transpose else weight
    plugin = HostPlugin(Path(__file__).parents[1])
    (y,) = plugin.run("CustomFC", [x, matrix, bias], {"num_output": outputs, "transpose": int(transpose)})
    expected = torch.nn.functional.linear(x.flatten(1), weight, bias)
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(inner_product(x, matrix, bias, transpose=transpose), y, rtol=1e-4, atol=1e-4)
