"""The kernels on the CPU, under sanitizers, against float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from resize_cases import EDGES, NEAREST_TYPES, Case, assert_bicubic, nearest, random_case, random_nearest

from trtreg.testing import compare
from trtreg.testing.host import HostPlugin

LONG = 1 << 17  # planes of one column, for which strips are long


@pytest.fixture(scope="module")
def plugin() -> HostPlugin:
    return HostPlugin(Path(__file__).parents[1])


@pytest.mark.parametrize("dtype", compare.FLOATS)
@pytest.mark.parametrize("case", EDGES)
def test_bicubic_edges(plugin: HostPlugin, case: Case, dtype: str) -> None:
    x = case.x(np.random.default_rng(0), dtype)
    inputs = [x, torch.empty(0, *case.size, dtype=torch.int32)]
    (y,) = plugin.run("DynamicTRTResize", inputs, {"align_corners": int(case.align_corners)})
    assert_bicubic(y, x, case.size, align_corners=case.align_corners)


@pytest.mark.parametrize("seed", range(60))
def test_bicubic(plugin: HostPlugin, seed: int) -> None:
    random = np.random.default_rng(seed)
    case = random_case(random, [9, 40][seed % 2])
    x = case.x(random, compare.FLOATS[seed % 3])
    like = torch.empty(case.size, dtype=[x.dtype, torch.int64, torch.float32][seed // 3 % 3])
    creator = ["DynamicTRTResize", "bicubic_interpolate", "TRTBicubicInterpolate"][seed // 2 % 3]
    (y,) = plugin.run(creator, [x, like], {"align_corners": int(case.align_corners)}, misalign=seed % 2)
    assert_bicubic(y, x, case.size, align_corners=case.align_corners)


@pytest.mark.parametrize("creator", ["DynamicTRTResize", "bicubic_interpolate", "TRTBicubicInterpolate"])
def test_bicubic_by_factors(plugin: HostPlugin, creator: str) -> None:
    x = torch.randn(1, 2, 10, 7)
    (y,) = plugin.run(creator, [x], {"scale_factor": [0.7, 2.0]})
    assert_bicubic(y, x, (7, 14), align_corners=creator == "TRTBicubicInterpolate")


def test_long_strips(plugin: HostPlugin) -> None:
    x = torch.randn(LONG, 1, 3, 1)
    for creator, attribute in (("bicubic_interpolate", "scale_factor"), ("ResizeNearest", "scales")):
        (y,) = plugin.run(creator, [x], {attribute: [2.0, 1.0]}, repeats=False)
        if creator == "ResizeNearest":
            assert torch.equal(y, x.repeat_interleave(2, 2))
        else:
            assert_bicubic(y, x, (6, 1), align_corners=False)


def test_bicubic_of_what_is_no_number(plugin: HostPlugin) -> None:
    x = torch.zeros(1, 1, 9, 9)
    x[0, 0, 4, 4] = torch.nan
    (y,) = plugin.run("bicubic_interpolate", [x], {"scale_factor": 1.0, "align_corners": 1})
    assert y.isnan().nonzero()[:, 2:].tolist() == [[row, column] for row in range(2, 6) for column in range(2, 6)]


def test_a_number_that_is_none_stays_in_its_window(plugin: HostPlugin) -> None:
    x = torch.zeros(1, 1, 9, 40)
    x[0, 0, 4, 18] = torch.nan
    x[0, 0, 1, 25] = torch.inf
    (y,) = plugin.run("bicubic_interpolate", [x], {"scale_factor": 4.0})
    expected = torch.nn.functional.interpolate(x, scale_factor=4, mode="bicubic")
    assert torch.equal(y.isfinite(), expected.isfinite())


@pytest.mark.parametrize("seed", range(56))
def test_nearest(plugin: HostPlugin, seed: int) -> None:
    random = np.random.default_rng(seed)
    x, scales = random_nearest(random, NEAREST_TYPES[seed % 7], [3, 9][seed % 2])
    (y,) = plugin.run("ResizeNearest", [x], {"scales": [float(each) for each in scales]}, misalign=seed // 7 % 2)
    assert torch.equal(y, nearest(x, scales))


@pytest.mark.parametrize("dtype", NEAREST_TYPES)
def test_nearest_in_pieces_of_16_bytes(plugin: HostPlugin, dtype: str) -> None:
    x = torch.randint(-100, 100, (1, 4, 3, 5, 3))
    x = x > 0 if dtype == "bool" else x.to(getattr(torch, dtype))
    (y,) = plugin.run("ResizeNearest", [x], {"scales": [4.0, 1.0, 4.0]})
    assert torch.equal(y, x.repeat_interleave(4, 2).repeat_interleave(4, 4))


def test_nearest_of_nothing(plugin: HostPlugin) -> None:
    (y,) = plugin.run("ResizeNearest", [torch.empty(0, 3, 4, 4)], {"scales": [2.0]})
    assert y.shape == (0, 3, 8, 8)
    (y,) = plugin.run("ResizeNearest", [torch.ones(1, 3, 1, 4)], {"scales": [0.5]})
    assert y.shape == (1, 3, 0, 2)
