"""Resizing in float64 NumPy, straight from the definition, and random cases."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from trtreg.testing import compare

Array = np.ndarray[Any, np.dtype[Any]]
A = -0.75
# A sum of 4 x 4 products in float32, weights with a few roundings each: of the sum of their magnitudes, below 2.5 here.
BEFORE = 48 * 2.0**-24


def weight(distance: float) -> float:
    d = abs(distance)
    if d <= 1:
        return (A + 2) * d**3 - (A + 3) * d**2 + 1
    return A * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0


def matrix(size: int, to: int, *, align_corners: bool) -> Array:
    """Each output as weights of the inputs; coordinates are fractions, so exact."""
    result = np.zeros((to, size))
    for out in range(to):
        if align_corners:
            at = Fraction(out * (size - 1), to - 1) if to > 1 else Fraction(0)
        else:
            at = Fraction((2 * out + 1) * size, 2 * to) - Fraction(1, 2)
        for pixel in range(math.floor(at) - 1, math.floor(at) + 3):
            result[out, min(max(pixel, 0), size - 1)] += weight(float(at - pixel))
    return result


def bicubic(x: torch.Tensor, size: tuple[int, int], *, align_corners: bool) -> Array:
    down, across = (matrix(n, to, align_corners=align_corners) for n, to in zip(x.shape[2:], size, strict=True))
    result: Array = down @ compare.wide(x) @ across.T
    return result


def assert_bicubic(y: torch.Tensor, x: torch.Tensor, size: tuple[int, int], *, align_corners: bool) -> None:
    assert y.dtype == x.dtype
    largest = float(x.double().abs().max()) if x.numel() else 0.0
    expected = bicubic(x, size, align_corners=align_corners)
    compare.assert_close(y, expected, before=2.5 * BEFORE * largest, context=(tuple(x.shape), size, align_corners))


@dataclass(frozen=True)
class Case:
    shape: tuple[int, int, int, int]
    size: tuple[int, int]
    align_corners: bool

    def x(self, random: np.random.Generator, dtype: str) -> torch.Tensor:
        return torch.from_numpy(random.standard_normal(self.shape)).to(getattr(torch, dtype))


def random_case(random: np.random.Generator, largest: int) -> Case:
    batch, channels = random.integers(0, 3), random.integers(1, 7)
    height, width, *size = random.integers(1, largest + 1, size=4).tolist()
    return Case((int(batch), int(channels), height, width), (size[0], size[1]), bool(random.integers(2)))


EDGES = [
    Case((1, 1, 1, 1), (1, 1), align_corners=False),
    Case((1, 1, 1, 1), (5, 7), align_corners=True),
    Case((2, 3, 5, 10), (1, 1), align_corners=True),
    Case((2, 3, 5, 10), (1, 1), align_corners=False),
    Case((1, 5, 40, 3), (3, 40), align_corners=False),
    Case((1, 4, 7, 9), (7, 9), align_corners=True),
    Case((1, 2, 2, 2), (70, 3), align_corners=False),
    Case((1, 2, 9, 40), (11, 160), align_corners=False),
    Case((2, 1, 5, 37), (12, 189), align_corners=True),
    Case((1, 1, 8, 30), (9, 118), align_corners=False),
    Case((1, 2, 40, 9), (5, 36), align_corners=False),  # close columns, and rows that are left out
    Case((1, 1, 6, 5), (9, 40), align_corners=False),  # four columns of four pixels, the last of their row
    Case((0, 3, 4, 4), (8, 8), align_corners=False),
    Case((2, 3, 4, 4), (0, 8), align_corners=False),
]


def nearest(x: torch.Tensor, scales: list[Fraction]) -> torch.Tensor:
    """Element by element; `scales` of the axes behind the channels."""
    sizes = [math.floor(size * scale) for size, scale in zip(x.shape[2:], scales, strict=True)]
    y = x.new_empty((*x.shape[:2], *sizes))
    for at in np.ndindex(*sizes):
        from_ = tuple(math.floor(place / scale) for place, scale in zip(at, scales, strict=True))
        y[(slice(None), slice(None), *at)] = x[(slice(None), slice(None), *from_)]
    return y


NEAREST_TYPES = ("float32", "float16", "bfloat16", "int8", "int32", "int64", "bool")


def random_nearest(random: np.random.Generator, dtype: str, largest: int) -> tuple[torch.Tensor, list[Fraction]]:
    axes = int(random.integers(1, 4))
    shape = [*random.integers(1, 4, size=2).tolist(), *random.integers(1, largest + 1, size=axes).tolist()]
    scales = [Fraction(int(random.integers(1, 12)), int(random.integers(1, 12))) for _ in range(axes)]
    x = torch.from_numpy(random.integers(-100, 100, size=shape))
    return (x > 0 if dtype == "bool" else x.to(getattr(torch, dtype))), scales
