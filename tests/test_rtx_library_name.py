"""The name that TensorRT-RTX's parser asks for: without the mend each of these interpreters would be aborted."""

import ctypes
import io
import os

import pytest

from trtreg import _elf, _rtx_library_name, flavour

IDENTITY = "TrtregTestIdentity"

PARSE = """
import sys
model, library = sys.argv[1:]
def parse(trt):
    registry = trt.get_plugin_registry()
    handle = registry.load_library(library)
    assert handle is not None
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(open(model, "rb").read()), parser.get_error(0).desc()
    assert network.get_layer(0).type == trt.LayerType.PLUGIN_V3, network.get_layer(0).type
    engine = builder.build_serialized_network(network, builder.create_builder_config())
    print("built", engine.nbytes > 0)
"""

MEND = "from trtreg import flavour; trt = flavour.load(); "

ORDERS = {
    "trtreg first": MEND + "parse(trt)",
    "tensorrt_rtx first": "import tensorrt_rtx; " + MEND + "assert trt is tensorrt_rtx; parse(trt)",
    "after a builder": "import tensorrt_rtx as t; kept = t.Builder(t.Logger(t.Logger.ERROR)); " + MEND + "parse(trt)",
    "twice": MEND + "from trtreg import _rtx_library_name; _rtx_library_name.provide(); parse(trt)",
    "in a thread": MEND + "import threading; t = threading.Thread(target=parse, args=(trt,)); t.start(); t.join()",
    "no memfd": "import os; os.memfd_create = lambda *_: os.stat('/nowhere'); " + MEND + "parse(trt)",
}

REFUSED = """
from trtreg import _rtx_library_name, flavour
from trtreg.errors import TensorRTUnusableError
_rtx_library_name.alias_library = lambda *_: b"nonsense"
try:
    flavour.load()
except TensorRTUnusableError as error:
    print(error)
"""


@pytest.fixture(autouse=True)
def _rtx_only():
    if flavour.select().flavour is not flavour.Flavour.RTX:
        pytest.skip("TensorRT-RTX is not the TensorRT in use")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    onnx = pytest.importorskip("onnx")
    tensors = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3]) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node(IDENTITY, ["x"], ["y"])], "g", tensors[:1], tensors[1:])
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    opset = onnx.helper.make_opsetid("", 17)
    path.write_bytes(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=9).SerializeToString())
    return path


@pytest.mark.parametrize("order", ORDERS)
def test_a_model_with_a_plugin_node_parses_and_builds(run_python, model, identity_library, order):
    result = run_python(PARSE + ORDERS[order], str(model), str(identity_library))
    assert (result.returncode, result.stdout.splitlines()[-1:]) == (0, ["built True"]), result.stderr


def test_where_it_cannot_be_mended_it_is_refused_with_the_remedy(run_python):
    result = run_python(REFUSED)
    assert result.returncode == 0, result.stderr
    assert "LD_LIBRARY_PATH" in result.stdout
    assert "libtensorrt_rtx.so.1" in result.stdout


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_alias_is_a_sound_library_for_either_machine(machine):
    facts = _elf.read(io.BytesIO(_rtx_library_name.alias_library("liba.so", "libb.so.1", machine)))
    assert (facts.machine, facts.soname, facts.needed) == (machine, "liba.so", ("libb.so.1",))
    assert facts.is_shared
    assert facts.exports == frozenset()


def test_symbols_are_found_through_the_alias(tmp_path):
    path = tmp_path / "any name"
    path.write_bytes(_rtx_library_name.alias_library("libtrtreg-alias.so", "libm.so.6", os.uname().machine))
    kept = ctypes.CDLL(str(path))
    alias = ctypes.CDLL("libtrtreg-alias.so")  # not on any search path
    alias.cos.restype, alias.cos.argtypes = ctypes.c_double, [ctypes.c_double]
    assert alias.cos(0.0) == 1.0
    assert kept._handle == alias._handle
