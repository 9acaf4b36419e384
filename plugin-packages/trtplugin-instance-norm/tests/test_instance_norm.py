"""Instance normalization: the PyTorch op, its ONNX node, the plain-C face, and the kernels on the CPU and on a GPU."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from onnx.reference import ReferenceEvaluator
from torch._subclasses.fake_tensor import FakeTensorMode
from trtplugin_instance_norm import instance_norm

from trtreg.errors import FaceError, ShapeError
from trtreg.sdk.face import TensorSpec
from trtreg.testing import compare, device, export, sanitizer
from trtreg.testing.device import DevicePlugin
from trtreg.testing.host import HostPlugin
from trtreg.testing.sanitizer import Request

if TYPE_CHECKING:
    from trtreg.sdk.face import Face

OP = "MMCVInstanceNormalization"


@pytest.fixture(scope="module")
def face() -> Face:
    return device.open_library("trtplugin_instance_norm")


@pytest.fixture(scope="module")
def on_host() -> HostPlugin:
    return HostPlugin(Path(__file__).parents[1])


@pytest.fixture(scope="module")
def on_device() -> DevicePlugin:
    return DevicePlugin("trtplugin_instance_norm")


def inputs_of(
    random: np.random.Generator, shape: tuple[int, ...], dtype: str, *, floats: bool = False, mean: float = 0.0
) -> list[torch.Tensor]:
    to = getattr(torch, dtype)
    x = torch.from_numpy(random.standard_normal(shape) * random.uniform(0.1, 3) + mean).to(to)
    line = [torch.from_numpy(random.standard_normal(shape[1])).to(torch.float32 if floats else to) for _ in range(2)]
    return [x, *line]


def random_inputs(random: np.random.Generator, dtype: str, *, largest: int) -> list[torch.Tensor]:
    rank = int(random.integers(0, 4))
    spatial = random.integers(1, largest ** (2 / max(rank, 1)) + 1, rank).tolist()
    if random.uniform() < 0.5 and rank:
        spatial[-1] = -(-spatial[-1] // 8) * 8  # 16 bytes at once
    shape = (int(random.integers(0, 4)), int(random.integers(1, 6)), *spatial)
    return inputs_of(random, shape, dtype, floats=random.uniform() < 0.5, mean=float(random.choice([0, 0, 10, -100])))


def check(inputs: list[torch.Tensor], y: torch.Tensor, epsilon: float = 1e-5) -> None:
    """Check `y` against the definition in float64."""
    x, scale, bias = (compare.wide(each) for each in inputs)
    assert (y.shape, y.dtype) == (inputs[0].shape, inputs[0].dtype)
    flat = x.reshape(*x.shape[:2], int(np.prod(x.shape[2:])))
    if flat.size == 0:
        return
    scale, bias = scale[:, None], bias[:, None]
    mean, factor = flat.mean(2, keepdims=True), 1 / np.sqrt(flat.var(2, keepdims=True) + epsilon)
    expected = (flat - mean) * factor * scale + bias
    # A mean of float32 is off by some roundings of the values; the variance, the factor and the line add as many.
    size = np.abs(flat) + np.abs(flat).mean(2, keepdims=True)
    error = size * factor * np.abs(scale)
    relative = 1 + np.abs(flat).mean(2, keepdims=True) * factor
    before = 2.0**-21 * (error * (1 + relative * 2.0**-8) + np.abs(bias))
    compare.assert_close(y.reshape(flat.shape), expected, before=before, context=(tuple(x.shape), epsilon))


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, trtplugin_instance_norm; sys.exit('torch' in sys.modules or 'tensorrt_rtx' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------------------------------------------------ the reference
@pytest.mark.parametrize("seed", range(60))
def test_reference(seed: int) -> None:
    random = np.random.default_rng(seed)
    inputs = random_inputs(random, compare.FLOATS[seed % 3], largest=20)
    epsilon = float(random.choice([1e-5, 1e-3, 1.0]))
    check(inputs, instance_norm(*inputs, epsilon), epsilon)


@pytest.mark.parametrize("shape", [(2, 3, 7), (2, 3, 4, 5), (1, 2, 3, 4, 5)])
def test_reference_is_pytorchs_and_onnxs(shape: tuple[int, ...]) -> None:
    inputs = inputs_of(np.random.default_rng(0), shape, "float32")
    y = instance_norm(*inputs)
    expected = torch.nn.functional.instance_norm(inputs[0], weight=inputs[1], bias=inputs[2])
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    names = ["x", "scale", "bias"]
    kinds = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in [*names, "y"]]
    node = helper.make_node("InstanceNormalization", names, ["y"])
    model = helper.make_model(helper.make_graph([node], "g", kinds[:3], kinds[3:]))
    found = ReferenceEvaluator(model).run(None, dict(zip(names, (each.numpy() for each in inputs), strict=True)))
    torch.testing.assert_close(y, torch.from_numpy(found[0]), rtol=1e-4, atol=1e-4)


def test_fake_has_shape_and_type_of_the_result() -> None:
    inputs = inputs_of(np.random.default_rng(0), (2, 3, 4, 5), "float16")
    with FakeTensorMode() as mode:
        fake = instance_norm(*[mode.from_tensor(each) for each in inputs])
    assert (fake.shape, fake.dtype) == (inputs[0].shape, torch.float16)


def test_op_is_registered_properly() -> None:
    op = torch.ops.trtplugin_instance_norm.instance_norm.default
    inputs = inputs_of(np.random.default_rng(0), (2, 3, 4, 5), "float32")
    torch.library.opcheck(op, (*inputs, 1e-5), test_utils=("test_schema", "test_faketensor"))


@pytest.mark.parametrize(
    ("index", "value", "what"),
    [
        (0, torch.zeros(3), "rank of 'x'"),
        (1, torch.zeros(4), "shape of 'scale'"),
        (2, torch.zeros(3, 1), "shape of 'bias'"),
        (1, torch.zeros(3).half(), "dtype of 'scale'"),
        (3, -1.0, "'epsilon'"),
    ],
)
def test_what_does_not_fit_is_refused(index: int, value: Any, what: str) -> None:
    arguments: list[Any] = [torch.zeros(2, 3, 4), torch.zeros(3), torch.zeros(3), 1e-5]
    arguments[index] = value
    with pytest.raises(ShapeError, match=what):
        instance_norm(*arguments)


# ----------------------------------------------------------------------------------------------------------- the face
def test_spellings_types_and_refusals(face: Face) -> None:
    def specs(*shapes: tuple[int, ...], types: str = "fff") -> list[TensorSpec]:
        names = {"f": "float32", "h": "float16"}
        return [TensorSpec(type=names[each], shape=shape) for each, shape in zip(types, shapes, strict=True)]

    (creator,) = face.describe()["creators"]
    fields = {each["name"]: each.get("alias_of", each.get("default")) for each in creator["fields"]}
    assert fields == {"epsilon": [pytest.approx(1e-5)], "eps": "epsilon"}
    plugin = face.create(OP, {"eps": 1})
    shapes = [(2, 3, 4, 5, 6), (3,), (3,)]
    for types in ("fff", "hhh", "hff"):
        outputs, workspace = plugin.infer(specs(*shapes, types=types))
        assert outputs == tuple(specs(shapes[0], types=types[0]))
        assert workspace <= 2 * 3 * 24  # some words for each instance
    with pytest.raises(FaceError, match="no signature"):
        plugin.infer(specs(*shapes, types="fhh"))
    with pytest.raises(FaceError, match="dimension 0 of input 2 is 4, expected 3"):
        plugin.infer(specs((2, 3, 4), (3,), (4,)))
    with pytest.raises(FaceError, match="input 0 has rank 1"):
        plugin.infer(specs((3,), (3,), (3,)))
    with pytest.raises(FaceError, match="'epsilon': found -1"):
        face.create(OP, {"epsilon": -1.0})


# ----------------------------------------------------------------------------------------------------------- the node
class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.scale = torch.nn.Parameter(torch.randn(4))
        self.bias = torch.nn.Parameter(torch.randn(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return instance_norm(self.conv(x), self.scale, self.bias, 1e-3)


@pytest.mark.parametrize("exporter", export.EXPORTERS)
def test_export_to_engine(exporter: str, tmp_path: Path) -> None:
    export.check(
        Model(),
        {"x": torch.randn(2, 3, 8, 8)},
        tmp_path / "model.onnx",
        exporter,
        op=OP,
        domain="mmcv",
        package="trtplugin-instance-norm",
        attributes={"epsilon": 1e-3},
        dynamic={"x": [0, 2, 3]},
        profile={"x": [[1, 3, 8, 8], [2, 3, 8, 8], [4, 3, 300, 300]]},
    )


# -------------------------------------------------------------------------------------------------------- the kernels
@pytest.mark.parametrize("seed", range(45))
def test_kernels_on_host(on_host: HostPlugin, seed: int) -> None:
    random = np.random.default_rng(1000 + seed)
    inputs = random_inputs(random, compare.FLOATS[seed % 3], largest=[20, 90, 220][seed // 3 % 3])
    epsilon = float(random.choice([1e-5, 1e-3]))
    (y,) = on_host.run(OP, inputs, {"epsilon": epsilon}, misalign=seed % 2)
    check(inputs, y, epsilon)


@pytest.mark.parametrize("dtype", compare.FLOATS)
@pytest.mark.parametrize("size", [1, 2, 2048, 2049, 8193, 16384, 16385, 32768, 33000, 40008, 100001])
def test_sizes_on_host(on_host: HostPlugin, size: int, dtype: str) -> None:
    inputs = inputs_of(np.random.default_rng(size), (1, 2, size), dtype, mean=30)
    check(inputs, *on_host.run(OP, inputs))


@pytest.mark.parametrize("dtype", compare.FLOATS)
@pytest.mark.parametrize("misalign", [0, 1])
def test_many_tiles_on_host(on_host: HostPlugin, misalign: int, dtype: str) -> None:
    # More than are looked at before the first one is normalized.
    inputs = inputs_of(np.random.default_rng(0), (3, 3, 33000), dtype, mean=3)
    check(inputs, *on_host.run(OP, inputs, misalign=misalign))


def check_special(plugin: HostPlugin | DevicePlugin, where: str) -> None:
    for size in (40, 40000):
        x = torch.randn(3, 1, size)
        x[0, 0, 7] = torch.nan
        x[1, 0, 7] = torch.inf
        x[2] = 5
        line = [torch.tensor([2.0]), torch.tensor([0.5])]
        (y,) = plugin.run(OP, [each.to(where) for each in (x, *line)])
        assert y[:2].isnan().all()
        assert (y[2] == 0.5).all()


def test_special_values_on_host(on_host: HostPlugin) -> None:
    check_special(on_host, "cpu")


class TestOnDevice:
    pytestmark = device.marks()

    @pytest.mark.parametrize("dtype", compare.FLOATS)
    @pytest.mark.parametrize("seed", range(75))
    def test_kernels(self, on_device: DevicePlugin, seed: int, dtype: str) -> None:
        random = np.random.default_rng([seed, compare.FLOATS.index(dtype)])
        inputs = random_inputs(random, dtype, largest=[20, 150, 400][seed % 3])
        epsilon = float(random.choice([1e-5, 1e-3]))
        on_gpu = [each.cuda() for each in inputs]
        check(inputs, *on_device.run(OP, on_gpu, {"epsilon": epsilon}, misalign=seed % 4), epsilon)
        check(inputs, instance_norm(*on_gpu, epsilon), epsilon)

    @pytest.mark.parametrize("dtype", compare.FLOATS)
    @pytest.mark.parametrize("size", [1, 2049, 16384, 56320, 58112, 58368, 100001, 3000000])
    def test_sizes(self, on_device: DevicePlugin, size: int, dtype: str) -> None:
        inputs = inputs_of(np.random.default_rng(size), (1, 2, size), dtype, mean=30)
        check(inputs, *on_device.run(OP, [each.cuda() for each in inputs]))

    @pytest.mark.parametrize("dtype", compare.FLOATS)
    @pytest.mark.parametrize("shape", [(3, 400, 33000), (2, 5, 1000000)])
    def test_many_tiles(self, on_device: DevicePlugin, shape: tuple[int, int, int], dtype: str) -> None:
        inputs = inputs_of(np.random.default_rng(0), shape, dtype, mean=3)
        check(inputs, *on_device.run(OP, [each.cuda() for each in inputs]))

    def test_two_streams_at_once(self) -> None:
        # Blocks of two launches wait for others of their own while they compete for the multiprocessors.
        line = [torch.ones(400, device="cuda"), torch.zeros(400, device="cuda")]
        x = [torch.randn(2, 400, 40000, device="cuda") for _ in range(2)]
        expected = [instance_norm(each, *line) for each in x]
        streams = [torch.cuda.Stream() for _ in x]
        torch.cuda.synchronize()
        for _ in range(20):
            found = []
            for stream, each in zip(streams, x, strict=True):
                with torch.cuda.stream(stream):
                    found.append(instance_norm(each, *line))
            torch.cuda.synchronize()
            for one, other in zip(found, expected, strict=True):
                torch.testing.assert_close(one, other)

    def test_special_values(self, on_device: DevicePlugin) -> None:
        check_special(on_device, "cuda")

    @pytest.mark.parametrize("size", [2048, 120000])
    def test_alignments(self, on_device: DevicePlugin, size: int) -> None:
        # 16 bytes at once and single elements are summed up in another order.
        inputs = inputs_of(np.random.default_rng(0), (2, 3, size), "float16")
        for misalign in range(9):
            check(inputs, *on_device.run(OP, [each.cuda() for each in inputs], misalign=misalign))

    @pytest.mark.parametrize("size", [2000, 120000])
    def test_it_is_captured_in_a_graph(self, on_device: DevicePlugin, size: int) -> None:
        inputs, others = (inputs_of(np.random.default_rng(seed), (2, 3, size), "float32") for seed in range(2))
        check(others, *on_device.replay(OP, inputs, others))

    @pytest.mark.skipif(shutil.which("compute-sanitizer") is None, reason="compute-sanitizer is not on PATH")
    @pytest.mark.parametrize("tool", ["memcheck", "racecheck", "synccheck", "initcheck"])
    def test_compute_sanitizer_finds_nothing(self, tool: str) -> None:
        random = np.random.default_rng(0)
        shapes = [(1, 1, 1), (2, 3, 49), (2, 3, 4096), (1, 3, 120008), (1, 2, 60001), (0, 3, 4)]
        inputs = [inputs_of(random, shape, dtype) for shape in shapes for dtype in compare.FLOATS]
        requests = [Request(creator=OP, inputs=each, attributes={}) for each in inputs]
        sanitizer.run(device.library_of("trtplugin_instance_norm"), requests, tool=tool)

    @pytest.mark.slow
    @pytest.mark.parametrize("channels", [1, 2**17])
    def test_more_elements_than_32_bits_count(self, channels: int) -> None:
        device.need_memory(5 * 2**31)
        size = 2**31 // channels + 8
        x = torch.empty(1, channels, size, device="cuda", dtype=torch.float16).normal_(3, 2)
        line = [torch.ones(channels, device="cuda"), torch.zeros(channels, device="cuda")]
        y = instance_norm(x, *line)
        for part in (slice(0, 1000), slice(-1000, None)):
            first = slice(0, 1) if part.start == 0 else slice(channels - 1, channels)
            normal = x[0, first].double()
            expected = (normal[:, part] - normal.mean()) / (normal.var(correction=0) + 1e-5).sqrt()
            compare.assert_close(y[0, first, part], compare.wide(expected), before=1e-4)
