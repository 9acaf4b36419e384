"""HSwish: the PyTorch op, its ONNX node, the plugin's plain-C face, and its kernel where there is a GPU."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from trtplugin_hswish import hswish

import trtreg
from trtreg.errors import FaceError
from trtreg.sdk.face import Face, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable

FLOATS = [torch.float32, torch.float16, torch.bfloat16]
#: Half a unit in the last place of the result, relative; and the smallest step of the type.
ROUNDING = {torch.float32: (2**-24, 2**-149), torch.float16: (2**-11, 2**-24), torch.bfloat16: (2**-8, 2**-133)}


@pytest.fixture(scope="module")
def face() -> Face:
    folder = Path(importlib.util.find_spec("trtplugin_hswish").origin).parent
    manifest = json.loads((folder / "trtplugin.json").read_text())
    return Face(folder / manifest["library"]["file"])


def oracle(x: torch.Tensor, alpha: float, beta: float) -> np.ndarray:
    """Float64, one element after the other, from the definition."""
    values = x.detach().cpu().to(torch.float64).numpy()
    result = np.empty_like(values)
    for index, value in np.ndenumerate(values):
        gate = alpha * value + beta
        result[index] = value * min(max(gate, 0.0), 1.0)
    return result


def assert_close(y: torch.Tensor, x: torch.Tensor, alpha: float, beta: float) -> None:
    """Check `y` against the oracle: the result is rounded once, and the gate was computed in float32 before."""
    assert (y.shape, y.dtype, y.device) == (x.shape, x.dtype, x.device)
    expected = oracle(x, alpha, beta)
    wide = np.abs(x.detach().cpu().to(torch.float64).numpy())
    relative, step = ROUNDING[x.dtype]
    gate = 4 * 2**-24 * wide * (abs(alpha) * wide + abs(beta))  # alpha and beta, a product and a sum round
    error = np.abs(y.cpu().to(torch.float64).numpy() - expected)
    assert (error <= gate + 1.01 * relative * (np.abs(expected) + gate) + step).all()


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, trtplugin_hswish; sys.exit('torch' in sys.modules or 'tensorrt_rtx' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(), (0,), (7,), (2, 3, 5), (1, 2, 3, 4, 5)])
def test_reference(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = (torch.randn(shape) * 4).to(dtype)
    assert_close(hswish(x), x, 1 / 6, 0.5)
    assert_close(hswish(x, alpha=0.3, beta=-0.2), x, 0.3, -0.2)


def test_defaults_are_pytorchs_hardswish() -> None:
    x = torch.linspace(-5, 5, 1001, dtype=torch.float64)
    torch.testing.assert_close(hswish(x), torch.nn.functional.hardswish(x), rtol=1e-12, atol=1e-12)


def test_special_values() -> None:
    x = torch.tensor([float("nan"), float("inf"), -float("inf"), -3.0, 3.0, -0.0])
    torch.testing.assert_close(hswish(x), torch.nn.functional.hardswish(x), equal_nan=True)


def test_op_is_registered_properly() -> None:
    op = torch.ops.trtplugin_hswish.hswish.default
    torch.library.opcheck(op, (torch.randn(2, 3), 0.2, 0.5), test_utils=("test_schema", "test_faketensor"))


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return hswish(self.conv(x), alpha=0.25)


def export_torchscript(path: Path) -> None:
    axes = {"x": {0: "n"}, "y": {0: "n"}}
    arguments = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": axes}
    torch.onnx.export(Model().eval(), (torch.randn(2, 3, 8, 8),), path, dynamo=False, **arguments)


def export_dynamo(path: Path) -> None:
    shapes = ({0: torch.export.Dim("n")},)
    arguments = {"input_names": ["x"], "output_names": ["y"], "dynamic_shapes": shapes}
    torch.onnx.export(Model().eval(), (torch.randn(2, 3, 8, 8),), path, dynamo=True, verbose=False, **arguments)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the exporters themselves
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("export", [export_torchscript, export_dynamo])
def test_export_to_engine(export: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export(path)
    (node,) = [node for node in onnx.load(path).graph.node if node.op_type == "HSwish"]
    values = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    assert (node.domain, values) == ("trtreg", {"alpha": 0.25, "beta": 0.5})
    engine = trtreg.onnx2trt(path, {"x": [[1, 3, 8, 8], [2, 3, 8, 8], [4, 3, 8, 8]]})
    assert [layer.type for layer in engine.layers].count("PLUGIN_V3") == 1
    assert b"HSwish" in engine.plan


def test_plugin_node_of_tensorrt_pro() -> None:
    # As that framework's recipe exports it: with a weight as second input, which its kernel never read.
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])
    weight = helper.make_tensor("bias", TensorProto.FLOAT, [3], [3.15] * 3)
    info = json.dumps({"alpha": 3.5, "beta": 2.88})
    node = helper.make_node("Plugin", ["x", "bias"], ["y"], name="HSwish_0", domain="custom", info=info)
    node.attribute.append(helper.make_attribute("name", "HSwish"))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("custom", 1)]
    model = helper.make_model(helper.make_graph([node], "g", [x], [y], [weight]), opset_imports=opsets)
    engine = trtreg.onnx2trt(model)
    assert "PLUGIN_V3" in [layer.type for layer in engine.layers]


def test_face_infers_and_refuses(face: Face) -> None:
    plugin = face.create("HSwish", {"alpha": 1})
    x = TensorSpec(type="bfloat16", shape=(2, 0, 3))
    assert plugin.infer([x]) == ((x,), 0)
    assert plugin.infer([x, TensorSpec(type="bfloat16", shape=(3,))])[0] == (x,)
    with pytest.raises(FaceError, match="no signature takes inputs of types"):
        plugin.infer([TensorSpec(type="int32", shape=(2,))])
    with pytest.raises(FaceError, match="attribute 'alpha': found nan"):
        face.create("HSwish", {"alpha": float("nan")})
    with pytest.raises(FaceError, match="unknown attribute 'gamma'"):
        face.create("HSwish", {"gamma": 1.0})


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device")


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("seed", range(70))
@pytest.mark.parametrize("dtype", FLOATS)
def test_kernel(dtype: torch.dtype, seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = tuple(random.integers(0, 9, size=random.integers(0, 6)).tolist())
    alpha, beta = random.uniform(-1, 1, size=2).tolist()
    x = (torch.randn(shape, device="cuda") * 4).to(dtype)
    assert_close(hswish(x, alpha, beta), x, alpha, beta)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("offset", range(9))
def test_kernel_writes_every_element_and_no_other(face: Face, dtype: torch.dtype, offset: int) -> None:
    size = 1000
    x = torch.randn(size + offset, device="cuda").to(dtype)[offset:]
    y = torch.full((size + 64,), float("nan"), device="cuda", dtype=dtype)
    name = str(dtype).removeprefix("torch.")
    source = TensorSpec(type=name, shape=(size,), data=x.data_ptr())
    target = TensorSpec(type=name, shape=(size,), data=y[offset:].data_ptr())
    face.create("HSwish").enqueue([source], [target], stream=torch.cuda.current_stream().cuda_stream)
    assert_close(y[offset : offset + size], x, 1 / 6, 0.5)
    assert y[:offset].isnan().all()
    assert y[offset + size :].isnan().all()


@pytest.mark.gpu
@needs_gpu
def test_kernel_is_captured_in_a_graph() -> None:
    x = torch.randn(1000, device="cuda")
    hswish(x)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = hswish(x)
    x.copy_(torch.randn(1000, device="cuda"))
    graph.replay()
    assert_close(y, x, 1 / 6, 0.5)


@pytest.mark.gpu
@pytest.mark.slow
@needs_gpu
def test_more_elements_than_32_bits_count() -> None:
    size = 2**31 + 9
    x = torch.empty(size, device="cuda", dtype=torch.float16).uniform_(-4, 4)
    y = hswish(x)
    for part in (slice(0, 1000), slice(2**31 - 500, size)):
        assert_close(y[part], x[part], 1 / 6, 0.5)
