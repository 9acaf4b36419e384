"""The CUDA kernel, run by the host compiler under the address sanitizer: its numbers, and every read and write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dcnv2_cases import EDGES, Case, apart, random_case, together

from trtreg.sdk import torch_layout
from trtreg.testing import compare
from trtreg.testing.deform_conv import Array, assert_close, oracle, to_tensors
from trtreg.testing.host import HostPlugin


@pytest.fixture(scope="module")
def plugin() -> HostPlugin:
    return HostPlugin(Path(__file__).parents[1])


def run(plugin: HostPlugin, case: Case, inputs: dict[str, Array], dtype: str) -> np.ndarray:
    (y,) = plugin.run("DCNv2", list(to_tensors(inputs, dtype).values()), case.of_node)
    return compare.wide(y)


def check(plugin: HostPlugin, case: Case, random: np.random.Generator, dtype: str) -> None:
    inputs = {name: compare.wide(each) for name, each in to_tensors(case.inputs(random), dtype).items()}
    assert_close(case, inputs, run(plugin, case, inputs, dtype), oracle(case, inputs), dtype)


@pytest.mark.parametrize("case", EDGES, ids=range(len(EDGES)))
def test_edges(plugin: HostPlugin, case: Case) -> None:
    check(plugin, case, np.random.default_rng(0), "float32")


@pytest.mark.parametrize("seed", range(40))
def test_random_configurations(plugin: HostPlugin, seed: int) -> None:
    random = np.random.default_rng(seed)
    check(plugin, random_case(random, largest=8), random, compare.FLOATS[seed % 3])


@pytest.mark.parametrize("seed", range(40))
def test_channels_last(plugin: HostPlugin, seed: int) -> None:
    random = np.random.default_rng([2, seed])
    case, dtype = random_case(random, largest=8), compare.FLOATS[seed % 3]
    inputs = to_tensors(case.inputs(random), dtype, channels_last=True)
    (y,) = plugin.run("DCNv2", list(inputs.values()), case.of_node, misalign=seed % 4)
    arrays = {name: compare.wide(each) for name, each in inputs.items()}
    assert_close(case, arrays, compare.wide(y), oracle(case, arrays), dtype)
    if torch_layout.format_of(inputs["x"]) == "hwc8":
        pitch = -(-case.out_channels // 8) * 8
        pixels = y.as_strided((y.numel() // case.out_channels, pitch), (pitch, 1))
        assert (pixels[:, case.out_channels :] == 0).all(), "what fills the channels up"


def test_outside_pixels_are_never_read(plugin: HostPlugin) -> None:
    # A neighbour outside counts as 0 even where an infinity would turn a weight of 0 to NaN.
    case = Case(channels=2, size=(3, 3), padding=(1, 1), bias=False)
    inputs = case.inputs(np.random.default_rng(0))
    inputs["x"][:] = np.inf
    inputs["weight"][:] = 1
    inputs["offset"][:] = 100
    assert (run(plugin, case, inputs, "float32") == 0).all()


@pytest.mark.parametrize("seed", range(40))
def test_masks_behind_the_offsets(plugin: HostPlugin, seed: int) -> None:
    # The operator of tensorRT_Pro.
    random = np.random.default_rng([1, seed])
    case, dtype = random_case(random, largest=8), compare.FLOATS[seed % 3]
    inputs = to_tensors(together(case.inputs(random)), dtype)
    (y,) = plugin.run("DCNv2", list(inputs.values()), case.of_node)
    arrays = apart(case, {name: compare.wide(each) for name, each in inputs.items()})
    assert_close(case, arrays, compare.wide(y), oracle(case, arrays), dtype)


def test_its_absent_padding_keeps_the_size(plugin: HostPlugin) -> None:
    case = Case(channels=3, out_channels=2, padding=(1, 1))
    inputs = to_tensors(together(case.inputs(np.random.default_rng(0))), "float32")
    (expected,) = plugin.run("DCNv2", list(inputs.values()), {"padding": 1})
    (y,) = plugin.run("DCNv2", list(inputs.values()))
    assert y.shape == (1, 2, 5, 5)
    assert (y == expected).all()


def test_logits_of_any_size(plugin: HostPlugin) -> None:
    # The sigmoid of an infinity is 0 or 1, and that of NaN is NaN.
    x, weight = np.ones((1, 1, 1, 4)), np.ones((1, 1, 1, 1))
    both = np.zeros((1, 3, 1, 4))
    both[0, 2, 0] = [np.inf, -np.inf, 1000, np.nan]
    inputs = to_tensors({"x": x, "offset": both, "weight": weight}, "float32")
    (y,) = plugin.run("DCNv2", list(inputs.values()))
    np.testing.assert_equal(y.numpy().ravel(), [1, 0, 1, np.nan])
