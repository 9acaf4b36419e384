"""The CUDA kernel, run by the host compiler under sanitizers: its numbers, reads and writes, spellings, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trtreg.errors import FaceError
from trtreg.testing import compare
from trtreg.testing.deform_conv import EDGES, Array, Case, assert_close, oracle, random_case, to_tensors
from trtreg.testing.host import HostPlugin

CASE = Case(batch=2, channels=6, out_channels=8, groups=2, deform_groups=3, size=(9, 10), stride=(2, 1), padding=(1, 2))
Attributes = dict[str, int | list[int]]


@pytest.fixture(scope="module")
def plugin() -> HostPlugin:
    return HostPlugin(Path(__file__).parents[1])


def run(
    plugin: HostPlugin, case: Case, inputs: dict[str, Array], dtype: str, attributes: Attributes | None = None
) -> Array:
    (y,) = plugin.run(
        "MMCVDeformConv2d",
        list(to_tensors(inputs, dtype).values()),
        case.of_node if attributes is None else attributes,
    )
    return compare.wide(y)


def check(plugin: HostPlugin, case: Case, random: np.random.Generator, dtype: str) -> None:
    inputs = {name: compare.wide(each) for name, each in to_tensors(case.inputs(random), dtype).items()}
    assert_close(case, inputs, run(plugin, case, inputs, dtype), oracle(case, inputs), dtype)


@pytest.mark.parametrize("case", EDGES, ids=range(len(EDGES)))
def test_edges(plugin: HostPlugin, case: Case) -> None:
    check(plugin, case, np.random.default_rng(0), "float32")


@pytest.mark.parametrize("seed", range(40))
def test_random_configurations(plugin: HostPlugin, seed: int) -> None:
    random = np.random.default_rng([3, seed])
    check(plugin, random_case(random, largest=8), random, compare.FLOATS[seed % 3])


@pytest.mark.parametrize("seed", range(20))
def test_channels_last(plugin: HostPlugin, seed: int) -> None:
    random = np.random.default_rng([4, seed])
    case, dtype = random_case(random, largest=8), compare.FLOATS[seed % 3]
    inputs = to_tensors(case.inputs(random), dtype, channels_last=True)
    (y,) = plugin.run("MMCVDeformConv2d", list(inputs.values()), case.of_node)
    arrays = {name: compare.wide(each) for name, each in inputs.items()}
    assert_close(case, arrays, compare.wide(y), oracle(case, arrays), dtype)


@pytest.mark.parametrize(
    "attributes",
    [
        {"stride": 2, "padding": 1, "groups": 2, "deform_groups": 3},
        {"stride": [2, 2], "padding": [1], "group": 2, "deformable_group": 3, "im2col_step": 64},
        {"stride": [2], "padding": [1, 1], "group": 2, "deformable_groups": 3, "bias": 0},
    ],
)
def test_spellings(plugin: HostPlugin, attributes: Attributes) -> None:
    case = Case(channels=6, out_channels=2, groups=2, deform_groups=3, size=(9, 9), stride=(2, 2), padding=(1, 1))
    inputs = case.inputs(np.random.default_rng(0))
    y = run(plugin, case, inputs, "float32", attributes)
    assert_close(case, inputs, y, oracle(case, inputs), "float32")


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"stride": [1, 0]}, "attribute 'stride': found 0"),
        ({"padding": -1}, "attribute 'padding': found -1"),
        ({"dilation": [1, 1, 1]}, "attribute 'dilation': found 3 values, expected 2"),
        ({"deformable_group": 4}, "6 input channels do not divide into deform groups: 4"),
        ({"bias": 1}, "attribute 'bias': found 1"),
        ({"group": 1, "groups": 1}, "attribute 'groups' is given twice"),
    ],
)
def test_attributes_that_are_refused(plugin: HostPlugin, attributes: Attributes, message: str) -> None:
    inputs = CASE.inputs(np.random.default_rng(0))
    kept = {name: value for name, value in CASE.attributes.items() if not message.startswith("6") or name == "groups"}
    with pytest.raises(FaceError, match=message):
        run(plugin, CASE, inputs, "float32", attributes if "group" in attributes else {**kept, **attributes})


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("x", (2, 6, 9), "input 0 has rank 3, expected 4"),
        ("x", (2, 5, 9, 10), "dimension 1 of input 0 is 5, expected 6"),
        ("offset", (1, 54, 5, 12), "dimension 0 of input 1 is 1, expected 2"),
        ("offset", (2, 18, 5, 12), "dimension 1 of input 1 is 18, expected 54"),
        ("offset", (2, 54, 5, 10), "dimension 3 of input 1 is 10, expected 12"),
        ("weight", (7, 3, 3, 3), "7 output channels do not divide into groups: 2"),
        ("weight", (8, 3, 0, 3), "the weight has a kernel of size 0"),
        ("weight", (8, 3, 12, 3), "the kernel reaches over 12 pixels, more than the 11 of the padded input"),
    ],
)
def test_shapes_that_are_refused(plugin: HostPlugin, name: str, shape: tuple[int, ...], message: str) -> None:
    inputs = CASE.inputs(np.random.default_rng(0))
    with pytest.raises(FaceError, match=message):
        run(plugin, CASE, {**inputs, name: np.zeros(shape)}, "float32")
