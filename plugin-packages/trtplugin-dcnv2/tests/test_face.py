"""The plain-C face: what the library says of itself, output shapes, spellings of attributes, refusals. Needs no GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from dcnv2_cases import Case, random_case

from trtreg.errors import FaceError
from trtreg.sdk.face import TensorSpec

if TYPE_CHECKING:
    from trtreg.sdk.face import Face

CREATORS = ["MMCVModulatedDeformConv2d", "DCNv2"]
CASE = Case(batch=2, channels=6, out_channels=8, groups=2, deform_groups=3, size=(9, 10), stride=(2, 1), padding=(1, 2))


def specs(case: Case, dtype: str = "float32", **shapes: tuple[int, ...]) -> list[TensorSpec]:
    return [TensorSpec(type=dtype, shape=shape) for shape in (case.shapes | shapes).values()]


def test_description(face: Face) -> None:
    creators = face.describe()["creators"]
    assert [each["name"] for each in creators] == CREATORS
    for each in creators:
        least = 3 if each["name"] == "DCNv2" else 4
        assert (each["version"], each["namespace"], each["inputs"], each["outputs"]) == ("1", "", [least, 5], [1, 1])
        assert {field["name"]: field.get("alias_of", field.get("default")) for field in each["fields"]} == {
            "stride": [1, 1],
            "padding": [-1, -1] if each["name"] == "DCNv2" else [0, 0],
            "dilation": [1, 1],
            "groups": [1],
            "group": "groups",
            "deform_groups": [1],
            "deformable_group": "deform_groups",
            "deformable_groups": "deform_groups",
            "allow_tf32": [0],
        }


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("creator", CREATORS)
@pytest.mark.parametrize("seed", range(20))
def test_output_shapes(face: Face, seed: int, creator: str, dtype: str) -> None:
    case = random_case(np.random.default_rng(seed))
    y = TensorSpec(type=dtype, shape=(case.batch, case.out_channels, *case.extent))
    shapes, workspace = face.create(creator, case.of_node).infer(specs(case, dtype))
    assert shapes == (y,)
    assert (workspace > 0) == case.fits_tensor_cores(dtype)


@pytest.mark.parametrize("groups", ["groups", "group"])
@pytest.mark.parametrize("deform_groups", ["deform_groups", "deformable_group", "deformable_groups"])
def test_spellings(face: Face, groups: str, deform_groups: str) -> None:
    attributes = {"stride": 2, "padding": 1, "dilation": [2], groups: 2, deform_groups: 3}
    sizes = {"channels": 6, "out_channels": 2, "groups": 2, "deform_groups": 3, "size": (9, 9)}
    case = Case(**sizes, stride=(2, 2), padding=(1, 1), dilation=(2, 2))
    ((y,), _) = face.create("DCNv2", attributes).infer(specs(case))
    assert y.shape == (1, 2, 4, 4)


@pytest.mark.parametrize("creator", CREATORS)
@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"stride": 0}, "attribute 'stride': found 0, expected a value in"),
        ({"stride": [1, 0]}, "attribute 'stride': found 0"),
        ({"stride": [1, 1, 1]}, "attribute 'stride': found 3 values, expected 2"),
        ({"stride": 1.5}, "attribute 'stride': 1.5 is not an integer"),
        ({"padding": -2}, "attribute 'padding': found -2"),
        ({"dilation": [0, 1]}, "attribute 'dilation': found 0"),
        ({"groups": 0}, "attribute 'groups': found 0"),
        ({"group": -2}, "attribute 'groups': found -2"),
        ({"deform_groups": 2**40}, "attribute 'deform_groups': 1099511627776 is out of range"),
        ({"group": 1, "groups": 1}, "attribute 'groups' is given twice"),
        ({"im2col_step": 32}, "unknown attribute 'im2col_step'"),
    ],
)
def test_attributes_that_are_refused(
    face: Face, creator: str, attributes: dict[str, int | list[int]], message: str
) -> None:
    with pytest.raises(FaceError, match=message):
        face.create(creator, attributes)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"x": (2, 6, 9)}, "input 0 has rank 3, expected 4"),
        ({"x": (2, 5, 9, 10)}, "dimension 1 of input 0 is 5, expected 6"),
        ({"x": (2, 6, 0, 10)}, "the kernel reaches over 3 pixels, more than the 2 of the padded input"),
        ({"offset": (1, 54, 5, 12)}, "dimension 0 of input 1 is 1, expected 2"),
        ({"offset": (2, 18, 5, 12)}, "dimension 1 of input 1 is 18, expected 54"),
        ({"offset": (2, 54, 4, 12)}, "dimension 2 of input 1 is 4, expected 5"),
        ({"mask": (2, 27, 5, 10)}, "dimension 3 of input 2 is 10, expected 12"),
        ({"mask": (2, 54, 5, 12)}, "dimension 1 of input 2 is 54, expected 27"),
        ({"weight": (8, 6, 3, 3)}, "dimension 1 of input 0 is 6, expected 12"),
        ({"weight": (7, 3, 3, 3)}, "7 output channels do not divide into groups: 2"),
        ({"weight": (8, 3, 0, 3)}, "the weight has a kernel of size 0"),
        ({"weight": (8, 3, 12, 3)}, "the kernel reaches over 12 pixels, more than the 11 of the padded input"),
        ({"bias": (7,)}, "dimension 0 of input 4 is 7, expected 8"),
        ({"bias": (8, 1)}, "input 4 has rank 2, expected 1"),
    ],
)
def test_shapes_that_are_refused(face: Face, shapes: dict[str, tuple[int, ...]], message: str) -> None:
    plugin = face.create("MMCVModulatedDeformConv2d", CASE.attributes)
    plugin.infer(specs(CASE))
    with pytest.raises(FaceError, match=message):
        plugin.infer(specs(CASE, **shapes))


def test_deform_groups_must_divide_the_channels(face: Face) -> None:
    plugin = face.create("DCNv2", {"deform_groups": 4, "groups": 2})
    with pytest.raises(FaceError, match="6 input channels do not divide into deform groups: 4"):
        plugin.infer(specs(CASE))


def test_types_that_are_refused(face: Face) -> None:
    plugin = face.create("DCNv2", CASE.attributes)
    mixed = [*specs(CASE)[:2], *specs(CASE, "float16")[2:]]
    for inputs in (specs(CASE, "int32"), mixed):
        with pytest.raises(FaceError, match="no signature takes inputs of types"):
            plugin.infer(inputs)


def test_numbers_of_inputs(face: Face) -> None:
    plugin = face.create("MMCVModulatedDeformConv2d", CASE.attributes)
    assert plugin.infer(specs(CASE)[:4]) == plugin.infer(specs(CASE))
    for inputs in (specs(CASE)[:3], [*specs(CASE), specs(CASE)[0]]):
        with pytest.raises(FaceError, match="inputs, expected 4 to 5"):
            plugin.infer(inputs)


def test_an_empty_batch_runs_nothing(face: Face) -> None:
    # So it needs no GPU either.
    case = Case(batch=0)
    plugin = face.create("DCNv2", case.attributes)
    filled = [TensorSpec(type=each.type, shape=each.shape, data=256) for each in specs(case)]
    ((y,), _) = plugin.infer(filled)
    assert y.shape == (0, 1, 3, 3)
    plugin.enqueue(filled, [y])


def together(case: Case) -> list[TensorSpec]:
    """The inputs as tensorRT_Pro has them: the mask's logits behind the offsets."""
    x, offset, mask, *rest = specs(case)
    both = (offset.shape[0], offset.shape[1] + mask.shape[1], *offset.shape[2:])
    return [x, TensorSpec(type=x.type, shape=both), *rest]


@pytest.mark.parametrize("bias", [True, False])
def test_masks_behind_the_offsets(face: Face, bias: bool) -> None:
    case = Case(batch=2, channels=6, out_channels=8, deform_groups=3, padding=(1, 1), bias=bias)
    ((y,), _) = face.create("DCNv2", {"deform_groups": 3}).infer(together(case))
    assert y.shape == (2, 8, 5, 5)


def test_the_padding_that_is_absent(face: Face) -> None:
    # With the masks apart it is 0, as in every other operator; with them behind the offsets, it keeps the size.
    plugin = face.create("DCNv2", {"dilation": [2, 1]})
    case = Case(size=(9, 9), kernel=(3, 5), dilation=(2, 1))
    ((y,), _) = plugin.infer(specs(case))
    assert y.shape == (1, 1, 5, 5)
    padded = Case(size=(9, 9), kernel=(3, 5), dilation=(2, 1), padding=(2, 2))
    ((y,), _) = plugin.infer(together(padded))
    assert y.shape == (1, 1, 9, 9)
    ((y,), _) = face.create("DCNv2", {"dilation": [2, 1], "padding": 0}).infer(together(case))
    assert y.shape == (1, 1, 5, 5)


def test_masks_behind_the_offsets_that_are_refused(face: Face) -> None:
    plugin = face.create("DCNv2", {"deform_groups": 3})
    case = Case(channels=6, deform_groups=3, padding=(1, 1))
    inputs = together(case)
    inputs[1] = TensorSpec(type="float32", shape=(1, 54, 5, 5))
    with pytest.raises(FaceError, match="dimension 1 of input 1 is 54, expected 81"):
        plugin.infer(inputs)
