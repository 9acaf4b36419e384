"""The CUDA kernels, run by the host compiler under sanitizers: numbers, reads and writes, spellings, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from grid_sample_cases import EDGES, Case, assert_close, random_case

from trtreg.errors import FaceError
from trtreg.testing import compare
from trtreg.testing.host import HostPlugin


@pytest.fixture(scope="module")
def plugin() -> HostPlugin:
    return HostPlugin(Path(__file__).parents[1])


@pytest.mark.parametrize("case", EDGES, ids=range(len(EDGES)))
def test_edges(plugin: HostPlugin, case: Case) -> None:
    inputs = case.inputs(np.random.default_rng(0), "float32")
    assert_close(case, inputs, *plugin.run("grid_sampler", inputs, case.attributes))


@pytest.mark.parametrize("seed", range(60))
def test_random_configurations(plugin: HostPlugin, seed: int) -> None:
    random = np.random.default_rng([1, seed])
    case = random_case(random)
    inputs = case.inputs(random, compare.FLOATS[seed % 3])
    creator, attributes = [("grid_sampler", case.attributes), ("GridSample", case.words)][seed // 3 % 2]
    assert_close(case, inputs, *plugin.run(creator, inputs, attributes, misalign=seed % 2))


@pytest.mark.parametrize(
    "attributes",
    [
        {"mode": "bilinear", "padding_mode": "border"},  # operator set 16
        {"mode": "linear", "padding_mode": "border"},  # operator set 20
        {"padding_mode": "border", "align_corners": 0},
    ],
)
def test_spellings(plugin: HostPlugin, attributes: dict[str, str | int]) -> None:
    case = Case(padding=1)
    inputs = case.inputs(np.random.default_rng(0), "float32")
    assert_close(case, inputs, *plugin.run("GridSample", inputs, attributes))


def test_the_other_spelling_of_cubic(plugin: HostPlugin) -> None:
    case = Case(mode=2)
    inputs = case.inputs(np.random.default_rng(0), "float32")
    assert_close(case, inputs, *plugin.run("GridSample", inputs, {"mode": "bicubic"}))


def test_outside_pixels_are_never_read(plugin: HostPlugin) -> None:
    # They count as 0 even where an infinity would turn a weight of 0 to NaN.
    x = torch.full((1, 1, 3, 3), np.inf)
    (y,) = plugin.run("grid_sampler", [x, torch.full((1, 2, 2, 2), 5.0)])
    assert (y == 0).all()


@pytest.mark.parametrize(
    ("creator", "attributes", "shapes", "message"),
    [
        ("grid_sampler", {"interpolation_mode": 3}, [(1, 1, 2, 2), (1, 2, 2, 2)], "found 3, expected a value in"),
        ("grid_sampler", {"padding_mode": -1}, [(1, 1, 2, 2), (1, 2, 2, 2)], "found -1"),
        ("GridSample", {"mode": "trilinear"}, [(1, 1, 2, 2), (1, 2, 2, 2)], "found trilinear, expected linear"),
        ("GridSample", {"padding_mode": "zero"}, [(1, 1, 2, 2), (1, 2, 2, 2)], "found zero, expected zeros"),
        ("GridSample", {"mode": "cubic"}, [(1, 1, 2, 2, 2), (1, 2, 2, 2, 3)], "for inputs of rank 4"),
        ("grid_sampler", {}, [(1, 1, 2), (1, 2, 2)], "input 0 has rank 3, expected 4 or 5"),
        ("grid_sampler", {}, [(1, 1, 2, 2), (1, 2, 2, 2, 3)], "input 1 has rank 5, expected 4"),
        ("grid_sampler", {}, [(2, 1, 2, 2), (1, 2, 2, 2)], "dimension 0 of input 1 is 1, expected 2"),
        ("grid_sampler", {}, [(1, 1, 2, 2), (1, 2, 2, 3)], "dimension 3 of input 1 is 3, expected 2"),
        ("grid_sampler", {}, [(1, 1, 0, 2), (1, 2, 2, 2)], "images without pixels"),
    ],
)
def test_refusals(
    plugin: HostPlugin, creator: str, attributes: dict[str, int | str], shapes: list[tuple[int, ...]], message: str
) -> None:
    with pytest.raises(FaceError, match=message):
        plugin.run(creator, [torch.zeros(shape) for shape in shapes], attributes)


def test_types_that_are_refused(plugin: HostPlugin) -> None:
    x, grid = Case().inputs(np.random.default_rng(0), "float32")
    for inputs in ([x, grid.half()], [x.half(), grid.bfloat16()], [x.int(), grid]):
        with pytest.raises(FaceError, match="no signature takes inputs of types"):
            plugin.run("grid_sampler", inputs)
