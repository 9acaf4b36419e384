"""cummax and cummin: the PyTorch ops, their ONNX nodes, the plain-C face, and the kernels on the CPU and on a GPU."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from trtplugin_cummaxmin import cummax, cummin

from trtreg.errors import FaceError
from trtreg.sdk.face import TensorSpec
from trtreg.testing import compare, device, export, sanitizer
from trtreg.testing.device import DevicePlugin
from trtreg.testing.host import HostPlugin
from trtreg.testing.sanitizer import Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from trtreg.sdk.face import Face

OPS = {"cummax": cummax, "cummin": cummin}
DTYPES = (*compare.FLOATS, "int32", "int64")


@pytest.fixture(scope="module")
def face() -> Face:
    return device.open_library("trtplugin_cummaxmin")


@pytest.fixture(scope="module")
def on_host() -> HostPlugin:
    return HostPlugin(Path(__file__).parents[1])


@pytest.fixture(scope="module")
def on_device() -> DevicePlugin:
    return DevicePlugin("trtplugin_cummaxmin")


def tensor(random: np.random.Generator, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    """Values with many ties; some slopes, in which every element is a new one; a few special values."""
    x = torch.from_numpy(random.integers(-20, 20, shape))
    if random.uniform() < 0.3:
        x = torch.arange(x.numel()).reshape(shape) * int(random.choice([1, -1])) + x
    x = x.to(getattr(torch, dtype))
    for value in (torch.inf, -torch.inf, torch.nan, -0.0):
        if x.is_floating_point() and random.uniform() < 0.2:
            x[torch.from_numpy(np.asarray(random.uniform(size=shape) < 3 / max(x.numel(), 1)))] = value
    if not x.is_floating_point() and random.uniform() < 0.2:
        ends = torch.iinfo(x.dtype)
        x[torch.from_numpy(np.asarray(random.uniform(size=shape) < 0.1))] = int(random.choice([ends.min, ends.max]))
    return x


def random_case(random: np.random.Generator, dtype: str, *, largest: int) -> tuple[torch.Tensor, int]:
    rank = int(random.integers(1, 5))
    dim = int(random.integers(-rank, rank))
    shape = random.integers(
        0 if random.uniform() < 0.05 else 1, 5 if largest < 100 else 3 if largest < 1000 else 2, rank
    )
    shape[dim] = random.integers(1, largest + 1)
    if random.uniform() < 0.5:
        shape[dim] = -(-shape[dim] // 8) * 8
    if random.uniform() < 0.3 and largest < 1000:
        shape[-1] *= 17  # columns
    return tensor(random, tuple(shape.tolist()), dtype), dim


def oracle(name: str, x: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One element after the other; the last of equal ones, and of NaN."""
    values, indices = x.clone(), torch.zeros(x.shape, dtype=torch.int64)
    best, at = x.select(dim, 0).clone(), torch.zeros(x.select(dim, 0).shape, dtype=torch.int64)
    for index in range(x.shape[dim]):
        new = x.select(dim, index)
        wins = (new >= best if name == "cummax" else new <= best) & ~best.isnan() | new.isnan()
        best, at = torch.where(wins, new, best), torch.where(wins, index, at)
        values.select(dim, index).copy_(best)
        indices.select(dim, index).copy_(at)
    return values, indices


def check(name: str, x: torch.Tensor, dim: int, found: tuple[torch.Tensor, ...]) -> None:
    """Check against PyTorch's own op: values and indices have to be equal."""
    values, indices = getattr(torch, name)(x.cpu(), dim)
    context = (name, tuple(x.shape), dim)
    assert found[0].dtype == x.dtype
    torch.testing.assert_close(
        found[0].cpu(), values, rtol=0, atol=0, equal_nan=True, msg=lambda text: f"{context} {text}"
    )
    compare.assert_close(found[1].cpu(), compare.wide(indices), context=context)


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, trtplugin_cummaxmin; sys.exit('torch' in sys.modules or 'tensorrt_rtx' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------------------------------------------------ the reference
@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("seed", range(40))
def test_reference(seed: int, name: str) -> None:
    random = np.random.default_rng(seed)
    x, dim = random_case(random, DTYPES[seed % 5], largest=20)
    values, indices = OPS[name](x, dim)
    assert (values.dtype, indices.dtype) == (x.dtype, torch.int64)
    if x.numel():
        expected = oracle(name, x, dim)
        torch.testing.assert_close(values, expected[0], rtol=0, atol=0, equal_nan=True)
        assert torch.equal(indices, expected[1])


def test_the_last_of_equal_elements_counts() -> None:
    x = torch.tensor([2.0, 1.0, 2.0, torch.nan, 5.0, torch.nan])
    assert cummax(x, 0)[1].tolist() == [0, 0, 2, 3, 3, 5]
    assert cummin(x, 0)[1].tolist() == [0, 1, 1, 3, 3, 5]


def test_there_has_to_be_such_a_dimension() -> None:
    with pytest.raises(IndexError):
        cummax(torch.zeros(2, 3), 2)


@pytest.mark.parametrize("name", OPS)
def test_fake_and_registration(name: str) -> None:
    x = torch.randn(2, 3, 4).transpose(0, 2)
    with FakeTensorMode() as mode:
        fake = OPS[name](mode.from_tensor(x), 1)
    for one, other in zip(fake, OPS[name](x, 1), strict=True):
        assert (one.shape, one.dtype, one.stride()) == (other.shape, other.dtype, other.stride())
    op = getattr(torch.ops.trtplugin_cummaxmin, name).default
    torch.library.opcheck(op, (x, 1), test_utils=("test_schema", "test_faketensor"))


# ----------------------------------------------------------------------------------------------------------- the face
@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_spellings_types_and_refusals(face: Face, name: str, dtype: str) -> None:
    creator = next(each for each in face.describe()["creators"] if each["name"] == name)
    fields = {each["name"]: each.get("alias_of", each.get("default")) for each in creator["fields"]}
    assert fields == {"dim": [0], "axis": "dim"}
    x = TensorSpec(type=dtype, shape=(2, 0, 3))
    outputs, _ = face.create(name, {"axis": -3}).infer([x])
    assert outputs == (x, TensorSpec(type="int32", shape=(2, 0, 3)))
    for dim in (3, -4):
        with pytest.raises(FaceError, match=f"attribute 'dim' is {dim}"):
            face.create(name, {"dim": dim}).infer([x])
    with pytest.raises(FaceError, match="indices are int32"):
        face.create(name).infer([TensorSpec(type=dtype, shape=(2**31, 1))])
    with pytest.raises(FaceError, match="no signature"):
        face.create(name).infer([TensorSpec(type="int8", shape=(2,))])


# ---------------------------------------------------------------------------------------------------------- the nodes
class Model(torch.nn.Module):
    def __init__(self, op: Callable[[torch.Tensor, int], tuple[torch.Tensor, torch.Tensor]]) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.op = op

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.op(self.conv(x), 2)


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("exporter", export.EXPORTERS)
def test_export_to_engine(exporter: str, name: str, tmp_path: Path) -> None:
    engine = export.check(
        Model(OPS[name]),
        {"x": torch.randn(2, 3, 8, 8)},
        tmp_path / "model.onnx",
        exporter,
        op=name,
        domain="mmcv",
        package="trtplugin-cummaxmin",
        attributes={"dim": 2},
        dynamic={"x": [0, 2]},
        profile={"x": [[1, 3, 8, 8], [2, 3, 8, 8], [4, 3, 30, 8]]},
        outputs=("y", "indices"),
    )
    assert [each.dtype for each in engine.outputs] == ["float", "int64"]


# -------------------------------------------------------------------------------------------------------- the kernels
@pytest.mark.parametrize("seed", range(60))
def test_kernels_on_host(on_host: HostPlugin, seed: int) -> None:
    random = np.random.default_rng(1000 + seed)
    name = ["cummax", "cummin"][seed % 2]
    x, dim = random_case(random, DTYPES[seed % 5], largest=[30, 300, 9000][seed // 5 % 3])
    check(name, x, dim, on_host.run(name, [x], {"dim": dim}, misalign=seed % 3))


SHAPES = [
    ((), 0), ((0,), 0), ((3, 0), 0), ((1,), -1), ((512,), 0), ((513,), 0), ((3, 4096), 1), ((2, 4097), 1),
    ((8192,), 0), ((8193,), 0), ((3, 16392), 1), ((16385, 2), 0), ((100, 40), 0), ((70000, 1), 0), ((500, 3), 1),
    ((5, 1024), 1), ((5, 1025), 1), ((2, 33000), 1), ((2, 5, 32772), 1),
]  # fmt: skip


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("index", range(len(SHAPES)))
def test_shapes_on_host(on_host: HostPlugin, index: int, name: str) -> None:
    shape, dim = SHAPES[index]
    x = tensor(np.random.default_rng(index), shape, DTYPES[index % 5])
    check(name, x, dim, on_host.run(name, [x], {"dim": dim}))


def long_rows(shape: tuple[int, int], dtype: str) -> torch.Tensor:
    """A slope in steps, so that every warp has to know what was found before it; above 32 bits where numbers can be."""
    x = (torch.arange(shape[1]) // 7).repeat(shape[0], 1)
    x[:, ::3] -= 50
    return (x * (2**33 + 1) if dtype == "int64" else x).to(getattr(torch, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", [16384, 16399, 29000])
def test_long_rows_on_host(on_host: HostPlugin, length: int, dtype: str) -> None:
    x = long_rows((1, length), dtype)
    check("cummax", x, 1, on_host.run("cummax", [x], {"dim": 1}, repeats=False))
    check("cummin", -x, 1, on_host.run("cummin", [-x], {"dim": 1}, repeats=False))


class TestOnDevice:
    pytestmark = device.marks()

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("length", [40000, 70001])
    def test_long_rows(self, on_device: DevicePlugin, length: int, dtype: str) -> None:
        x = long_rows((70, length), dtype).cuda()
        check("cummax", x, 1, on_device.run("cummax", [x], {"dim": 1}))
        check("cummin", -x, 1, on_device.run("cummin", [-x], {"dim": 1}))

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("seed", range(60))
    def test_kernels(self, on_device: DevicePlugin, seed: int, dtype: str) -> None:
        random = np.random.default_rng([seed, DTYPES.index(dtype)])
        name = ["cummax", "cummin"][seed % 2]
        x, dim = random_case(random, dtype, largest=[30, 300, 9000, 40000][seed // 2 % 4])
        check(name, x, dim, on_device.run(name, [x.cuda()], {"dim": dim}, misalign=seed % 4))
        check(name, x, dim, OPS[name](x.cuda(), dim))

    @pytest.mark.parametrize("name", OPS)
    @pytest.mark.parametrize("index", range(len(SHAPES)))
    def test_shapes(self, on_device: DevicePlugin, index: int, name: str) -> None:
        shape, dim = SHAPES[index]
        x = tensor(np.random.default_rng(index), shape, DTYPES[index % 5])
        check(name, x, dim, on_device.run(name, [x.cuda()], {"dim": dim}))

    @pytest.mark.parametrize("shape", [(3, 4096), (1, 100000), (20000, 24)])
    def test_alignments(self, on_device: DevicePlugin, shape: tuple[int, int]) -> None:
        x = tensor(np.random.default_rng(0), shape, "float16").cuda()
        on_device.check_alignments("cummax", [x], {"dim": 1})

    @pytest.mark.parametrize("shape", [(3, 4096), (1, 100000)])
    def test_it_is_captured_in_a_graph(self, on_device: DevicePlugin, shape: tuple[int, int]) -> None:
        x, other = (tensor(np.random.default_rng(seed), shape, "float32") for seed in range(2))
        check("cummin", other, 1, on_device.replay("cummin", [x], [other], {"dim": 1}))

    @pytest.mark.skipif(shutil.which("compute-sanitizer") is None, reason="compute-sanitizer is not on PATH")
    @pytest.mark.parametrize("tool", ["memcheck", "racecheck", "synccheck", "initcheck"])
    def test_compute_sanitizer_finds_nothing(self, tool: str) -> None:
        random = np.random.default_rng(0)
        requests = [
            Request(creator=name, inputs=[tensor(random, shape, dtype)], attributes={"dim": dim})
            for name, dtype in (("cummax", "float32"), ("cummin", "float16"), ("cummax", "int64"))
            for shape, dim in SHAPES
        ]
        sanitizer.run(device.library_of("trtplugin_cummaxmin"), requests, tool=tool)

    @pytest.mark.slow
    @pytest.mark.parametrize("shape", [(2**20 + 1, 2048), (3, 2**30 - 8), (2048, 2**20 + 1)])
    @pytest.mark.parametrize("dim", [0, 1])
    def test_more_elements_than_32_bits_count(self, shape: tuple[int, int], dim: int) -> None:
        device.need_memory(24 * 2**31)
        x = torch.empty(shape, device="cuda", dtype=torch.float16).normal_()
        values, indices = torch.ops.trtplugin_cummaxmin.cummax(x, dim)
        for row in (0, shape[1 - dim] - 1):
            expected = torch.cummax(x.select(1 - dim, row), 0)
            assert torch.equal(values.select(1 - dim, row), expected[0])
            assert torch.equal(indices.select(1 - dim, row).long(), expected[1])
