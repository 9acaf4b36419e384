"""The CUDA kernel, run by the host compiler under the address sanitizer: its numbers, and every read and write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dcnv2_cases import EDGES, Array, Case, assert_close, oracle, random_case, to_tensors

from trtreg.testing import compare
from trtreg.testing.host import HostPlugin


@pytest.fixture(scope="module")
def plugin() -> HostPlugin:
    return HostPlugin(Path(__file__).parents[1])


def run(plugin: HostPlugin, case: Case, inputs: dict[str, Array], dtype: str) -> np.ndarray:
    (y,) = plugin.run("DCNv2", list(to_tensors(inputs, dtype).values()), case.attributes)
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


def test_outside_pixels_are_never_read(plugin: HostPlugin) -> None:
    # A neighbour outside counts as 0 even where an infinity would turn a weight of 0 to NaN.
    case = Case(channels=2, size=(3, 3), padding=(1, 1), bias=False)
    inputs = case.inputs(np.random.default_rng(0))
    inputs["x"][:] = np.inf
    inputs["weight"][:] = 1
    inputs["offset"][:] = 100
    assert (run(plugin, case, inputs, "float32") == 0).all()
