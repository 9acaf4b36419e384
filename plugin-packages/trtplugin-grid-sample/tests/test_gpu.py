"""The kernels on a GPU: against float64, what lies around their output, a CUDA graph, and sizes beyond 32 bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from grid_sample_cases import EDGES, MODES, PADDINGS, Case, assert_close, random_case
from trtplugin_grid_sample import grid_sample

from trtreg.testing import compare, device, sanitizer
from trtreg.testing.device import DevicePlugin
from trtreg.testing.sanitizer import Request

pytestmark = device.marks()


@pytest.fixture(scope="module")
def plugin() -> DevicePlugin:
    return DevicePlugin("trtplugin_grid_sample")


@pytest.mark.parametrize("dtype", compare.FLOATS)
@pytest.mark.parametrize("case", EDGES, ids=range(len(EDGES)))
def test_edges(case: Case, dtype: str) -> None:
    inputs = case.inputs(np.random.default_rng(0), dtype, "cuda")
    assert_close(case, inputs, grid_sample(*inputs, MODES[case.mode], PADDINGS[case.padding], case.align_corners))


@pytest.mark.parametrize("seed", range(240))
def test_random_configurations(plugin: DevicePlugin, seed: int) -> None:
    random = np.random.default_rng([2, seed])
    case = random_case(random, largest=12)
    inputs = case.inputs(random, compare.FLOATS[seed % 3], "cuda")
    creator, attributes = [("grid_sampler", case.attributes), ("GridSample", case.words)][seed // 3 % 2]
    assert_close(case, inputs, *plugin.run(creator, inputs, attributes))


@pytest.mark.parametrize("dtype", compare.FLOATS)
def test_misaligned_tensors(plugin: DevicePlugin, dtype: str) -> None:
    case = Case(batch=2, channels=20, points=(7, 9))
    plugin.check_alignments("grid_sampler", case.inputs(np.random.default_rng(0), dtype, "cuda"))


def test_it_is_captured_in_a_graph(plugin: DevicePlugin) -> None:
    case = Case(batch=2, channels=20, points=(7, 9), padding=2)
    inputs, others = (case.inputs(np.random.default_rng(seed), "float32", "cuda") for seed in range(2))
    assert_close(case, others, *plugin.replay("grid_sampler", inputs, others, case.attributes))


@pytest.mark.slow
def test_more_elements_than_32_bits_count() -> None:
    # Pixels of one plane, and elements of the whole: the identity gives x back.
    side = 46400  # squared, it is more than 2**31
    device.need_memory(40 * 2**30)
    x = torch.empty(1, 1, 4, side * side // 4, device="cuda", dtype=torch.bfloat16).uniform_(-1, 1)
    points = torch.full((1, 4, 1000, 2), 1.0, device="cuda")
    points[..., 1] = torch.linspace(-0.75, 0.75, 4, device="cuda")[:, None]
    y = grid_sample(x, points, "nearest", "border")
    assert torch.equal(y[0, 0], x[0, 0, :, -1:].expand(4, 1000))
    wide = x.view(side * side // 1600, 4, 20, 20)
    rows = torch.linspace(-0.95, 0.95, 20, device="cuda")
    grid = torch.stack(torch.meshgrid(rows, rows, indexing="xy"), -1).expand(len(wide), 20, 20, 2).contiguous()
    y = grid_sample(wide, grid, "nearest")
    for part in device.windows(wide.numel()):
        assert torch.equal(y.view(-1)[part], wide.reshape(-1)[part])


@sanitizer.each_tool
def test_compute_sanitizer_finds_nothing(tool: str) -> None:
    requests = []
    for seed in range(30):
        random = np.random.default_rng([3, seed])
        case = EDGES[seed] if seed < len(EDGES) else random_case(random)
        inputs = case.inputs(random, compare.FLOATS[seed % 3])
        requests.append(Request(creator="grid_sampler", inputs=inputs, attributes=case.attributes))
    sanitizer.run(device.library_of("trtplugin_grid_sample"), requests, tool=tool)
