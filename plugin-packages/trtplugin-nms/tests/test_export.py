"""ONNX: both exporters write the nodes, and TensorRT builds engines from them and from the nodes of others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from trtplugin_nms import batched_nms, non_max_suppression

from trtreg.testing import export

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE = "trtplugin-nms"
SINGLE = {"boxes": ("float32", ["n", "k", 4]), "scores": ("float32", ["n", "c", "k"])}
SINGLE_PROFILE = {
    "boxes": [[1, 8, 4], [2, 100, 4], [4, 1000, 4]],
    "scores": [[1, 1, 8], [2, 3, 100], [4, 80, 1000]],
}
BATCHED = {"boxes": ("float32", ["n", "k", 1, 4]), "scores": ("float32", ["n", "k", 3])}
BATCHED_PROFILE = {
    "boxes": [[1, 8, 1, 4], [2, 100, 1, 4], [4, 1000, 1, 4]],
    "scores": [[1, 8, 3], [2, 100, 3], [4, 1000, 3]],
}
DETECTIONS = {
    "num_detections": ("int32", ["n", 1]),
    "nmsed_boxes": ("float32", ["n", 20, 4]),
    "nmsed_scores": ("float32", ["n", 20]),
    "nmsed_classes": ("float32", ["n", 20]),
}


class Single(torch.nn.Module):
    def forward(self, boxes: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return non_max_suppression(boxes * 2, scores, 10, 0.5, 0.25)


class Batched(torch.nn.Module):
    def forward(self, boxes: torch.Tensor, scores: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return batched_nms(boxes * 2, scores, 20, 100, 0.25, 0.5)


@pytest.mark.parametrize("exporter", export.EXPORTERS)
def test_single_through_the_override(exporter: str, tmp_path: Path) -> None:
    engine = export.check(
        Single(),
        {"boxes": torch.rand(2, 30, 4), "scores": torch.rand(2, 3, 30)},
        tmp_path / "model.onnx",
        exporter,
        op="NonMaxSuppression",
        domain="mmcv",
        package=PACKAGE,
        attributes={
            "max_output_boxes_per_class": 10,
            "iou_threshold": 0.5,
            "score_threshold": 0.25,
            "center_point_box": 0,
            "offset": 0.0,
        },
        dynamic={"boxes": [0, 1], "scores": [0, 1, 2]},
        profile=SINGLE_PROFILE,
        prefer_plugins=["NonMaxSuppression"],
    )
    assert [(each.shape, each.dtype) for each in engine.outputs] == [((-1, 3), "int32")]


@pytest.mark.parametrize("exporter", export.EXPORTERS)
def test_batched(exporter: str, tmp_path: Path) -> None:
    engine = export.check(
        Batched(),
        {"boxes": torch.rand(2, 30, 1, 4), "scores": torch.rand(2, 30, 3)},
        tmp_path / "model.onnx",
        exporter,
        op="BatchedNMS",
        domain="trtreg",
        package=PACKAGE,
        attributes={
            "keepTopK": 20,
            "topK": 100,
            "scoreThreshold": 0.25,
            "iouThreshold": 0.5,
            "backgroundLabelId": -1,
            "isNormalized": 1,
            "clipBoxes": 1,
            "caffeSemantics": 1,
        },
        dynamic={"boxes": [0, 1], "scores": [0, 1]},
        profile=BATCHED_PROFILE,
        outputs=list(DETECTIONS),
    )
    assert [each.shape for each in engine.outputs] == [(-1, 1), (-1, 20, 4), (-1, 20), (-1, 20)]


@pytest.mark.parametrize("count", [0, 1])
def test_the_standard_node_through_the_override(count: int) -> None:
    thresholds = {"limit": torch.tensor([7]), "iou": torch.tensor([0.5]), "score": torch.tensor([0.25])}
    outputs: dict[str, Any] = {"rows": ("int64", ["m", 3])}
    if count:
        outputs["count"] = ("int64", [])
    attributes = {"return_count": 1} if count else {}
    model = export.model_of(
        "NonMaxSuppression", SINGLE, outputs, domain="", constants=thresholds, center_point_box=1, **attributes
    )
    engine = export.build(
        model, SINGLE_PROFILE, op="NonMaxSuppression", package=PACKAGE, prefer_plugins=["NonMaxSuppression"]
    )
    rows = engine.outputs[0]
    assert (rows.shape, rows.dtype) == ((-1, 3), "int64")


@pytest.mark.parametrize("op", ["BatchedNMS_TRT", "BatchedNMSDynamic_TRT"])
def test_nodes_of_tensorrt(op: str) -> None:
    # As the exporters of YOLO write them.
    model = export.model_of(
        op, BATCHED, DETECTIONS, domain="TRT", plugin_version="1", shareLocation=1, backgroundLabelId=-1, numClasses=3,
        topK=1000, keepTopK=20, scoreThreshold=0.25, iouThreshold=0.45, isNormalized=0, clipBoxes=0, scoreBits=16,
        caffeSemantics=1,
    )  # fmt: skip
    export.build(model, BATCHED_PROFILE, op=op, package=PACKAGE)


@pytest.mark.parametrize("index", [0, 1])
def test_node_of_mmdeploy(index: int) -> None:
    outputs: dict[str, Any] = {"dets": ("float32", ["n", 20, 5]), "labels": ("int32", ["n", 20])}
    if index:
        outputs["indices"] = ("int32", ["n", 20])
    model = export.model_of(
        "TRTBatchedNMS", BATCHED, outputs, domain="mmdeploy", background_label_id=-1, num_classes=3, topk=1000,
        keep_topk=20, score_threshold=0.05, iou_threshold=0.5, is_normalized=0, clip_boxes=0, return_index=index,
    )  # fmt: skip
    export.build(model, BATCHED_PROFILE, op="TRTBatchedNMS", package=PACKAGE)
