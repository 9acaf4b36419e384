"""ONNX: both exporters write the nodes, and TensorRT builds engines from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from trtplugin_resize import bicubic_interpolate, resize_like, resize_nearest

from trtreg.testing import export

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE = "trtplugin-resize"
DYNAMIC = {"x": [0, 2, 3]}
PROFILE = {"x": [[1, 3, 4, 4], [2, 3, 8, 9], [4, 3, 20, 20]]}


class Like(torch.nn.Module):
    def forward(self, x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        return resize_like(x.relu(), like, align_corners=True)


class Factor(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return bicubic_interpolate(x.relu(), (0.7, 2.0))


class Nearest(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return resize_nearest(x.relu(), 1.5)


@pytest.mark.parametrize("exporter", export.EXPORTERS)
def test_like(exporter: str, tmp_path: Path) -> None:
    engine = export.check(
        Like(),
        {"x": torch.randn(2, 3, 8, 9), "like": torch.zeros(1, 1, 5, 6)},
        tmp_path / "model.onnx",
        exporter,
        op="DynamicTRTResize",
        domain="mmdeploy",
        package=PACKAGE,
        attributes={"align_corners": 1},
        dynamic=DYNAMIC | {"like": [2, 3]},
        profile=PROFILE | {"like": [[1, 1, 2, 2], [1, 1, 5, 6], [1, 1, 90, 90]]},
    )
    assert engine.outputs[0].shape == (-1, 3, -1, -1)


@pytest.mark.parametrize("exporter", export.EXPORTERS)
def test_factor(exporter: str, tmp_path: Path) -> None:
    engine = export.check(
        Factor(),
        {"x": torch.randn(2, 3, 10, 9)},
        tmp_path / "model.onnx",
        exporter,
        op="bicubic_interpolate",
        domain="mmdeploy",
        package=PACKAGE,
        attributes={"align_corners": 0, "scale_factor": [0.7, 2.0]},
        dynamic=DYNAMIC,
        profile=PROFILE,
    )
    assert engine.outputs[0].shape == (-1, 3, -1, -1)


@pytest.mark.parametrize("exporter", export.EXPORTERS)
def test_nearest(exporter: str, tmp_path: Path) -> None:
    engine = export.check(
        Nearest(),
        {"x": torch.randn(2, 3, 8, 9)},
        tmp_path / "model.onnx",
        exporter,
        op="ResizeNearest",
        domain="trtreg",
        package=PACKAGE,
        attributes={"scales": [1.5]},
        dynamic=DYNAMIC,
        profile=PROFILE,
    )
    assert engine.outputs[0].shape == (-1, 3, -1, -1)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_node_of_mmdeploy(dtype: str) -> None:
    tensors = {"x": (dtype, [2, 3, 10, 20])}, {"y": (dtype, [2, 3, 7, 40])}
    model = export.model_of("TRTBicubicInterpolate", *tensors, domain="mmdeploy", scale_factor=[0.7, 2.0])
    engine = export.build(model, op="TRTBicubicInterpolate", package=PACKAGE)
    assert engine.outputs[0].shape == (2, 3, 7, 40)


def test_node_of_the_tutorial() -> None:
    tensors = {"x": ("float32", ["n", 3, 10, 20]), "size": ("float32", ["a", "b", "h", "w"])}
    outputs = {"y": ("float32", ["n", 3, "h", "w"])}
    model = export.model_of("DynamicTRTResize", tensors, outputs, domain="Test", align_corners=0)
    profile = {"x": [[1, 3, 10, 20]] * 3, "size": [[1, 1, 20, 40], [1, 1, 20, 40], [1, 1, 80, 80]]}
    export.build(model, profile, op="DynamicTRTResize", package=PACKAGE)
