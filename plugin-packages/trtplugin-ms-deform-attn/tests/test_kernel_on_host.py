"""The CUDA kernels, run by the host compiler under sanitizers: their numbers, every read and write, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ms_deform_attn_cases import EDGES, Case, assert_close, random_case

from trtreg.errors import FaceError
from trtreg.testing import compare
from trtreg.testing.host import HostPlugin

OP = "MultiscaleDeformableAttnPlugin_TRT"


@pytest.fixture(scope="module")
def plugin() -> HostPlugin:
    return HostPlugin(Path(__file__).parents[1])


@pytest.mark.parametrize("case", EDGES, ids=range(len(EDGES)))
def test_edges(plugin: HostPlugin, case: Case) -> None:
    inputs = case.inputs(np.random.default_rng(0), "float32")
    assert_close(case, inputs, *plugin.run(OP, inputs))


@pytest.mark.parametrize("seed", range(60))
def test_random_configurations(plugin: HostPlugin, seed: int) -> None:
    random = np.random.default_rng([1, seed])
    case = random_case(random)
    inputs = case.inputs(random, compare.FLOATS[seed % 3])
    assert_close(case, inputs, *plugin.run(OP, inputs, misalign=(seed // 3 % 4) * (seed % 2)))


@pytest.mark.parametrize("index", ["int32", "int64"])
@pytest.mark.parametrize("seed", range(20))
def test_levels_that_do_not_lie_in_value_add_nothing(plugin: HostPlugin, seed: int, index: str) -> None:
    case = Case(layout="wild", locations="special", index=index, levels=((3, 3), (2, 2), (1, 4)))
    inputs = case.inputs(np.random.default_rng(seed), "float32")
    assert_close(case, inputs, *plugin.run(OP, inputs))


@pytest.mark.parametrize(
    ("index", "shape", "message"),
    [
        (0, (1, 26, 8), "input 0 has rank 3, expected 4"),
        (1, (3, 2), "dimension 0 of input 1 is 3, expected 2"),
        (1, (2, 3), "dimension 1 of input 1 is 3, expected 2"),
        (2, (1,), "dimension 0 of input 2 is 1, expected 2"),
        (3, (2, 3, 2, 2, 2, 2), "dimension 0 of input 3 is 2, expected 1"),
        (3, (1, 3, 1, 2, 2, 2), "dimension 2 of input 3 is 1, expected 2"),
        (3, (1, 3, 2, 2, 2, 3), "dimension 5 of input 3 is 3, expected 2"),
        (4, (1, 3, 2, 2, 3), "dimension 4 of input 4 is 3, expected 2"),
    ],
)
def test_shapes_that_are_refused(plugin: HostPlugin, index: int, shape: tuple[int, ...], message: str) -> None:
    inputs = Case().inputs(np.random.default_rng(0), "float32")
    inputs[index] = torch.zeros(shape, dtype=inputs[index].dtype)
    with pytest.raises(FaceError, match=message):
        plugin.run(OP, inputs)


def test_types_that_are_refused(plugin: HostPlugin) -> None:
    inputs = Case().inputs(np.random.default_rng(0), "float32")
    for index, dtype in ((2, torch.int64), (1, torch.float32), (3, torch.float16)):
        changed = [each.to(dtype) if i == index else each for i, each in enumerate(inputs)]
        with pytest.raises(FaceError, match="no signature takes inputs of types"):
            plugin.run(OP, changed)
