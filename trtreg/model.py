"""ONNX models: reading them from anywhere, and walking every node that a parser would meet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from trtreg import _skeleton
from trtreg.errors import MissingExtraError, ModelError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Iterator, Mapping

    import onnx

__all__ = [
    "Model",
    "ModelDigest",
    "ModelSource",
    "PlacedNode",
    "digest",
    "functions_around",
    "inlined",
    "read",
    "to_text",
    "walk",
]

ModelSource: TypeAlias = "str | os.PathLike[str] | bytes | onnx.ModelProto"
_FUNCTION = "function "
_LARGE = 1 << 24  # bytes of a file; of a smaller one, to read it is as soon done as to look for its weights
_DEEPEST = 200  # functions and branches within one another; a parser that recurses ends sooner
_SHOWN_VALUES = 16  # of a tensor in the text: shape constants are worth reading, weights are not


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A model in memory without its external data, and the file it came from, if any."""

    proto: Any
    path: Path | None
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacedNode:
    """A node, and where it stands: () for the main graph, else the nodes and functions around it, outermost first."""

    node: Any
    where: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelDigest:
    """sha256 of a model's bytes; files of weights beside the model (`external_data`) are not part of it."""

    sha256: str
    external_data: bool


def read(source: ModelSource, *, weights: bool = True) -> Model:
    """Read a model from a path, bytes or a ModelProto; external data is never loaded.

    Without `weights`, those that stand in a large file itself are not read either.
    """
    onnx = _onnx()
    if isinstance(source, onnx.ModelProto):
        return _checked(Model(proto=source, path=None, label="the model"))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _decoded(bytes(source), path=None, label="the model")
    path = Path(source)
    try:
        data = None if weights or path.stat().st_size < _LARGE else _skeleton.read(path)
        if data is None:
            data = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"no such file: {path}", remedy="check the path of the model") from None
    except IsADirectoryError:
        raise ModelError(f"{path} is a directory", expected="an ONNX file") from None
    except OSError as e:
        raise ModelError(f"cannot read {path}", found=e.strerror) from e
    return _decoded(data, path=path, label=str(path))


def digest(source: ModelSource, model: Model) -> ModelDigest:
    """Hash the bytes of a file, or those given; a ModelProto is hashed as it serialises here and now."""
    from hashlib import sha256

    onnx = _onnx()
    hashed = sha256()
    if isinstance(source, onnx.ModelProto):
        hashed.update(source.SerializeToString(deterministic=True))
    elif isinstance(source, (bytes, bytearray, memoryview)):
        hashed.update(source)
    else:
        with Path(source).open("rb") as file:
            while block := file.read(1 << 20):
                hashed.update(block)
    outside = any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model.proto))
    return ModelDigest(sha256=hashed.hexdigest(), external_data=outside)


def walk(model: Model, is_native: Callable[[str], bool]) -> Iterator[PlacedNode]:
    """Give each node that TensorRT's parser meets: subgraphs too, and local functions, once, at their first call.

    The parser expands a local function by op name alone (it ignores the domain), unless the name is native to it; a
    call itself is not given, nor is a function that nothing calls (seen with TensorRT-RTX 1.7.1). ModelError where
    functions call one another deeper than any exporter writes.
    """
    functions = {function.name: function for function in model.proto.functions if not is_native(function.name)}
    entered: set[str] = set()

    def nodes(body: Any, where: tuple[str, ...]) -> Iterator[PlacedNode]:
        if len(where) > _DEEPEST:
            raise ModelError(
                f"{model.label} nests functions too deeply", found=f"{where[0]} ... {where[-1]}",
                expected=f"at most {_DEEPEST} within one another",
            )  # fmt: skip
        for node in body.node:
            function = functions.get(node.op_type)
            if function is None:
                yield PlacedNode(node=node, where=where)
            elif function.name not in entered:
                entered.add(function.name)
                yield from nodes(function, (*where, _FUNCTION + function.name))
            for attribute, graph in _subgraphs(node):
                yield from nodes(graph, (*where, f"{_title(node)}.{attribute}"))

    yield from nodes(model.proto.graph, ())


def functions_around(where: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the functions in the place of a node, outermost first."""
    return tuple(part.removeprefix(_FUNCTION) for part in where if part.startswith(_FUNCTION))


def inlined(model: Model, names: Collection[str]) -> Model:
    """Give a copy of the model with the calls of these functions written out."""
    from onnx.inliner import inline_selected_functions

    functions = [(function.domain, function.name) for function in model.proto.functions if function.name in names]
    proto = inline_selected_functions(model.proto, functions)
    return Model(proto=proto, path=model.path, label=model.label)


def to_text(model: Model) -> str:
    """Write the model as readable text, without weights."""
    onnx = _onnx()
    copy = onnx.ModelProto()
    copy.CopyFrom(model.proto)
    for tensor in _tensors(copy):
        count = 1
        for size in tensor.dims:
            count *= size
        if count > _SHOWN_VALUES or tensor.data_location == onnx.TensorProto.EXTERNAL:
            for field in ("raw_data", "external_data", "data_location", *_DATA_FIELDS):
                tensor.ClearField(field)
    return str(onnx.printer.to_text(copy)) + "\n"


_DATA_FIELDS = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")


def _tensors(model: Any) -> Iterator[Any]:
    def of(body: Any) -> Iterator[Any]:
        yield from getattr(body, "initializer", ())
        for sparse in getattr(body, "sparse_initializer", ()):
            yield sparse.values
            yield sparse.indices
        for node in body.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors
            for _, graph in _subgraphs(node):
                yield from of(graph)

    yield from of(model.graph)
    for function in model.functions:
        yield from of(function)


def _subgraphs(node: Any) -> Iterator[tuple[str, Any]]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.name, attribute.g
        for graph in attribute.graphs:
            yield attribute.name, graph


def _decoded(data: bytes, *, path: Path | None, label: str) -> Model:
    from google.protobuf.message import DecodeError

    onnx = _onnx()
    if not data:
        raise ModelError(f"{label} is empty", expected="an ONNX model")
    try:
        proto = onnx.ModelProto.FromString(data)
    except DecodeError as e:
        raise ModelError(
            f"{label} is no ONNX model, or is truncated",
            found=f"{len(data)} bytes that do not decode ({e})",
            remedy="export or download it again",
        ) from e
    return _checked(Model(proto=proto, path=path, label=label))


def _checked(model: Model) -> Model:
    """Refuse what decodes by chance: every ONNX model has a version, operator sets and a graph (ONNX IR, "Models")."""
    proto = model.proto
    facts: Mapping[str, bool] = {
        "an IR version": proto.ir_version > 0,
        "an operator set": len(proto.opset_import) > 0,
        "a graph": proto.HasField("graph"),
    }
    absent = [name for name, present in facts.items() if not present]
    if absent:
        raise ModelError(
            f"{model.label} is no ONNX model, or is truncated",
            found=f"a message without {' or '.join(absent)}",
            remedy="export or download it again",
        )
    for body in (proto.graph, *proto.functions):
        _check_texts(body, model.label)
    return model


def _check_texts(body: Any, label: str) -> None:
    """Refuse names that are not UTF-8: ONNX's are not checked when they are decoded, and come as bytes then."""
    try:
        texts = [body.name]
        for node in body.node:
            texts += (node.op_type, node.name, node.domain, *node.input, *node.output)
            texts += (attribute.name for attribute in node.attribute)
            for _, graph in _subgraphs(node):
                _check_texts(graph, label)
        odd = next((text for text in texts if not isinstance(text, str)), None)
    except UnicodeDecodeError as e:  # of another implementation of protobuf
        odd = e.object
    if odd is not None:
        raise ModelError(
            f"{label} is no ONNX model, or is damaged",
            found=f"a name that is not UTF-8: {odd[:40]!r}",
            remedy="export or download it again",
        )


def _title(node: Any) -> str:
    return f"{node.op_type} '{node.name}'" if node.name else str(node.op_type)


def _onnx() -> Any:
    try:
        import onnx
        import onnx.printer
    except ModuleNotFoundError as e:
        if e.name != "onnx":
            raise
        raise MissingExtraError(
            "reading a model needs the package onnx", remedy="run: pip install 'trtreg[convert]'"
        ) from e
    return onnx
