"""ONNX: both exporters write MMCV's node, and TensorRT builds an engine from it and from the older DCNv2 node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from trtplugin_dcnv2 import ModulatedDeformConv2dPack

import trtreg
from trtreg.errors import TrtregError
from trtreg.scan import scan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ATTRIBUTES = {"stride": [2, 1], "padding": [1, 2], "dilation": [1, 2], "groups": 2, "deform_groups": 2}
X = torch.randn(2, 4, 9, 10)


class Model(torch.nn.Module):
    def __init__(self, *, bias: bool) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(4, 4, 3, padding=1)
        self.deformable = ModulatedDeformConv2dPack(4, 6, 3, **ATTRIBUTES, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.deformable(self.conv(x).relu())


def export_torchscript(model: torch.nn.Module, path: Path) -> None:
    axes = {"x": {0: "n", 2: "h", 3: "w"}, "y": {0: "n"}}
    arguments = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": axes}
    torch.onnx.export(model, (X,), path, dynamo=False, **arguments)


def export_dynamo(model: torch.nn.Module, path: Path) -> None:
    dynamic = torch.export.Dim.DYNAMIC
    arguments = {"input_names": ["x"], "output_names": ["y"], "dynamic_shapes": ({0: dynamic, 2: dynamic, 3: dynamic},)}
    torch.onnx.export(model, (X,), path, dynamo=True, verbose=False, **arguments)


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the exporters themselves
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("export", [export_torchscript, export_dynamo])
def test_export_to_engine(export: Callable[[torch.nn.Module, Path], None], bias: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export(Model(bias=bias).eval(), path)
    (node,) = [node for node in onnx.load(path).graph.node if node.op_type == "MMCVModulatedDeformConv2d"]
    assert (node.domain, attributes_of(node)) == ("mmcv", ATTRIBUTES)
    assert len(node.input) == 4 + bias

    (found,) = [each for each in scan(path).nodes if each.op == "MMCVModulatedDeformConv2d"]
    assert found.plugin is not None
    assert found.plugin.distribution == "trtplugin-dcnv2"

    engine = trtreg.onnx2trt(path, {"x": [[1, 4, 9, 10], [2, 4, 9, 10], [4, 4, 20, 30]]})
    assert [layer.type for layer in engine.layers].count("PLUGIN_V3") == 1
    assert b"MMCVModulatedDeformConv2d" in engine.plan
    assert engine.outputs[0].shape[1] == 6


def model_of(op: str, shapes: dict[str, list[Any]], outputs: list[Any], **attributes: Any) -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, outputs)
    node = helper.make_node(op, list(shapes), ["y"], domain="custom", **attributes)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("custom", 1)]
    return helper.make_model(helper.make_graph([node], "g", inputs, [result]), opset_imports=opsets)


DCNV2 = {"x": [1, 4, 9, 10], "offset": [1, 36, 5, 5], "mask": [1, 18, 5, 5], "weight": [6, 4, 3, 3], "bias": [6]}


def test_node_of_the_older_recipe() -> None:
    model = model_of("DCNv2", DCNV2, [1, 6, 5, 5], stride=2, padding=1, dilation=1, deformable_group=2)
    engine = trtreg.onnx2trt(model)
    assert [layer.type for layer in engine.layers] == ["PLUGIN_V3"]
    assert [tensor.shape for tensor in engine.outputs] == [(1, 6, 5, 5)]


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
