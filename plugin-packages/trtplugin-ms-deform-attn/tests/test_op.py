"""The PyTorch op: its CPU reference against an oracle, its registration, its refusals."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from ms_deform_attn_cases import EDGES, Case, assert_close, random_case
from trtplugin_ms_deform_attn import ms_deform_attn

from trtreg.errors import ShapeError
from trtreg.testing import compare


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, trtplugin_ms_deform_attn; sys.exit('torch' in sys.modules or 'tensorrt_rtx' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("case", EDGES, ids=range(len(EDGES)))
def test_edges(case: Case) -> None:
    inputs = case.inputs(np.random.default_rng(0), "float32")
    assert_close(case, inputs, ms_deform_attn(*inputs))


@pytest.mark.parametrize("seed", range(60))
def test_against_the_oracle(seed: int) -> None:
    random = np.random.default_rng(seed)
    case = random_case(random)
    inputs = case.inputs(random, compare.FLOATS[seed % 3])
    assert_close(case, inputs, ms_deform_attn(*inputs))


def test_attention_to_the_centre_of_one_pixel_is_that_pixel() -> None:
    value = torch.randn(1, 6 + 4, 2, 3)
    sizes, starts = torch.tensor([[2, 3], [2, 2]]), torch.tensor([0, 6])
    locations = torch.tensor([[2.5 / 3, 0.25], [0.25, 0.75]]).reshape(1, 1, 1, 2, 1, 2).expand(1, 1, 2, 2, 1, 2)
    weights = torch.tensor([1.0, 10.0]).reshape(1, 1, 1, 2, 1).expand(1, 1, 2, 2, 1)
    y = ms_deform_attn(value, sizes, starts, locations, weights)
    torch.testing.assert_close(y[:, 0], value[:, 2] + 10 * value[:, 6 + 2])


def test_op_is_registered_properly() -> None:
    op = torch.ops.trtplugin_ms_deform_attn.ms_deform_attn.default
    inputs = Case(batch=2).inputs(np.random.default_rng(0), "float32")
    torch.library.opcheck(op, tuple(inputs), test_utils=("test_schema", "test_faketensor"))


@pytest.mark.parametrize(
    ("index", "change", "message"),
    [
        (0, torch.zeros(1, 26, 8), "rank of 'value'"),
        (1, torch.zeros(3, 2, dtype=torch.int32), "shape of 'spatial_shapes'"),
        (2, torch.zeros(2, dtype=torch.int64), "dtype of 'level_start_index'"),
        (3, torch.zeros(1, 3, 2, 2, 2, 3), "shape of 'sampling_locations'"),
        (4, torch.zeros(1, 3, 2, 2, 3), "shape of 'attention_weights'"),
        (4, torch.zeros(1, 3, 2, 2, 2, dtype=torch.float16), "dtype of 'attention_weights'"),
    ],
)
def test_refusals(index: int, change: torch.Tensor, message: str) -> None:
    inputs = Case().inputs(np.random.default_rng(0), "float32")
    inputs[index] = change
    with pytest.raises(ShapeError, match=message):
        ms_deform_attn(*inputs)
