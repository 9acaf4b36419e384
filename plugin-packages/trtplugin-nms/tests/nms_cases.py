"""Random cases of both operators, and oracles: float64, box by box, from the definitions.

Coordinates, scores and thresholds are multiples of small powers of two. So every area is exact in float32 too, and a
kernel has to decide as the oracle does, even where an overlap is exactly the threshold; scores have many ties.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from trtreg.testing import compare

THRESHOLDS = [0.0, 0.25, 0.5, 0.625, 0.75, 1.0]


def _iou(a: np.ndarray, b: np.ndarray, area: float, overlap: float) -> float:
    sides = [min(a[k + 2], b[k + 2]) - max(a[k], b[k]) + overlap for k in (0, 1)]
    if not (sides[0] > 0 and sides[1] > 0):
        return 0.0
    both = sides[0] * sides[1]
    sizes = [(box[2] - box[0] + area) * (box[3] - box[1] + area) for box in (a, b)]
    with np.errstate(invalid="ignore"):
        return both / (sizes[0] + sizes[1] - both)


def _best(
    boxes: np.ndarray, scores: np.ndarray, *, score: float, iou: float, area: float, overlap: float, top: int
) -> list[int]:
    """Give the places that stay, best first."""
    places = [place for place in range(len(scores)) if scores[place] > score]
    places.sort(key=lambda place: (-scores[place], place))
    corners = np.concatenate([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], 1)
    kept: list[int] = []
    for place in places[:top]:
        if all(not _iou(corners[place], corners[better], area, overlap) > iou for better in kept):
            kept.append(place)
    return kept


def random_boxes(random: np.random.Generator, shape: tuple[int, ...], *, centered: bool = False) -> torch.Tensor:
    """Give boxes in [0, 64) x [0, 64), close together; corners in any order."""
    corners = random.integers(0, 120, size=(*shape, 2)) / 4
    sizes = random.integers(0, 60, size=(*shape, 2)) / 4
    parts = [corners, sizes if centered else corners + sizes]
    if not centered and random.integers(2):
        parts.reverse()
    return torch.from_numpy(np.concatenate(parts, -1)).float()


def random_scores(random: np.random.Generator, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(random.integers(-16, 65, size=shape) / 64).float()


@dataclass
class Single:
    """A case of NonMaxSuppression."""

    boxes: torch.Tensor
    scores: torch.Tensor
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def inputs(self) -> list[torch.Tensor]:
        return [self.boxes, self.scores]

    def arguments(self) -> list[Any]:
        """Give the arguments of the PyTorch op behind the tensors."""
        defaults = {
            "max_output_boxes_per_class": 0,
            "iou_threshold": 0.0,
            "score_threshold": 0.0,
            "center_point_box": 0,
            "offset": 0.0,
        }
        return list((defaults | self.attributes).values())

    def rows(self) -> list[list[int]]:
        limit, iou, score, centered, offset = self.arguments()
        boxes, scores = compare.wide(self.boxes), compare.wide(self.scores)
        if centered:
            half = boxes[..., 2:] / 2
            boxes = np.concatenate([boxes[..., :2] - half, boxes[..., :2] + half], -1)
        rows = []
        for image, label in np.ndindex(scores.shape[:2]):
            rules = {"score": score, "iou": iou, "area": offset, "overlap": offset, "top": boxes.shape[1]}
            kept = _best(boxes[image], scores[image, label], **rules)
            rows += [[image, label, place] for place in kept[: limit or None]]
        return rows

    def expected(self) -> np.ndarray:
        limit = self.arguments()[0]
        images, classes, boxes = self.scores.shape
        result = np.full((images * classes * (min(boxes, limit) if limit else boxes), 3), -1)
        rows = self.rows()
        if rows:
            result[: len(rows)] = rows
        return result


def random_single(random: np.random.Generator, dtype: torch.dtype, most: int = 300) -> Single:
    images, classes = random.integers(0 if random.integers(9) == 0 else 1, 4, size=2).tolist()
    boxes = int(random.integers(0, 9) if random.integers(4) == 0 else random.integers(0, most))
    centered = int(random.integers(2))
    attributes = {
        "max_output_boxes_per_class": int(random.choice([0, 1, 5, 40, 1000])),
        "iou_threshold": float(random.choice(THRESHOLDS)),
        "score_threshold": float(random.choice([-1.0, 0.0, 0.25, 0.75, 2.0])),
        "center_point_box": centered,
        "offset": float(random.integers(2)),
    }
    return Single(
        random_boxes(random, (images, boxes), centered=bool(centered)).to(dtype),
        random_scores(random, (images, classes, boxes)).to(dtype),
        attributes,
    )


@dataclass
class Batched:
    """A case of BatchedNMS."""

    boxes: torch.Tensor
    scores: torch.Tensor
    attributes: dict[str, Any]

    @property
    def inputs(self) -> list[torch.Tensor]:
        return [self.boxes, self.scores]

    def arguments(self) -> tuple[Any, ...]:
        """Give the arguments of the PyTorch op behind the tensors, the last three by name."""
        order = ("keepTopK", "topK", "scoreThreshold", "iouThreshold", "backgroundLabelId")
        return tuple(self.attributes[name] for name in order)

    def options(self) -> dict[str, bool]:
        names = {"is_normalized": "isNormalized", "clip_boxes": "clipBoxes", "caffe_semantics": "caffeSemantics"}
        return {name: bool(self.attributes[other]) for name, other in names.items()}

    def expected(self) -> dict[str, np.ndarray]:
        keep, top, score, iou, background = self.arguments()
        options = self.options()
        boxes, scores = compare.wide(self.boxes), compare.wide(self.scores)
        images, number, classes = scores.shape
        offset = 0.0 if options["is_normalized"] else 1.0
        rules = {"score": score, "iou": iou, "area": offset, "overlap": offset if options["caffe_semantics"] else 0.0}
        result = {
            "counts": np.zeros((images, 1), dtype=np.int64),
            "boxes": np.zeros((images, keep, 4)),
            "scores": np.zeros((images, keep)),
            "classes": np.full((images, keep), -1.0),
            "indices": np.full((images, keep), -1, dtype=np.int64),
        }
        for image in range(images):
            found = []
            for label in range(classes):
                own = boxes[image, :, label % boxes.shape[2]]
                places = _best(own, scores[image, :, label], **rules, top=top or number) if label != background else []
                found += [(-scores[image, place, label], label, rank, place) for rank, place in enumerate(places)]
            found = sorted(found)[:keep]
            result["counts"][image] = len(found)
            for rank, (value, label, _, place) in enumerate(found):
                box = boxes[image, place, label % boxes.shape[2]]
                result["boxes"][image, rank] = np.clip(box, 0, 1) if options["clip_boxes"] else box
                result["scores"][image, rank] = -value
                result["classes"][image, rank] = label
                result["indices"][image, rank] = place
        return result


def random_batched(random: np.random.Generator, dtype: torch.dtype, most: int = 200) -> Batched:
    images = int(random.integers(0 if random.integers(9) == 0 else 1, 4))
    classes = int(random.integers(1, 5))
    boxes = int(random.integers(0, 9) if random.integers(4) == 0 else random.integers(0, most))
    attributes = {
        "keepTopK": int(random.choice([1, 7, 50, 300])),
        "topK": int(random.choice([0, -1, 3, 64, 5000])),
        "scoreThreshold": float(random.choice([-1.0, 0.0, 0.25, 0.75])),
        "iouThreshold": float(random.choice(THRESHOLDS)),
        "backgroundLabelId": int(random.integers(-1, classes)),
        "isNormalized": int(random.integers(2)),
        "clipBoxes": int(random.integers(2)),
        "caffeSemantics": int(random.integers(2)),
    }
    attributes["topK"] = max(attributes["topK"], 0)
    sets = int(random.choice([1, classes]))
    return Batched(
        random_boxes(random, (images, boxes, sets)).to(dtype),
        random_scores(random, (images, boxes, classes)).to(dtype),
        attributes,
    )


def assert_detections(found: tuple[torch.Tensor, ...], case: Batched) -> None:
    """Check the four outputs of TensorRT's operator: bit by bit, for nothing in them is computed."""
    expected = case.expected()
    for output, name in zip(found, ("counts", "boxes", "scores", "classes"), strict=True):
        assert compare.wide(output).tolist() == expected[name].tolist(), name
