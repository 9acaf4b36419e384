"""The kernel on a GPU: against float64 and torchvision, what lies around its output, graphs, sizes beyond 32 bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from trtplugin_deform_conv import deform_conv2d

from trtreg.testing import compare, device, sanitizer
from trtreg.testing.deform_conv import EDGES, Case, assert_close, random_case, to_tensors, tolerance
from trtreg.testing.device import DevicePlugin
from trtreg.testing.sanitizer import Request

pytestmark = device.marks()


@pytest.fixture(scope="module")
def plugin() -> DevicePlugin:
    return DevicePlugin("trtplugin_deform_conv")


def check(case: Case, inputs: dict[str, torch.Tensor], y: torch.Tensor) -> None:
    assert (y.dtype, y.device) == (inputs["x"].dtype, inputs["x"].device)
    exact = {name: each.cpu().double() for name, each in inputs.items()}
    expected = deform_conv2d(**exact, **case.attributes).numpy()
    arrays = {name: compare.wide(each) for name, each in inputs.items()}
    assert_close(case, arrays, compare.wide(y), expected, compare.name_of(y.dtype))


@pytest.mark.parametrize("dtype", compare.FLOATS)
@pytest.mark.parametrize("case", EDGES, ids=range(len(EDGES)))
def test_edges(plugin: DevicePlugin, case: Case, dtype: str) -> None:
    inputs = to_tensors(case.inputs(np.random.default_rng(0)), dtype, "cuda")
    (y,) = plugin.run("MMCVDeformConv2d", list(inputs.values()), case.of_node)
    check(case, inputs, y)


@pytest.mark.parametrize("seed", range(240))
def test_random_configurations(plugin: DevicePlugin, seed: int) -> None:
    random = np.random.default_rng([4, seed])
    case = random_case(random, largest=24)
    inputs = to_tensors(case.inputs(random), compare.FLOATS[seed % 3], "cuda")
    (y,) = plugin.run("MMCVDeformConv2d", list(inputs.values()), case.of_node, misalign=seed % 4)
    check(case, inputs, y)


@pytest.mark.parametrize("dtype", compare.FLOATS)
@pytest.mark.parametrize("seed", range(40))
def test_channels_last(plugin: DevicePlugin, seed: int, dtype: str) -> None:
    random = np.random.default_rng([7, seed])
    case = EDGES[seed] if seed < len(EDGES) else random_case(random, largest=24)
    inputs = to_tensors(case.inputs(random), dtype, "cuda", channels_last=True)
    (y,) = plugin.run("MMCVDeformConv2d", list(inputs.values()), case.of_node, misalign=seed % 3)
    check(case, inputs, y)


@pytest.mark.parametrize("seed", range(20))
def test_against_torchvision(seed: int) -> None:
    ops = pytest.importorskip("torchvision.ops", reason="torchvision is not installed")
    random = np.random.default_rng([5, seed])
    case = random_case(random, largest=24)
    arrays = case.inputs(random)
    arrays["offset"] = np.nan_to_num(arrays["offset"], nan=0.5, posinf=np.inf, neginf=-np.inf)  # NaN is undefined there
    inputs = to_tensors(arrays, "float32", "cuda")
    pairs = {"stride": case.stride, "padding": case.padding, "dilation": case.dilation}
    expected = compare.wide(ops.deform_conv2d(inputs["x"], inputs["offset"], inputs["weight"], **pairs))
    y = compare.wide(deform_conv2d(**inputs, **case.attributes))
    exact = {name: compare.wide(each) for name, each in inputs.items()}
    assert (np.abs(y - expected) <= 2 * tolerance(case, exact, expected, "float32")).all(), case


def test_it_is_captured_in_a_graph(plugin: DevicePlugin) -> None:
    case = Case(batch=2, channels=20, out_channels=40, size=(12, 13), padding=(1, 1))
    inputs, others = (to_tensors(case.inputs(np.random.default_rng(seed)), "float32", "cuda") for seed in range(2))
    (y,) = plugin.replay("MMCVDeformConv2d", list(inputs.values()), list(others.values()), case.of_node)
    check(case, others, y)


@pytest.mark.parametrize("dtype", compare.FLOATS)
def test_misaligned_tensors(plugin: DevicePlugin, dtype: str) -> None:
    case = Case(batch=2, channels=20, out_channels=40, size=(12, 13), padding=(1, 1))
    inputs = to_tensors(case.inputs(np.random.default_rng(0)), dtype, "cuda")
    plugin.check_alignments("MMCVDeformConv2d", list(inputs.values()), case.of_node)


@pytest.mark.slow
def test_more_elements_than_32_bits_count() -> None:
    device.need_memory(30 * 2**30)
    side = 46400  # squared, it is more than 2**31
    x = torch.empty(1, 1, side, side, device="cuda", dtype=torch.float16).uniform_(-1, 1)
    offset = torch.zeros(1, 2, side, side, device="cuda", dtype=torch.float16)
    y = deform_conv2d(x, offset, torch.full((1, 1, 1, 1), 2.0, device="cuda", dtype=torch.float16))
    assert torch.equal(y, 2 * x)


@sanitizer.each_tool
def test_compute_sanitizer_finds_nothing(tool: str) -> None:
    requests = []
    for seed in range(20):
        random = np.random.default_rng([6, seed])
        case = EDGES[seed] if seed < len(EDGES) else random_case(random, largest=8)
        inputs = to_tensors(case.inputs(random), compare.FLOATS[seed % 3])
        requests.append(Request(creator="MMCVDeformConv2d", inputs=list(inputs.values()), attributes=case.of_node))
    sanitizer.run(device.library_of("trtplugin_deform_conv"), requests, tool=tool)
