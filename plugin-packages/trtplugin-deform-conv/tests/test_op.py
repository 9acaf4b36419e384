"""The PyTorch op and module: the CPU reference against an oracle and against PyTorch's convolution, and refusals."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from trtplugin_deform_conv import DeformConv2dPack, deform_conv2d

from trtreg.errors import ShapeError
from trtreg.testing import compare
from trtreg.testing.deform_conv import EDGES, Case, assert_close, oracle, random_case, to_tensors

CASE = Case(batch=2, channels=6, out_channels=4, groups=2, deform_groups=3, size=(7, 8), stride=(2, 1), padding=(1, 2))


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, trtplugin_deform_conv; sys.exit('torch' in sys.modules or 'tensorrt_rtx' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def check(case: Case, random: np.random.Generator, dtype: str) -> None:
    tensors = to_tensors(case.inputs(random), dtype)
    inputs = {name: compare.wide(each) for name, each in tensors.items()}
    y = deform_conv2d(**tensors, **case.attributes)
    assert y.dtype == tensors["x"].dtype
    assert_close(case, inputs, compare.wide(y), oracle(case, inputs), dtype)


@pytest.mark.parametrize("case", EDGES, ids=range(len(EDGES)))
def test_edges(case: Case) -> None:
    check(case, np.random.default_rng(0), "float32")


@pytest.mark.parametrize("seed", range(60))
def test_against_the_oracle(seed: int) -> None:
    random = np.random.default_rng(seed)
    check(random_case(random, largest=8), random, compare.FLOATS[seed % 3])


@pytest.mark.parametrize("seed", range(20))
def test_without_offsets_it_is_a_convolution(seed: int) -> None:
    case = random_case(np.random.default_rng([1, seed]))
    inputs = to_tensors(case.inputs(np.random.default_rng(seed)), "float64")
    inputs["offset"].zero_()
    expected = torch.nn.functional.conv2d(
        *(inputs["x"], inputs["weight"], None, case.stride, case.padding, case.dilation, case.groups)
    )
    torch.testing.assert_close(deform_conv2d(**inputs, **case.attributes), expected, rtol=1e-10, atol=1e-10)


def test_whole_offsets_move_the_image() -> None:
    x = torch.randn(1, 2, 6, 7, dtype=torch.float64)
    offset = torch.zeros(1, 2, 6, 7, dtype=torch.float64)
    offset[:, 0], offset[:, 1] = 2, -1
    y = deform_conv2d(x, offset, torch.eye(2, dtype=torch.float64).reshape(2, 2, 1, 1))
    expected = torch.zeros_like(x)
    expected[:, :, :4, 1:] = x[:, :, 2:, :-1]
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)


def test_op_is_registered_properly() -> None:
    tensors = to_tensors(CASE.inputs(np.random.default_rng(0)), "float32")
    op = torch.ops.trtplugin_deform_conv.deform_conv2d.default
    arguments = (*tensors.values(), *CASE.attributes.values())
    torch.library.opcheck(op, arguments, test_utils=("test_schema", "test_faketensor"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stride": 0}, "'stride' is too small"),
        ({"padding": -1}, "'padding' is too small"),
        ({"stride": [1, 2, 3]}, "'stride' has the wrong length"),
        ({"groups": 4}, "channels of 'x' over the weight's times groups"),
        ({"deform_groups": 4}, "channels of 'x'"),
        ({"padding": 3}, "shape of 'offset'"),
        ({"dilation": 9}, "reach of the kernel"),
        ({"x": torch.zeros(2, 6, 7)}, "rank of 'x'"),
        ({"weight": torch.zeros(4, 3, 3, 3, dtype=torch.float16)}, "dtype of 'weight'"),
    ],
)
def test_refusals(change: dict[str, object], message: str) -> None:
    tensors = to_tensors(CASE.inputs(np.random.default_rng(0)), "float32")
    with pytest.raises(ShapeError, match=message):
        deform_conv2d(**{**tensors, **CASE.attributes, **change})


def test_module_starts_as_a_convolution_with_mmcvs_parameters() -> None:
    module = DeformConv2dPack(6, 4, (3, 2), stride=(1, 2), padding=1, groups=2, deform_groups=3).eval()
    shapes = {name: tuple(each.shape) for name, each in module.state_dict().items()}
    assert shapes == {"weight": (4, 3, 3, 2), "conv_offset.weight": (36, 6, 3, 2), "conv_offset.bias": (36,)}
    x = torch.randn(2, 6, 7, 8)
    with torch.no_grad():
        expected = torch.nn.functional.conv2d(x, module.weight, None, (1, 2), 1, groups=2)
        torch.testing.assert_close(module(x), expected)
