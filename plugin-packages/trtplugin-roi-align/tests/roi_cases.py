"""Random configurations of both operators, and an oracle that takes one sample after the other, in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from trtreg.testing import compare

Array = np.ndarray


@dataclass(frozen=True, kw_only=True)
class Case:
    """One configuration; `strides` make it one of several levels."""

    batch: int = 2
    channels: int = 3
    sizes: tuple[tuple[int, int], ...] = ((9, 11),)
    count: int = 4
    output: tuple[int, int] = (3, 2)
    scale: float = 1.0
    ratio: int = 0
    largest: bool = False
    aligned: bool = True
    strides: tuple[float, ...] = ()
    scale_factor: float = -1.0
    finest_scale: float = 4.0
    spread: float = 1.0  # of the boxes, in sizes of the image
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def creator(self) -> str:
        return "MMCVMultiLevelRoiAlign" if self.strides else "MMCVRoiAlign"

    @property
    def fields(self) -> dict[str, Any]:
        both = {"output_height": self.output[0], "output_width": self.output[1], "sampling_ratio": self.ratio}
        both["aligned"] = int(self.aligned)
        if not self.strides:
            return both | {"spatial_scale": self.scale, "mode": "max" if self.largest else "avg"}
        levels = {"featmap_strides": list(self.strides), "finest_scale": self.finest_scale}
        return both | levels | {"roi_scale_factor": self.scale_factor, "pool_mode": int(not self.largest)}

    def inputs(self, random: np.random.Generator, dtype: str, *, floats: bool = False) -> list[torch.Tensor]:
        """In the plugin's order; `floats` gives RoIs in float32 whatever the dtype."""
        to = getattr(torch, dtype)
        shapes = [(self.batch, self.channels, *size) for size in self.sizes]
        maps = [torch.from_numpy(random.standard_normal(shape)).to(to) for shape in shapes]
        scale = 1 / self.strides[0] if self.strides else self.scale
        extent = np.array([self.sizes[0][1], self.sizes[0][0]]) / scale
        centre = random.uniform(0, 1, (self.count, 2)) * extent
        size = random.exponential(0.4 * self.spread, (self.count, 2)) * extent
        boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
        image = random.integers(
            -1 if random.uniform() < 0.2 else 0, max(self.batch, 1) + (random.uniform() < 0.2), self.count
        )
        if random.uniform() < 0.2 and self.count:
            boxes[random.integers(self.count)] = boxes[0, [2, 3, 0, 1]]  # negative sizes
        if random.uniform() < 0.1 and self.count:
            boxes[random.integers(self.count), random.integers(4)] = random.choice([np.nan, np.inf, -np.inf])
        rois = torch.from_numpy(np.concatenate([image[:, None], boxes], axis=1)).to(torch.float32 if floats else to)
        return [rois, *maps] if self.strides else [maps[0], rois]


def random_case(random: np.random.Generator, *, largest: int = 12) -> Case:
    def draw(low: int, high: int) -> int:
        return int(random.integers(low, high + 1))

    levels = draw(1, 4) if random.uniform() < 0.4 else 0
    size = (draw(1, largest), draw(1, largest))
    sizes = [tuple(max(each >> level, 1) for each in size) for level in range(max(levels, 1))]
    return Case(
        batch=draw(1, 3) if random.uniform() < 0.95 else 0,
        channels=draw(1, 20),
        sizes=tuple(sizes),
        count=draw(0, 5),
        output=(draw(1, 7), draw(1, 7)),
        scale=float(random.choice([1.0, 0.5, 0.25, 2.0, 0.3])),
        ratio=draw(0, 3),
        largest=bool(random.uniform() < 0.4),
        aligned=bool(random.uniform() < 0.5),
        strides=tuple(4.0 * 2**level for level in range(levels)),
        scale_factor=float(random.choice([-1.0, 1.3])),
        finest_scale=float(random.choice([4.0, 7.0])),
        spread=float(random.choice([0.3, 1.0, 1.0, 3.0])),
    )


#: What chance may miss.
EDGES = [
    Case(count=0),
    Case(batch=0),
    Case(channels=8),
    Case(channels=17, count=40, output=(7, 7)),
    Case(sizes=((1, 1),), output=(1, 1)),
    Case(sizes=((1, 30),), ratio=2, largest=True),
    Case(spread=8.0, largest=True),
    Case(spread=8.0, ratio=3, aligned=False),
    Case(sizes=((16, 16), (8, 8), (4, 4), (2, 2)), strides=(1.0, 2.0, 4.0, 8.0), count=30, ratio=2),
    Case(sizes=((8, 8),) * 10, strides=tuple(float(each + 1) for each in range(10)), count=20, finest_scale=1.0),
    # Row by row: more bins than a warp has, each number of rows of bins in a group, the most rows; one more row, which
    # goes bin by bin; pairs of channels and RoIs for several turns of a warp, of few RoIs and of many.
    Case(output=(14, 14), ratio=2, sizes=((30, 41),)),
    Case(output=(2, 9), ratio=2, largest=True),
    Case(output=(5, 20), ratio=2, spread=3.0),
    Case(output=(48, 2), ratio=2, channels=2),
    Case(output=(49, 2), ratio=2, channels=2),
    Case(output=(2, 3), ratio=17, channels=2),
    Case(channels=17, count=40, output=(7, 7), ratio=2),
    Case(channels=300, count=1, ratio=2),
    Case(channels=1, count=300, ratio=2, largest=True),
    Case(channels=3, count=1, ratio=2, sizes=((200, 310),)),
    Case(sizes=((0, 3),), ratio=2),
    Case(sizes=((3, 0),), ratio=2, largest=True),
]

#: Enough samples to copy the maps first: planes that are no whole vectors, one channel in the last chunk, chunks for
#: several blocks, levels, also without pixels, bins for several blocks, other numbers of samples, none, and boxes far
#: outside.
COPIED = [
    Case(channels=40, count=70, output=(7, 7), ratio=2, sizes=((20, 22),)),
    Case(channels=33, count=90, output=(7, 7), ratio=2, sizes=((19, 21),), largest=True),
    Case(channels=260, count=12, output=(7, 7), ratio=2, batch=1),
    Case(
        channels=40, count=70, output=(7, 7), ratio=2, sizes=((16, 16), (9, 7), (0, 4), (2, 2)),
        strides=(1.0, 2.0, 4.0, 8.0),
    ),
    Case(channels=40, count=70, output=(7, 7), ratio=2, sizes=((12, 14), (6, 7)), strides=(1.0, 2.0), largest=True),
    Case(channels=40, count=20, output=(9, 20), ratio=2, batch=3),
    Case(channels=40, count=5, output=(1, 700), ratio=2, sizes=((12, 30),)),
    Case(channels=40, count=2, output=(1700, 1), ratio=2),
    Case(channels=40, count=70, output=(7, 7), spread=3.0),
    Case(channels=40, count=70, output=(7, 7), largest=True, aligned=False),
    Case(channels=40, count=33, output=(7, 7), ratio=3, spread=8.0, largest=True),
    Case(channels=40, count=70, output=(7, 7), ratio=2, sizes=((0, 3),)),
    Case(channels=40, count=70, output=(7, 7), ratio=2, batch=0),
]  # fmt: skip
EDGES += COPIED


def random_copied(random: np.random.Generator) -> Case:
    """Like random_case, with as many boxes as make it pay to copy the maps."""
    case = random_case(random, largest=9)
    channels, output, ratio = (int(each) for each in random.integers((24, 3, 0), (100, 7, 4)))
    samples = output**2 * (ratio or 2) ** 2 * channels
    return replace(case, channels=channels, output=(output, output), ratio=ratio, count=2**19 // samples + 1)


_CLOSE = 1e-4  # pixels: a sample this close to where the image ends may be on either side in float32


def oracle(case: Case, inputs: list[torch.Tensor]) -> tuple[Array, Array]:
    """Give the exact result, and how far float32 arithmetic may be from it."""
    rois, maps = (inputs[0], inputs[1:]) if case.strides else (inputs[1], inputs[:1])
    maps = [compare.wide(each) for each in maps]
    shape = (len(rois), case.channels, *case.output)
    result, before = np.zeros(shape), np.zeros(shape)
    for k, (image, *box) in enumerate(compare.wide(rois)):
        if not -1 < image < case.batch:
            continue
        if not np.isfinite(box).all():
            result[k] = np.nan
            continue
        level, scale = 0, case.scale
        if case.strides:
            x1, y1, x2, y2 = np.float32(box)
            area = np.float32(x2 - x1) * np.float32(y2 - y1)
            ratio = np.sqrt(area) / np.float32(case.finest_scale) + np.float32(1e-6) if area > 0 else 0.0
            level = int(np.clip(np.floor(np.log2(max(ratio, 0.5))), 0, len(maps) - 1))
            scale = 1 / case.strides[level]
            if case.scale_factor > 0:
                for low, high in ((0, 2), (1, 3)):
                    centre, length = (box[low] + box[high]) / 2, (box[high] - box[low] + 1) * case.scale_factor - 1
                    box[low], box[high] = centre - length / 2, centre + length / 2
        x = maps[level][int(image)]
        low = [box[i] * scale - 0.5 * case.aligned for i in (1, 0)]
        length = [(box[i + 2] - box[i]) * scale for i in (1, 0)]
        smallest = (0.0 if case.strides else -math.inf) if case.aligned else 1.0
        length = [max(each, smallest) for each in length]
        counts = [case.ratio or max(math.ceil(length[i] / case.output[i]), 0) for i in range(2)]
        most = np.abs(x).max(initial=0)
        for bin_ in np.ndindex(*case.output):
            samples = [np.zeros(case.channels)] if 0 in counts else []
            doubt = 0.0
            for index in np.ndindex(*counts):
                at = [low[i] + length[i] / case.output[i] * (bin_[i] + (index[i] + 0.5) / counts[i]) for i in range(2)]
                sample = np.zeros(case.channels)
                if all(-1 <= at[i] <= x.shape[i + 1] for i in range(2)):
                    at_border = [min(max(at[i], 0.0), x.shape[i + 1] - 1.0) for i in range(2)]
                    share = [np.maximum(0, 1 - np.abs(at_border[i] - np.arange(x.shape[i + 1]))) for i in range(2)]
                    sample = np.einsum("chw,h,w->c", x, *share)
                edges = [abs(at[i] - edge) for i in range(2) for edge in (-1, x.shape[i + 1])]
                doubt += most * (min(edges) < _CLOSE)
                samples.append(sample)
            total = max(math.prod(counts), 1)
            result[(k, slice(None), *bin_)] = (
                np.max(samples, axis=0) if case.largest else np.sum(samples, axis=0) / total
            )
            # A coordinate below some hundred is known to 2**-16 of a pixel.
            before[(k, slice(None), *bin_)] = 2.0**-13 * most + (doubt if case.largest else doubt / total)
    return result, before


def check(case: Case, inputs: list[torch.Tensor], y: torch.Tensor) -> None:
    expected, before = oracle(case, inputs)
    assert y.dtype == inputs[1 if case.strides else 0].dtype
    compare.assert_close(y, expected, before=before, context=case)
