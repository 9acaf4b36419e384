"""Activations: the PyTorch ops, their ONNX nodes, the plain-C face, and the kernel on the CPU and on a GPU."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from trtplugin_activation import activation, hsigmoid

import trtreg
from trtreg.errors import FaceError
from trtreg.sdk.face import Face, TensorSpec
from trtreg.testing import compare, device, export, sanitizer
from trtreg.testing.device import DevicePlugin
from trtreg.testing.host import HostPlugin
from trtreg.testing.sanitizer import Request

if TYPE_CHECKING:
    from collections.abc import Callable

OP, PACKAGE = "FancyActivation", "trtplugin-activation"
MAX = float(np.finfo(np.float32).max)


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


#: Name -> one number in float64, default parameters (of which None has no meaning).
Oracle = tuple["Callable[[float, float, float], float]", float | None, float | None]
ORACLES: dict[str, Oracle] = {
    "leaky_relu": (lambda x, a, _: max(x, 0) + a * min(x, 0), 0.01, None),
    "elu": (lambda x, a, _: x if x >= 0 else a * math.expm1(x), 1, None),
    "selu": (lambda x, a, b: b * (x if x > 0 else a * math.expm1(x)), 1.67326319217681884765625, 1.05070102214813232),
    "softplus": (lambda x, _a, _b: softplus(x), None, None),
    "softsign": (lambda x, _a, _b: x / (1 + abs(x)), None, None),
    "hard_sigmoid": (lambda x, a, b: max(0.0, min(1.0, a * x + b)), 0.2, 0.5),
    "hard_tanh": (lambda x, a, b: max(a, min(b, x)), -1, 1),
    "clip": (lambda x, a, b: max(a, min(b, x)), -MAX, MAX),
    "floor": (lambda x, _a, _b: float(math.floor(x)), None, None),
    "ceil": (lambda x, _a, _b: float(math.ceil(x)), None, None),
    "thresholded_relu": (lambda x, a, _: x if x > a else 0.0, 1, None),
    "celu": (lambda x, a, _: max(0.0, x) + min(0.0, a * math.expm1(x / a)), 1, None),
    "hard_swish": (lambda x, a, b: x * max(0.0, min(1.0, a * x + b)), 1 / 6, 0.5),
    "swish": (lambda x, a, _: x * sigmoid(a * x), 1, None),
    "silu": (lambda x, a, _: x * sigmoid(a * x), 1, None),
    "mish": (lambda x, _a, _b: x * math.tanh(softplus(x)), None, None),
    "gelu": (lambda x, _a, _b: x * math.erfc(-x / math.sqrt(2)) / 2, None, None),
    "gelu_tanh": (
        lambda x, _a, _b: x * sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)),
        *(None, None),
    ),
}


def assert_close(
    y: torch.Tensor, x: torch.Tensor, name: str, alpha: float | None = None, beta: float | None = None
) -> None:
    """Check against one number after the other in float64; a few roundings in float32 come before the result's own."""
    assert (y.shape, y.dtype, y.device) == (x.shape, x.dtype, x.device)
    function, *defaults = ORACLES[name]
    a, b = (
        (default or 0.0) if given is None else given for given, default in zip((alpha, beta), defaults, strict=True)
    )
    values = compare.wide(x)
    expected = np.array([function(each, a, b) for each in values.flat]).reshape(values.shape)
    exact = name in {"floor", "ceil", "clip", "hard_tanh", "thresholded_relu"}
    size = np.abs(values)
    slope, offset = (abs(a) * size, abs(b)) if abs(a) < MAX else (0, 0)
    before = 0 if exact else 2.0**-20 * (np.abs(expected) + (1 + size) * np.minimum(slope + offset, 1) + size * 2.0**-4)
    compare.assert_close(y, expected, before=before, context=(name, alpha, beta))


def parameters(random: np.random.Generator, name: str) -> dict[str, float]:
    """Random ones where the activation has them, some of the time."""
    _, a, b = ORACLES[name]
    if a is None or random.uniform() < 0.3:
        return {}
    low, high = sorted(np.float32(random.uniform(0.1, 2, size=2)).tolist())
    if name in {"clip", "hard_tanh"}:
        return {"alpha": -high, "beta": low}
    return {"alpha": low} | ({} if b is None else {"beta": high})


@pytest.fixture(scope="module")
def face() -> Face:
    return device.open_library("trtplugin_activation")


@pytest.fixture(scope="module")
def on_host() -> HostPlugin:
    return HostPlugin(Path(__file__).parents[1])


@pytest.fixture(scope="module")
def on_device() -> DevicePlugin:
    return DevicePlugin("trtplugin_activation")


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, trtplugin_activation; sys.exit('torch' in sys.modules or 'tensorrt_rtx' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("dtype", compare.FLOATS)
@pytest.mark.parametrize("name", ORACLES)
def test_reference(name: str, dtype: str) -> None:
    random = np.random.default_rng(0)
    for shape in [(), (0,), (2, 3, 5), (1, 200)]:
        x = torch.from_numpy(np.asarray(random.standard_normal(shape) * 4)).to(getattr(torch, dtype))
        given = parameters(random, name)
        assert_close(activation(x, name, **given), x, name, **given)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("LeakyRelu", torch.nn.functional.leaky_relu),
        ("elu", torch.nn.functional.elu),
        ("SELU", torch.nn.functional.selu),
        ("softplus", torch.nn.functional.softplus),
        ("Softsign", torch.nn.functional.softsign),
        ("HARD_TANH", torch.nn.functional.hardtanh),
        ("celu", torch.nn.functional.celu),
        ("hard-swish", torch.nn.functional.hardswish),
        ("SiLU", torch.nn.functional.silu),
        ("mish", torch.nn.functional.mish),
        ("gelu", torch.nn.functional.gelu),
    ],
)
def test_defaults_are_pytorchs(name: str, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    x = torch.linspace(-15, 15, 1001, dtype=torch.float64)
    torch.testing.assert_close(activation(x, name), function(x), rtol=1e-7, atol=1e-8)


def test_hsigmoid_is_pytorchs() -> None:
    x = torch.linspace(-5, 5, 1001, dtype=torch.float64)
    torch.testing.assert_close(hsigmoid(x), torch.nn.functional.hardsigmoid(x))
    torch.testing.assert_close(hsigmoid(x, 0.2, 0.4), (0.2 * x + 0.4).clamp(0, 1))


def test_ops_are_registered_properly() -> None:
    ops, checks = torch.ops.trtplugin_activation, ("test_schema", "test_faketensor")
    torch.library.opcheck(ops.activation.default, (torch.randn(2, 3), "elu", 1.0, 0.0), test_utils=checks)
    torch.library.opcheck(ops.hsigmoid.default, (torch.randn(2, 3), 0.2, 0.5), test_utils=checks)


class Fancy(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return activation(x * 2, "ThresholdedRelu", 0.75)


class Hard(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return hsigmoid(x * 2, 0.25)


DYNAMIC = {"x": [0]}
PROFILE = {"x": [[1, 3], [2, 3], [4, 3]]}


@pytest.mark.parametrize("exporter", export.EXPORTERS)
def test_export_to_engine(exporter: str, tmp_path: Path) -> None:
    export.check(
        Fancy(),
        {"x": torch.randn(2, 3)},
        tmp_path / "model.onnx",
        exporter,
        op=OP,
        domain="trtreg",
        package=PACKAGE,
        attributes={"activation": "thresholdedrelu", "alpha": 0.75, "beta": 0.0},
        dynamic=DYNAMIC,
        profile=PROFILE,
    )


@pytest.mark.parametrize("exporter", export.EXPORTERS)
def test_export_of_hsigmoid(exporter: str, tmp_path: Path) -> None:
    export.check(
        Hard(),
        {"x": torch.randn(2, 3)},
        tmp_path / "model.onnx",
        exporter,
        op="HSigmoid",
        domain="trtreg",
        package=PACKAGE,
        attributes={"alpha": 0.25, "beta": 0.5},
        dynamic=DYNAMIC,
        profile=PROFILE,
    )


def test_plugin_node_of_tensorrt_pro() -> None:
    tensor = ("float16", [2, 3])
    model = export.model_of("Plugin", {"x": tensor}, {"y": tensor}, name="HSigmoid", info=json.dumps({}))
    assert "PLUGIN_V3" in [layer.type for layer in trtreg.onnx2trt(model).layers]


@pytest.mark.parametrize("spelling", ["activation", "activation_type", "type"])
def test_spellings(spelling: str, face: Face) -> None:
    tensor = ("bfloat16", [2, 3])
    attributes = {spelling: "CLIP", "min": -1.0, "max": 2.0}
    export.build(export.model_of(OP, {"x": tensor}, {"y": tensor}, **attributes), op=OP, package=PACKAGE)
    x = TensorSpec(type="bfloat16", shape=(2, 0, 3))
    assert face.create(OP, attributes).infer([x]) == ((x,), 0)
    assert face.create(OP, {spelling: "Selu", "alpha": 1, "gamma": 2}).infer([x])[0] == (x,)


def test_refused(face: Face) -> None:
    x = TensorSpec(type="float32", shape=(2,))
    with pytest.raises(FaceError, match="'activation' is missing"):
        face.create(OP)
    with pytest.raises(FaceError, match="found 'relu7', expected one of leakyrelu, elu"):
        face.create(OP, {"activation": "relu7"}).infer([x])
    with pytest.raises(FaceError, match="unknown activation"):
        activation(torch.ones(1), "relu7")
    with pytest.raises(FaceError, match="lower bound"):
        face.create(OP, {"activation": "clip", "min": 2.0, "max": 1.0}).infer([x])
    with pytest.raises(FaceError, match="lower bound"):
        activation(torch.ones(1), "clip", 2, 1)
    with pytest.raises(FaceError, match="attribute 'alpha': found nan"):
        face.create(OP, {"activation": "elu", "alpha": math.nan})
    with pytest.raises(FaceError, match="'beta': found 2 numbers"):
        face.create(OP, {"activation": "elu", "beta": [1.0, 2.0]}).infer([x])
    with pytest.raises(FaceError, match="no signature takes"):
        face.create("HSigmoid").infer([TensorSpec(type="int32", shape=(2,))])


# --------------------------------------------------------------------------------------------------------- the kernel
@pytest.mark.parametrize("dtype", compare.FLOATS)
@pytest.mark.parametrize("name", ORACLES)
def test_kernel_on_host(on_host: HostPlugin, name: str, dtype: str) -> None:
    random = np.random.default_rng(1)
    for size, misalign in ((0, 0), (7, 0), (2049, 1), (1000, 0)):
        x = torch.from_numpy(random.standard_normal(size) * 4).to(getattr(torch, dtype))
        given = parameters(random, name)
        (y,) = on_host.run(OP, [x], {"activation": name} | given, misalign=misalign)
        assert_close(y, x, name, **given)


def check_special(plugin: HostPlugin | DevicePlugin, where: str) -> None:
    x = torch.tensor([math.nan, math.inf, -math.inf, 100.0, -100.0], device=where)
    for name in ORACLES:
        (y,) = plugin.run(OP, [x], {"activation": name})
        assert y[0].isnan(), name
        assert y[1].isnan() == (name == "softsign"), name  # inf / inf
        assert not y[3:].isnan().any(), name
        torch.testing.assert_close(y, activation(x.cpu(), name).to(where), equal_nan=True)


def test_special_values_on_host(on_host: HostPlugin) -> None:
    check_special(on_host, "cpu")


def test_hsigmoid_on_host(on_host: HostPlugin) -> None:
    x = torch.linspace(-5, 5, 101)
    for inputs in ([x], [x, torch.ones(3)]):
        (y,) = on_host.run("HSigmoid", inputs)
        torch.testing.assert_close(y, torch.nn.functional.hardsigmoid(x))


class TestOnDevice:
    pytestmark = device.marks()

    @pytest.mark.parametrize("seed", range(13))
    @pytest.mark.parametrize("name", ORACLES)
    def test_kernel(self, on_device: DevicePlugin, name: str, seed: int) -> None:
        random = np.random.default_rng([seed, *name.encode()])
        shape = random.integers(0, 9, size=random.integers(0, 6)).tolist()
        dtype = getattr(torch, compare.FLOATS[seed % 3])
        x = torch.from_numpy(np.asarray(random.standard_normal(shape) * 4)).to("cuda", dtype)
        given = parameters(random, name)
        assert_close(activation(x, name, **given), x, name, **given)
        (y,) = on_device.run(OP, [x], {"activation": name} | given, misalign=seed % 4)
        assert_close(y, x, name, **given)

    def test_special_values(self, on_device: DevicePlugin) -> None:
        check_special(on_device, "cuda")

    @pytest.mark.parametrize("dtype", compare.FLOATS)
    def test_alignments(self, on_device: DevicePlugin, dtype: str) -> None:
        x = torch.randn(1000, device="cuda").to(getattr(torch, dtype))
        on_device.check_alignments(OP, [x], {"activation": "elu"})
        on_device.check_alignments("HSigmoid", [x])

    def test_it_is_captured_in_a_graph(self, on_device: DevicePlugin) -> None:
        inputs, others = ([torch.randn(1000)] for _ in range(2))
        (y,) = on_device.replay(OP, inputs, others, {"activation": "elu"})
        assert_close(y.cpu(), others[0], "elu")

    @pytest.mark.slow
    def test_more_elements_than_32_bits_count(self) -> None:
        device.need_memory(5 * device.LARGE)
        x = torch.empty(device.LARGE, device="cuda", dtype=torch.float16).uniform_(-4, 4)
        y = activation(x, "leaky_relu")
        for part in device.windows(device.LARGE):
            assert_close(y[part], x[part], "leaky_relu")

    @sanitizer.each_tool
    def test_compute_sanitizer_finds_nothing(self, tool: str) -> None:
        random = np.random.default_rng(0)
        requests = [
            Request(
                creator=OP,
                inputs=[torch.randn(size).to(getattr(torch, compare.FLOATS[index % 3]))],
                attributes={"activation": name} | parameters(random, name),
            )
            for index, name in enumerate(ORACLES)
            for size in (7, 2049)
        ]
        sanitizer.run(device.library_of("trtplugin_activation"), requests, tool=tool)
