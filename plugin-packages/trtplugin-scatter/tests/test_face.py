"""The plain-C face: attributes, types, shapes, refusals. Needs no GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trtreg.errors import FaceError
from trtreg.sdk.face import TensorSpec

if TYPE_CHECKING:
    from trtreg.sdk.face import Face


def specs(*shapes: tuple[int, ...], dtype: str = "float32", index: str = "int64") -> list[TensorSpec]:
    return [TensorSpec(type=kind, shape=shape) for kind, shape in zip((dtype, index, dtype), shapes, strict=True)]


def test_description(face: Face) -> None:
    nd, elements = face.describe()["creators"]
    assert (nd["name"], elements["name"]) == ("ScatterND", "ScatterElements")
    assert {each["name"]: each["default"] for each in nd["fields"]} == {"reduction": "none"}
    assert {each["name"]: each["default"] for each in elements["fields"]} == {"reduction": "none", "axis": [0]}


@pytest.mark.parametrize("index", ["int32", "int64"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int32", "int64"])
def test_types(face: Face, dtype: str, index: str) -> None:
    for creator, shapes in (("ScatterND", [(4, 3), (2, 1), (2, 3)]), ("ScatterElements", [(4, 3), (2, 3), (2, 3)])):
        for reduction in ("none", "add", "mul", "max", "min"):
            plugin = face.create(creator, {"reduction": reduction})
            (output,), workspace = plugin.infer(specs(*shapes, dtype=dtype, index=index))
            assert (output.type, output.shape) == (dtype, (4, 3))
            assert workspace == (48 if dtype in ("float16", "bfloat16") and reduction != "none" else 0)


@pytest.mark.parametrize(
    ("creator", "attributes", "shapes", "message"),
    [
        ("ScatterND", {"reduction": "mean"}, [(4, 3), (2, 1), (2, 3)], "found 'mean', expected none, add"),
        ("ScatterND", {}, [(), (2, 1), (2,)], "data and indices need a dimension, found ranks 0 and 2"),
        ("ScatterND", {}, [(4, 3), (2, 3), (2,)], "rows of 3 indices into 2 dimensions"),
        ("ScatterND", {}, [(4, 3), (2, 1), (2,)], "input 2 has rank 1, expected 2"),
        ("ScatterND", {}, [(4, 3), (2, 1), (3, 3)], "dimension 0 of input 2 is 3, expected 2"),
        ("ScatterND", {}, [(4, 3), (2, 1), (2, 4)], "dimension 1 of input 2 is 4, expected 3"),
        ("ScatterElements", {"axis": 2}, [(4, 3), (2, 3), (2, 3)], "axis 2 of data with 2 dimensions"),
        ("ScatterElements", {"axis": -3}, [(4, 3), (2, 3), (2, 3)], "axis -3 of data with 2 dimensions"),
        ("ScatterElements", {}, [(4, 3), (2,), (2,)], "input 1 has rank 1, expected 2"),
        ("ScatterElements", {}, [(4, 3), (2, 3), (2, 2)], "dimension 1 of input 2 is 2, expected 3"),
        ("ScatterElements", {}, [(4, 3), (2, 4), (2, 4)], "dimension 1 of input 1 is 4, expected at most 3"),
    ],
)
def test_what_is_refused(
    face: Face, creator: str, attributes: dict[str, Any], shapes: list[tuple[int, ...]], message: str
) -> None:
    with pytest.raises(FaceError, match=message):
        face.create(creator, attributes).infer(specs(*shapes))


def test_other_types_are_refused(face: Face) -> None:
    with pytest.raises(FaceError, match="no signature takes inputs of types"):
        face.create("ScatterND").infer(specs((4, 3), (2, 1), (2, 3), index="float32"))
