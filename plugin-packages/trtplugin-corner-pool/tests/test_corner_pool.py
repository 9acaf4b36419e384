"""Corner pooling: the PyTorch op, its ONNX node, the plain-C face, and the kernels on the CPU and on a GPU."""

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
from trtplugin_corner_pool import corner_pool

from trtreg.errors import FaceError, ShapeError
from trtreg.sdk.face import TensorSpec
from trtreg.testing import compare, device, export, sanitizer
from trtreg.testing.device import DevicePlugin
from trtreg.testing.host import HostPlugin
from trtreg.testing.sanitizer import Request

if TYPE_CHECKING:
    from trtreg.sdk.face import Face

OP = "MMCVCornerPool"
MODES = ["top", "bottom", "left", "right"]


@pytest.fixture(scope="module")
def face() -> Face:
    return device.open_library("trtplugin_corner_pool")


@pytest.fixture(scope="module")
def on_host() -> HostPlugin:
    return HostPlugin(Path(__file__).parents[1])


@pytest.fixture(scope="module")
def on_device() -> DevicePlugin:
    return DevicePlugin("trtplugin_corner_pool")


def random_image(random: np.random.Generator, dtype: str, *, largest: int) -> torch.Tensor:
    shape = [*random.integers(0 if random.uniform() < 0.05 else 1, 4, 2), *random.integers(1, largest + 1, 2)]
    if random.uniform() < 0.5:
        shape[3] = -(-shape[3] // 8) * 8  # 16 bytes at once
    x = random.standard_normal(shape)
    if random.uniform() < 0.3:
        x = -np.abs(x) * 1e4
    for value in (np.nan, np.inf, -np.inf):
        if random.uniform() < 0.2:
            x[random.uniform(size=shape) < 0.01] = value
    return torch.from_numpy(x).to(getattr(torch, dtype))


def check(x: torch.Tensor, mode: str, y: torch.Tensor) -> None:
    """Check against the definition: every pixel is the largest of a slice of its row or column."""
    values, expected = compare.wide(x), np.empty(x.shape)
    for row, column in np.ndindex(*x.shape[2:]):
        seen = {
            "top": values[:, :, row:, column],
            "bottom": values[:, :, : row + 1, column],
            "left": values[:, :, row, column:],
            "right": values[:, :, row, : column + 1],
        }
        expected[:, :, row, column] = seen[mode].max(axis=2)  # NumPy's gives NaN where there is one
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(compare.wide(y), expected, err_msg=f"{tuple(x.shape)} {mode}")


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, trtplugin_corner_pool; sys.exit('torch' in sys.modules or 'tensorrt_rtx' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------------------------------------------------ the reference
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(15))
def test_reference(seed: int, mode: str) -> None:
    x = random_image(np.random.default_rng(seed), compare.FLOATS[seed % 3], largest=9)
    check(x, mode, corner_pool(x, mode))
    check(x, mode, corner_pool(x, MODES.index(mode)))


def test_fake_and_registration() -> None:
    x = torch.randn(2, 3, 4, 5).transpose(2, 3)
    with FakeTensorMode() as mode:
        fake = corner_pool(mode.from_tensor(x), "left")
    y = corner_pool(x, "left")
    assert (fake.shape, fake.dtype, fake.stride()) == (y.shape, y.dtype, y.stride())
    op = torch.ops.trtplugin_corner_pool.corner_pool.default
    torch.library.opcheck(op, (x, 1), test_utils=("test_schema", "test_faketensor"))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match="'mode'"):
        corner_pool(torch.zeros(1, 1, 2, 2), "up")
    with pytest.raises(ShapeError, match="'mode'"):
        corner_pool(torch.zeros(1, 1, 2, 2), 4)
    with pytest.raises(ShapeError, match="rank of 'x'"):
        corner_pool(torch.zeros(1, 2, 2), "top")


# ----------------------------------------------------------------------------------------------------------- the face
def test_description_and_refusals(face: Face) -> None:
    (creator,) = face.describe()["creators"]
    assert {each["name"]: each["default"] for each in creator["fields"]} == {"mode": [0]}
    x = TensorSpec(type="bfloat16", shape=(2, 0, 3, 4))
    assert face.create(OP, {"mode": 3}).infer([x]) == ((x,), 0)
    with pytest.raises(FaceError, match="'mode': found 4"):
        face.create(OP, {"mode": 4})
    with pytest.raises(FaceError, match="input 0 has rank 3"):
        face.create(OP).infer([TensorSpec(type="float32", shape=(2, 3, 4))])


# ----------------------------------------------------------------------------------------------------------- the node
class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return corner_pool(self.conv(x), "left")


@pytest.mark.parametrize("exporter", export.EXPORTERS)
def test_export_to_engine(exporter: str, tmp_path: Path) -> None:
    export.check(
        Model(),
        {"x": torch.randn(2, 3, 8, 8)},
        tmp_path / "model.onnx",
        exporter,
        op=OP,
        domain="mmcv",
        package="trtplugin-corner-pool",
        attributes={"mode": 2},
        dynamic={"x": [0, 2, 3]},
        profile={"x": [[1, 3, 8, 8], [2, 3, 8, 8], [4, 3, 30, 30]]},
    )


# -------------------------------------------------------------------------------------------------------- the kernels
@pytest.mark.parametrize("seed", range(60))
def test_kernels_on_host(on_host: HostPlugin, seed: int) -> None:
    random = np.random.default_rng(1000 + seed)
    x = random_image(random, compare.FLOATS[seed % 3], largest=[9, 40][seed // 12 % 2])
    (y,) = on_host.run(OP, [x], {"mode": seed % 4}, misalign=seed // 4 % 3)
    check(x, MODES[seed % 4], y)


SHAPES = [(1, 1, 1, 1), (0, 2, 3, 4), (2, 1, 3, 129), (1, 1, 2, 256), (1, 1, 2, 300), (1, 2, 17, 8), (1, 1, 300, 1)]


@pytest.mark.parametrize("mode", range(4))
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_on_host(on_host: HostPlugin, shape: tuple[int, ...], mode: int) -> None:
    x = torch.randn(shape)
    check(x, MODES[mode], *on_host.run(OP, [x], {"mode": mode}))


class TestOnDevice:
    pytestmark = device.marks()

    @pytest.mark.parametrize("dtype", compare.FLOATS)
    @pytest.mark.parametrize("seed", range(80))
    def test_kernels(self, on_device: DevicePlugin, seed: int, dtype: str) -> None:
        random = np.random.default_rng([seed, compare.FLOATS.index(dtype)])
        x = random_image(random, dtype, largest=[9, 40, 90][seed // 8 % 3])
        (y,) = on_device.run(OP, [x.cuda()], {"mode": seed % 4}, misalign=seed // 4 % 4)
        check(x, MODES[seed % 4], y)
        check(x, MODES[seed % 4], corner_pool(x.cuda(), MODES[seed % 4]))

    @pytest.mark.parametrize("mode", range(4))
    @pytest.mark.parametrize("shape", [*SHAPES, (2, 3, 130, 1000), (1, 2, 1000, 129)])
    def test_shapes(self, on_device: DevicePlugin, shape: tuple[int, ...], mode: int) -> None:
        x = torch.randn(shape, device="cuda")
        (y,) = on_device.run(OP, [x], {"mode": mode})
        assert torch.equal(y.cpu(), corner_pool(x.cpu(), mode))

    @pytest.mark.parametrize("mode", range(4))
    def test_alignments(self, on_device: DevicePlugin, mode: int) -> None:
        on_device.check_alignments(OP, [torch.randn(2, 3, 20, 72, device="cuda").half()], {"mode": mode})

    @pytest.mark.parametrize("mode", [0, 3])
    def test_it_is_captured_in_a_graph(self, on_device: DevicePlugin, mode: int) -> None:
        x, other = torch.randn(2, 2, 3, 20, 40)
        (y,) = on_device.replay(OP, [x], [other], {"mode": mode})
        check(other, MODES[mode], y)

    @pytest.mark.skipif(shutil.which("compute-sanitizer") is None, reason="compute-sanitizer is not on PATH")
    @pytest.mark.parametrize("tool", ["memcheck", "racecheck", "synccheck", "initcheck"])
    def test_compute_sanitizer_finds_nothing(self, tool: str) -> None:
        requests = [
            Request(creator=OP, inputs=[torch.randn(shape).half()], attributes={"mode": mode})
            for shape in SHAPES
            for mode in range(4)
        ]
        sanitizer.run(device.library_of("trtplugin_corner_pool"), requests, tool=tool)

    @pytest.mark.slow
    @pytest.mark.parametrize("mode", range(4))
    def test_more_elements_than_32_bits_count(self, mode: int) -> None:
        device.need_memory(5 * 2**31)
        x = torch.empty(1, 2, 2**15 + 1, 2**15 + 8, device="cuda", dtype=torch.float16).normal_()
        y = corner_pool(x, mode)
        for plane in range(2):
            for place in (0, -1):
                part = (0, plane, slice(None), place) if mode < 2 else (0, plane, place)
                expected = x[part].flip(0).cummax(0).values.flip(0) if mode % 2 == 0 else x[part].cummax(0).values
                assert torch.equal(y[part], expected)
