"""The harness for GPUs: that it finds what is wrong, and the device headers against PyTorch."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import torch

from trtreg.errors import FaceError
from trtreg.testing import compare, device, peer, sanitizer
from trtreg.testing.device import DevicePlugin
from trtreg.testing.sanitizer import Request

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = device.marks()

FAULTS = {4: "in memory with other contents", 5: "input 0, after the run"}


@pytest.fixture(scope="module")
def plugin(library: Path) -> DevicePlugin:
    return DevicePlugin("trtplugin_probe", library)


@pytest.mark.parametrize("name", compare.FLOATS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 31), (2, 129), (100, 1000)])
def test_scan_and_reduce(plugin: DevicePlugin, shape: tuple[int, int], name: str) -> None:
    x = torch.randint(-20, 20, shape, device="cuda").to(getattr(torch, name))
    values, indices, totals = plugin.run("ProbeRows", [x])
    expected = x.float().cummax(dim=1)
    compare.assert_same([values], [expected.values.to(x.dtype)])
    compare.assert_same([indices], [expected.indices])
    wide = x.double()
    compare.assert_close(
        totals, torch.stack([wide.sum(1), wide.amax(1), wide.amin(1)], dim=1), before=shape[1] * 20 * 2.0**-24
    )


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 7), (64, 65, 66)])
def test_grid_stride_shared_memory_and_atomics(plugin: DevicePlugin, shape: tuple[int, int, int]) -> None:
    x = torch.randn(shape, device="cuda")
    y, count = plugin.run("ProbeTranspose", [x])
    compare.assert_same([y], [x.permute(2, 1, 0)])
    assert count.item() == (x > 0).sum()


def test_alignments_and_graph(plugin: DevicePlugin) -> None:
    x = torch.randn(1000, device="cuda")
    plugin.check_alignments("ProbeInPlace", [x])
    (y,) = plugin.replay("ProbeInPlace", [x], [x + 5])
    compare.assert_same([y], [x + 5 + 1])


def test_empty(plugin: DevicePlugin) -> None:
    assert plugin.run("ProbeInPlace", [torch.empty(0, 3, device="cuda")])[0].shape == (0, 3)


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_found(plugin: DevicePlugin, fault: int) -> None:
    with pytest.raises(AssertionError, match=FAULTS[fault]):
        plugin.run("ProbeTranspose", [torch.randn(3, 5, 7, device="cuda")], {"fault": fault})


def test_a_write_behind_the_output_is_found(plugin: DevicePlugin) -> None:
    with pytest.raises(AssertionError, match="behind output 0 were written"):
        plugin.run("ProbeTranspose", [torch.randn(3, 5, 7, device="cuda")], {"fault": 2})


def test_a_refusal_is_passed_on(plugin: DevicePlugin) -> None:
    with pytest.raises(FaceError, match="input 0 has rank 1, expected 2"):
        plugin.run("ProbeRows", [torch.zeros(1, device="cuda")])


@pytest.mark.slow
def test_more_elements_than_32_bits_count(plugin: DevicePlugin) -> None:
    device.need_memory(9 * device.LARGE)
    x = torch.empty(device.LARGE, device="cuda").uniform_()
    y = torch.empty_like(x)
    device.enqueue(plugin.face.create("ProbeInPlace"), [x], [y])
    for part in device.windows(device.LARGE):
        compare.assert_same([y[part]], [x[part] + 1])


def test_times(plugin: DevicePlugin) -> None:
    sets = [torch.randn(2**20, device="cuda") for _ in range(peer.rotation(2**23))]
    y = torch.empty_like(sets[0])
    add = plugin.face.create("ProbeInPlace")
    ours, theirs = peer.measure(
        [lambda x=x: device.enqueue(add, [x], [y]) for x in sets], [lambda x=x: torch.add(x, 1, out=y) for x in sets]
    )
    assert 0 < ours < 1000
    assert 0 < theirs < 1000


@pytest.mark.skipif(shutil.which("compute-sanitizer") is None, reason="compute-sanitizer is not on PATH")
def test_sanitizer(library: Path) -> None:
    x = torch.randn(3, 5, 7)
    requests = [Request(creator="ProbeTranspose", inputs=[x]), Request(creator="ProbeRows", inputs=[x[0]])]
    (y, _), _ = sanitizer.run(library, requests)
    compare.assert_same([y], [x.permute(2, 1, 0)])
    with pytest.raises(AssertionError, match="Invalid __global__ write"):
        sanitizer.run(library, [Request(creator="ProbeTranspose", inputs=[x], attributes={"fault": 2})])
    with pytest.raises(AssertionError, match=r"[Rr]ace"):
        sanitizer.run(
            library, [Request(creator="ProbeTranspose", inputs=[x], attributes={"fault": 3})], tool="racecheck"
        )
