"""ONNX: both exporters write MMCV's node; TensorRT builds an engine from it, and from ONNX's own GridSample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from trtplugin_grid_sample import grid_sample

from trtreg.testing import export

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE = "trtplugin-grid-sample"


class Model(torch.nn.Module):
    def forward(self, x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        return grid_sample(x.relu(), grid, "nearest", "reflection", align_corners=True)


@pytest.mark.parametrize("exporter", export.EXPORTERS)
def test_export_to_engine(exporter: str, tmp_path: Path) -> None:
    engine = export.check(
        Model(),
        {"x": torch.randn(2, 3, 8, 9), "grid": torch.rand(2, 4, 5, 2)},
        tmp_path / "model.onnx",
        exporter,
        op="grid_sampler",
        domain="mmcv",
        package=PACKAGE,
        attributes={"interpolation_mode": 1, "padding_mode": 2, "align_corners": 1},
        dynamic={"x": [2, 3], "grid": [1, 2]},
        profile={
            "x": [[2, 3, 4, 4], [2, 3, 8, 9], [2, 3, 20, 20]],
            "grid": [[2, 1, 1, 2], [2, 4, 5, 2], [2, 9, 9, 2]],
        },
    )
    assert engine.outputs[0].shape == (2, 3, -1, -1)


@pytest.mark.parametrize("opset", [16, 20])
def test_onnx_node_through_the_override(opset: int) -> None:
    mode = {16: "bicubic", 20: "cubic"}[opset]
    inputs = {"x": ("float32", [2, 3, 8, 9]), "grid": ("float32", [2, 4, 5, 2])}
    attributes = {"mode": mode, "padding_mode": "border", "align_corners": 1}
    model = export.model_of(
        *("GridSample", inputs, {"y": ("float32", [2, 3, 4, 5])}), **{"domain": "", "opset": opset, **attributes}
    )
    engine = export.build(model, op="GridSample", package=PACKAGE, prefer_plugins=["GridSample"])
    assert [tensor.shape for tensor in engine.outputs] == [(2, 3, 4, 5)]


def test_volumes_of_half_precision() -> None:
    inputs = {"x": ("float16", [1, 2, 3, 4, 5]), "grid": ("float32", [1, 2, 2, 2, 3])}
    outputs = {"y": ("float16", [1, 2, 2, 2, 2])}
    model = export.model_of("grid_sampler", inputs, outputs, domain="mmcv", interpolation_mode=0, padding_mode=1)
    export.build(model, op="grid_sampler", package=PACKAGE)
