"""ONNX: both exporters write MMCV's node, and TensorRT builds an engine from it and from the older DCNv2 node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx
import pytest
import torch
from trtplugin_dcnv2 import ModulatedDeformConv2dPack

import trtreg
from trtreg.errors import TrtregError
from trtreg.testing import export

if TYPE_CHECKING:
    from pathlib import Path

ATTRIBUTES = {"stride": [2, 1], "padding": [1, 2], "dilation": [1, 2], "groups": 2, "deform_groups": 2}


class Model(torch.nn.Module):
    def __init__(self, *, bias: bool) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(4, 4, 3, padding=1)
        self.deformable = ModulatedDeformConv2dPack(4, 6, 3, **ATTRIBUTES, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.deformable(self.conv(x).relu())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("exporter", export.EXPORTERS)
def test_export_to_engine(exporter: str, bias: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    engine = export.check(
        Model(bias=bias),
        {"x": torch.randn(2, 4, 9, 10)},
        path,
        exporter,
        op="MMCVModulatedDeformConv2d",
        domain="mmcv",
        package="trtplugin-dcnv2",
        attributes=ATTRIBUTES,
        dynamic={"x": [0, 2, 3]},
        profile={"x": [[1, 4, 9, 10], [2, 4, 9, 10], [4, 4, 20, 30]]},
    )
    assert len(export.node_of(onnx.load(path), "MMCVModulatedDeformConv2d").input) == 4 + bias
    assert engine.outputs[0].shape[1] == 6


def model_of(op: str, shapes: dict[str, list[Any]], outputs: list[Any], **attributes: Any) -> onnx.ModelProto:
    inputs = {name: ("float32", shape) for name, shape in shapes.items()}
    return export.model_of(op, inputs, {"y": ("float32", outputs)}, **attributes)


DCNV2 = {"x": [1, 4, 9, 10], "offset": [1, 36, 5, 5], "mask": [1, 18, 5, 5], "weight": [6, 4, 3, 3], "bias": [6]}


def test_node_of_the_older_recipe() -> None:
    model = model_of("DCNv2", DCNV2, [1, 6, 5, 5], stride=2, padding=1, dilation=1, deformable_group=2)
    engine = trtreg.onnx2trt(model)
    assert [layer.type for layer in engine.layers] == ["PLUGIN_V3"]
    assert [tensor.shape for tensor in engine.outputs] == [(1, 6, 5, 5)]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("info", [None, "", '{"stride": 1, "padding": 1, "deformable_group": 1}'])
def test_node_of_tensorrt_pro(info: str | None, bias: bool) -> None:
    # Op `Plugin`, with weights that the model holds; its exporter leaves `info` empty.
    inputs = {"x": ("float32", ["n", 4, 9, 10]), "offset_and_mask": ("float32", ["n", 27, 9, 10])}
    constants = {"weight": torch.randn(6, 4, 3, 3)} | ({"bias": torch.randn(6)} if bias else {})
    attributes = {"name": "DCNv2"} | ({} if info is None else {"info": info})
    model = export.model_of(
        "Plugin", inputs, {"y": ("float32", ["n", 6, 9, 10])}, domain="", constants=constants, **attributes
    )
    profile = {name: [[n, *shape[1:]] for n in (1, 2, 4)] for name, (_, shape) in inputs.items()}
    engine = trtreg.onnx2trt(model, profile)
    assert "PLUGIN_V3" in [layer.type for layer in engine.layers]
    assert [tensor.shape for tensor in engine.outputs] == [(-1, 6, 9, 10)]


def test_tensorrt_refuses_what_does_not_fit() -> None:
    model = model_of("DCNv2", {**DCNV2, "mask": [1, 9, 5, 5]}, [1, 6, 5, 5], stride=2, padding=1, deformable_group=2)
    with pytest.raises(TrtregError, match="dimension 1 of input 2 is 9, expected 18"):
        trtreg.onnx2trt(model)


def test_sizes_that_are_known_only_at_run_time() -> None:
    shapes = {
        "x": ["n", 4, "h", "w"],
        "offset": ["n", 18, "a", "b"],
        "mask": ["n", 9, "a", "b"],
        "weight": [6, 4, 3, 3],
    }
    profile = {
        "x": [[1, 4, 5, 5], [2, 4, 9, 10], [4, 4, 20, 30]],
        "offset": [[1, 18, 3, 3], [2, 18, 5, 5], [4, 18, 10, 15]],
        "mask": [[1, 9, 3, 3], [2, 9, 5, 5], [4, 9, 10, 15]],
    }
    engine = trtreg.onnx2trt(model_of("DCNv2", shapes, ["n", 6, "a", "b"], stride=2, padding=1), profile)
    assert [tensor.shape for tensor in engine.outputs] == [(-1, 6, -1, -1)]
