"""Random configurations of the operator, an oracle in float64, and how far a result may be from it."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from trtreg.testing import compare

Array = NDArray[np.float64]

MODES = ("bilinear", "nearest", "bicubic")
PADDINGS = ("zeros", "border", "reflection")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One configuration; `size` is of an image of x, `points` of the output."""

    batch: int = 1
    channels: int = 2
    size: tuple[int, ...] = (5, 6)
    points: tuple[int, ...] = (4, 3)
    mode: int = 0
    padding: int = 0
    align_corners: bool = False
    #: "inside", "near" (some outside), "far", "special" (NaN, infinities, exact borders)
    grid: str = "near"
    float_grid: bool = False

    @property
    def attributes(self) -> dict[str, int]:
        """The operator's attributes, by MMCV's names."""
        return {
            "interpolation_mode": self.mode,
            "padding_mode": self.padding,
            "align_corners": int(self.align_corners),
        }

    @property
    def words(self) -> dict[str, str | int]:
        """The same by ONNX's names, as of operator set 20."""
        mode = ("linear", "nearest", "cubic")[self.mode]
        return {"mode": mode, "padding_mode": PADDINGS[self.padding], "align_corners": int(self.align_corners)}

    def inputs(self, random: np.random.Generator, dtype: str, device: str = "cpu") -> list[torch.Tensor]:
        """Fresh random inputs, rounded to `dtype`."""
        x = random.standard_normal((self.batch, self.channels, *self.size))
        shape = (self.batch, *self.points, len(self.size))
        reach = {"inside": 0.9, "near": 1.4, "far": 40.0, "special": 1.2}[self.grid]
        grid = random.uniform(-reach, reach, shape)
        if self.grid == "special":
            special = random.choice([np.nan, np.inf, -np.inf, -1.0, 1.0, 0.0, 1e30, -3.5], shape)
            grid = np.where(random.uniform(size=shape) < 0.3, special, grid)
        types = [getattr(torch, dtype), torch.float32 if self.float_grid else getattr(torch, dtype)]
        return [torch.from_numpy(each).to(device, to) for each, to in zip((x, grid), types, strict=True)]


def random_case(random: np.random.Generator, *, largest: int = 9) -> Case:
    """A configuration with everything at random; images of up to `largest` pixels a side."""
    rank = 3 if random.uniform() < 0.4 else 2
    sides = random.integers(1, largest + 1, size=2 * rank).tolist()
    return Case(
        batch=0 if random.uniform() < 0.05 else int(random.integers(1, 4)),
        channels=int(random.integers(1, 5)) if random.uniform() < 0.7 else int(random.integers(5, 40)),
        size=tuple(sides[:rank]),
        points=tuple(sides[rank:]),
        mode=int(random.integers(0, 3 if rank == 2 else 2)),
        padding=int(random.integers(0, 3)),
        align_corners=bool(random.integers(0, 2)),
        grid=str(random.choice(["inside", "near", "near", "far", "special"])),
        float_grid=bool(random.integers(0, 2)),
    )


#: What chance may miss.
EDGES = [
    *(
        Case(mode=mode, padding=padding, align_corners=align, grid=grid)
        for mode, padding, align, grid in itertools.product(range(3), range(3), (False, True), ("near", "special"))
    ),
    *(
        Case(size=(3, 4, 5), points=(2, 3, 4), mode=mode, padding=padding, align_corners=align, grid="special")
        for mode, padding, align in itertools.product(range(2), range(3), (False, True))
    ),
    *(
        Case(size=(1, 1), mode=mode, padding=padding, align_corners=align, grid="special")
        for mode, padding, align in itertools.product(range(3), range(3), (False, True))
    ),
    Case(batch=0),
    Case(channels=0),
    Case(points=(0, 3)),
    Case(channels=32),  # exactly what one thread has
    Case(channels=35, batch=2),
    *(Case(channels=channels) for channels in (8, 11, 12, 15, 16, 21)),  # batches of four, two of them at a time
    Case(channels=33, size=(3, 3, 3), points=(2, 2, 2)),
    Case(points=(17, 31), channels=3),  # more than one block
    Case(points=(5, 67), channels=9),  # more than a block has of a row
]


def _padded(pixel: float, size: int, padding: int, *, align: bool) -> float:
    """Follow the definition: reflect at the ends one after the other, then hold at the border."""
    low, high = (0.0, size - 1.0) if align else (-0.5, size - 0.5)
    if padding == 2:
        if high == low:
            pixel = low
        turns = math.floor((pixel - low) / (high - low)) if high > low else 0
        pixel -= turns * (high - low)
        if turns % 2:
            pixel = high - (pixel - low)
    return min(max(pixel, 0.0), size - 1.0) if padding else pixel


def _cubic(distance: float) -> float:
    d, a = abs(distance), -0.75
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0


def _axis(case: Case, coordinate: float, size: int) -> tuple[list[tuple[int, float]], float, float]:
    """Pixels and weights along one axis; the error of the coordinate in float32; how near it is to a jump."""
    if case.padding != 2:
        coordinate = min(max(coordinate, -8.0), 8.0)
    align = case.align_corners
    pixel = (coordinate + 1) / 2 * (size - 1) if align else ((coordinate + 1) * size - 1) / 2
    error = 2.0**-21 * (abs(pixel) + size)
    if case.mode == 2:
        first = math.floor(pixel)
        taps = [(first + i, _cubic(pixel - first - i)) for i in range(-1, 3)]
        taps = [(int(_padded(tap, size, case.padding, align=align)), weight) for tap, weight in taps]
        jump = math.inf
    else:
        pixel = _padded(pixel, size, case.padding, align=align)
        if case.mode == 1:
            taps = [(round(pixel), 1.0)]
            jump = abs(pixel - math.floor(pixel) - 0.5)
        else:
            first = math.floor(pixel)
            taps = [(first, 1 - (pixel - first)), (first + 1, pixel - first)]
            jump = math.inf
    return [(tap, weight) for tap, weight in taps if 0 <= tap < size], error, jump


def oracle(case: Case, x: Array, grid: Array) -> tuple[Array, Array]:
    """Give the result point by point from the definition, and the error that float32 may have made before rounding.

    Where the nearest pixel is a question of the last bits of a coordinate, that error is infinite.
    """
    y = np.zeros((case.batch, case.channels, *case.points))
    before = np.zeros_like(y)
    largest = np.abs(x).max(initial=0)
    for image, *point in np.ndindex(case.batch, *case.points):
        at = (image, slice(None), *point)
        coordinates = grid[(image, *point)][::-1]  # outermost axis first, as in x
        if np.isnan(coordinates).any() or (case.padding == 2 and np.isinf(coordinates).any()):
            y[at] = np.nan
            continue
        axes = [_axis(case, float(each), size) for each, size in zip(coordinates, case.size, strict=True)]
        for taps in itertools.product(*(taps for taps, _, _ in axes)):
            y[at] += math.prod(weight for _, weight in taps) * x[(image, slice(None), *(tap for tap, _ in taps))]
        doubtful = any(jump <= error for _, error, jump in axes)
        steep = 8 if case.mode == 2 else 2
        before[at] = np.inf if doubtful else steep * largest * (2.0**-20 + sum(error for _, error, _ in axes))
    return y, before


def assert_close(case: Case, inputs: list[torch.Tensor], y: torch.Tensor) -> None:
    """Compare with the oracle."""
    expected, before = oracle(case, *(compare.wide(each) for each in inputs))
    doubtful = np.isinf(before)
    expected[doubtful] = compare.wide(y)[doubtful]
    before[doubtful] = 0
    compare.assert_close(y, expected, before=before, context=case)
