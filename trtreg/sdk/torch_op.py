"""A plugin's operator as a PyTorch op: CPU reference, CUDA through the plugin's own kernel, shapes, and ONNX export.

This module imports torch; a plugin package imports it only when its op is first used.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from trtreg import manifest
from trtreg.errors import FaceError, HashMismatchError, ShapeError
from trtreg.sdk import torch_layout
from trtreg.sdk.face import AttributeValue, Face, Plugin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["IntOrPair", "TorchOp", "pair"]

#: Kind of an attribute -> its type in an op schema, and its letter in the TorchScript exporter.
_KINDS = {
    "int": ("int", "i"),
    "float": ("float", "f"),
    "ints": ("int[]", "is"),
    "floats": ("float[]", "fs"),
    "str": ("str", "s"),
}
_ONNX_OPSET = 9  # the oldest that the TorchScript exporter still writes: the node itself does not depend on it

Tensors: TypeAlias = "torch.Tensor | tuple[torch.Tensor, ...]"
#: One number for both directions, or the vertical and the horizontal one.
IntOrPair: TypeAlias = int | Sequence[int]
_DIRECTIONS = 2


def pair(name: str, value: IntOrPair) -> list[int]:
    """Give the vertical and the horizontal number of an attribute.

    Raises:
        ShapeError: neither one number nor two.
    """
    both = [value, value] if isinstance(value, int) else list(value)
    if len(both) != _DIRECTIONS:
        raise ShapeError(f"'{name}' has the wrong length", found=str(len(both)), expected="1 or 2 numbers")
    return both


@functools.cache
def _face(package: str) -> Face:
    """Open the library that `package` carries, after its hash was compared with the manifest."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise FaceError(f"package {package} is not installed")
    folder = Path(spec.origin).parent
    declared = manifest.read(folder / "trtplugin.json").library
    path = folder / declared.file
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != declared.sha256:
        raise HashMismatchError(
            f"{path} is not the library that was built",
            found=found,
            expected=declared.sha256,
            remedy=f"reinstall {package}",
        )
    return Face(path)


class TorchOp:
    """Registers ``torch.ops.<package>.<name>`` and is its callable front, to be used by the package's public function.

    Args:
        package: import package of the plugin; it holds the library, and names the op's namespace.
        name: name of the op.
        creator: name of TensorRT's creator, which is the op type of the ONNX node.
        domain: domain of the ONNX node.
        inputs: names of the tensors, in order; a trailing ``?`` marks one that may be None, all such come last.
        attributes: name of each attribute -> ``int``, ``float``, ``ints``, ``floats`` or ``str``.
        reference: the op in plain PyTorch, on any device: inputs, then attributes, all positional.
        fake: outputs of the right shape and dtype without values, same arguments.
        outputs: number of results; more than one come as a tuple.
    """

    def __init__(
        self,
        *,
        package: str,
        name: str,
        creator: str,
        domain: str,
        inputs: Sequence[str],
        attributes: Mapping[str, str],
        reference: Callable[..., Tensors],
        fake: Callable[..., Tensors],
        outputs: int = 1,
    ) -> None:
        self._package = package
        self._creator = creator
        self._node = f"{domain}::{creator}"
        self._inputs = len(inputs)
        self._attributes = dict(attributes)
        self._fake = fake
        self._outputs = outputs
        tensors = [f"Tensor? {each[:-1]}" if each.endswith("?") else f"Tensor {each}" for each in inputs]
        numbers = [f"{_KINDS[kind][0]} {each}" for each, kind in attributes.items()]
        result = "Tensor" if outputs == 1 else f"({', '.join(['Tensor'] * outputs)})"
        qualified = f"{package}::{name}"
        torch.library.define(qualified, f"({', '.join(tensors + numbers)}) -> {result}")
        torch.library.impl(qualified, "CPU", reference)
        torch.library.impl(qualified, "CUDA", self._cuda)
        torch.library.register_fake(qualified, fake)
        torch.onnx.register_custom_op_symbolic(qualified, self._torchscript_node, _ONNX_OPSET)
        self._op: Callable[..., Tensors] = getattr(getattr(torch.ops, package), name)

    def __call__(self, *arguments: Any) -> Any:
        """Run the op: its inputs, then its attributes."""
        if torch.onnx.is_in_onnx_export() and not torch.jit.is_tracing():
            return self._dynamo_node(*arguments)
        return self._op(*arguments)

    def _split(self, arguments: tuple[Any, ...]) -> tuple[list[Any], dict[str, Any]]:
        """Inputs without the absent ones at the end, and attributes by name."""
        inputs = list(arguments[: self._inputs])
        while inputs and inputs[-1] is None:
            inputs.pop()
        return inputs, dict(zip(self._attributes, arguments[self._inputs :], strict=True))

    def _cuda(self, *arguments: Any) -> Tensors:
        inputs, attributes = self._split(arguments)
        device = inputs[0].device
        known = torch_layout.DTYPES.values()
        for tensor in inputs:
            if tensor.device != device or tensor.dtype not in known:
                raise FaceError(
                    f"{self._creator} cannot take a tensor of {tensor.dtype} on {tensor.device}",
                    expected=f"one of {', '.join(torch_layout.DTYPES)} on {device}",
                )
        # Kept alive until the work is on the stream: an address alone would not.
        tensors = _as_taken([tensor.detach() for tensor in inputs], _layouts(self._package, self._creator))
        specs = [torch_layout.spec(tensor) for tensor in tensors]
        frozen = tuple((key, tuple(value) if isinstance(value, list) else value) for key, value in attributes.items())
        plugin = _plugin(self._package, self._creator, frozen)
        inferred, workspace_size = plugin.infer(specs)
        results = [
            torch_layout.empty(each.shape, torch_layout.DTYPES[each.type], device, each.format) for each in inferred
        ]
        workspace = torch.empty(workspace_size, dtype=torch.uint8, device=device)
        outputs = [
            dataclasses.replace(each, data=result.data_ptr()) for each, result in zip(inferred, results, strict=True)
        ]
        with torch.cuda.device(device):
            stream = torch.cuda.current_stream(device).cuda_stream
            plugin.enqueue(specs, outputs, workspace=workspace.data_ptr(), stream=stream)
        return results[0] if self._outputs == 1 else tuple(results)

    def _torchscript_node(self, graph: Any, *arguments: Any) -> Any:
        inputs = [value for value in arguments[: self._inputs] if not value.node().mustBeNone()]
        parse = torch.onnx.symbolic_helper._parse_arg  # noqa: SLF001 - the public parse_args takes no variadic function
        attributes = {
            # The exporter reads an attribute's type from the letter behind the underscore.
            f"{key}_{_KINDS[kind][1][0]}": parse(value, _KINDS[kind][1])
            for (key, kind), value in zip(self._attributes.items(), arguments[self._inputs :], strict=True)
        }
        return graph.op(self._node, *inputs, outputs=self._outputs, **attributes)

    def _dynamo_node(self, *arguments: Any) -> Any:
        inputs, attributes = self._split(arguments)
        like = self._fake(*arguments)
        attributes = {key: list(value) if isinstance(value, tuple) else value for key, value in attributes.items()}
        if isinstance(like, torch.Tensor):
            return torch.onnx.ops.symbolic(
                self._node, inputs, attributes, dtype=like.dtype, shape=like.shape, version=1
            )
        return torch.onnx.ops.symbolic_multi_out(
            self._node,
            inputs,
            attributes,
            dtypes=[each.dtype for each in like],
            shapes=[each.shape for each in like],
            version=1,
        )


@functools.lru_cache(maxsize=256)
def _plugin(package: str, creator: str, attributes: tuple[tuple[str, AttributeValue], ...]) -> Plugin:
    return _face(package).create(creator, dict(attributes))


@functools.cache
def _layouts(package: str, creator: str) -> tuple[tuple[str, ...], ...]:
    """Formats of the inputs, of each combination where one is not linear; the last goes for all that follow."""
    creators = _face(package).describe()["creators"]
    signatures = (one["inputs"] for each in creators if each["name"] == creator for one in each["signatures"])
    layouts = (tuple(each.partition(":")[2] or "linear" for each in inputs) for inputs in signatures)
    return tuple(dict.fromkeys(layout for layout in layouts if {*layout} != {"linear"}))


def _as_taken(tensors: list[torch.Tensor], layouts: Sequence[tuple[str, ...]]) -> list[torch.Tensor]:
    """Leave channels last where the plugin takes them so; copy whatever else is not in the linear order."""
    found = [torch_layout.format_of(tensor) for tensor in tensors]
    wanted = ("linear",) * len(tensors)
    for layout in layouts:
        formats = layout + layout[-1:] * (len(tensors) - len(layout))
        if all(each in ("linear", other) for each, other in zip(formats, found, strict=False)):
            wanted = formats
            break
    return [
        tensor if is_so == shall_be else tensor.contiguous()
        for tensor, is_so, shall_be in zip(tensors, found, wanted, strict=False)
    ]
