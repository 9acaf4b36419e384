"""The kernels on a GPU: against float64, what lies around their output, a CUDA graph, and sizes beyond 32 bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from resize_cases import EDGES, NEAREST_TYPES, Case, assert_bicubic, nearest, random_case, random_nearest
from trtplugin_resize import resize_like, resize_nearest

from trtreg.testing import compare, device, sanitizer
from trtreg.testing.device import DevicePlugin
from trtreg.testing.sanitizer import Request

pytestmark = device.marks()


@pytest.fixture(scope="module")
def plugin() -> DevicePlugin:
    return DevicePlugin("trtplugin_resize")


@pytest.mark.parametrize("dtype", compare.FLOATS)
@pytest.mark.parametrize("case", EDGES)
def test_bicubic_edges(case: Case, dtype: str) -> None:
    x = case.x(np.random.default_rng(0), dtype).cuda()
    y = resize_like(x, torch.empty(case.size, device="cuda"), case.align_corners)
    assert_bicubic(y, x, case.size, align_corners=case.align_corners)


@pytest.mark.parametrize("seed", range(210))
def test_bicubic(plugin: DevicePlugin, seed: int) -> None:
    random = np.random.default_rng([2, seed])
    case = random_case(random, [9, 40, 150][seed % 3])
    x = case.x(random, compare.FLOATS[seed // 3 % 3]).cuda()
    like = torch.empty(case.size, device="cuda")
    attributes = {"align_corners": int(case.align_corners)}
    (y,) = plugin.run("DynamicTRTResize", [x, like], attributes, misalign=seed % 4)
    assert_bicubic(y, x, case.size, align_corners=case.align_corners)


def test_bicubic_of_many_rows(plugin: DevicePlugin) -> None:
    x = torch.randn(8, 3, 27, 96, device="cuda")  # so many columns that strips are long
    (y,) = plugin.run("bicubic_interpolate", [x], {"scale_factor": [30.0, 20.0]})
    assert_bicubic(y, x, (810, 1920), align_corners=False)
    (y,) = plugin.run("ResizeNearest", [x], {"scales": [30.0, 20.0]})
    assert torch.equal(y, torch.nn.functional.interpolate(x, scale_factor=(30.0, 20.0)))


@pytest.mark.parametrize("seed", range(210))
def test_nearest(plugin: DevicePlugin, seed: int) -> None:
    random = np.random.default_rng([3, seed])
    x, scales = random_nearest(random, NEAREST_TYPES[seed % 7], [4, 8][seed % 2])
    attributes = {"scales": [float(each) for each in scales]}
    (y,) = plugin.run("ResizeNearest", [x.cuda()], attributes, misalign=seed // 7 % 4)
    assert torch.equal(y.cpu(), nearest(x, scales))


def test_misaligned_tensors(plugin: DevicePlugin) -> None:
    for dtype in compare.FLOATS:
        x = torch.randn(2, 3, 9, 16, device="cuda").to(getattr(torch, dtype))
        plugin.check_alignments("ResizeNearest", [x], {"scales": [1.5, 2.0]})
        plugin.check_alignments("bicubic_interpolate", [x], {"scale_factor": [1.5, 2.0]})


def test_they_are_captured_in_a_graph(plugin: DevicePlugin) -> None:
    inputs, others = ([torch.randn(2, 3, 9, 16)] for _ in range(2))
    (y,) = plugin.replay("bicubic_interpolate", inputs, others, {"scale_factor": [2.0]})
    assert_bicubic(y, others[0], (18, 32), align_corners=False)
    (y,) = plugin.replay("ResizeNearest", inputs, others, {"scales": [2.0]})
    assert torch.equal(y.cpu(), torch.nn.functional.interpolate(others[0], scale_factor=2.0))


@pytest.mark.slow
def test_more_elements_than_32_bits_count() -> None:
    device.need_memory(20 * 2**30)
    # Of the output, over many planes; then of one plane of the input.
    planes = torch.arange(2**31 // 4096 + 5, device="cuda").remainder(251).to(torch.bfloat16)
    x = planes.view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()
    for y in (resize_like(x, torch.empty(64, 64, device="cuda")), resize_nearest(x, 32)):
        assert y.numel() > 2**31
        for part in device.windows(y.numel(), 5000):
            expected = planes[torch.arange(part.start, part.stop, device="cuda") // 4096]
            torch.testing.assert_close(y.view(-1)[part], expected, rtol=0.01, atol=0)
    del x, y
    wide = torch.empty(1, 1, 2**15 + 8, 2**16, device="cuda", dtype=torch.bfloat16).uniform_(-1, 1)
    assert torch.equal(resize_nearest(wide, 0.5), wide[:, :, ::2, ::2])
    y = resize_like(wide, torch.empty(2**14 + 4, 2**15, device="cuda"))  # the mean of 4 x 4 with weights of the half
    across = torch.tensor([-3.0, 19, 19, -3], device="cuda") / 32
    corner = wide[0, 0, -9:, -9:].float()[-8:, -8:]
    expected = across @ corner[1:5, 1:5] @ across
    torch.testing.assert_close(y[0, 0, -3, -3].float(), expected, rtol=0.01, atol=0.01)


@sanitizer.each_tool
def test_compute_sanitizer_finds_nothing(tool: str) -> None:
    requests = []
    for seed in range(21):
        random = np.random.default_rng([4, seed])
        case = random_case(random, 9)
        x, like = case.x(random, compare.FLOATS[seed % 3]), torch.empty(case.size)
        attributes = {"align_corners": int(case.align_corners)}
        requests.append(Request(creator="DynamicTRTResize", inputs=[x, like], attributes=attributes))
        image, scales = random_nearest(random, NEAREST_TYPES[seed % 7], 8)
        sizes = {"scales": [float(each) for each in scales]}
        requests.append(Request(creator="ResizeNearest", inputs=[image], attributes=sizes))
    sanitizer.run(device.library_of("trtplugin_resize"), requests, tool=tool)
