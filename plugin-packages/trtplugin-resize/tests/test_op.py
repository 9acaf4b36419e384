"""The PyTorch ops on the CPU, and what the plugins take and refuse."""

from __future__ import annotations

import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from resize_cases import EDGES, NEAREST_TYPES, Case, assert_bicubic, nearest, random_case, random_nearest
from torch._subclasses.fake_tensor import FakeTensorMode
from trtplugin_resize import bicubic_interpolate, resize_like, resize_nearest
from trtplugin_resize._op import fraction

from trtreg.errors import FaceError, ShapeError
from trtreg.sdk.face import Face, TensorSpec
from trtreg.testing import compare, device


@pytest.fixture(scope="module")
def face() -> Face:
    return device.open_library("trtplugin_resize")


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, trtplugin_resize; sys.exit('torch' in sys.modules or 'tensorrt_rtx' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("dtype", compare.FLOATS)
@pytest.mark.parametrize("case", [*EDGES, *(random_case(np.random.default_rng(seed), 12) for seed in range(20))])
def test_bicubic(case: Case, dtype: str) -> None:
    x = case.x(np.random.default_rng(0), dtype)
    y = resize_like(x, torch.empty(case.size), case.align_corners)
    assert_bicubic(y, x, case.size, align_corners=case.align_corners)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("scale", [2, 0.7, (1.5, 3.0)])
def test_bicubic_by_factors(scale: float | tuple[float, float], align_corners: bool) -> None:
    x = torch.randn(2, 3, 10, 20, dtype=torch.float64)
    y = bicubic_interpolate(x, scale, align_corners)
    height, width = scale if isinstance(scale, tuple) else (scale, scale)
    assert y.shape[2:] == (round(10 * height), round(20 * width))
    expected = torch.nn.functional.interpolate(x, y.shape[2:], mode="bicubic", align_corners=align_corners)
    torch.testing.assert_close(y, expected)


@pytest.mark.parametrize("dtype", NEAREST_TYPES)
@pytest.mark.parametrize("seed", range(6))
def test_nearest(seed: int, dtype: str) -> None:
    x, scales = random_nearest(np.random.default_rng(seed), dtype, 7)
    assert torch.equal(resize_nearest(x, [float(scale) for scale in scales]), nearest(x, scales))


def test_nearest_is_pytorchs_for_whole_scales() -> None:
    x = torch.randn(2, 3, 4, 5)
    assert torch.equal(resize_nearest(x, (2, 3)), torch.nn.functional.interpolate(x, scale_factor=(2.0, 3.0)))
    assert torch.equal(resize_nearest(x, 2), resize_nearest(x, (1, 1, 2, 2)))
    same = resize_nearest(x, 1)
    assert torch.equal(same, x)
    assert same.data_ptr() != x.data_ptr()


@pytest.mark.parametrize("value", [Fraction(7, 10), Fraction(1, 3), Fraction(2), Fraction(999, 1000), Fraction(65536)])
def test_scales_are_read_as_fractions(value: Fraction) -> None:
    assert Fraction(*fraction(float(value))) == value
    single = np.float32(value.numerator) / np.float32(value.denominator)  # what an ONNX node holds
    assert Fraction(*fraction(float(single))) == value


@pytest.mark.parametrize("seed", range(200))
def test_the_plugin_reads_the_same_fractions(face: Face, seed: int) -> None:
    random = np.random.default_rng(seed)
    scale = float(np.float32(2.0 ** random.uniform(-16, 16)))
    above, below = fraction(scale)
    plugin = face.create("ResizeNearest", {"scales": [scale]})
    for size in (1, 720, 65537):
        ((y,), _) = plugin.infer([TensorSpec(type="float16", shape=(1, 1, size))])
        assert y.shape == (1, 1, size * above // below)
    assert math.isclose(above / below, scale, rel_tol=2**-23)


def test_refused(face: Face) -> None:
    x = torch.randn(1, 2, 3, 4)
    for bad in (0.0, float("nan"), -1.0, 1e6):
        with pytest.raises(ShapeError, match="out of range"):
            resize_nearest(x, bad)
        with pytest.raises(FaceError, match="attribute 'scales'"):
            face.create("ResizeNearest", {"scales": [bad]})
    with pytest.raises(ShapeError, match="scales do not fit"):
        resize_nearest(x, (1.0, 2.0, 3.0))
    with pytest.raises(ShapeError, match="rank"):
        resize_like(x[0], x)
    image = TensorSpec(type="float32", shape=(1, 2, 3, 4))
    for creator in ("DynamicTRTResize", "bicubic_interpolate", "TRTBicubicInterpolate"):
        with pytest.raises(FaceError, match="either a second input"):
            face.create(creator).infer([image])
        with pytest.raises(FaceError, match="either a second input"):
            face.create(creator, {"scale_factor": 2.0}).infer([image, image])
        with pytest.raises(FaceError, match="either a second input"):
            face.create(creator, {"scale_factor": [1.0, 1.0, 2.0]}).infer([image])
    with pytest.raises(FaceError, match="without pixels"):
        face.create("ResizeNearest", {"scale": 2.0}).infer([TensorSpec(type="float32", shape=(1, 2, 0, 4))])
    with pytest.raises(FaceError, match="'scales' is missing"):
        face.create("ResizeNearest")
    with pytest.raises(FaceError, match="rank 6"):
        face.create("ResizeNearest", {"scale": 2}).infer([TensorSpec(type="float32", shape=(1,) * 6)])


@pytest.mark.parametrize("spelling", ["scales", "scale", "scale_factor"])
def test_spellings(face: Face, spelling: str) -> None:
    x = TensorSpec(type="float32", shape=(1, 2, 3, 4))
    plugin = face.create("ResizeNearest", {spelling: [2.0, 3.0]})
    assert plugin.infer([x])[0][0].shape == (1, 2, 6, 12)
    if spelling != "scale":
        plugin = face.create("TRTBicubicInterpolate", {spelling: [2.0, 3.0], "align_corners": 1})
        assert plugin.infer([x])[0][0].shape == (1, 2, 6, 12)


def test_ops_are_registered_properly() -> None:
    ops, checks = torch.ops.trtplugin_resize, ("test_schema", "test_faketensor")
    x = torch.randn(1, 2, 3, 4)
    torch.library.opcheck(ops.resize_like.default, (x, torch.empty(5, 6), 0), test_utils=checks)
    torch.library.opcheck(ops.bicubic_interpolate.default, (x, 1, [2.0]), test_utils=checks)
    torch.library.opcheck(ops.resize_nearest.default, (x, [0.5, 2.0]), test_utils=checks)
    with FakeTensorMode():
        assert resize_nearest(torch.empty(1, 2, 3, 4), 1.5).shape == (1, 2, 4, 6)
