"""TensorRT builds engines with whatever types and shapes the contract of a plugin allows. Needs no GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("tensorrt_rtx", reason="only TensorRT-RTX builds without a GPU")

from trtreg.errors import TrtregError
from trtreg.testing import export

if TYPE_CHECKING:
    from trtreg.discovery import InstalledPlugin
    from trtreg.engine import Engine

X = {"x": ("float32", ["n", 3])}
PROFILE = {"x": [[1, 3], [2, 3], [4, 3]]}


def build(installed: InstalledPlugin, model: object, profile: object, op: str) -> Engine:
    import trtreg

    engine = trtreg.onnx2trt(model, profile, plugins=[installed])
    assert [layer.type for layer in engine.layers].count("PLUGIN_V3") == 1
    assert op.encode() in engine.plan
    return engine


@pytest.mark.parametrize("index", ["int32", "int64"])
def test_integers_text_and_lists(installed: InstalledPlugin, index: str) -> None:
    inputs = {**X, "index": (index, ["n", 3])}
    outputs = {"y": ("int32", ["n", 3]), "count": ("int64", [])}
    model = export.model_of("ProbeTypes", inputs, outputs, mode="zero", scales=[0.5, 2.0], copies=2)
    engine = build(installed, model, dict.fromkeys(inputs, PROFILE["x"]), "ProbeTypes")
    assert [(each.dtype, each.shape) for each in engine.outputs] == [("int32", (-1, 3)), ("int64", ())]


def test_text_is_checked_while_the_engine_is_built(installed: InstalledPlugin) -> None:
    inputs = {**X, "index": ("int64", ["n", 3])}
    model = export.model_of("ProbeTypes", inputs, {"y": ("int32", ["n", 3])}, mode="other")
    with pytest.raises(TrtregError, match="mode 'other' is unknown"):
        build(installed, model, dict.fromkeys(inputs, PROFILE["x"]), "ProbeTypes")


def test_shape_tensor(installed: InstalledPlugin) -> None:
    inputs = {**X, "index": ("int64", ["n", 3]), "size": ("int64", [2])}
    model = export.model_of("ProbeTypes", inputs, {"y": ("int32", ["a", "b"])}, tensorrt_plugin_shape_input_indices=[2])
    profile = {"x": PROFILE["x"], "index": PROFILE["x"], "size": [[1, 3], [2, 3], [4, 3]]}
    engine = build(installed, model, profile, "ProbeTypes")
    assert engine.outputs[0].shape == (-1, -1)


def test_size_known_after_the_run(installed: InstalledPlugin) -> None:
    outputs = {"indices": ("int32", ["m"]), "count": ("int32", [])}
    model = export.model_of("ProbeAbove", {"x": ("float32", [8])}, outputs)
    engine = build(installed, model, None, "ProbeAbove")
    assert engine.outputs[0].shape == (-1,)


def test_output_in_place_of_an_input_wants_a_preview_feature(installed: InstalledPlugin) -> None:
    # So no package here declares one: its engines could only be built by programs that set this.
    model = export.model_of("ProbeInPlace", X, {"y": X["x"]})
    with pytest.raises(TrtregError, match="kALIASED_PLUGIN_IO_10_03 not enabled"):
        build(installed, model, PROFILE, "ProbeInPlace")
