import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtreg.errors import SettingError, ShapeError
from trtreg.shapes import Input, Range, parse_option, resolve

IMAGE = Input(name="image", shape=(-1, 3, -1, -1), dimension_names=("batch", None, None, "w"))
FIXED = Input(name="fixed", shape=(1, 8))
VALUES = Input(name="values", shape=(2,), is_shape_tensor=True)
GOOD = {"image": [[1, 3, 8, 8], [2, 3, 16, 16], [4, 3, 32, 32]]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("x:1x3x224x224", {"x": [[1, 3, 224, 224]] * 3}),
        ("x:1x8/4x8/16x8", {"x": [[1, 8], [4, 8], [16, 8]]}),
        ("x:1, y:2x2", {"x": [[1]] * 3, "y": [[2, 2]] * 3}),
        ("onnx::in:0:5", {"onnx::in:0": [[5]] * 3}),
        ("scalar:", {"scalar": [[], [], []]}),
    ],
)
def test_reads_the_option(text, expected):
    assert parse_option(text) == expected


@pytest.mark.parametrize("text", ["x", "x:1x", "x:ax3", "x:1/2", "x:1/2/3/4", "x:-1x3", ":1", "x:1x3 4", "x:1/x/2"])
def test_refuses_a_malformed_option(text):
    with pytest.raises(SettingError, match=r"--shapes is malformed: found .*expected name:1x3x224x224"):
        parse_option(text)


def test_refuses_an_input_twice():
    with pytest.raises(SettingError, match="twice: found x"):
        parse_option("x:1,x:2")


NAMES = st.text(st.characters(categories=["L", "N"], include_characters="/._:"), min_size=1)
SHAPES = st.lists(st.integers(0, 10**6), min_size=1, max_size=5)


@given(st.dictionaries(NAMES, st.tuples(SHAPES, SHAPES, SHAPES)))
def test_reads_what_it_would_write(shapes):
    text = ",".join(f"{name}:{'/'.join('x'.join(map(str, s)) for s in three)}" for name, three in shapes.items())
    assert parse_option(text) == {name: list(three) for name, three in shapes.items()}


def test_three_shapes_make_a_range():
    assert resolve([IMAGE, FIXED], GOOD) == {
        "image": Range(minimum=(1, 3, 8, 8), optimum=(2, 3, 16, 16), maximum=(4, 3, 32, 32))
    }


@pytest.mark.parametrize(
    "shape", [(1, 3, 8, 8), [1, 3, 8, 8], np.array([1, 3, 8, 8]).tolist(), list(np.array([1, 3, 8, 8]))]
)
def test_one_shape_is_all_three(shape):
    assert resolve([IMAGE], {"image": shape})["image"] == Range(
        minimum=(1, 3, 8, 8), optimum=(1, 3, 8, 8), maximum=(1, 3, 8, 8)
    )


def test_a_fixed_input_may_be_given_and_needs_no_range():
    assert resolve([FIXED], {"fixed": [1, 8]}) == {}
    assert resolve([FIXED], None) == {}


def test_a_shape_tensor_is_given_values():
    assert resolve([VALUES], {"values": [[1, 1], [4, -1], [9, 1]]} | {"values": [[1, 1], [4, 1], [9, 1]]}) == {
        "values": Range(minimum=(1, 1), optimum=(4, 1), maximum=(9, 1))
    }


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({**GOOD, "nope": [1]}, "no input 'nope': expected one of image, fixed"),
        (
            {},
            "input 'image' of dimensions batch x 3 x \\? x w has no shape; give one, as --shapes image:1x3x224x224",
        ),
        (
            {"image": [1, 3, 8]},
            "min shape of input 'image' has another number of dimensions: found 1x3x8 \\(3\\), expected 4",
        ),
        ({"image": [1, 4, 8, 8]}, "does not go with the model in dimension 1: found 1x4x8x8, expected batch x 3"),
        ({"image": [-1, 3, 8, 8]}, "does not go with the model in dimension 0"),
        ({"image": [[2, 3, 8, 8], [1, 3, 8, 8], [4, 3, 8, 8]]}, "out of order: found 2x3x8x8/1x3x8x8/4x3x8x8"),
        ({"image": [[1, 3, 8, 8], [8, 3, 8, 8], [4, 3, 8, 8]]}, "out of order"),
        ({"image": [[1, 3, 8, 8], [8, 3, 8, 8]]}, "malformed: found .*expected \\[min, opt, max\\]"),
        ({"image": "1x3x8x8"}, "malformed"),
        ({"image": [[1, 3, 8, 8.5]] * 3}, "malformed"),
        ({**GOOD, "fixed": [2, 8]}, "input 'fixed' does not go with the model in dimension 0"),
    ],
)
def test_refuses_what_does_not_go_with_the_model(given_, message):
    with pytest.raises(ShapeError, match=message):
        resolve([IMAGE, FIXED], given_)


def test_a_missing_shape_tensor_is_told_as_such():
    with pytest.raises(ShapeError, match=r"values of shape input 'values' .* --shapes values:1x1"):
        resolve([VALUES], None)


def test_a_model_without_inputs_takes_no_shapes():
    with pytest.raises(ShapeError, match="it has no inputs"):
        resolve([], {"x": [1]})
