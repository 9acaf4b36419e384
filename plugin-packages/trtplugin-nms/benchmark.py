"""What benchmarks/operators.py times for this package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLASSES = 80
_IOU = 0.5
_OF_PEER = 1000  # the peer takes a sixth of a second for 8400 boxes of each class


def _inputs(torch: Any, boxes: int, dtype: str, *, shared: bool) -> list[Any]:
    corners = torch.rand(1, boxes, 2, device="cuda") * 600
    corners = torch.cat([corners, corners + 20 + torch.rand(1, boxes, 2, device="cuda") * 180], -1)
    scores = torch.rand(1, _CLASSES, boxes, device="cuda")
    if shared:
        corners, scores = corners[:, :, None], scores.transpose(1, 2).contiguous()
    return [each.to(getattr(torch, dtype)) for each in (corners, scores)]


def _peer(torch: Any, *, keep: int | None) -> tuple[str, Any]:
    def call(corners: Any, scores: Any) -> Any:
        import torchvision

        if keep:
            corners, scores = corners[:, :, 0], scores.transpose(1, 2)
        boxes = corners.shape[1]
        flat = corners.expand(_CLASSES, boxes, 4).reshape(-1, 4)
        labels = torch.arange(_CLASSES, device="cuda").repeat_interleave(boxes)
        return torchvision.ops.batched_nms(flat, scores.reshape(-1), labels, _IOU)[:keep]

    return "torchvision.ops.batched_nms", call


def cases(torch: Any) -> Iterator[dict[str, Any]]:
    """Give the cases: see benchmarks/operators.py. The peer waits for the GPU, so no graph can hold it."""
    for dtype in ("float32", "float16"):
        size = getattr(torch, dtype).itemsize
        for boxes in (1000, 8400):
            moved = boxes * (4 + _CLASSES) * size
            common = {"dtype": dtype, "flops": 0, "peer_waits": boxes == _OF_PEER}
            yield common | {
                "op": "NonMaxSuppression",
                "size": f"{_CLASSES} classes x {boxes} boxes",
                "creator": "NonMaxSuppression",
                "attributes": {"iou_threshold": _IOU, "max_output_boxes_per_class": 200},
                "inputs": lambda boxes=boxes, dtype=dtype: _inputs(torch, boxes, dtype, shared=False),
                "outputs": lambda _: [torch.empty(_CLASSES * 200, 3, device="cuda", dtype=torch.int32)],
                "peer": _peer(torch, keep=None) if boxes == _OF_PEER else None,
                "bytes": moved + _CLASSES * 200 * 12,
            }
            keep = 100
            yield common | {
                "op": "BatchedNMS",
                "size": f"{_CLASSES} classes x {boxes} boxes, best {keep}",
                "creator": "BatchedNMS",
                "attributes": {"iouThreshold": _IOU, "keepTopK": keep, "clipBoxes": 0},
                "inputs": lambda boxes=boxes, dtype=dtype: _inputs(torch, boxes, dtype, shared=True),
                "outputs": lambda inputs, keep=keep: [
                    torch.empty(1, 1, device="cuda", dtype=torch.int32),
                    torch.empty(1, keep, 4, device="cuda", dtype=inputs[0].dtype),
                    *(torch.empty(1, keep, device="cuda", dtype=inputs[0].dtype) for _ in range(2)),
                ],
                "peer": _peer(torch, keep=keep) if boxes == _OF_PEER else None,
                "bytes": moved + keep * 6 * size,
            }
