import pytest

from trtreg.attributes import check
from trtreg.manifest import Creator, Field

onnx = pytest.importorskip("onnx")
helper = onnx.helper

CREATOR = Creator(
    name="Foo",
    version="1",
    fields=(
        Field(name="axis", type="int32", length=1),
        Field(name="stride", type="int32", length=2, default=(1, 1)),
        Field(name="strides", type="int32", length=2, alias_of="stride"),
        Field(name="scales", type="float32", length=0, default=()),
        Field(name="mode", type="char", length=0, default="sum"),
    ),
)


def faults(complete=True, creator=CREATOR, **attributes):
    node = helper.make_node("Foo", ["x"], ["y"], **attributes)
    return [(f.attribute, f.kind, f.fatal) for f in check(node, creator, complete=complete)]


@pytest.mark.parametrize(
    "attributes",
    [
        {"axis": 1},
        {"axis": 1.0},  # exporters disagree about it; trtreg's SDK takes whole numbers of any type
        {"axis": [1]},
        {"axis": 1, "stride": [1, 2]},
        {"axis": 1, "stride": 2},  # for all of them
        {"axis": 1, "strides": [1, 2]},
        {"axis": 1, "scales": [1, 2, 3]},
        {"axis": 1, "scales": 0.5, "mode": "max"},
        {"axis": 1, "plugin_version": "1", "plugin_namespace": "x"},
        {"axis": helper.make_tensor("t", onnx.TensorProto.INT64, [1], [1])},
    ],
)
def test_attributes_that_go_with_the_fields(attributes):
    assert faults(**attributes) == []
    assert faults(complete=False, **attributes) == []


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, [("axis", "missing", True)]),
        ({"axis": 1, "stride": 1, "strides": 1}, [("stride", "twice", True)]),
        ({"axis": "x"}, [("axis", "type", True)]),
        ({"axis": ["x", "y"]}, [("axis", "type", True)]),
        ({"axis": 1.5}, [("axis", "value", True)]),
        ({"axis": float("nan")}, [("axis", "value", True)]),
        ({"axis": 1, "mode": 3}, [("mode", "type", True)]),
        ({"axis": 1, "scales": "x"}, [("scales", "type", True)]),
        ({"axis": [1, 2]}, [("axis", "length", True)]),
        ({"axis": 1, "stride": [1, 2, 3]}, [("stride", "length", True)]),
        ({"axis": 1, "strid": 3}, [("strid", "unknown", False)]),
    ],
)
def test_attributes_that_do_not(attributes, expected):
    assert faults(**attributes) == expected


def test_texts_name_what_is_meant():
    node = helper.make_node("Foo", ["x"], ["y"], strid=1, mode=2)
    texts = [str(fault) for fault in check(node, CREATOR, complete=True)]
    assert texts == [
        "attribute 'mode' is a number, and the plugin wants a string (char)",
        "attribute 'strid' is unknown to the plugin, and TensorRT ignores it; did you mean 'stride'?",
        "attribute 'axis' (int32) is missing, and the plugin has no default for it",
    ]


def test_where_defaults_and_lengths_are_not_known():
    assert faults(complete=False) == []
    assert faults(complete=False, stride=[1, 2, 3]) == [("stride", "length", False)]
    assert faults(complete=False, axis="x") == [("axis", "type", True)]
    assert faults(complete=False, strid=1) == [("strid", "unknown", False)]
    # No fields at all: nothing is known of them.
    nothing = Creator(name="Foo", version="1")
    assert faults(complete=False, creator=nothing, anything=1) == []
    assert faults(complete=True, creator=nothing, anything=1) == [("anything", "unknown", False)]


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ('{"axis": 1, "stride": [1, 2]}', []),
        ("{}", [("axis", "missing", True)]),
        ('{"axis": "x"}', [("axis", "type", True)]),
        ('{"axis": 1, "mode": null}', [("mode", "type", True)]),
        ('{"axis": 1, "more": {}}', [("more", "unknown", False)]),
    ],
)
def test_a_plugin_node_carries_them_as_json(info, expected):
    node = helper.make_node("Plugin", ["x"], ["y"], info=info)
    node.attribute.append(helper.make_attribute("name", "Foo"))
    assert [(f.attribute, f.kind, f.fatal) for f in check(node, CREATOR, complete=True)] == expected


def test_the_plugin_itself_refuses_the_same(compile_library):
    """What is called fatal here is what a library made with the SDK refuses; what is let pass, it takes."""
    from trtreg.errors import FaceError
    from trtreg.sdk import derive, toolchain
    from trtreg.sdk.face import Face

    flags = (str(toolchain.find().nvcc.cudart), "-Wl,-z,defs", "-ldl", "-lrt", "-lpthread")
    library = compile_library("probe.cpp", *flags)
    described = derive.derive(library, package="p", version="1", file="p.so", summary="", tensorrt={})
    (creator,) = (each for each in described.library.creators if each.name == "ProbeAttributes")
    face = Face(library)
    cases = [
        {},
        {"axis": 1},
        {"axis": 1.0},
        {"axis": 1.5},
        {"axis": "x"},
        {"axis": [1]},
        {"axis": [1, 2]},
        {"axis": 1, "stride": 3},
        {"axis": 1, "stride": [3, 4]},
        {"axis": 1, "stride": [3, 4, 5]},
        {"axis": 1, "stride": 3, "strides": 3},
        {"axis": 1, "scales": [1, 2, 3]},
        {"axis": 1, "mode": "max"},
        {"axis": 1, "mode": 4},
    ]
    for attributes in cases:
        node = helper.make_node("ProbeAttributes", [], ["y"], **attributes)
        refused = any(fault.fatal for fault in check(node, creator, complete=True))
        try:
            face.create("ProbeAttributes", attributes, version="2", namespace="probe").infer([])
        except FaceError:
            assert refused, attributes
        else:
            assert not refused, attributes
