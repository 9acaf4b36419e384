"""Models whose every layer is a plugin, and engines of them: `python plugin_only_models.py FOLDER` builds all.

TensorRT runs such engines wherever the plugins' own code runs. All weights are inputs, because a constant is a layer.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from onnx import TensorProto, helper

from trtreg import discovery, flavour, loader, onnx2trt

Shapes = dict[str, list[list[int]]]

#: The sides of the images that the engines take: smallest, best, largest.
SIDES = (4, 9, 33)


def hswish(dtype: int = TensorProto.FLOAT) -> tuple[Any, Shapes]:
    """y = HSwish(x), [n, 8, s, s]; n may be 0."""
    node = helper.make_node("HSwish", ["x"], ["y"], domain="trtreg", alpha=0.5, beta=0.25)
    shape = ["n", 8, "h", "w"]
    sizes = [[least, 8, side, side] for least, side in zip((0, 2, 5), SIDES, strict=True)]
    return _model([node], [("x", dtype, shape)], [("y", dtype, shape)]), {"x": sizes}


def dcn(dtype: int = TensorProto.FLOAT) -> tuple[Any, Shapes]:
    """u = HSwish(DCN(x, offset, mask, weight, bias)) of MMCV's op, and v = DCNv2 of the same without a bias."""
    attributes = {"stride": [2, 1], "padding": [1, 1], "dilation": [1, 1], "groups": 2, "deform_groups": 2}
    of_the_other = {"stride": [2, 1], "padding": 1, "dilation": 1, "group": 2, "deformable_group": 2}
    nodes = [
        helper.make_node(
            "MMCVModulatedDeformConv2d", ["x", "offset", "mask", "weight", "bias"], ["t"], domain="mmcv", **attributes
        ),
        helper.make_node("HSwish", ["t"], ["u"], domain="trtreg", alpha=1.0, beta=0.25),
        helper.make_node("DCNv2", ["x", "offset", "mask", "weight"], ["v"], domain="trtreg", **of_the_other),
    ]
    given = [
        ("x", dtype, ["n", 8, "h", "w"]),
        ("offset", dtype, ["n", 36, "ho", "wo"]),
        ("mask", dtype, ["n", 18, "ho", "wo"]),
        ("weight", dtype, [12, 4, 3, 3]),
        ("bias", dtype, [12]),
    ]
    outputs = [(name, dtype, ["n", 12, "ho", "wo"]) for name in "uv"]
    sizes: Shapes = {"x": [], "offset": [], "mask": []}
    for batch, side in zip((1, 2, 3), SIDES, strict=True):
        for name, shape in dcn_shapes(batch, side, side).items():
            sizes.setdefault(name, []).append(shape)
    return _model(nodes, given, outputs), {name: sizes[name] for name in ("x", "offset", "mask")}


def dcn_shapes(batch: int, height: int, width: int) -> dict[str, list[int]]:
    """The shapes of the inputs of `dcn` that depend on the image's size."""
    out = [(height + 1) // 2, width]
    return {"x": [batch, 8, height, width], "offset": [batch, 36, *out], "mask": [batch, 18, *out]}


def cut(dtype: int = TensorProto.FLOAT) -> tuple[Any, Shapes]:
    """y = x[:length]; TensorRT wants the length in the CPU's memory."""
    node = helper.make_node(
        "TrtregTestCut", ["x", "length"], ["y"], domain="trtreg", tensorrt_plugin_shape_input_indices=[1]
    )
    model = _model([node], [("x", dtype, ["n"]), ("length", TensorProto.INT64, [1])], [("y", dtype, ["m"])])
    return model, {"x": [[1], [8], [64]], "length": [[1], [4], [64]]}


def head(dtype: int = TensorProto.FLOAT) -> tuple[Any, Shapes]:
    """y = x[:count]; the count is on the GPU, and so the shape of y is known only after the run."""
    node = helper.make_node("TrtregTestHead", ["x", "count"], ["y", "size"], domain="trtreg")
    model = _model(
        [node],
        [("x", dtype, ["n"]), ("count", TensorProto.INT64, [])],
        [("y", dtype, ["m"])],
    )
    return model, {"x": [[1], [8], [64]]}


def two_profiles(model: Any, *profiles: Shapes) -> bytes:
    """Build a plan with several optimisation profiles, which `onnx2trt` does not make, of installed plugins."""
    trt: Any = flavour.load()
    for plugin in discovery.discover():
        loader.load(plugin)
    builder = trt.Builder(flavour.logger())
    network, config = builder.create_network(0), builder.create_builder_config()
    parser = trt.OnnxParser(network, flavour.logger())
    assert parser.parse(model.SerializeToString()), [parser.get_error(i).desc() for i in range(parser.num_errors)]
    for shapes in profiles:
        profile = builder.create_optimization_profile()
        for name, (low, best, high) in shapes.items():
            profile.set_shape(name, low, best, high)
        assert config.add_optimization_profile(profile) >= 0
    plan = builder.build_serialized_network(network, config)
    assert plan is not None
    return bytes(plan)


def engine_of(made: tuple[Any, Shapes], **arguments: Any) -> bytes:
    """Build with trtreg."""
    model, shapes = made
    return onnx2trt(model, shapes, **arguments).plan


MODELS = {
    "hswish": lambda: engine_of(hswish()),
    "hswish-half": lambda: engine_of(hswish(TensorProto.FLOAT16)),
    "dcn": lambda: engine_of(dcn()),
    "dcn-half": lambda: engine_of(dcn(TensorProto.FLOAT16)),
    "profiles": lambda: two_profiles(
        hswish()[0],
        {"x": [[1, 8, 4, 4], [1, 8, 4, 4], [1, 8, 8, 8]]},
        {"x": [[2, 8, 16, 16], [2, 8, 16, 16], [4, 8, 32, 32]]},
    ),
}

#: Those of tests/native/runtime_shapes.cpp.
MODELS_TO_COMPILE = {"cut": cut, "head": head}


def _model(nodes: list[Any], inputs: list[Any], outputs: list[Any]) -> Any:
    graph = helper.make_graph(
        nodes,
        "plugins-only",
        [helper.make_tensor_value_info(*tensor) for tensor in inputs],
        [helper.make_tensor_value_info(*tensor) for tensor in outputs],
    )
    domains = ["", *dict.fromkeys(node.domain for node in nodes)]
    opsets = [helper.make_opsetid(domain, 17 if not domain else 1) for domain in domains]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, build in MODELS.items():
        (folder / f"{name}.engine").write_bytes(build())
    print(json.dumps(sorted(MODELS)))  # noqa: T201
