"""ONNX: both exporters write the node, and TensorRT builds an engine from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from trtplugin_ms_deform_attn import ms_deform_attn

from trtreg.testing import export

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE = "trtplugin-ms-deform-attn"
OP = "MultiscaleDeformableAttnPlugin_TRT"


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("sizes", torch.tensor([[4, 5], [2, 3]]))
        self.register_buffer("starts", torch.tensor([0, 20]))

    def forward(self, value: torch.Tensor, locations: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return ms_deform_attn(value, self.sizes, self.starts, locations.sigmoid(), weights.softmax(-1))


@pytest.mark.parametrize("exporter", export.EXPORTERS)
def test_export_to_engine(exporter: str, tmp_path: Path) -> None:
    engine = export.check(
        Model(),
        {
            "value": torch.randn(2, 26, 2, 8),
            "locations": torch.randn(2, 7, 2, 2, 4, 2),
            "weights": torch.randn(2, 7, 2, 2, 4),
        },
        tmp_path / "model.onnx",
        exporter,
        op=OP,
        domain="trtreg",
        package=PACKAGE,
        attributes={},
        dynamic={"locations": [1], "weights": [1]},
        profile={
            "locations": [[2, 1, 2, 2, 4, 2], [2, 7, 2, 2, 4, 2], [2, 30, 2, 2, 4, 2]],
            "weights": [[2, 1, 2, 2, 4], [2, 7, 2, 2, 4], [2, 30, 2, 2, 4]],
        },
    )
    assert engine.outputs[0].shape == (2, -1, 2, 8)


@pytest.mark.parametrize("index", ["int32", "int64"])
@pytest.mark.parametrize("domain", ["", "TRT", "nvidia"])
def test_node_of_other_exporters(domain: str, index: str) -> None:
    inputs = {
        "value": ("float16", [1, 26, 2, 8]),
        "spatial_shapes": (index, [2, 2]),
        "level_start_index": (index, [2]),
        "sampling_locations": ("float16", [1, 7, 2, 2, 4, 2]),
        "attention_weights": ("float16", [1, 7, 2, 2, 4]),
    }
    model = export.model_of(OP, inputs, {"y": ("float16", [1, 7, 2, 8])}, domain=domain)
    export.build(model, op=OP, package=PACKAGE)
