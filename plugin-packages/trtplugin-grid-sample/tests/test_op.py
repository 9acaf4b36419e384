"""The PyTorch op: its CPU reference against an oracle and against ONNX's reference, its registration, its refusals."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from grid_sample_cases import EDGES, MODES, PADDINGS, Case, assert_close, random_case
from onnx.reference import ReferenceEvaluator
from trtplugin_grid_sample import grid_sample

from trtreg.errors import ShapeError
from trtreg.testing import compare, export


def run(case: Case, inputs: list[torch.Tensor]) -> torch.Tensor:
    return grid_sample(*inputs, MODES[case.mode], PADDINGS[case.padding], case.align_corners)


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, trtplugin_grid_sample; sys.exit('torch' in sys.modules or 'tensorrt_rtx' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("case", EDGES, ids=range(len(EDGES)))
def test_edges(case: Case) -> None:
    inputs = case.inputs(np.random.default_rng(0), "float32")
    assert_close(case, inputs, run(case, inputs))


@pytest.mark.parametrize("seed", range(80))
def test_against_the_oracle(seed: int) -> None:
    random = np.random.default_rng(seed)
    case = random_case(random)
    inputs = case.inputs(random, compare.FLOATS[seed % 3])
    assert_close(case, inputs, run(case, inputs))


# Cubic with the border is another thing there: the point is held at the border, not what it is made of.
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("mode", "padding"), [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 2)])
def test_against_onnx(mode: int, padding: int, align_corners: bool) -> None:
    case = Case(mode=mode, padding=padding, align_corners=align_corners, size=(4, 7), points=(5, 6), batch=2)
    x, grid = (each.double() for each in case.inputs(np.random.default_rng(mode), "float32"))
    shapes = {"x": ("float32", x.shape), "grid": ("float32", grid.shape)}, {"y": ("float32", [2, 2, 5, 6])}
    model = export.model_of("GridSample", *shapes, **{"domain": "", "opset": 20, **case.words})
    (expected,) = ReferenceEvaluator(model).run(None, {"x": x.numpy(), "grid": grid.numpy()})
    y = run(case, [x, grid]).numpy()
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)  # it computes in float32


def test_op_is_registered_properly() -> None:
    op = torch.ops.trtplugin_grid_sample.grid_sample.default
    for case in (Case(), Case(size=(2, 3, 4), points=(3, 1, 2))):
        inputs = case.inputs(np.random.default_rng(0), "float32")
        torch.library.opcheck(op, (*inputs, 0, 1, 1), test_utils=("test_schema", "test_faketensor"))


def test_unknown_modes_are_refused() -> None:
    x, grid = Case().inputs(np.random.default_rng(0), "float32")
    with pytest.raises(ShapeError, match="'mode' is unknown"):
        grid_sample(x, grid, "trilinear")
    with pytest.raises(ShapeError, match="'padding_mode' is unknown"):
        grid_sample(x, grid, "nearest", "zero")
