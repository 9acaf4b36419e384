"""The PyTorch ops on the CPU against the oracle, ONNX's reference and PyTorch's own ops, and their registration."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from scatter_cases import DTYPES, REDUCTIONS, Case, check, random_elements, random_nd, values
from trtplugin_scatter import scatter_elements, scatter_nd

from trtreg.errors import FaceError
from trtreg.testing import compare, export


def run(case: Case) -> torch.Tensor:
    op = scatter_nd if case.creator == "ScatterND" else scatter_elements
    return op(*case.inputs, **case.attributes)


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, trtplugin_scatter; sys.exit('torch' in sys.modules or 'tensorrt_rtx' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("make", [random_nd, random_elements])
@pytest.mark.parametrize("seed", range(40))
def test_reference(seed: int, make: type, dtype: torch.dtype) -> None:
    case = make(np.random.default_rng(seed), dtype)
    before = [each.clone() for each in case.inputs]
    check(run(case), case)
    compare.assert_same(case.inputs, before)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("creator", ["ScatterND", "ScatterElements"])
def test_onnx_reference(creator: str, reduction: str) -> None:
    random = np.random.default_rng(0)
    once = random.permutation(7)[:4]  # of each place one update
    if creator == "ScatterND":
        indices = torch.from_numpy(np.stack([once, random.integers(0, 5, size=4)], -1))
        case = (values(random, (7, 5, 3), torch.float32, "add"), indices, torch.randn(4, 3))
    else:
        indices = torch.from_numpy(np.broadcast_to(once[:, None, None], (4, 5, 3)).copy())
        case = (values(random, (7, 5, 3), torch.float32, "add"), indices, torch.randn(4, 5, 3))
    names = ("data", "indices", "updates")
    types = {name: (compare.name_of(each.dtype), list(each.shape)) for name, each in zip(names, case, strict=True)}
    model = export.model_of(creator, types, {"y": ("float32", [7, 5, 3])}, domain="", opset=18, reduction=reduction)
    feeds = {name: each.numpy() for name, each in zip(names, case, strict=True)}
    (expected,) = ReferenceEvaluator(model).run(None, feeds)
    op = scatter_nd if creator == "ScatterND" else scatter_elements
    torch.testing.assert_close(op(*case, reduction=reduction), torch.from_numpy(expected), rtol=0, atol=0)


@pytest.mark.parametrize("reduction", REDUCTIONS[1:])
def test_pytorchs_own(reduction: str) -> None:
    torch.manual_seed(0)
    data, updates = torch.randn(4, 9, 3, dtype=torch.float64), torch.randn(4, 20, 3, dtype=torch.float64)
    indices = torch.randint(0, 9, (4, 20, 3))
    name = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}[reduction]
    expected = data.scatter_reduce(1, indices, updates, name)
    torch.testing.assert_close(scatter_elements(data, indices, updates, 1, reduction), expected)


@pytest.mark.parametrize("reduction", ["max", "min"])
def test_a_nan_stays(reduction: str) -> None:
    y = scatter_nd(torch.tensor([1.0, torch.nan]), torch.tensor([[0], [1]]), torch.tensor([torch.nan, 1]), reduction)
    assert y.isnan().all()


def test_a_reduction_that_is_none() -> None:
    with pytest.raises(FaceError, match="unknown reduction"):
        scatter_nd(torch.ones(2), torch.tensor([[0]]), torch.ones(1), "mean")


def test_ops_are_registered_properly() -> None:
    ops = torch.ops.trtplugin_scatter
    tests = ("test_schema", "test_faketensor")
    arguments = (torch.ones(4, 3), torch.tensor([[1], [2]]), torch.ones(2, 3), "add")
    torch.library.opcheck(ops.scatter_nd.default, arguments, test_utils=tests)
    arguments = (torch.ones(4, 3), torch.ones(2, 3, dtype=torch.int64), torch.ones(2, 3), 0, "add")
    torch.library.opcheck(ops.scatter_elements.default, arguments, test_utils=tests)
