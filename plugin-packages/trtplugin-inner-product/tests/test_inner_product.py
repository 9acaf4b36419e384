"""Fully connected layers: the PyTorch op, its ONNX node, the plain-C face, and the kernels on the CPU and on a GPU."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from trtplugin_inner_product import inner_product

from trtreg.errors import FaceError, ShapeError
from trtreg.sdk.face import Face, TensorSpec
from trtreg.testing import compare, device, export, sanitizer
from trtreg.testing.device import DevicePlugin
from trtreg.testing.host import HostPlugin
from trtreg.testing.sanitizer import Request

OP, PACKAGE = "InnerProduct", "trtplugin-inner-product"


@dataclass(frozen=True)
class Case:
    shape: tuple[int, ...]
    outputs: int
    axis: int = 1
    transpose: bool = False
    bias: bool = True

    @property
    def attributes(self) -> dict[str, int]:
        return {"axis": self.axis, "transpose": int(self.transpose)}

    def inputs(self, random: np.random.Generator, dtype: str, where: str = "cpu") -> list[torch.Tensor]:
        k = int(np.prod(self.shape[self.axis :]))
        shapes = [self.shape, (k, self.outputs) if self.transpose else (self.outputs, k), (self.outputs,)]
        arrays = [np.asarray(random.standard_normal(shape)) for shape in shapes[: 3 if self.bias else 2]]
        return [torch.from_numpy(each).to(where, getattr(torch, dtype)) for each in arrays]


EDGES = [
    Case((1, 1), 1),
    Case((3, 7), 5, bias=False),
    Case((0, 7), 5),
    Case((3, 0), 5),
    Case((3, 0), 5, bias=False),
    Case((4, 2, 3, 5), 9),
    Case((4, 2, 3, 5), 9, axis=-1, transpose=True),
    Case((2, 3), 4, axis=0),
    Case((8, 64), 33),
    Case((9, 64), 33),
    Case((65, 40), 67, transpose=True),
    Case((130, 48), 129),
    Case((129, 41), 130),
    # One row: few threads for its 16-byte chunks, and many; what is left of them, and of 8 columns.
    Case((1, 64), 13),
    Case((1, 2056), 9, bias=False),
    Case((1, 4104), 9),
]

# Tiles of the three widths, by how many tiles there are: with edges each way, and more slices than there is room for.
TILES = [
    Case((2, 72), 33),
    Case((200, 1112), 300, bias=False),
    Case((200, 1112), 296, transpose=True),
    Case((520, 1112), 3000),
    Case((520, 1112), 3000, transpose=True, bias=False),
    Case((1000, 1112), 4090),
    Case((1000, 1112), 4088, transpose=True),
    Case((1100, 32), 200),  # more tiles below one another than are taken together
]


def random_case(random: np.random.Generator, largest: int) -> Case:
    rank = int(random.integers(1, 5))
    shape = random.integers(1, max(3, int(largest ** (2 / rank))), size=rank).tolist()
    if random.uniform() < 0.5:
        shape[-1] = -(-shape[-1] // 8) * 8  # 16 bytes at once
    flags = random.integers(2, size=2)
    axis, outputs = int(random.integers(-rank, rank)), int(random.integers(1, largest))
    return Case(tuple(shape), outputs, axis, bool(flags[0]), bool(flags[1]))


def assert_close(y: torch.Tensor, case: Case, inputs: list[torch.Tensor]) -> None:
    """Check against float64; before the result is rounded, a sum of K products is in float32."""
    x, weight, *bias = (compare.wide(each) for each in inputs)
    lead = case.shape[: case.axis % len(case.shape)]
    k = int(np.prod(case.shape[len(lead) :]))
    rows = x.reshape(int(np.prod(lead)), k)
    matrix = weight if case.transpose else weight.T
    offset = bias[0] if bias else np.zeros(case.outputs)
    shape = (*lead, case.outputs)
    size = np.abs(rows) @ np.abs(matrix) + np.abs(offset)
    assert y.dtype == inputs[0].dtype
    before = (k + 2) * 2.0**-24 * size.reshape(shape)
    compare.assert_close(y, (rows @ matrix + offset).reshape(shape), before=before, context=case)


@pytest.fixture(scope="module")
def face() -> Face:
    return device.open_library("trtplugin_inner_product")


@pytest.fixture(scope="module")
def on_host() -> HostPlugin:
    return HostPlugin(Path(__file__).parents[1])


@pytest.fixture(scope="module")
def on_device() -> DevicePlugin:
    return DevicePlugin("trtplugin_inner_product")


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, trtplugin_inner_product; sys.exit('torch' in sys.modules or 'tensorrt_rtx' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("dtype", compare.FLOATS)
@pytest.mark.parametrize("case", [*EDGES, *(random_case(np.random.default_rng(seed), 30) for seed in range(20))])
def test_reference(case: Case, dtype: str) -> None:
    inputs = case.inputs(np.random.default_rng(0), dtype)
    y = inner_product(*inputs, num_output=case.outputs, axis=case.axis, transpose=case.transpose)
    assert_close(y, case, inputs)


def test_the_defaults_are_pytorchs_linear() -> None:
    x, weight, bias = torch.randn(3, 5).double(), torch.randn(7, 5).double(), torch.randn(7).double()
    torch.testing.assert_close(inner_product(x, weight, bias), torch.nn.functional.linear(x, weight, bias))
    torch.testing.assert_close(inner_product(x, weight), torch.nn.functional.linear(x, weight))


def test_op_is_registered_properly() -> None:
    op, checks = torch.ops.trtplugin_inner_product.inner_product.default, ("test_schema", "test_faketensor")
    inputs = torch.randn(2, 3, 4), torch.randn(12, 5), torch.randn(5)
    torch.library.opcheck(op, (*inputs, 5, 1, 1), test_utils=checks)
    torch.library.opcheck(op, (*inputs[:2], None, 0, 1, 1), test_utils=checks)
    with FakeTensorMode():
        assert inner_product(torch.empty(2, 3, 4), torch.empty(5, 4), axis=2).shape == (2, 3, 5)


class Model(torch.nn.Module):
    def __init__(self, *, bias: bool) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(12, 5, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return inner_product(x * 2, self.linear.weight, self.linear.bias, num_output=5)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("exporter", export.EXPORTERS)
def test_export_to_engine(exporter: str, bias: bool, tmp_path: Path) -> None:
    engine = export.check(
        Model(bias=bias),
        {"x": torch.randn(2, 3, 4)},
        tmp_path / "model.onnx",
        exporter,
        op=OP,
        domain="trtreg",
        package=PACKAGE,
        attributes={"num_output": 5, "axis": 1, "transpose": 0},
        dynamic={"x": [0]},
        profile={"x": [[1, 3, 4], [2, 3, 4], [99, 3, 4]]},
    )
    assert engine.outputs[0].shape == (-1, 5)


@pytest.mark.parametrize("creator", [OP, "CustomFC"])
@pytest.mark.parametrize("dtype", compare.FLOATS)
def test_nodes(creator: str, dtype: str, face: Face) -> None:
    inputs = {"x": (dtype, ["n", 3, 4]), "weight": (dtype, [12, 5]), "bias": (dtype, [5])}
    model = export.model_of(creator, inputs, {"y": (dtype, ["n", 5])}, num_output=5, transpose=1)
    export.build(model, {"x": [[1, 3, 4], [2, 3, 4], [9, 3, 4]]}, op=creator, package=PACKAGE)
    specs = [TensorSpec(type=dtype, shape=shape) for shape in ((2, 3, 4), (12, 5))]
    for attributes in ({"num_output": 5, "transpose": 1}, {"out_dims": 5, "transposed": 1}, {"num_outputs": 5}):
        given = {"transpose": 1} if "transposed" not in attributes else {}
        assert face.create(creator, attributes | given).infer(specs)[0][0].shape == (2, 5)


def test_refused(face: Face) -> None:
    def infer(attributes: dict[str, int], *shapes: tuple[int, ...]) -> None:
        face.create(OP, attributes).infer([TensorSpec(type="float32", shape=shape) for shape in shapes])

    for attributes, shapes, message in (
        ({}, [(2, 3), (5, 4)], "dimension 1 of input 1 is 4, expected 3"),
        ({"transpose": 1}, [(2, 3), (5, 3)], "dimension 0 of input 1 is 5, expected 3"),
        ({"num_output": 6}, [(2, 3), (5, 3)], "expected 6"),
        ({}, [(2, 3), (5, 3), (4,)], "one for each output"),
        ({}, [(2, 3), (5, 3, 1)], "input 1 has rank 3"),
        ({"axis": 2}, [(2, 3), (5, 3)], "attribute 'axis': found 2 for rank 2"),
    ):
        with pytest.raises(FaceError, match=message):
            infer(attributes, *shapes)
        with pytest.raises(ShapeError):
            inner_product(*map(torch.zeros, shapes), **attributes)


# -------------------------------------------------------------------------------------------------------- the kernels
@pytest.mark.parametrize("dtype", compare.FLOATS)
@pytest.mark.parametrize("case", EDGES)
def test_edges_on_host(on_host: HostPlugin, case: Case, dtype: str) -> None:
    inputs = case.inputs(np.random.default_rng(0), dtype)
    assert_close(*on_host.run(OP, inputs, case.attributes), case, inputs)


@pytest.mark.parametrize("seed", range(60))
def test_kernels_on_host(on_host: HostPlugin, seed: int) -> None:
    random = np.random.default_rng(1000 + seed)
    case = random_case(random, [12, 40, 80][seed // 3 % 3])
    inputs = case.inputs(random, compare.FLOATS[seed % 3])
    (y,) = on_host.run([OP, "CustomFC"][seed % 2], inputs, case.attributes, misalign=seed % 4)
    assert_close(y, case, inputs)


def test_what_is_no_number_stays_in_its_row(on_host: HostPlugin) -> None:
    for rows in (3, 20):
        x = torch.ones(rows, 40)
        x[1, 7], x[2, 8] = torch.nan, torch.inf
        (y,) = on_host.run(OP, [x, torch.ones(5, 40)])
        assert y[1].isnan().all()
        assert (y[2] == torch.inf).all()
        assert (y[[0, *range(3, rows)]] == 40).all()


class TestOnDevice:
    pytestmark = device.marks()

    @pytest.mark.parametrize("dtype", compare.FLOATS)
    @pytest.mark.parametrize("case", [*EDGES, *TILES, Case((200, 4096), 300), Case((300, 1111), 257)])
    def test_edges(self, on_device: DevicePlugin, case: Case, dtype: str) -> None:
        inputs = case.inputs(np.random.default_rng(0), dtype, "cuda")
        assert_close(*on_device.run(OP, inputs, case.attributes), case, inputs)
        assert_close(inner_product(*inputs, axis=case.axis, transpose=case.transpose), case, inputs)

    @pytest.mark.parametrize("seed", range(210))
    def test_kernels(self, on_device: DevicePlugin, seed: int) -> None:
        random = np.random.default_rng([2, seed])
        case = random_case(random, [12, 80, 400][seed // 3 % 3])
        inputs = case.inputs(random, compare.FLOATS[seed % 3], "cuda")
        assert_close(*on_device.run(OP, inputs, case.attributes, misalign=seed % 4), case, inputs)

    @pytest.mark.parametrize("dtype", compare.FLOATS)
    @pytest.mark.parametrize("rows", [1, 7, 200])
    def test_alignments(self, on_device: DevicePlugin, rows: int, dtype: str) -> None:
        case = Case((rows, 64), 72)  # 16 bytes at once and single elements are summed up in another order
        inputs = case.inputs(np.random.default_rng(0), dtype, "cuda")
        for misalign in range(9):
            assert_close(*on_device.run(OP, inputs, misalign=misalign), case, inputs)

    @pytest.mark.parametrize("dtype", compare.FLOATS)
    @pytest.mark.parametrize("rows", [1, 3, 200])
    def test_what_is_no_number_stays_in_its_row(self, on_device: DevicePlugin, rows: int, dtype: str) -> None:
        for position, value in ((0, torch.nan), (rows - 1, torch.inf)):
            x = torch.ones(rows, 64, device="cuda", dtype=getattr(torch, dtype))
            x[position, 7] = value
            (y,) = on_device.run(OP, [x, torch.ones_like(x[0]).repeat(40, 1)])
            assert not y[position].isfinite().any()  # in terms of TF32 an infinity makes a NaN
            assert (y[[row for row in range(rows) if row != position]] == 64).all()

    @pytest.mark.parametrize("dtype", compare.FLOATS)
    @pytest.mark.parametrize("rows", [1, 2, 200])
    def test_a_kernel_waits_for_the_one_before_it(self, rows: int, dtype: str) -> None:
        x = torch.arange(2048, device="cuda").repeat(rows, 1).remainder(251).to(getattr(torch, dtype))
        turned = torch.eye(2048, device="cuda", dtype=x.dtype).roll(1, 0)
        torch.cuda._sleep(50_000_000)  # cycles in which all of the kernels are queued, so that each may begin early
        y = x
        for _ in range(50):
            y = inner_product(y, turned)
        assert torch.equal(y, x.roll(50, 1))

    @pytest.mark.parametrize("rows", [1, 200])
    @pytest.mark.parametrize("dtype", ["float32", "float16"])
    def test_it_is_captured_in_a_graph(self, on_device: DevicePlugin, dtype: str, rows: int) -> None:
        case = Case((rows, 64), 72)
        inputs, others = (case.inputs(np.random.default_rng(seed), dtype) for seed in range(2))
        assert_close(*on_device.replay(OP, inputs, others), case, others)

    @pytest.mark.slow
    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_more_elements_than_32_bits_count(self, dtype: str) -> None:
        device.need_memory(30 * 2**30)
        kind = getattr(torch, dtype)
        # Of y, whose rows are all one of 16; then of the weights, the last rows of which are looked at.
        x = torch.randn(16, 8, device="cuda", dtype=kind)
        weight = torch.randn(4096, 8, device="cuda", dtype=kind)
        y = inner_product(x.repeat(2**15 + 1, 1), weight)
        assert y.numel() > 2**31
        first = inner_product(x, weight)
        assert torch.equal(y[-16:], first)
        assert torch.equal(y[2**19 - 16 : 2**19], first)
        del y
        long = torch.zeros(2**17 + 1, 2**14, device="cuda", dtype=torch.bfloat16)
        long[-1] = 1
        for rows in (1, 9):
            y = inner_product(torch.ones(rows, 2**14, device="cuda", dtype=torch.bfloat16), long)
            assert (y[:, -1] == 2**14).all()
            assert (y[:, :-1] == 0).all()

    @sanitizer.each_tool
    def test_compute_sanitizer_finds_nothing(self, tool: str) -> None:
        requests = []
        for seed in range(24):
            random = np.random.default_rng([3, seed])
            case = random_case(random, [12, 40, 80][seed // 3 % 3])
            inputs = case.inputs(random, compare.FLOATS[seed % 3])
            requests.append(Request(creator=OP, inputs=inputs, attributes=case.attributes))
        sanitizer.run(device.library_of("trtplugin_inner_product"), requests, tool=tool)
