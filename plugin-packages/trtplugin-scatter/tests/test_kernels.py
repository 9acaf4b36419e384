"""The kernels against the oracle: on the CPU under sanitizers, and on a GPU."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from scatter_cases import DTYPES, REDUCTIONS, Case, check, random_case, values

from trtreg.testing import compare, device, sanitizer

if TYPE_CHECKING:
    from trtreg.testing.device import DevicePlugin
    from trtreg.testing.host import HostPlugin

Runner = Any  # HostPlugin or DevicePlugin: the same method


def run(runner: Runner, case: Case, **options: Any) -> torch.Tensor:
    (y,) = runner.run(case.creator, case.inputs, case.attributes, **options)
    return y


def elements(data: tuple[int, ...], updates: tuple[int, ...], axis: int, dtype: torch.dtype, reduction: str) -> Case:
    """Give a case of that shape; each place has one update where there is no reduction."""
    random = np.random.default_rng(sum(data) + sum(updates))
    indices = random.integers(-data[axis], data[axis], size=updates)
    if reduction == "none":
        indices = np.argsort(random.random(data), axis=axis)[tuple(slice(size) for size in updates)]
    return Case(
        "ScatterElements",
        values(random, data, dtype, reduction),
        torch.from_numpy(indices),
        values(random, updates, dtype, reduction),
        {"axis": axis, "reduction": reduction},
    )


#: Of each way that ScatterElements can go: data, updates, axis.
WAYS = [
    ((9, 40), (9, 25), 1),  # lines, of neighbours
    ((70, 256), (70, 128), 1),  # four of them at once
    ((3, 4000), (3, 1300), 1),  # long ones
    ((300, 3), (300, 2), 1),  # many short ones
    ((5, 2000), (5, 30), 1),  # few of a block
    ((2, 20, 45), (2, 31, 45), 1),  # lines, side by side
    ((3, 1000, 9), (3, 12, 9), 1),  # fewer of a block
    ((2, 13000), (2, 50), 1),  # too long for shared memory
    ((2, 1600, 3), (2, 40, 3), 1),  # too long for eight of them
    ((6, 7, 8), (5, 9, 8), 1),  # lines without updates
    ((1, 50), (1, 5000), 1),  # many updates, few blocks
]


def ways(dtype: torch.dtype) -> list[Case]:
    cases = []
    for data, updates, axis in WAYS:
        for reduction in REDUCTIONS:
            count = updates[axis] if reduction != "none" else min(updates[axis], data[axis])
            extent = (*updates[:axis], count, *updates[axis + 1 :])
            if reduction in ("add", "mul") and dtype.is_floating_point and count > 1000:
                continue  # not exact
            cases.append(elements(data, extent, axis, dtype, reduction))
    return cases


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(60))
def test_kernels_on_host(on_host: HostPlugin, seed: int, dtype: torch.dtype) -> None:
    random = np.random.default_rng(seed)
    case = random_case(random, dtype)
    check(run(on_host, case, misalign=seed % 4), case)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_ways_on_host(on_host: HostPlugin, dtype: torch.dtype) -> None:
    for case in ways(dtype):
        check(run(on_host, case), case)


@pytest.mark.parametrize("reduction", ["max", "min"])
def test_a_nan_stays_on_host(on_host: HostPlugin, reduction: str) -> None:
    data, updates = torch.tensor([1.0, torch.nan]), torch.tensor([torch.nan, 1])
    for creator, indices in (("ScatterND", torch.tensor([[0], [1]])), ("ScatterElements", torch.tensor([0, 1]))):
        (y,) = on_host.run(creator, [data, indices, updates], {"reduction": reduction})
        assert y.isnan().all()


def test_two_updates_of_one_place_on_host(on_host: HostPlugin) -> None:
    indices, updates = torch.tensor([[1], [1], [1]]), torch.tensor([5.0, 6, 7])
    (y,) = on_host.run("ScatterND", [torch.zeros(3), indices, updates], repeats=False)
    assert y[1] in updates
    assert y[[0, 2]].tolist() == [0, 0]


def test_sixteen_bits_are_rounded_once_on_host(on_host: HostPlugin) -> None:
    # 2048 + 1 is 2048 in float16, as often as it is done.
    data, updates = torch.tensor([2048.0], dtype=torch.float16), torch.ones(8, dtype=torch.float16)
    for creator, indices in (("ScatterND", torch.zeros(8, 1).long()), ("ScatterElements", torch.zeros(8).long())):
        (y,) = on_host.run(creator, [data, indices, updates], {"reduction": "add"})
        assert y.tolist() == [2056]


class TestOnDevice:
    pytestmark = device.marks()

    @pytest.mark.parametrize("seed", range(100))
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_kernels(self, on_device: DevicePlugin, dtype: torch.dtype, seed: int) -> None:
        case = random_case(np.random.default_rng(seed), dtype)
        check(run(on_device, case.cuda()), case)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_ways(self, on_device: DevicePlugin, dtype: torch.dtype) -> None:
        for case in ways(dtype):
            check(run(on_device, case.cuda()), case)

    @pytest.mark.parametrize("creator", ["ScatterND", "ScatterElements"])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
    def test_many_updates_of_one_place(self, on_device: DevicePlugin, dtype: torch.dtype, creator: str) -> None:
        count = 100_000
        indices = torch.zeros(count, dtype=torch.int32, device="cuda")
        indices = indices[:, None] if creator == "ScatterND" else indices
        updates = (torch.arange(count, device="cuda") % 3).to(dtype)
        data = torch.zeros(2, dtype=dtype, device="cuda")
        for reduction, expected in (("max", 2.0), ("min", 0.0), ("mul", 0.0)):
            (y,) = on_device.run(creator, [data, indices, updates], {"reduction": reduction})
            assert y.tolist() == [expected, 0]
        small = torch.full_like(updates, 0.25)
        (y,) = on_device.run(creator, [data, indices, small], {"reduction": "add"})
        assert y.tolist() == [torch.tensor(count / 4, dtype=dtype).item(), 0]

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_addresses_that_are_not_aligned(self, on_device: DevicePlugin, dtype: torch.dtype) -> None:
        random = np.random.default_rng(5)
        data, updates = values(random, (9, 64), dtype, "add").cuda(), values(random, (3, 64), dtype, "add").cuda()
        indices = torch.tensor([[8], [0], [4]]).cuda()
        for reduction in REDUCTIONS:
            on_device.check_alignments("ScatterND", [data, indices, updates], {"reduction": reduction})
            case = elements((9, 40), (9, 25), 1, dtype, reduction).cuda()
            on_device.check_alignments(case.creator, case.inputs, case.attributes)

    @pytest.mark.parametrize("reduction", ["none", "add"])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
    def test_it_is_captured_in_a_graph(self, on_device: DevicePlugin, dtype: torch.dtype, reduction: str) -> None:
        for data, updates, axis in (WAYS[0], WAYS[1], WAYS[-4]):
            case = elements(data, updates, axis, dtype, reduction).cuda()
            others = [case.data + 1, -1 - case.indices, case.updates * 2]
            found = on_device.replay(case.creator, case.inputs, others, case.attributes)
            compare.assert_same(found, on_device.run(case.creator, others, case.attributes))
        data, updates = torch.zeros(9, 64, device="cuda", dtype=dtype), torch.ones(3, 64, device="cuda", dtype=dtype)
        indices = torch.tensor([[8], [0], [4]], device="cuda")
        others = [data + 1, indices // 2, updates * 2]
        attributes = {"reduction": reduction}
        found = on_device.replay("ScatterND", [data, indices, updates], others, attributes)
        compare.assert_same(found, on_device.run("ScatterND", others, attributes))

    @pytest.mark.skipif(shutil.which("compute-sanitizer") is None, reason="compute-sanitizer is not on PATH")
    @pytest.mark.parametrize("tool", ["memcheck", "racecheck", "synccheck", "initcheck"])
    def test_sanitizer(self, tool: str) -> None:
        random = np.random.default_rng(11)
        cases = [random_case(random, dtype) for dtype in DTYPES for _ in range(6)]
        cases += [case for case in ways(torch.float16) if case.attributes["reduction"] in ("none", "max")]
        requests = [
            sanitizer.Request(creator=case.creator, inputs=case.inputs, attributes=case.attributes) for case in cases
        ]
        outputs = sanitizer.run(device.library_of("trtplugin_scatter"), requests, tool=tool)
        for case, (y,) in zip(cases, outputs, strict=True):
            check(y, case)

    @pytest.mark.slow
    def test_more_elements_than_32_bits_count(self) -> None:
        from trtplugin_scatter import scatter_elements, scatter_nd

        device.need_memory(10 * device.LARGE)
        data = torch.zeros(device.LARGE, device="cuda", dtype=torch.float16)
        places = torch.tensor([0, 5, 2**31 - 1, 2**31, -1], device="cuda")
        updates = torch.arange(1, 6, device="cuda", dtype=torch.float16)
        for reduction in ("none", "add"):
            for y in (
                scatter_nd(data, places[:, None], updates, reduction),
                scatter_elements(data, places, updates, 0, reduction),
            ):
                assert y[places].tolist() == [1, 2, 3, 4, 5]
                assert int(y.count_nonzero()) == 5
                del y
        data = data[: 2**31 + 8].view(-1, 8)
        indices = torch.full((len(data), 1), -1, device="cuda", dtype=torch.int32)
        y = scatter_elements(data, indices, torch.ones(len(data), 1, device="cuda", dtype=torch.float16), 1, "add")
        assert y[:, :7].count_nonzero() == 0
        assert (y[:, 7] == 1).all()
