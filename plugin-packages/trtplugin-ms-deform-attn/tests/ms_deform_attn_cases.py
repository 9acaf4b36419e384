"""Random configurations of the operator, an oracle in float64, and how far a result may be from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from trtreg.testing import compare

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One configuration; `levels` are heights and widths."""

    batch: int = 1
    heads: int = 2
    channels: int = 4
    queries: int = 3
    points: int = 2
    levels: tuple[tuple[int, int], ...] = ((4, 5), (2, 3))
    #: "inside", "near" (some outside), "special" (NaN, infinities, exact borders)
    locations: str = "near"
    #: "fits", "gaps" (pixels between the levels that belong to none), "wild" (sizes and starts that are out of range)
    layout: str = "fits"
    index: str = "int32"

    def inputs(self, random: np.random.Generator, dtype: str, device: str = "cpu") -> list[torch.Tensor]:
        """Fresh random inputs, rounded to `dtype`."""
        gaps = random.integers(0, 4, len(self.levels) + 1).tolist() if self.layout == "gaps" else [0] * 99
        starts, end = [], 0
        for gap, (height, width) in zip(gaps, self.levels, strict=False):
            starts.append(end + gap)
            end = starts[-1] + height * width
        sizes = np.array(self.levels, dtype=np.int64).reshape(-1, 2)
        first = np.array(starts, dtype=np.int64)
        if self.layout == "wild":
            wild = [-1, 0, 1, end, end - 1, 2**31 - 1, -(2**31), *([2**62, -(2**63)] if self.index == "int64" else [])]
            for array in (sizes, first):
                mask = random.uniform(size=array.shape) < 0.4
                array[mask] = random.choice(wild, array.shape)[mask]
        shape = (self.batch, self.queries, self.heads, len(self.levels), self.points)
        low, high = {"inside": (0.1, 0.9), "near": (-0.3, 1.3), "special": (-0.1, 1.1)}[self.locations]
        locations = random.uniform(low, high, (*shape, 2))
        if self.locations == "special":
            special = random.choice([np.nan, np.inf, -np.inf, 0.0, 1.0, 1e30], locations.shape)
            locations = np.where(random.uniform(size=locations.shape) < 0.05, special, locations)
        floats = [
            random.standard_normal((self.batch, end + gaps[-1], self.heads, self.channels)),
            locations,
            random.uniform(0, 1, shape),
        ]
        value, place, weight = (torch.from_numpy(each).to(device, getattr(torch, dtype)) for each in floats)
        index = [torch.from_numpy(each).to(device, getattr(torch, self.index)) for each in (sizes, first)]
        return [value, *index, place, weight]


def random_case(random: np.random.Generator, *, largest: int = 8) -> Case:
    """A configuration with everything at random; levels of up to `largest` pixels a side."""

    def draw(low: int, high: int) -> int:
        return int(random.integers(low, high + 1))

    return Case(
        batch=0 if random.uniform() < 0.05 else draw(1, 3),
        heads=draw(1, 4),
        channels=int(random.choice([1, 3, 4, 8, 16, 20, 32])),
        queries=draw(0, 12),
        points=draw(1, 5),
        levels=tuple((draw(1, largest), draw(1, largest)) for _ in range(draw(1, 4))),
        locations=str(random.choice(["inside", "near", "near", "special"])),
        layout=str(random.choice(["fits", "fits", "gaps", "wild"])),
        index=str(random.choice(["int32", "int64"])),
    )


#: What chance may miss.
EDGES = [
    Case(batch=0),
    Case(queries=0),
    Case(channels=0),
    Case(points=0),
    Case(levels=()),
    Case(levels=((1, 1),), locations="special"),
    Case(channels=8, heads=1, queries=1, points=1, levels=((3, 3),)),
    Case(channels=32, heads=8, queries=9, points=4, levels=((6, 5), (3, 3), (2, 2), (1, 1))),  # more than one block
    Case(layout="gaps", index="int64"),
    Case(layout="wild"),
    Case(layout="wild", index="int64"),
]


def oracle(inputs: list[Array]) -> Array:
    """The definition, term by term.

    y[n, q, m] = sum over l, p of A[n, q, m, l, p] * v(phi[n, q, m, l, p])              (arXiv:2010.04159, equation 3)
    v(at) = sum over pixels r of max(0, 1 - |at_y - r_y|) * max(0, 1 - |at_x - r_x|) * value(r)
    """
    value, sizes, starts, locations, weights = inputs
    batch, pixels, heads, channels = value.shape
    y = np.zeros((batch, locations.shape[1], heads, channels))
    for n, q, m, level, p in np.ndindex(*weights.shape):
        height, width, start = int(sizes[level, 0]), int(sizes[level, 1]), int(starts[level])
        if height <= 0 or width <= 0 or start < 0 or start + height * width > pixels:
            continue
        plane = value[n, start : start + height * width, m].reshape(height, width, channels)
        x_at, y_at = locations[n, q, m, level, p] * (width, height) - 0.5
        if np.isnan(x_at) or np.isnan(y_at):
            y[n, q, m] = np.nan
            continue
        rows = np.maximum(0, 1 - np.abs(y_at - np.arange(height)))
        columns = np.maximum(0, 1 - np.abs(x_at - np.arange(width)))
        y[n, q, m] += weights[n, q, m, level, p] * np.einsum("r,c,rcd->d", rows, columns, plane)
    return y


def assert_close(case: Case, inputs: list[torch.Tensor], y: torch.Tensor) -> None:
    """Compare with the oracle; coordinates are below 64, so a sample is known to 2**-17 of the largest value."""
    arrays = [compare.wide(each) for each in inputs]
    before = 2.0**-17 * np.abs(arrays[0]).max(initial=0) * arrays[4].sum(axis=(3, 4))[..., None]
    compare.assert_close(y, oracle(arrays), before=np.broadcast_to(before, y.shape), context=case)
