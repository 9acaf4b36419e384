"""ONNX: both exporters write the nodes, and TensorRT builds engines with the plugins in place of its own importers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from trtplugin_scatter import scatter_elements, scatter_nd

from trtreg.errors import TrtregError
from trtreg.testing import export

if TYPE_CHECKING:
    from pathlib import Path

    from trtreg.engine import Engine

PACKAGE = "trtplugin-scatter"


class Slices(torch.nn.Module):
    def forward(self, data: torch.Tensor, indices: torch.Tensor, updates: torch.Tensor) -> torch.Tensor:
        return scatter_nd(data * 2, indices, updates, "add")


class Elements(torch.nn.Module):
    def forward(self, data: torch.Tensor, indices: torch.Tensor, updates: torch.Tensor) -> torch.Tensor:
        return scatter_elements(data * 2, indices, updates, -1, "max")


@pytest.mark.parametrize("exporter", export.EXPORTERS)
def test_slices(exporter: str, tmp_path: Path) -> None:
    engine = export.check(
        Slices(),
        {"data": torch.rand(9, 4), "indices": torch.tensor([[1], [-2]]), "updates": torch.rand(2, 4)},
        tmp_path / "model.onnx",
        exporter,
        op="ScatterND",
        domain="trtreg",
        package=PACKAGE,
        attributes={"reduction": "add"},
        dynamic={"data": [0], "indices": [0], "updates": [0]},
        profile={
            "data": [[1, 4], [9, 4], [99, 4]],
            "indices": [[1, 1], [9, 1], [99, 1]],
            "updates": [[1, 4], [9, 4], [99, 4]],
        },
        prefer_plugins=["ScatterND"],
    )
    assert [each.shape for each in engine.outputs] == [(-1, 4)]


@pytest.mark.parametrize("exporter", export.EXPORTERS)
def test_elements(exporter: str, tmp_path: Path) -> None:
    engine = export.check(
        Elements(),
        {"data": torch.rand(9, 4), "indices": torch.zeros(9, 2, dtype=torch.int64), "updates": torch.rand(9, 2)},
        tmp_path / "model.onnx",
        exporter,
        op="ScatterElements",
        domain="trtreg",
        package=PACKAGE,
        attributes={"axis": -1, "reduction": "max"},
        dynamic={"data": [0], "indices": [0], "updates": [0]},
        profile={
            "data": [[1, 4], [9, 4], [99, 4]],
            "indices": [[1, 2], [9, 2], [99, 2]],
            "updates": [[1, 2], [9, 2], [99, 2]],
        },
        prefer_plugins=["ScatterElements"],
    )
    assert [each.shape for each in engine.outputs] == [(-1, 4)]


@pytest.mark.parametrize("reduction", [None, "none", "add", "mul", "max", "min"])
@pytest.mark.parametrize("creator", ["ScatterND", "ScatterElements"])
def test_standard_nodes(creator: str, reduction: str | None) -> None:
    updates = [3, 4] if creator == "ScatterND" else [3, 2]
    indices = [3, 1] if creator == "ScatterND" else updates
    types = {"data": ("float32", ["n", 4]), "indices": ("int64", indices), "updates": ("float32", updates)}
    attributes = {"reduction": reduction} if reduction else {}
    model = export.model_of(creator, types, {"y": ("float32", ["n", 4])}, domain="", opset=18, **attributes)
    profile = {"data": [[3, 4], [9, 4], [99, 4]]}
    export.build(model, profile, op=creator, package=PACKAGE, prefer_plugins=[creator])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int32", "int64"])
@pytest.mark.parametrize("creator", ["ScatterND", "ScatterElements"])
def test_types(creator: str, dtype: str) -> None:
    updates = [3] if creator == "ScatterND" else [3, 2]
    types = {"data": (dtype, [5, 4]), "indices": ("int64", [3, 2]), "updates": (dtype, updates)}
    model = export.model_of(creator, types, {"y": (dtype, [5, 4])}, domain="", opset=18)

    def build() -> Engine:
        return export.build(model, op=creator, package=PACKAGE, prefer_plugins=[creator])

    if (creator, dtype) == ("ScatterND", "int64"):  # its parser casts the inputs of every ScatterND to int32
        with pytest.raises(TrtregError, match="parsed type is int32 which does not match"):
            build()
    else:
        assert build().outputs[0].shape == (5, 4)
