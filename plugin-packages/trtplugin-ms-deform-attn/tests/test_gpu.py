"""The kernels on a GPU: against float64, what lies around their output, a CUDA graph, and sizes beyond 32 bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ms_deform_attn_cases import EDGES, Case, assert_close, random_case
from trtplugin_ms_deform_attn import ms_deform_attn

from trtreg.testing import compare, device, sanitizer
from trtreg.testing.device import DevicePlugin
from trtreg.testing.sanitizer import Request

pytestmark = device.marks()

OP = "MultiscaleDeformableAttnPlugin_TRT"


@pytest.fixture(scope="module")
def plugin() -> DevicePlugin:
    return DevicePlugin("trtplugin_ms_deform_attn")


@pytest.mark.parametrize("dtype", compare.FLOATS)
@pytest.mark.parametrize("case", EDGES, ids=range(len(EDGES)))
def test_edges(case: Case, dtype: str) -> None:
    inputs = case.inputs(np.random.default_rng(0), dtype, "cuda")
    assert_close(case, inputs, ms_deform_attn(*inputs))


@pytest.mark.parametrize("seed", range(240))
def test_random_configurations(plugin: DevicePlugin, seed: int) -> None:
    random = np.random.default_rng([2, seed])
    case = random_case(random, largest=12)
    inputs = case.inputs(random, compare.FLOATS[seed % 3], "cuda")
    assert_close(case, inputs, *plugin.run(OP, inputs))


@pytest.mark.parametrize("dtype", compare.FLOATS)
def test_misaligned_tensors(plugin: DevicePlugin, dtype: str) -> None:
    case = Case(batch=2, channels=16, queries=50)
    plugin.check_alignments(OP, case.inputs(np.random.default_rng(0), dtype, "cuda"))


def test_it_is_captured_in_a_graph(plugin: DevicePlugin) -> None:
    case = Case(batch=2, channels=16, queries=50)
    inputs, others = (case.inputs(np.random.default_rng(seed), "float32", "cuda") for seed in range(2))
    assert_close(case, others, *plugin.replay(OP, inputs, others))


@pytest.mark.slow
def test_more_elements_than_32_bits_count() -> None:
    device.need_memory(12 * 2**30)
    side, channels = 8192, 40
    value = torch.empty(1, side * side, 1, channels, device="cuda", dtype=torch.bfloat16).uniform_(-1, 1)
    assert value.numel() > 2**31
    rows = torch.tensor([0, 1, side // 2, side - 2, side - 1], device="cuda")
    at = torch.stack(torch.meshgrid(rows, rows, indexing="xy"), -1).reshape(-1, 2)
    sizes = torch.tensor([[side, side]], device="cuda")
    # As near to the centres of those pixels as bfloat16 comes.
    narrow = ((at.float() + 0.5) / side).reshape(1, -1, 1, 1, 1, 2).bfloat16()
    y = ms_deform_attn(
        value, sizes, torch.zeros(1, dtype=torch.int64, device="cuda"), narrow, torch.ones_like(narrow[..., 0])
    )
    pixel = narrow.float().reshape(-1, 2) * side - 0.5
    first = pixel.floor().long()
    expected = torch.zeros(len(at), channels, device="cuda", dtype=torch.float64)
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        column, row = first[:, 0] + dx, first[:, 1] + dy
        inside = (column >= 0) & (row >= 0) & (column < side) & (row < side)
        share = (1 - (pixel[:, 0] - column).abs()) * (1 - (pixel[:, 1] - row).abs()) * inside
        index = torch.where(inside, row * side + column, 0)
        expected += share[:, None].double() * value[0, index, 0].double()
    compare.assert_close(y[0, :, 0], expected, before=2.0**-17)


@sanitizer.each_tool
def test_compute_sanitizer_finds_nothing(tool: str) -> None:
    requests = []
    for seed in range(20):
        random = np.random.default_rng([3, seed])
        case = EDGES[seed] if seed < len(EDGES) else random_case(random)
        requests.append(Request(creator=OP, inputs=case.inputs(random, compare.FLOATS[seed % 3])))
    sanitizer.run(device.library_of("trtplugin_ms_deform_attn"), requests, tool=tool)
