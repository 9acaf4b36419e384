"""Random cases of both operators, and an oracle: update by update, in float64 or integers that wrap around.

Numbers are multiples of a quarter, and few of them meet in a place: so float32 combines them exactly in any order,
and a result is right to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from trtreg.testing import compare

REDUCTIONS = ["none", "add", "mul", "max", "min"]
DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.int32, torch.int64]


@dataclass
class Case:
    """`creator` names the operator."""

    creator: str
    data: torch.Tensor
    indices: torch.Tensor
    updates: torch.Tensor
    attributes: dict[str, Any]

    @property
    def inputs(self) -> list[torch.Tensor]:
        return [self.data, self.indices, self.updates]

    def cuda(self) -> Case:
        return Case(self.creator, *(each.cuda() for each in self.inputs), self.attributes)

    def expected(self) -> np.ndarray:
        """Give the exact result, rounded to the type by way of float64 or of its integers."""
        result, updates, indices = (
            compare.wide(self.data).copy(),
            compare.wide(self.updates),
            compare.wide(self.indices),
        )
        reduction = self.attributes.get("reduction", "none")
        functions = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}
        with np.errstate(over="ignore"):
            for place, where in self._pairs(indices):
                if reduction == "none":
                    result[where] = updates[place]
                else:
                    result[where] = functions[reduction](result[where], updates[place])
        if self.data.dtype == torch.int32:
            result = result.astype(np.int32).astype(np.int64)
        return result

    def _pairs(self, indices: np.ndarray) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Give which update, or slice of updates, goes where."""
        shape = self.data.shape
        pairs = []
        if self.creator == "ScatterND":
            for row in np.ndindex(indices.shape[:-1]):
                where = tuple(indices[row].tolist())
                if all(-size <= index < size for index, size in zip(where, shape, strict=False)):
                    pairs.append((row, where))
            return pairs
        axis = self.attributes.get("axis", 0)
        for place in np.ndindex(indices.shape):
            index = int(indices[place])
            if -shape[axis] <= index < shape[axis]:
                where = list(place)
                where[axis] = index
                pairs.append((place, tuple(where)))
        return pairs


def values(random: np.random.Generator, shape: tuple[int, ...], dtype: torch.dtype, reduction: str) -> torch.Tensor:
    if not dtype.is_floating_point:
        info = torch.iinfo(dtype)
        small = random.integers(-9, 10, size=shape)
        large = random.integers(info.min, info.max, size=shape, dtype=np.int64, endpoint=True)
        return torch.from_numpy(np.where(random.integers(4, size=shape) == 0, large, small)).to(dtype)
    if reduction == "mul":  # powers of two
        return torch.from_numpy(np.asarray(random.choice([-2.0, -1.0, 0.5, 1.0, 2.0], size=shape))).to(dtype)
    return torch.from_numpy(np.asarray(random.integers(-20, 21, size=shape) / 4)).to(dtype)


def _spread(random: np.random.Generator, shape: tuple[int, ...], size: int) -> np.ndarray:
    """Give indices of which some are negative and some outside."""
    indices = random.integers(-size, max(size, 1), size=shape)
    outside = random.choice([size, -size - 1, 2**31 - 1, -(2**31)], size=shape)
    return np.where(random.integers(8, size=shape) == 0, outside, indices)


def random_nd(random: np.random.Generator, dtype: torch.dtype) -> Case:
    rank = int(random.integers(1, 5))
    shape = tuple(random.integers(1, 9, size=rank).tolist())
    if random.integers(3) == 0:
        shape = (*shape[:-1], int(random.choice([16, 64, 100])))
    depth = int(random.integers(1, rank + 1))
    rows = tuple(random.integers(1, 7, size=random.integers(0, 3)).tolist())
    if random.integers(12) == 0:
        shape, rows = (0, *shape[1:]), (3,)
    elif random.integers(12) == 0:
        rows = (0,)
    reduction = str(random.choice(REDUCTIONS))
    columns = [_spread(random, rows, size) for size in shape[:depth]]
    indices = np.stack(columns, -1) if depth else np.zeros((*rows, 0), dtype=np.int64)
    if reduction == "none":  # each place once: which of two updates stays is not defined
        flat = indices.reshape(-1, depth)
        wrapped = [
            tuple(i % n if -n <= i < n else i for i, n in zip(row, shape, strict=False)) for row in flat.tolist()
        ]
        keep = {row: number for number, row in enumerate(wrapped)}
        flat[[number for number, row in enumerate(wrapped) if keep[row] != number]] = 2**30
    kind = torch.int64 if random.integers(2) else torch.int32
    return Case(
        "ScatterND",
        values(random, shape, dtype, reduction),
        torch.from_numpy(indices).to(kind),
        values(random, rows + shape[depth:], dtype, reduction),
        {"reduction": reduction} if random.integers(2) or reduction != "none" else {},
    )


def random_elements(random: np.random.Generator, dtype: torch.dtype) -> Case:
    rank = int(random.integers(1, 5))
    shape = random.integers(1, 7, size=rank)
    if random.integers(3) == 0:
        shape[random.integers(rank)] = random.choice([33, 70, 300])
    axis = int(random.integers(-rank, rank))
    along = axis % rank
    extent = shape.copy()
    if random.integers(2):  # fewer than the data has, but along the axis
        extent = random.integers(1, shape + 1)
    reduction = str(random.choice(REDUCTIONS))
    extent[along] = random.integers(0, shape[along] + 1 if reduction == "none" else 12)
    if random.integers(15) == 0:
        shape[along] = 0
    size = int(shape[along])
    indices = _spread(random, tuple(extent.tolist()), size)
    if reduction == "none" and size:  # each place once
        order = np.argsort(random.random((*extent[:along], size, *extent[along + 1 :])), axis=along)
        once = np.take(order, np.arange(extent[along]), axis=along)
        once = np.where(random.integers(2, size=once.shape) == 0, once, once - size)
        indices = np.where(random.integers(8, size=once.shape) == 0, size + 5, once)
    kind = torch.int64 if random.integers(2) else torch.int32
    attributes: dict[str, Any] = {"axis": axis} if axis or random.integers(2) else {}
    if reduction != "none" or random.integers(2):
        attributes["reduction"] = reduction
    return Case(
        "ScatterElements",
        values(random, tuple(shape.tolist()), dtype, reduction),
        torch.from_numpy(indices).to(kind),
        values(random, tuple(extent.tolist()), dtype, reduction),
        attributes,
    )


def random_case(random: np.random.Generator, dtype: torch.dtype) -> Case:
    return random_nd(random, dtype) if random.integers(2) else random_elements(random, dtype)


def check(found: torch.Tensor, case: Case) -> None:
    assert found.dtype == case.data.dtype
    compare.assert_close(found, case.expected(), context=(case.creator, case.attributes, tuple(case.indices.shape)))
