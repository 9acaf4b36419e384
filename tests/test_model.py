import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from trtreg import model
from trtreg.errors import ModelError

PLAIN = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[b,4] x) => (float[b,4] y) { y = Relu (x) }
"""


def parse(text):
    return onnx.parser.parse_model(text)


def ops(proto, natives=()):
    placed = model.walk(model.read(proto), set(natives).__contains__)
    return [(p.node.op_type, p.where) for p in placed]


def squeezed(text):
    return " ".join(text.split())


@pytest.fixture
def data():
    return parse(PLAIN).SerializeToString()


def test_reads_a_path_bytes_and_a_proto(tmp_path, data):
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    assert model.read(path).path == path
    assert model.read(str(path)).label == str(path)
    protos = [model.read(source).proto for source in (path, data, bytearray(data), parse(PLAIN))]
    assert all(proto == parse(PLAIN) for proto in protos)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello, this is text", "is no ONNX model, or is truncated"),
        (b"\x08\x08", "without an operator set or a graph"),
    ],
)
def test_refuses_what_is_no_model(tmp_path, content, message):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    for source in (path, content):
        with pytest.raises(ModelError, match=message):
            model.read(source)


def test_refuses_every_truncation(data):
    for length in range(len(data)):
        with pytest.raises(ModelError):
            model.read(data[:length])


def test_refuses_a_missing_file_and_a_directory(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        model.read(tmp_path / "absent.onnx")
    with pytest.raises(ModelError, match="is a directory"):
        model.read(tmp_path)


def test_external_data_is_not_read(tmp_path):
    proto = parse(PLAIN)
    proto.graph.initializer.append(numpy_helper.from_array(np.ones(1000, np.float32), "w"))
    path = tmp_path / "m.onnx"
    onnx.save_model(proto, path, save_as_external_data=True, location="w.data", size_threshold=0)
    (tmp_path / "w.data").unlink()
    assert not model.read(path).proto.graph.initializer[0].raw_data
    assert "w = {}" in squeezed(model.to_text(model.read(path)))


def test_walks_into_subgraphs():
    proto = parse("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (bool c, float[4] x) => (float[4] y) {
            [pick] y = If (c) <
                then_branch = t () => (float[4] a) { a = Foo (x) },
                else_branch = e () => (float[4] b) { b = Relu (x) }
            >
        }""")
    assert sorted(ops(proto)) == [
        ("Foo", ("If 'pick'.then_branch",)),
        ("If", ()),
        ("Relu", ("If 'pick'.else_branch",)),
    ]


FUNCTIONS = """
<ir_version: 8, opset_import: ["" : 17, "f" : 1, "other" : 1]>
g (float[4] x) => (float[4] y) { a = f.Outer (x) b = other.Outer (a) y = f.Relu (b) }
<opset_import: ["" : 17, "f" : 1], domain: "f"> Outer (x) => (y) { y = f.Inner (x) }
<opset_import: ["" : 17], domain: "f"> Inner (x) => (y) { y = Foo (x) }
<opset_import: ["" : 17], domain: "f"> Unused (x) => (y) { y = Bar (x) }
<opset_import: ["" : 17], domain: "f"> Relu (x) => (y) { y = Baz (x) }
"""


def test_walks_into_called_functions_once_and_natives_are_no_calls():
    assert ops(parse(FUNCTIONS), natives=["Relu"]) == [
        ("Foo", ("function Outer", "function Inner")),
        ("Relu", ()),
    ]


def test_a_function_that_calls_itself_ends():
    proto = parse("""
        <ir_version: 8, opset_import: ["" : 17, "f" : 1]>
        g (float[4] x) => (float[4] y) { y = f.Again (x) }
        <opset_import: ["" : 17, "f" : 1], domain: "f"> Again (x) => (y) { z = f.Again (x) y = Foo (z) }""")
    assert ops(proto) == [("Foo", ("function Again",))]


def test_the_text_has_small_values_and_no_weights():
    proto = parse(PLAIN)
    proto.graph.initializer.append(numpy_helper.from_array(np.full(17, 7.25, np.float32), "weight"))
    proto.graph.initializer.append(onnx.helper.make_tensor("unpacked", onnx.TensorProto.FLOAT, [17], [7.25] * 17))
    proto.graph.initializer.append(numpy_helper.from_array(np.array([3, -1]), "shape"))
    before = proto.SerializeToString()
    text = squeezed(model.to_text(model.read(proto)))
    assert "float[17] weight = {}, float[17] unpacked = {}, int64[2] shape = {3,-1}" in text
    assert "7.25" not in text
    assert "y = Relu (x)" in text
    assert proto.SerializeToString() == before


def test_the_text_has_no_weights_in_constants_subgraphs_and_functions():
    proto = parse("""
        <ir_version: 8, opset_import: ["" : 17, "f" : 1]>
        g (bool c) => (float[20] y) { y = If (c) <
            then_branch = t () => (float[20] a) { a = Constant () }, else_branch = e () => (float[20] b) { b = f.F () }
        > }
        <opset_import: ["" : 17], domain: "f"> F () => (y) { y = Constant () }""")
    weight = onnx.helper.make_attribute("value", numpy_helper.from_array(np.full(20, 7.25, np.float32)))
    branch = next(a.g for a in proto.graph.node[0].attribute if a.name == "then_branch")
    branch.node[0].attribute.append(weight)
    proto.functions[0].node[0].attribute.append(weight)
    assert "7.25" in onnx.printer.to_text(proto)
    assert "7.25" not in model.to_text(model.read(proto))
