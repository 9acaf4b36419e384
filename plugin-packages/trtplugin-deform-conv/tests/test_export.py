"""ONNX: both exporters write MMCV's node, and TensorRT builds an engine from it and from the node that MMCV writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from trtplugin_deform_conv import DeformConv2dPack

from trtreg.testing import export

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE = "trtplugin-deform-conv"
ATTRIBUTES = {"stride": [2, 1], "padding": [1, 2], "dilation": [1, 2], "groups": 2, "deform_groups": 2}


@pytest.mark.parametrize("exporter", export.EXPORTERS)
def test_export_to_engine(exporter: str, tmp_path: Path) -> None:
    engine = export.check(
        DeformConv2dPack(4, 6, 3, **ATTRIBUTES),
        {"x": torch.randn(2, 4, 9, 10)},
        tmp_path / "model.onnx",
        exporter,
        op="MMCVDeformConv2d",
        domain="mmcv",
        package=PACKAGE,
        attributes=ATTRIBUTES,
        dynamic={"x": [0, 2, 3]},
        profile={"x": [[1, 4, 9, 10], [2, 4, 9, 10], [4, 4, 20, 30]]},
    )
    assert engine.outputs[0].shape[1] == 6


def test_node_as_mmcv_writes_it() -> None:
    shapes = {"x": ["n", 4, 9, 10], "offset": ["n", 36, 5, 5], "weight": [6, 4, 3, 3]}
    model = export.model_of(
        *("MMCVDeformConv2d", {name: ("float32", shape) for name, shape in shapes.items()}),
        *({"y": ("float32", ["n", 6, 5, 5])},),
        domain="mmcv",
        stride=[2, 2],
        padding=[1, 1],
        dilation=[1, 1],
        groups=1,
        deform_groups=2,
        bias=0,
        im2col_step=32,
    )
    profile = {name: [[n, *shape[1:]] for n in (1, 2, 4)] for name, shape in shapes.items() if name != "weight"}
    engine = export.build(model, profile, op="MMCVDeformConv2d", package=PACKAGE)
    assert [tensor.shape for tensor in engine.outputs] == [(-1, 6, 5, 5)]
