"""From a PyTorch module, or from a node made by hand, through ONNX to a TensorRT engine. No GPU is needed."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, TypeAlias

import onnx
import torch
from onnx import helper, numpy_helper

import trtreg
from trtreg.scan import scan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from trtreg.engine import Engine

__all__ = ["EXPORTERS", "attributes_of", "build", "check", "export", "model_of", "node_of"]

#: PyTorch's two ONNX exporters.
EXPORTERS = ("torchscript", "dynamo")
#: Axes of an input that are dynamic, by its name.
Axes: TypeAlias = "Mapping[str, Sequence[int]]"
#: Smallest, usual and largest shape of an input, by its name.
Profile: TypeAlias = "Mapping[str, Sequence[Sequence[int]]]"

_PLUGIN_LAYER = "PLUGIN_V3"  # the type that TensorRT gives to it


def export(
    module: torch.nn.Module,
    inputs: Mapping[str, torch.Tensor],
    path: Path,
    exporter: str,
    *,
    dynamic: Axes | None = None,
    outputs: Sequence[str] = ("y",),
) -> onnx.ModelProto:
    """Write `module` to `path` and read it back.

    Args:
        module: takes `inputs` in their order.
        inputs: example tensors by the names that the model's inputs get.
        path: where the model goes.
        exporter: one of EXPORTERS.
        dynamic: axes that may have any size.
        outputs: names for the model's outputs.
    """
    axes = dynamic or {}
    arguments: dict[str, Any] = {"input_names": list(inputs), "output_names": list(outputs)}
    if exporter == "torchscript":
        arguments |= {
            "dynamo": False,
            "dynamic_axes": {name: {axis: f"{name}_{axis}" for axis in each} for name, each in axes.items()},
        }
    else:
        any_size = torch.export.Dim.DYNAMIC
        shapes = tuple(dict.fromkeys(axes.get(name, ()), any_size) or None for name in inputs)
        arguments |= {"dynamo": True, "verbose": False, "dynamic_shapes": shapes if axes else None}
    with warnings.catch_warnings():
        # Of the exporters themselves.
        for category in (DeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", category)
        torch.onnx.export(module.eval(), tuple(inputs.values()), path, **arguments)
    return onnx.load(path)


def model_of(
    op: str,
    inputs: Mapping[str, tuple[str, Sequence[int | str | None]]],
    outputs: Mapping[str, tuple[str, Sequence[int | str | None]]],
    *,
    domain: str = "custom",
    opset: int = 17,
    constants: Mapping[str, torch.Tensor] | None = None,
    **attributes: Any,
) -> onnx.ModelProto:
    """Make a model of one node, with tensors as (type of trtplugin.json, shape).

    Args:
        op: type of the node.
        inputs: of the graph, which are the node's first.
        outputs: of the node.
        domain: of the node; "" is ONNX's own.
        opset: of ONNX's own operators.
        constants: more inputs of the node, kept in the model.
        attributes: of the node.
    """
    tensors = [
        [helper.make_tensor_value_info(name, _ELEMENTS[kind], list(shape)) for name, (kind, shape) in each.items()]
        for each in (inputs, outputs)
    ]
    kept = [numpy_helper.from_array(value.numpy(), name) for name, value in (constants or {}).items()]
    node = helper.make_node(op, [*inputs, *(constants or {})], list(outputs), domain=domain)
    # Not through make_node, which has parameters of its own: an attribute may be called `name`.
    node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(helper.make_graph([node], "g", *tensors, kept), opset_imports=opsets)


_ELEMENTS = {
    "float32": onnx.TensorProto.FLOAT, "float16": onnx.TensorProto.FLOAT16, "bfloat16": onnx.TensorProto.BFLOAT16,
    "int8": onnx.TensorProto.INT8, "uint8": onnx.TensorProto.UINT8, "bool": onnx.TensorProto.BOOL,
    "int32": onnx.TensorProto.INT32, "int64": onnx.TensorProto.INT64,
}  # fmt: skip


def node_of(model: onnx.ModelProto, op: str) -> onnx.NodeProto:
    """Give the one node of that type; fail if there is none or another."""
    found = [node for node in model.graph.node if node.op_type == op]
    if len(found) != 1:
        types = [node.op_type for node in model.graph.node]
        raise AssertionError(f"the model has {len(found)} nodes of type {op}, expected 1; it has {types}")
    return found[0]


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Give the attributes of a node; text as str."""
    values = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}


def build(
    model: onnx.ModelProto | Path,
    profile: Profile | None = None,
    *,
    op: str,
    package: str,
    layers: int = 1,
    **options: Any,
) -> Engine:
    """Scan the model and build an engine, and see that the plugin is in both.

    Args:
        model: a model, or its file.
        profile: of the dynamic inputs.
        op: type of the nodes that a plugin is for.
        package: name of the distribution that has it.
        layers: number of layers that come from plugins.
        options: for :func:`trtreg.onnx2trt`; ``prefer_plugins=[op]`` where TensorRT has an importer of that name.
    """
    if not options.get("prefer_plugins"):  # what TensorRT has itself, a scan leaves to it
        nodes = [each for each in scan(model).nodes if each.op == op]
        providers = {each.plugin.distribution if each.plugin else None for each in nodes}
        if providers != {package}:
            raise AssertionError(f"scan finds {op} in {providers}, expected {{{package!r}}}")
    engine = trtreg.onnx2trt(model, profile, **options)
    used = {each.package for each in engine.plugins}
    if package not in used:
        raise AssertionError(f"the engine was built with {used or 'no plugins'}, expected {package}")
    found = [layer.type for layer in engine.layers].count(_PLUGIN_LAYER)
    if found != layers or op.encode() not in engine.plan:
        raise AssertionError(f"the plan has {found} plugin layers, expected {layers}, of {op}: {engine.layers}")
    return engine


def check(
    module: torch.nn.Module,
    inputs: Mapping[str, torch.Tensor],
    path: Path,
    exporter: str,
    *,
    op: str,
    domain: str,
    package: str,
    attributes: Mapping[str, Any],
    dynamic: Axes | None = None,
    profile: Profile | None = None,
    outputs: Sequence[str] = ("y",),
    layers: int = 1,
    **options: Any,
) -> Engine:
    """Export `module`, see that its one node of type `op` has that domain and those attributes, and build an engine.

    Floats are compared as float32, which is what a node holds. See :func:`export` and :func:`build` for the arguments.
    """
    model = export(module, inputs, path, exporter, dynamic=dynamic, outputs=outputs)
    node = node_of(model, op)
    found, expected = (_as_float32(each) for each in (attributes_of(node), attributes))
    if (node.domain, found) != (domain, expected):
        raise AssertionError(f"the node is {node.domain}::{op} {found}, expected {domain}::{op} {expected}")
    return build(path, profile, op=op, package=package, layers=layers, **options)


def _as_float32(attributes: Mapping[str, Any]) -> dict[str, Any]:
    def narrow(value: Any) -> Any:
        if isinstance(value, float):
            return torch.tensor(value, dtype=torch.float32).item()
        return [narrow(each) for each in value] if isinstance(value, list | tuple) else value

    return {name: narrow(value) for name, value in attributes.items()}
