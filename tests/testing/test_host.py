"""The device headers, run on the CPU against PyTorch; and that the harness finds what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from trtreg.errors import FaceError
from trtreg.testing import compare

if TYPE_CHECKING:
    from trtreg.testing.host import HostPlugin

FAULTS = {
    1: "heap-buffer-overflow",  # read
    2: "heap-buffer-overflow",  # write
    4: "in memory with other contents",
    5: "input 0 was changed",
    6: "heap-buffer-overflow",  # dynamic shared memory
    7: "wait at a barrier",
    8: "misaligned address",
}


@pytest.mark.parametrize("name", compare.FLOATS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 31), (2, 128), (2, 129), (1, 1000), (0, 5)])
def test_scan_and_reduce(on_host: HostPlugin, shape: tuple[int, int], name: str) -> None:
    # Few different values, so that there are ties.
    x = torch.randint(-20, 20, shape, generator=torch.Generator().manual_seed(0)).to(getattr(torch, name))
    values, indices, totals = on_host.run("ProbeRows", [x])
    expected = x.float().cummax(dim=1)
    compare.assert_close(values, expected.values.double())
    compare.assert_close(indices, expected.indices)
    wide = x.double()
    if len(x):
        expected_totals = torch.stack([wide.sum(1), wide.amax(1), wide.amin(1)], dim=1)
        compare.assert_close(totals, expected_totals, before=shape[1] * 20 * 2.0**-24)


def test_a_nan_goes_through_reductions(on_host: HostPlugin) -> None:
    x = torch.randn(1, 200)
    x[0, 77] = torch.nan
    assert on_host.run("ProbeRows", [x])[2].isnan().all()


@pytest.mark.parametrize("align", [0, 1])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("size", [(5, 7), (1, 4), (2, 1)])
def test_bilinear(on_host: HostPlugin, size: tuple[int, int], padding: str, align: int) -> None:
    random = torch.Generator().manual_seed(1)
    x, grid = torch.randn(size, generator=random), torch.randn(300, 2, generator=random) * 2
    grid[:4] = torch.tensor([[-1, -1], [1, 1], [0, 0], [1000.0, -1000.0]])
    (y,) = on_host.run("ProbeSample", [x, grid], {"padding": padding, "align_corners": align})
    expected = torch.nn.functional.grid_sample(
        x.double()[None, None], grid.double()[None, None], padding_mode=padding, align_corners=bool(align)
    )
    # Coordinates are known to 2**-24 of the largest one, which reflection keeps.
    scale = 2.0**-20 * (grid.abs().amax(1).numpy() * 7 + 8)
    compare.assert_close(y, expected[0, 0, 0], before=scale)


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_bilinear_of_what_is_no_number(on_host: HostPlugin, padding: str) -> None:
    # Nothing out of bounds is read (the address sanitizer), a NaN shows, and infinity lies outside.
    grid = torch.tensor([[torch.nan, 0], [0, torch.nan], [torch.inf, 0], [0, -torch.inf], [3e38, -3e38]])
    (y,) = on_host.run("ProbeSample", [torch.ones(3, 4), grid], {"padding": padding})
    outside = {"zeros": 0.0, "border": 1.0, "reflection": np.nan}[padding]
    np.testing.assert_equal(y[:4].numpy(), [np.nan, np.nan, outside, outside])


def test_types(on_host: HostPlugin) -> None:
    x = torch.tensor([0.75, 1.5, -2.5, 1e30, -1e30, torch.nan, torch.inf])
    index = torch.arange(7)
    y, count = on_host.run("ProbeTypes", [x, index], {"scales": [1.0, 9.0], "copies": 2}, shape_inputs=[[1, 7]])
    assert y.tolist() == [[1, 2, 0, 2**31 - 1, -(2**31), 0, 2**31 - 1]]
    assert (y.dtype, count.dtype, count.shape) == (torch.int32, torch.int64, ())
    (y,) = on_host.run("ProbeTypes", [x[:3], index[:3]], {"mode": "zero"})
    assert y.tolist() == [0, 1, 2]
    (y,) = on_host.run("ProbeTypes", [x[:3], index[:3]], {"scales": []})
    assert y.tolist() == [0, 1, 2]
    with pytest.raises(FaceError, match="mode 'other' is unknown"):
        on_host.run("ProbeTypes", [x, index], {"mode": "other"})


def test_size_known_after_the_run(on_host: HostPlugin) -> None:
    indices, count = on_host.run("ProbeAbove", [torch.tensor([1.0, -1.0, 2.0])])
    assert (indices.tolist(), count.item()) == ([0, 2, -1], 2)


@pytest.mark.parametrize("misalign", range(5))
@pytest.mark.parametrize("size", [0, 3, 1030])
def test_elementwise_at_any_address(on_host: HostPlugin, size: int, misalign: int) -> None:
    x = torch.randn(size)
    compare.assert_same(on_host.run("ProbeInPlace", [x], misalign=misalign), [x + 1])


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 7), (2, 64, 3), (11, 13, 5), (0, 2, 3)])
def test_grid_stride_shared_memory_and_atomics(on_host: HostPlugin, shape: tuple[int, int, int]) -> None:
    x = torch.randn(shape)
    y, count = on_host.run("ProbeTranspose", [x])
    compare.assert_same([y], [x.permute(2, 1, 0)])
    assert count.item() == (x > 0).sum()


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_found(on_host: HostPlugin, fault: int) -> None:
    with pytest.raises(AssertionError, match=FAULTS[fault]):
        on_host.run("ProbeTranspose", [torch.randn(3, 5, 7)], {"fault": fault})
    # The next request finds a new process.
    assert on_host.run("ProbeTranspose", [torch.ones(1, 2, 3)])[1].item() == 6


def test_a_missing_barrier_gives_wrong_numbers(on_host: HostPlugin) -> None:
    x = torch.randn(3, 5, 7)
    y, _ = on_host.run("ProbeTranspose", [x], {"fault": 3}, repeats=False)
    assert not torch.equal(y, x.permute(2, 1, 0))
