from pathlib import Path

import numpy as np
import pytest
import torch

from trtreg.testing import compare, export
from trtreg.testing.host import HostPlugin


@pytest.fixture(scope="module")
def plugin():
    return HostPlugin(Path(__file__).parents[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("shape", [(), (0,), (7,), (2, 3, 5)])
def test_values(plugin, dtype, shape):
    x = (torch.randn(shape) * 20).to(dtype)
    (y,) = plugin.run("SoftCap", [x], {"cap": 5.0})
    exact = 5 * np.tanh(compare.wide(x) / 5)
    compare.assert_close(y, exact, before=8 * 2**-24 * np.abs(exact))


def test_an_engine():
    tensor = ("float32", ["n", 3])
    model = export.model_of("SoftCap", {"x": tensor}, {"y": tensor}, cap=5.0)
    profile = {"x": [[1, 3], [2, 3], [8, 3]]}
    export.build(model, profile, op="SoftCap", package="trtplugin-softcap")
