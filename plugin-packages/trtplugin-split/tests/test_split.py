"""Split: the PyTorch op, its ONNX node, the plain-C face, and the kernel on the CPU and on a GPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from onnx.reference import ReferenceEvaluator
from torch._subclasses.fake_tensor import FakeTensorMode
from trtplugin_split import split

import trtreg
from trtreg.errors import FaceError, ShapeError, TrtregError
from trtreg.sdk.face import Face, TensorSpec
from trtreg.testing import compare, device, export, sanitizer
from trtreg.testing.device import DevicePlugin
from trtreg.testing.host import HostPlugin
from trtreg.testing.sanitizer import Request

OP, PACKAGE = "Split", "trtplugin-split"
TYPES = ("float32", "float16", "bfloat16", "int8", "int32", "int64", "bool")


@pytest.fixture(scope="module")
def face() -> Face:
    return device.open_library("trtplugin_split")


@pytest.fixture(scope="module")
def on_host() -> HostPlugin:
    return HostPlugin(Path(__file__).parents[1])


@pytest.fixture(scope="module")
def on_device() -> DevicePlugin:
    return DevicePlugin("trtplugin_split")


def oracle(x: np.ndarray, sizes: list[int], axis: int) -> list[np.ndarray]:
    """ONNX's reference evaluator."""
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    names = [f"y{i}" for i in range(len(sizes))]
    graph = helper.make_graph(
        [helper.make_node("Split", ["x", "sizes"], names, axis=axis)],
        "g",
        [
            helper.make_tensor_value_info("x", kind, list(x.shape)),
            helper.make_tensor_value_info("sizes", onnx.TensorProto.INT64, [len(sizes)]),
        ],
        [helper.make_tensor_value_info(name, kind, None) for name in names],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    results: list[np.ndarray] = ReferenceEvaluator(model).run(None, {"x": x, "sizes": np.array(sizes, dtype=np.int64)})
    return results


def random_case(random: np.random.Generator, dtype: str) -> tuple[torch.Tensor, list[int], int]:
    shape = random.integers(0 if random.uniform() < 0.1 else 1, 9, size=random.integers(1, 6)).tolist()
    axis = int(random.integers(-len(shape), len(shape)))
    unit = int(random.choice([1, 1, 4, 16]))  # so that parts of 16 bytes are tested too
    sizes = (random.integers(0, 5, size=random.integers(1, 8)) * unit).tolist()
    shape[axis] = sum(sizes)
    x = torch.from_numpy(random.integers(-100, 100, size=shape))
    return (x > 0 if dtype == "bool" else x.to(getattr(torch, dtype))), sizes, axis


def assert_parts(found: tuple[torch.Tensor, ...], x: torch.Tensor, sizes: list[int], axis: int) -> None:
    assert [part.dtype for part in found] == [x.dtype] * len(sizes)
    narrow = x.to(torch.float32) if x.dtype == torch.bfloat16 else x
    for part, expected in zip(found, oracle(narrow.cpu().numpy(), sizes, axis), strict=True):
        assert torch.equal(part.cpu().to(narrow.dtype), torch.from_numpy(expected))


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, trtplugin_split; sys.exit('torch' in sys.modules or 'tensorrt_rtx' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("seed", range(42))
def test_reference(seed: int) -> None:
    x, sizes, axis = random_case(np.random.default_rng(seed), TYPES[seed % 7])
    found = split(x, sizes, axis)
    assert_parts(found, x, sizes, axis)
    assert all(part.data_ptr() != x.data_ptr() for part in found if part.numel())


@pytest.mark.parametrize(
    ("size", "parts", "sizes"),
    [(6, 3, [2, 2, 2]), (7, 3, [3, 3, 1]), (5, 4, [2, 2, 1, 0]), (7, 1, [7]), (0, 2, [0, 0])],
)
def test_equal_parts(face: Face, size: int, parts: int, sizes: list[int]) -> None:
    x = torch.randn(3, size)
    assert_parts(split(x, parts, 1), x, sizes, 1)
    plugin = face.create(OP, {"axis": 1, "num_outputs": parts})
    found, _ = plugin.infer([TensorSpec(type="float32", shape=(3, size))])
    assert [each.shape for each in found] == [(3, each) for each in sizes]


def test_ops_are_registered_properly() -> None:
    x, checks = torch.randn(2, 7), ("test_schema", "test_faketensor")
    split(x, [1, 6], 1), split(x, 3, 1), split(x, 1)
    ops = torch.ops.trtplugin_split
    torch.library.opcheck(ops.split_sizes_2.default, (x, 1, [3, 4]), test_utils=checks)
    torch.library.opcheck(ops.split_into_3.default, (x, -1, 3), test_utils=checks)
    torch.library.opcheck(ops.split_into_1.default, (x, 0, 1), test_utils=checks)
    with FakeTensorMode():
        assert [each.shape for each in split(torch.empty(2, 7), 3, 1)] == [(2, 3), (2, 3), (2, 1)]


class Sizes(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return split(x * 2, [1, 3, 4], -1)


class Into(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return split(x * 2, 3, 0)


@pytest.mark.parametrize("exporter", export.EXPORTERS)
def test_export_by_sizes(exporter: str, tmp_path: Path) -> None:
    engine = export.check(
        Sizes(),
        {"x": torch.randn(2, 8)},
        tmp_path / "model.onnx",
        exporter,
        op=OP,
        domain="trtreg",
        package=PACKAGE,
        attributes={"axis": -1, "split": [1, 3, 4]},
        dynamic={"x": [0]},
        profile={"x": [[1, 8], [2, 8], [9, 8]]},
        outputs=["a", "b", "c"],
        prefer_plugins=[OP],
    )
    assert [each.shape for each in engine.outputs] == [(-1, 1), (-1, 3), (-1, 4)]


@pytest.mark.parametrize("exporter", export.EXPORTERS)
def test_export_of_equal_parts(exporter: str, tmp_path: Path) -> None:
    engine = export.check(
        Into(),
        {"x": torch.randn(7, 2)},
        tmp_path / "model.onnx",
        exporter,
        op=OP,
        domain="trtreg",
        package=PACKAGE,
        attributes={"axis": 0, "num_outputs": 3},
        dynamic={"x": [0]},
        profile={"x": [[3, 2], [7, 2], [99, 2]]},
        outputs=["a", "b", "c"],
        prefer_plugins=[OP],
    )
    assert [each.shape for each in engine.outputs] == [(-1, 2)] * 3


@pytest.mark.parametrize(
    ("opset", "attributes"), [(11, {"axis": 1, "split": [1, 7]}), (18, {"axis": 1, "num_outputs": 2})]
)
def test_standard_nodes_through_the_override(opset: int, attributes: dict[str, object]) -> None:
    outputs = dict.fromkeys("ab", ("float16", ["n", None]))
    model = export.model_of(OP, {"x": ("float16", ["n", 8])}, outputs, domain="", opset=opset, **attributes)
    profile = {"x": [[1, 8], [2, 8], [9, 8]]}
    engine = export.build(model, profile, op=OP, package=PACKAGE, prefer_plugins=[OP])
    sizes = attributes.get("split", [4, 4])
    assert [each.shape[1] for each in engine.outputs] == sizes


def test_sizes_as_an_input_are_left_to_tensorrt() -> None:
    outputs = dict.fromkeys("ab", ("float16", [2, 4]))
    constants = {"sizes": torch.tensor([4, 4])}
    model = export.model_of(OP, {"x": ("float16", [2, 8])}, outputs, domain="", opset=13, constants=constants, axis=1)
    assert trtreg.onnx2trt(model).plugins == ()
    with pytest.raises(TrtregError):
        trtreg.onnx2trt(model, prefer_plugins=[OP])


@pytest.mark.parametrize("spelling", ["split", "split_sizes", "output_lengths"])
def test_spellings(face: Face, spelling: str) -> None:
    x = TensorSpec(type="bool", shape=(4, 3))
    for axis in ("axis", "dim"):
        found, size = face.create(OP, {axis: 1, spelling: [1, 2]}).infer([x])
        assert ([each.shape for each in found], size) == ([(4, 1), (4, 2)], 0)


def test_refused(face: Face) -> None:
    x = TensorSpec(type="float32", shape=(4, 3))
    for attributes, message in (
        ({}, "expected attribute 'split', or 'num_outputs'"),
        ({"split": [2, 2], "num_outputs": 2}, "and not both"),
        ({"split": [2, 3]}, "is 4, expected 5"),
        ({"split": [4], "axis": 2}, "attribute 'axis': found 2 for rank 2"),
        ({"split": [0] * 64 + [4]}, "found 65 parts"),
    ):
        with pytest.raises(FaceError, match=message):
            face.create(OP, attributes).infer([x])
    with pytest.raises(FaceError, match="attribute 'split': found -1"):
        face.create(OP, {"split": [5, -1]})
    with pytest.raises(FaceError, match="found 2 inputs, expected 1"):
        face.create(OP, {"split": [4]}).infer([x, x])
    for parts, axis in (([1, 2], 0), ([4], 2), ([], 0), (65, 0)):
        with pytest.raises(ShapeError):
            split(torch.zeros(4, 3), parts, axis)


# --------------------------------------------------------------------------------------------------------- the kernel
@pytest.mark.parametrize("seed", range(70))
def test_kernel_on_host(on_host: HostPlugin, seed: int) -> None:
    x, sizes, axis = random_case(np.random.default_rng(100 + seed), TYPES[seed % 7])
    found = on_host.run(OP, [x], {"axis": axis, "split": sizes}, misalign=seed % 3)
    assert_parts(found, x, sizes, axis)


@pytest.mark.parametrize("parts", [1, 5, 64])
def test_equal_parts_on_host(on_host: HostPlugin, parts: int) -> None:
    x = torch.randn(2, 33, 4)
    found = on_host.run(OP, [x], {"axis": 1, "num_outputs": parts})
    compare.assert_same(found, split(x, parts, 1))


#: Rows and parts of a row, for the kernel that goes through shared memory: one tile and a part of the next, parts
#: without columns, as many parts as there can be, rows of the largest size that goes through it and of one more.
NARROW = [
    (4103, [1, 3]), (2051, [3, 0, 4, 1]), (1, [1, 2]), (16, [5]), (1031, [1] * 64), (35, [200, 1, 55]), (35, [202, 55]),
    (700, [2, 2, 6]), (0, [1, 2]),
]  # fmt: skip


def narrow_case(seed: int, rows: int, sizes: list[int], dtype: str) -> torch.Tensor:
    x = torch.from_numpy(np.random.default_rng(seed).integers(-100, 100, size=(rows, sum(sizes))))
    return x > 0 if dtype == "bool" else x.to(getattr(torch, dtype))


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "int64"])
@pytest.mark.parametrize(("rows", "sizes"), NARROW, ids=range(len(NARROW)))
def test_narrow_rows_on_host(on_host: HostPlugin, rows: int, sizes: list[int], dtype: str) -> None:
    x = narrow_case(0, rows, sizes, dtype)
    assert_parts(on_host.run(OP, [x], {"axis": 1, "split": sizes}), x, sizes, 1)


class TestOnDevice:
    pytestmark = device.marks()

    @pytest.mark.parametrize("dtype", TYPES)
    @pytest.mark.parametrize(("rows", "sizes"), NARROW, ids=range(len(NARROW)))
    def test_narrow_rows(self, on_device: DevicePlugin, rows: int, sizes: list[int], dtype: str) -> None:
        x = narrow_case(1, rows, sizes, dtype)
        assert_parts(on_device.run(OP, [x.cuda()], {"axis": 1, "split": sizes}), x, sizes, 1)

    @pytest.mark.parametrize("seed", range(210))
    def test_kernel(self, on_device: DevicePlugin, seed: int) -> None:
        x, sizes, axis = random_case(np.random.default_rng(1000 + seed), TYPES[seed % 7])
        found = on_device.run(OP, [x.cuda()], {"axis": axis, "split": sizes}, misalign=seed % 4)
        assert_parts(found, x, sizes, axis)
        assert_parts(split(x.cuda(), sizes, axis), x, sizes, axis)

    def test_alignments(self, on_device: DevicePlugin) -> None:
        x = torch.randn(3, 64, 8, device="cuda", dtype=torch.float16)
        on_device.check_alignments(OP, [x], {"axis": 1, "split": [16, 32, 16]})

    def test_it_is_captured_in_a_graph(self, on_device: DevicePlugin) -> None:
        inputs, others = ([torch.randn(5, 7)] for _ in range(2))
        found = on_device.replay(OP, inputs, others, {"axis": 1, "split": [3, 4]})
        assert_parts(found, others[0], [3, 4], 1)

    @pytest.mark.slow
    def test_more_elements_than_32_bits_count(self) -> None:
        device.need_memory(10 * 2**30)
        x = torch.randint(-100, 100, (device.LARGE,), device="cuda", dtype=torch.int8)
        first, second = split(x, [device.LARGE - 11, 11])
        assert torch.equal(first, x[:-11])
        assert torch.equal(second, x[-11:])
        x = x[: 2**31 + 8].view(-1, 8)
        for part, expected in zip(split(x, [3, 5], 1), x.split([3, 5], 1), strict=True):
            assert torch.equal(part, expected)

    @sanitizer.each_tool
    def test_compute_sanitizer_finds_nothing(self, tool: str) -> None:
        cases = [random_case(np.random.default_rng(2000 + seed), TYPES[seed % 7]) for seed in range(28)]
        requests = [
            Request(creator=OP, inputs=[x], attributes={"axis": axis, "split": sizes}) for x, sizes, axis in cases
        ]
        sanitizer.run(device.library_of("trtplugin_split"), requests, tool=tool)
