"""The PyTorch ops: imports torch, so it is loaded on first use."""

from __future__ import annotations

import torch

from trtreg.sdk.torch_op import TorchOp

__all__ = ["batched_nms", "non_max_suppression"]


def _ranked(scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """Give the places of scores above `threshold`, best first, of equal ones the first."""
    order = torch.sort(torch.nan_to_num(scores, nan=-torch.inf), descending=True, stable=True).indices
    return order[scores[order] > threshold]


def _greedy(boxes: torch.Tensor, iou: float, offsets: tuple[float, float], limit: int) -> list[int]:
    """Give the rows of `boxes` [n, 4], sorted by score, that stay.

    Widths are longer than the difference of coordinates by the first offset, those of what two boxes have in common by
    the second.
    """
    low, high = torch.minimum(boxes[:, :2], boxes[:, 2:]), torch.maximum(boxes[:, :2], boxes[:, 2:])
    areas = (high - low + offsets[0]).prod(1)
    stays = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
    kept: list[int] = []
    for row in range(len(boxes)):
        if len(kept) == limit:
            break
        if not stays[row]:
            continue
        kept.append(row)
        sizes = (torch.minimum(high, high[row]) - torch.maximum(low, low[row]) + offsets[1]).clamp_min(0)
        both = sizes.prod(1)
        stays &= ~(both > iou * (areas + areas[row] - both))
    return kept


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _reference_single(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    limit: int,
    iou: float,
    threshold: float,
    centered: int,
    offset: float,
) -> torch.Tensor:
    result = _fake_single(boxes, scores, limit, iou, threshold, centered, offset).fill_(-1)
    boxes, scores = _wide(boxes), _wide(scores)
    if centered:
        half = boxes[..., 2:] / 2
        boxes = torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], -1)
    count = 0
    for image in range(scores.shape[0]):
        for label in range(scores.shape[1]):
            ranked = _ranked(scores[image, label], threshold)
            kept = _greedy(boxes[image, ranked], iou, (offset, offset), limit or boxes.shape[1])
            for place in ranked[kept].tolist():
                result[count] = torch.tensor([image, label, place])
                count += 1
    return result


def _fake_single(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    limit: int,
    _iou: float,
    _threshold: float,
    _centered: int,
    _offset: float,
) -> torch.Tensor:
    room = boxes.shape[1]
    if limit:
        room = torch.sym_min(room, limit)
    return torch.empty((scores.shape[0] * scores.shape[1] * room, 3), dtype=torch.int32, device=boxes.device)


_Detections = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def _reference_batched(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    keep: int,
    top: int,
    threshold: float,
    iou: float,
    background: int,
    normalized: int,
    clip: int,
    caffe: int,
) -> _Detections:
    arguments = (keep, top, threshold, iou, background, normalized, clip, caffe)
    counts, found, found_scores, labels = _fake_batched(boxes, scores, *arguments)
    for tensor, value in ((found, 0), (found_scores, 0), (labels, -1)):
        tensor.fill_(value)
    offset = 0.0 if normalized else 1.0
    offsets = (offset, offset if caffe else 0.0)
    corners, values = _wide(boxes), _wide(scores)
    for image in range(scores.shape[0]):
        rows: list[tuple[float, int, int]] = []
        for label in range(scores.shape[2]):
            if label == background:
                continue
            ranked = _ranked(values[image, :, label], threshold)[: top or None]
            of_class = corners[image, ranked, label if boxes.shape[2] > 1 else 0]
            places = ranked[_greedy(of_class, iou, offsets, keep)].tolist()
            rows += [(-values[image, place, label].item(), label, place) for place in places]
        rows = sorted(rows, key=lambda row: row[:2])[:keep]
        counts[image] = len(rows)
        for rank, (_, label, place) in enumerate(rows):
            box = boxes[image, place, label if boxes.shape[2] > 1 else 0]
            found[image, rank] = box.clamp(0, 1) if clip else box
            found_scores[image, rank] = scores[image, place, label]
            labels[image, rank] = label
    return counts, found, found_scores, labels


def _fake_batched(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    keep: int,
    _top: int,
    _threshold: float,
    _iou: float,
    _background: int,
    _normalized: int,
    _clip: int,
    _caffe: int,
) -> _Detections:
    images = scores.shape[0]
    return (
        torch.empty((images, 1), dtype=torch.int32, device=boxes.device),
        torch.empty((images, keep, 4), dtype=boxes.dtype, device=boxes.device),
        torch.empty((images, keep), dtype=boxes.dtype, device=boxes.device),
        torch.empty((images, keep), dtype=boxes.dtype, device=boxes.device),
    )


_SINGLE = TorchOp(
    package="trtplugin_nms",
    name="non_max_suppression",
    creator="NonMaxSuppression",
    domain="mmcv",
    inputs=["boxes", "scores"],
    attributes={
        "max_output_boxes_per_class": "int",
        "iou_threshold": "float",
        "score_threshold": "float",
        "center_point_box": "int",
        "offset": "float",
    },
    reference=_reference_single,
    fake=_fake_single,
)
_BATCHED = TorchOp(
    package="trtplugin_nms",
    name="batched_nms",
    creator="BatchedNMS",
    domain="trtreg",
    inputs=["boxes", "scores"],
    attributes={
        "keepTopK": "int",
        "topK": "int",
        "scoreThreshold": "float",
        "iouThreshold": "float",
        "backgroundLabelId": "int",
        "isNormalized": "int",
        "clipBoxes": "int",
        "caffeSemantics": "int",
    },
    reference=_reference_batched,
    fake=_fake_batched,
    outputs=4,
)


def non_max_suppression(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    max_output_boxes_per_class: int = 0,
    iou_threshold: float = 0.0,
    score_threshold: float = 0.0,
    center_point_box: int = 0,
    offset: float = 0.0,
) -> torch.Tensor:
    """Greedy non-maximum suppression in each class of each image, as MMCV's TensorRT plugin defines it.

    A box is taken if its score is above `score_threshold`, in the order of scores, and of equal scores in that of the
    boxes; it stays unless one that stays overlaps it by more than `iou_threshold`. The operator is that of the ONNX
    specification (NonMaxSuppression, https://onnx.ai/onnx/operators/onnx__NonMaxSuppression.html) but for thresholds in
    attributes, the meaning of 0 in `max_output_boxes_per_class`, and the padding.

    Args:
        boxes: ``[images, boxes, 4]``, two opposite corners; float32, float16 or bfloat16 (on the CPU float64 too).
            Areas are computed in float32.
        scores: ``[images, classes, boxes]``, of the same dtype. A NaN is not above any threshold.
        max_output_boxes_per_class: 0 for no limit.
        iou_threshold: between 0 and 1.
        score_threshold: for the best box too, unlike in MMCV.
        center_point_box: 1 if boxes are x and y of the centre, width and height.
        offset: added to widths and heights: 1 for boxes of pixels.

    Returns:
        ``[images * classes * min(boxes, limit), 3]``, int32: image, class and box, image by image, class by class, the
        best first; then rows of -1.

    Raises:
        trtreg.errors.TrtregError: the plugin's library does not load, or refuses the arguments.
    """
    result: torch.Tensor = _SINGLE(
        boxes, scores, max_output_boxes_per_class, iou_threshold, score_threshold, center_point_box, float(offset)
    )
    return result


def batched_nms(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    keep_top_k: int,
    top_k: int = 0,
    score_threshold: float = 0.0,
    iou_threshold: float = 0.0,
    background_label_id: int = -1,
    *,
    is_normalized: bool = True,
    clip_boxes: bool = True,
    caffe_semantics: bool = True,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Suppress boxes in each class, and give the best of all classes of each image.

    The definition is that of TensorRT's BatchedNMSDynamic_TRT (https://github.com/NVIDIA/TensorRT, folder
    plugin/batchedNMSPlugin).

    Args:
        boxes: ``[images, boxes, 1 or classes, 4]``, two opposite corners; float32, float16 or bfloat16 (on the CPU
            float64 too). Areas are computed in float32.
        scores: ``[images, boxes, classes]``, of the same dtype.
        keep_top_k: detections of each image.
        top_k: candidates of each class that are looked at; 0 for all.
        score_threshold: scores have to be above it.
        iou_threshold: between 0 and 1; what overlaps by more is suppressed.
        background_label_id: class without boxes, or -1.
        is_normalized: False for boxes of pixels, whose width is one more than the difference of their coordinates.
        clip_boxes: whether the boxes that are given are cut to [0, 1].
        caffe_semantics: whether that one counts for the overlap too.

    Returns:
        num_detections ``[images, 1]``, int32; boxes ``[images, keep_top_k, 4]``, scores and classes
        ``[images, keep_top_k]`` of the dtype of `boxes`, best first; then boxes and scores of 0, classes of -1.

    Raises:
        trtreg.errors.TrtregError: the plugin's library does not load, or refuses the arguments.
    """
    result: _Detections = _BATCHED(
        boxes,
        scores,
        keep_top_k,
        top_k,
        score_threshold,
        iou_threshold,
        background_label_id,
        int(is_normalized),
        int(clip_boxes),
        int(caffe_semantics),
    )
    return result
