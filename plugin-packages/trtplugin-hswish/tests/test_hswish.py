"""HSwish: the PyTorch op, its ONNX node, the plugin's plain-C face, and its kernel on the CPU and on a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from trtplugin_hswish import hswish

import trtreg
from trtreg.errors import FaceError
from trtreg.sdk.face import TensorSpec
from trtreg.testing import compare, device, export, sanitizer
from trtreg.testing.device import DevicePlugin
from trtreg.testing.host import HostPlugin
from trtreg.testing.sanitizer import Request

if TYPE_CHECKING:
    from trtreg.sdk.face import Face

FLOATS = [getattr(torch, name) for name in compare.FLOATS]


@pytest.fixture(scope="module")
def face() -> Face:
    return device.open_library("trtplugin_hswish")


@pytest.fixture(scope="module")
def on_host() -> HostPlugin:
    return HostPlugin(Path(__file__).parents[1])


@pytest.fixture(scope="module")
def on_device() -> DevicePlugin:
    return DevicePlugin("trtplugin_hswish")


def oracle(x: torch.Tensor, alpha: float, beta: float) -> np.ndarray:
    """Float64, one element after the other, from the definition."""
    values = compare.wide(x)
    result = np.empty_like(values)
    for index, value in np.ndenumerate(values):
        gate = alpha * value + beta
        result[index] = value * min(max(gate, 0.0), 1.0)
    return result


def assert_close(y: torch.Tensor, x: torch.Tensor, alpha: float, beta: float) -> None:
    """Check `y` against the oracle: the result is rounded once, and the gate was computed in float32 before."""
    assert (y.shape, y.dtype, y.device) == (x.shape, x.dtype, x.device)
    size = np.abs(compare.wide(x))
    gate = 4 * 2**-24 * size * (abs(alpha) * size + abs(beta))  # alpha and beta, a product and a sum round
    compare.assert_close(y, oracle(x, alpha, beta), before=gate, context=(alpha, beta))


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


@pytest.mark.parametrize("exporter", export.EXPORTERS)
def test_export_to_engine(exporter: str, tmp_path: Path) -> None:
    export.check(
        Model(),
        {"x": torch.randn(2, 3, 8, 8)},
        tmp_path / "model.onnx",
        exporter,
        op="HSwish",
        domain="trtreg",
        package="trtplugin-hswish",
        attributes={"alpha": 0.25, "beta": 0.5},
        dynamic={"x": [0]},
        profile={"x": [[1, 3, 8, 8], [2, 3, 8, 8], [4, 3, 8, 8]]},
    )


def test_plugin_node_of_tensorrt_pro() -> None:
    # As that framework's recipe exports it: with a weight as second input, which its kernel never read.
    float32 = ("float32", [2, 3])
    info = json.dumps({"alpha": 3.5, "beta": 2.88})
    weight = {"bias": torch.full((3,), 3.15)}
    model = export.model_of("Plugin", {"x": float32}, {"y": float32}, constants=weight, name="HSwish", info=info)
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


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("misalign", [0, 1, 3])
@pytest.mark.parametrize("size", [0, 1, 7, 8, 2049])
def test_kernel_on_host(on_host: HostPlugin, size: int, misalign: int, dtype: torch.dtype) -> None:
    x = (torch.randn(size) * 4).to(dtype)
    (y,) = on_host.run("HSwish", [x], {"alpha": 0.25}, misalign=misalign)
    assert_close(y, x, 0.25, 0.5)


def test_special_values_on_host(on_host: HostPlugin) -> None:
    x = torch.tensor([float("nan"), float("inf"), -float("inf"), -3.0, 3.0, -0.0])
    (y,) = on_host.run("HSwish", [x])
    torch.testing.assert_close(y, torch.nn.functional.hardswish(x), equal_nan=True)


class TestOnDevice:
    pytestmark = device.marks()

    @pytest.mark.parametrize("seed", range(70))
    @pytest.mark.parametrize("dtype", FLOATS)
    def test_kernel(self, dtype: torch.dtype, seed: int) -> None:
        random = np.random.default_rng(seed)
        shape = tuple(random.integers(0, 9, size=random.integers(0, 6)).tolist())
        alpha, beta = random.uniform(-1, 1, size=2).tolist()
        x = (torch.randn(shape, device="cuda") * 4).to(dtype)
        assert_close(hswish(x, alpha, beta), x, alpha, beta)

    @pytest.mark.parametrize("dtype", FLOATS)
    def test_it_writes_every_element_and_no_other(self, on_device: DevicePlugin, dtype: torch.dtype) -> None:
        x = torch.randn(1000, device="cuda").to(dtype)
        (y,) = on_device.run("HSwish", [x])
        assert_close(y, x, 1 / 6, 0.5)
        on_device.check_alignments("HSwish", [x])

    def test_it_is_captured_in_a_graph(self, on_device: DevicePlugin) -> None:
        x = torch.randn(1000, device="cuda")
        (y,) = on_device.replay("HSwish", [torch.randn(1000)], [x])
        assert_close(y, x, 1 / 6, 0.5)

    @pytest.mark.slow
    def test_more_elements_than_32_bits_count(self) -> None:
        device.need_memory(5 * device.LARGE)
        x = torch.empty(device.LARGE, device="cuda", dtype=torch.float16).uniform_(-4, 4)
        y = hswish(x)
        for part in device.windows(device.LARGE):
            assert_close(y[part], x[part], 1 / 6, 0.5)

    @sanitizer.each_tool
    def test_compute_sanitizer_finds_nothing(self, tool: str) -> None:
        sizes = (0, 1, 7, 8, 2049)
        requests = [
            Request(creator="HSwish", inputs=[torch.randn(size).to(dtype)]) for size in sizes for dtype in FLOATS
        ]
        sanitizer.run(device.library_of("trtplugin_hswish"), requests, tool=tool)
