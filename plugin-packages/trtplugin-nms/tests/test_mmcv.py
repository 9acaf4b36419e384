"""The configurations of MMCV 1.7's tests of its TensorRT plugins: one class, IoU threshold 0.7, offset 0; and the same
for boxes of several classes, which are moved apart by their class. Its data, boxes of one image of COCO with scores, is
not at hand: boxes of the same kind stand for it. Its answers have to agree with mmcv.ops.nms in every box.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from trtreg.testing import device


def detections(number: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(number)
    objects = random.uniform(0, 800, size=(12, 2)), random.uniform(20, 300, size=(12, 2))
    which = random.integers(0, 12, size=number)
    corners = objects[0][which] + random.normal(0, 6, size=(number, 2))
    sizes = objects[1][which] * random.uniform(0.8, 1.25, size=(number, 2))
    boxes = torch.from_numpy(np.concatenate([corners, corners + sizes], 1)).float()
    scores = torch.from_numpy(random.permutation(number) / number).float() + 1e-3
    return boxes, scores, torch.from_numpy(which % 4)


def greedy(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> list[int]:
    """Give what mmcv.ops.nms keeps, in float64."""
    corners = boxes.double()
    areas = (corners[:, 2:] - corners[:, :2]).prod(1)
    order = scores.argsort(descending=True).tolist()
    kept: list[int] = []
    for place in order:
        low = torch.maximum(corners[kept, :2], corners[place, :2])
        high = torch.minimum(corners[kept, 2:], corners[place, 2:])
        both = (high - low).clamp_min(0).prod(1)
        overlaps = both / (areas[kept] + areas[place] - both)
        assert not ((overlaps - threshold).abs() < 1e-5).any(), "another seed: float32 may decide otherwise"
        if not (overlaps > threshold).any():
            kept.append(place)
    return kept


def check(runner: Any, number: int, where: str) -> None:
    boxes, scores, labels = detections(number)
    moved = boxes + labels[:, None] * (boxes.max() + 1)  # as mmcv.ops.batched_nms does
    for corners in (boxes, moved):
        inputs = [corners[None].to(where), scores[None, None].to(where)]
        (rows,) = runner.run("NonMaxSuppression", inputs, {"iou_threshold": 0.7, "offset": 0})
        kept = greedy(corners, scores, 0.7)
        assert 12 <= len(kept) < number
        assert rows[: len(kept), 2].tolist() == kept
        assert (rows[len(kept) :] == -1).all()


def test_nms_on_host(on_host: Any) -> None:
    check(on_host, 250, "cpu")


class TestOnDevice:
    pytestmark = device.marks()

    @pytest.mark.parametrize("number", [250, 1200])
    def test_nms(self, on_device: Any, number: int) -> None:
        check(on_device, number, "cuda")
