"""The configuration of MMCV 1.7's test of its ScatterND plugin: two updates in place of a 4 x 4 tensor of zeros, which
the exporter writes as ScatterND nodes. The answers have to agree with PyTorch's to numpy.allclose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from trtreg.testing import device, export

if TYPE_CHECKING:
    from pathlib import Path

    import onnx


NODES = 4  # two for each update: its exporter writes the result back once more


class Updates(torch.nn.Module):
    def forward(self, data: torch.Tensor) -> torch.Tensor:
        data = data.clone()
        data[:, :-2] += 1
        data[:2, :] -= 1
        return data


def model(path: Path) -> onnx.ModelProto:
    found = export.export(Updates(), {"x": torch.zeros(4, 4)}, path, "torchscript")
    assert [node.op_type for node in found.graph.node].count("ScatterND") == NODES
    return found


def check(runner: Any, path: Path, where: str) -> None:
    """Run the model with the plugin for its ScatterND nodes."""

    class ScatterND(OpRun):
        op_domain = ""

        def _run(self, *inputs: Any, **_: Any) -> tuple[Any]:
            tensors = [torch.from_numpy(each.copy()).to(where) for each in inputs]
            (y,) = runner.run("ScatterND", tensors)
            return (y.cpu().numpy(),)

    x = torch.zeros(4, 4)
    (y,) = ReferenceEvaluator(model(path), new_ops=[ScatterND]).run(None, {"x": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(y), Updates()(x), rtol=1e-5, atol=1e-8)


def test_on_host(on_host: Any, tmp_path: Path) -> None:
    check(on_host, tmp_path / "model.onnx", "cpu")


def test_engine(tmp_path: Path) -> None:
    model(tmp_path / "model.onnx")
    export.build(
        tmp_path / "model.onnx",
        op="ScatterND",
        package="trtplugin-scatter",
        layers=NODES,
        prefer_plugins=["ScatterND"],
    )


class TestOnDevice:
    pytestmark = device.marks()

    def test_scatter_nd(self, on_device: Any, tmp_path: Path) -> None:
        check(on_device, tmp_path / "model.onnx", "cuda")
