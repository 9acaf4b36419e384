"""The plain-C face: attributes and their spellings, output shapes, refusals. Needs no GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trtreg.errors import FaceError
from trtreg.sdk.face import TensorSpec

if TYPE_CHECKING:
    from trtreg.sdk.face import Face

BATCHED = ["BatchedNMS", "BatchedNMS_TRT", "BatchedNMSDynamic_TRT"]


def specs(*shapes: tuple[int, ...], dtype: str = "float32") -> list[TensorSpec]:
    return [TensorSpec(type=dtype, shape=shape) for shape in shapes]


def shapes_of(face: Face, creator: str, attributes: dict[str, Any], inputs: list[TensorSpec]) -> list[Any]:
    outputs, _ = face.create(creator, attributes).infer(inputs)
    return [(each.type, each.shape) for each in outputs]


def test_description(face: Face) -> None:
    creators = {each["name"]: each for each in face.describe()["creators"]}
    assert list(creators) == ["NonMaxSuppression", *BATCHED, "TRTBatchedNMS"]
    fields = {name: [field["name"] for field in each["fields"]] for name, each in creators.items()}
    assert fields["NonMaxSuppression"] == [
        "max_output_boxes_per_class", "iou_threshold", "score_threshold", "center_point_box", "offset", "return_count",
    ]  # fmt: skip
    assert fields["TRTBatchedNMS"] == [*fields["BatchedNMS"], "return_index"]
    assert fields["BatchedNMS"] == fields["BatchedNMS_TRT"] == fields["BatchedNMSDynamic_TRT"]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_single(face: Face, dtype: str) -> None:
    inputs = specs((2, 9, 4), (2, 3, 9), dtype=dtype)
    name = "NonMaxSuppression"
    assert shapes_of(face, name, {}, inputs) == [("int32", (54, 3))]
    assert shapes_of(face, name, {"max_output_boxes_per_class": 4}, inputs) == [("int32", (24, 3))]
    assert shapes_of(face, name, {"max_output_boxes_per_class": 20}, inputs) == [("int32", (54, 3))]
    assert shapes_of(face, name, {"return_count": 1}, inputs) == [("int32", (54, 3)), ("int32", ())]
    onnx = [*inputs, *specs((), dtype="int64"), *specs((1,), ())]
    for count in (3, 4, 5):
        assert shapes_of(face, name, {}, onnx[:count]) == [("int64", (54, 3))]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("creator", BATCHED)
def test_batched(face: Face, creator: str, dtype: str) -> None:
    expected = [("int32", (2, 1)), (dtype, (2, 5, 4)), (dtype, (2, 5)), (dtype, (2, 5))]
    for sets, scores in ((1, (2, 9, 3)), (3, (2, 9, 3)), (1, (2, 9, 3, 1))):
        assert shapes_of(face, creator, {"keepTopK": 5}, specs((2, 9, sets, 4), scores, dtype=dtype)) == expected


def test_mmdeploy(face: Face) -> None:
    inputs = specs((2, 9, 1, 4), (2, 9, 3))
    outputs = [("float32", (2, 5, 5)), ("int32", (2, 5)), ("int32", (2, 5))]
    assert shapes_of(face, "TRTBatchedNMS", {"keep_topk": 5}, inputs) == outputs[:2]
    assert shapes_of(face, "TRTBatchedNMS", {"keep_topk": 5, "return_index": 1}, inputs) == outputs


@pytest.mark.parametrize("creator", [*BATCHED, "TRTBatchedNMS"])
def test_spellings(face: Face, creator: str) -> None:
    names = {
        "backgroundLabelId": "background_label_id",
        "numClasses": "num_classes",
        "topK": "topk",
        "keepTopK": "keep_topk",
        "scoreThreshold": "score_threshold",
        "iouThreshold": "iou_threshold",
        "isNormalized": "is_normalized",
        "clipBoxes": "clip_boxes",
    }
    for one, other in names.items():
        attributes = {"keepTopK": 5} if one != "keepTopK" else {}
        face.create(creator, {**attributes, one: 1})
        face.create(creator, {**attributes, other: 1})
        with pytest.raises(FaceError, match=f"attribute '{one}' is given twice"):
            face.create(creator, {**attributes, one: 1, other: 1})


@pytest.mark.parametrize(
    ("creator", "attributes", "message"),
    [
        ("NonMaxSuppression", {"max_output_boxes_per_class": -1}, "'max_output_boxes_per_class': found -1"),
        ("NonMaxSuppression", {"iou_threshold": 1.5}, "'iou_threshold': found 1.5"),
        ("NonMaxSuppression", {"iou_threshold": float("nan")}, "'iou_threshold': found nan"),
        ("NonMaxSuppression", {"score_threshold": [1.0, 2.0]}, "'score_threshold': found 2 values"),
        ("NonMaxSuppression", {"center_point_box": 2}, "'center_point_box': found 2"),
        ("BatchedNMS", {}, "attribute 'keepTopK' is missing"),
        ("BatchedNMS", {"keepTopK": 0}, "'keepTopK': found 0"),
        ("BatchedNMS", {"keepTopK": 5, "return_index": 1}, "unknown attribute 'return_index'"),
        ("BatchedNMS_TRT", {"keepTopK": 5, "backgroundLabelId": -2}, "'backgroundLabelId': found -2"),
    ],
)
def test_attributes_that_are_refused(face: Face, creator: str, attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(FaceError, match=message):
        face.create(creator, attributes)


@pytest.mark.parametrize(
    ("creator", "attributes", "shapes", "message"),
    [
        ("NonMaxSuppression", {}, [(9, 4), (2, 3, 9)], "input 0 has rank 2, expected 3"),
        ("NonMaxSuppression", {}, [(2, 9, 5), (2, 3, 9)], "dimension 2 of input 0 is 5, expected 4"),
        ("NonMaxSuppression", {}, [(2, 9, 4), (1, 3, 9)], "dimension 0 of input 1 is 1, expected 2"),
        ("NonMaxSuppression", {}, [(2, 9, 4), (2, 3, 8)], "dimension 2 of input 1 is 8, expected 9"),
        ("BatchedNMS", {}, [(2, 9, 4), (2, 9, 3)], "input 0 has rank 3, expected 4"),
        ("BatchedNMS", {}, [(2, 9, 2, 4), (2, 9, 3)], "dimension 2 of input 0 is 2, expected 3"),
        ("BatchedNMS", {}, [(2, 9, 1, 4), (2, 8, 3)], "dimension 1 of input 1 is 8, expected 9"),
        ("BatchedNMS", {}, [(2, 9, 1, 4), (2, 9, 3, 2)], "dimension 3 of input 1 is 2, expected 1"),
        ("BatchedNMS", {"numClasses": 4}, [(2, 9, 1, 4), (2, 9, 3)], "dimension 2 of input 1 is 3, expected 4"),
        ("BatchedNMS", {"shareLocation": 1}, [(2, 9, 3, 4), (2, 9, 3)], "dimension 2 of input 0 is 3, expected 1"),
    ],
)
def test_shapes_that_are_refused(
    face: Face, creator: str, attributes: dict[str, Any], shapes: list[tuple[int, ...]], message: str
) -> None:
    needed = {"keepTopK": 5} if creator == "BatchedNMS" else {}
    with pytest.raises(FaceError, match=message):
        face.create(creator, {**attributes, **needed}).infer(specs(*shapes))


def test_inputs_for_thresholds_that_are_no_scalars(face: Face) -> None:
    inputs = [*specs((2, 9, 4), (2, 3, 9)), *specs((2,), dtype="int64")]
    with pytest.raises(FaceError, match="dimension 0 of input 2 is 2, expected 1"):
        face.create("NonMaxSuppression").infer(inputs)
