import json

import onnx
import pytest
from onnx import AttributeProto as A
from onnx import helper

from trtreg import plugin_nodes
from trtreg.errors import ModelError
from trtreg.manifest import Creator, Field

FIELDS = {"real": "float32", "reals": "float32", "whole": "int32", "wholes": "int64", "text": "char", "shape": "dims"}
CREATOR = Creator(
    name="Op", version="1", fields=tuple(Field(name=name, type=kind, default=()) for name, kind in FIELDS.items())
)


def node(info=None, **attributes):
    """Make a node; `helper.make_node` takes `name` for itself."""
    made = helper.make_node("Plugin", ["x", "w"], ["y"], name="n", domain="d")
    if info is not None:
        attributes["info"] = info if isinstance(info, str) else json.dumps(info)
    made.attribute.extend(helper.make_attribute(key, value) for key, value in {"name": "Op", **attributes}.items())
    return made


def attributes(made):
    return {a.name: (a.type, helper.get_attribute_value(a)) for a in made.attribute}


@pytest.mark.parametrize(
    ("info", "creator", "kind", "value"),
    [
        ({"real": 1}, CREATOR, A.FLOAT, 1.0),
        ({"real": True}, CREATOR, A.FLOAT, 1.0),
        ({"reals": [1, 2.5]}, CREATOR, A.FLOATS, [1.0, 2.5]),
        ({"reals": []}, CREATOR, A.FLOATS, []),
        ({"whole": 2.0}, CREATOR, A.INT, 2),
        ({"whole": True}, CREATOR, A.INT, 1),
        ({"wholes": [1, 2.0]}, CREATOR, A.INTS, [1, 2]),
        ({"wholes": -(2**63)}, CREATOR, A.INT, -(2**63)),
        ({"shape": 3}, CREATOR, A.INTS, [3]),
        ({"text": "abc"}, CREATOR, A.STRING, b"abc"),
        # What no creator declares follows the JSON.
        ({"other": 1}, CREATOR, A.INT, 1),
        ({"other": 1.5}, None, A.FLOAT, 1.5),
        ({"other": [1, 2]}, None, A.INTS, [1, 2]),
        ({"other": [1, 2.5]}, None, A.FLOATS, [1.0, 2.5]),
        ({"other": "abc"}, None, A.STRING, b"abc"),
        ({"other": ["a", "b"]}, None, A.STRINGS, [b"a", b"b"]),
    ],
)
def test_values_become_attributes_of_the_declared_type(info, creator, kind, value):
    (key,) = info
    assert attributes(plugin_nodes.translate(node(info), creator)) == {key: (kind, value)}


def test_the_named_op_keeps_name_tensors_and_other_attributes():
    source = node({"real": 2, "own": 3}, plugin_version="2", own=7)
    before = source.SerializeToString()
    made = plugin_nodes.translate(source, CREATOR)
    assert (made.op_type, made.domain, made.name, [*made.input], [*made.output]) == ("Op", "", "n", ["x", "w"], ["y"])
    assert attributes(made) == {"plugin_version": (A.STRING, b"2"), "real": (A.FLOAT, 2.0), "own": (A.INT, 3)}
    assert source.SerializeToString() == before


@pytest.mark.parametrize("info", [None, "", "  "])
def test_no_info_gives_no_attributes(info):
    assert attributes(plugin_nodes.translate(node(info), CREATOR)) == {}


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ("{bad", "not JSON: found {bad .*expected a JSON object"),
        ("plain words " * 20, r"not JSON: found plain words.*\.\.\. \("),
        ("[1]", "of another kind: found a JSON list"),
        ("null", "of another kind: found a JSON null"),
        ("3", "of another kind: found a JSON number"),
    ],
)
def test_bad_json_is_refused(info, message):
    with pytest.raises(ModelError, match=message) as caught:
        plugin_nodes.read_info(node(info))
    assert "Plugin node 'n' (Op)" in str(caught.value)


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"other": None}, r"info\['other'\] cannot become an attribute: found a JSON null"),
        ({"other": {"a": 1}}, "found a JSON object"),
        ({"other": [[1]]}, "found a JSON list"),
        ({"other": [1, "a"]}, "found a JSON string"),
        ({"other": 2**63}, "expected a whole number of 64 bits"),
        ({"real": "1"}, r"info\['real'\] does not go .* found \"1\", expected a number"),
        ({"whole": 1.5}, "found 1.5, expected a whole number"),
        ({"whole": float("inf")}, "expected a whole number"),
        ({"wholes": [1, None]}, "expected a whole number"),
        ({"text": 5}, "expected a string"),
    ],
)
def test_values_that_do_not_fit_are_refused(info, message):
    with pytest.raises(ModelError, match=message):
        plugin_nodes.translate(node(info), CREATOR)


def test_only_plugin_nodes_with_a_string_name_name_an_op():
    assert plugin_nodes.named_op(node()) == "Op"
    assert plugin_nodes.named_op(node(name=3)) is None
    assert plugin_nodes.named_op(node(name="")) is None
    assert plugin_nodes.named_op(onnx.helper.make_node("Relu", ["x"], ["y"])) is None
