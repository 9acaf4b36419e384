import re

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from trtreg import _skeleton, model
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


def field(number, content, *, sparse=0):
    """A field of bytes; of `sparse` ones more, only the length stands in the header."""
    return _skeleton._encoded(number << 3 | 2) + _skeleton._encoded(len(content) + sparse) + content


@pytest.fixture
def weighty(tmp_path):
    """Write a file of a model with 3 GB of weights, which the disk need not hold."""
    size = 3 * 10**9
    proto = parse(PLAIN)
    tensor = onnx.TensorProto(name="w", dims=[size // 4], data_type=onnx.TensorProto.FLOAT).SerializeToString()
    header = field(5, tensor + field(9, b"", sparse=size), sparse=size)
    graph = proto.graph.SerializeToString()
    proto.ClearField("graph")
    path = tmp_path / "m.onnx"
    with path.open("wb") as file:
        file.write(proto.SerializeToString() + field(7, graph + header, sparse=size))
        file.truncate(file.tell() + size)
    return path


def test_weights_in_a_large_file_are_skipped(weighty, run_python):
    code = """
import sys
from pathlib import Path
from trtreg import _skeleton, model
import onnx
def read():
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(lines[0].split()[1])
before = read()
found = model.read(sys.argv[1], weights=False).proto
print(found.graph.initializer[0].name, [node.op_type for node in found.graph.node], read() - before < 1_000_000)
"""
    done = run_python(code, str(weighty))
    assert done.stdout == "w ['Relu'] True\n", done.stderr


def test_all_but_the_weights_of_a_large_file_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(model, "_LARGE", 0)
    text = """
    <ir_version: 8, opset_import: ["" : 17, "own" : 1], producer_name: "p">
    g (float[b,4] x, bool c) => (float[b,4] y) {
        k = Constant <value_floats = [1.0, 2.0]> ()
        y = If (c) <then_branch = t () => (float[b,4] z) { z = F (x) }, else_branch = e () => (float[b,4] v) { v = Relu (x) }>
    }
    <domain: "own", opset_import: ["" : 17]> F (a) => (b) { b = Relu (a) }
    """  # noqa: E501
    proto = parse(text)
    branch = proto.graph.node[1].attribute[0].g
    small = numpy_helper.from_array(np.arange(9, dtype=np.float32), "small")
    for graph in (proto.graph, branch):
        graph.initializer.append(numpy_helper.from_array(np.ones(100_000, np.float32), "large"))
        graph.initializer.append(small)
        graph.initializer.append(onnx.helper.make_tensor("floats", onnx.TensorProto.FLOAT, [50_000], np.ones(50_000)))
        values = numpy_helper.from_array(np.ones(40_000, np.float32), "sparse")
        indices = numpy_helper.from_array(np.arange(40_000), "indices")
        graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, indices, [80_000]))
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    found = model.read(path, weights=False).proto
    assert found.ByteSize() < 10_000 < proto.ByteSize()
    assert model.read(path).proto == proto
    for graph in (proto.graph, branch):
        for tensor in (*graph.initializer, graph.sparse_initializer[0].values, graph.sparse_initializer[0].indices):
            if tensor.name != "small":
                tensor.ClearField("raw_data")
                tensor.ClearField("float_data")
    assert found == proto


def test_truncated_and_changed_files_are_refused_as_without_skipping(tmp_path, monkeypatch):
    monkeypatch.setattr(model, "_LARGE", 0)
    proto = parse(PLAIN)
    proto.graph.initializer.append(numpy_helper.from_array(np.ones(20_000, np.float32), "large"))
    data = proto.SerializeToString()
    path = tmp_path / "m.onnx"

    def outcome(content, **how):
        path.write_bytes(content)
        try:
            return model.read(path, **how).proto.graph.node
        except ModelError as error:
            return re.sub(r"found \d+ bytes", "found some", str(error))  # without the weights, fewer

    for length in (*range(120), len(data) - 70_000, len(data) - 1):
        assert outcome(data[:length], weights=False) == outcome(data[:length])
        changed = data[:length] + b"\xff" + data[length + 1 :]
        assert outcome(changed, weights=False) == outcome(changed)
