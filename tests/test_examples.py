"""The example detector goes all the way: PyTorch, ONNX by either exporter, an engine with the plugins' layers."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from trtreg import discovery, onnx2trt
from trtreg.scan import Status, scan

ROOT = Path(__file__).resolve().parent.parent
NEEDED = ("torch", "onnxscript", "trtplugin_dcnv2", "trtplugin_hswish", "tensorrt_rtx")
missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}; `make test` has them"),
]


@pytest.fixture(scope="module", params=["dynamo", "torchscript"])
def model(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("detector") / "detector.onnx"
    command = [sys.executable, ROOT / "examples" / "detector.py", path, "--exporter", request.param, "--size", "64"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return path


def test_scan_finds_a_plugin_for_each_node_that_needs_one(model):
    report = scan(model)
    assert not report.missing
    # Split is TensorRT's own here, and of a package too.
    assert {node.op for node in report.nodes if node.status is Status.NATIVE} <= {"Split"}
    provided = sorted(node.op for node in report.nodes if node.status is Status.PROVIDED)
    assert provided == ["HSwish"] * 10 + ["MMCVModulatedDeformConv2d"] * 3


def test_the_engine_has_the_layers_of_the_plugins(model):
    engine = onnx2trt(model, {"image": [[1, 3, 64, 64], [2, 3, 64, 64], [4, 3, 64, 64]]})
    assert [layer.type for layer in engine.plugin_layers] == ["PLUGIN_V3"] * 13
    assert {plugin.package for plugin in engine.plugins} == {"trtplugin-dcnv2", "trtplugin-hswish"}
    assert {tensor.name: tensor.shape for tensor in engine.outputs} == {
        "scores": (-1, 20, 16, 16),
        "sizes": (-1, 2, 16, 16),
        "offsets": (-1, 2, 16, 16),
    }
    # The plan itself asks the registry for them by name.
    used = {plugin.package for plugin in engine.plugins}
    for plugin in discovery.discover():
        assert plugin.distribution not in used or any(
            creator.name.encode() in engine.plan for creator in plugin.manifest.library.creators
        )
