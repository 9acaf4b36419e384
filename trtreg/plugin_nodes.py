"""Nodes written as op type `Plugin` with string attributes `name` and `info` (JSON), as tensorRT_Pro exports them.

TensorRT's parser looks for a creator called like the op type, so such a node has to become a node of the named op,
with the values of `info` as its attributes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from trtreg.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trtreg.manifest import Creator

__all__ = ["named_op", "read_info", "string_attribute", "translate"]

_REAL = frozenset({"float16", "float32", "float64", "bf16", "bfloat16"})
_WHOLE = frozenset({"int8", "int16", "int32", "int64", "dims"})
_TEXT = frozenset({"char"})
_INT64 = range(-(2**63), 2**63)
_LARGEST = 3.4028234663852886e38  # of 32 bits, as ONNX has them


def string_attribute(node: Any, name: str) -> str | None:
    """Value of a string attribute, or None where the node has none of that name and type."""
    for attribute in node.attribute:
        if attribute.name == name and attribute.type == attribute.STRING:
            return str(attribute.s.decode("utf-8", "replace"))
    return None


def named_op(node: Any) -> str | None:
    """Name of the op that a `Plugin` node stands for; None for every other node."""
    return (string_attribute(node, "name") or None) if node.op_type == "Plugin" else None


def read_info(node: Any) -> Mapping[str, object]:
    """Parse `info`; an absent or empty one gives no attributes."""
    text = string_attribute(node, "info") or ""
    if not text.strip():
        return {}
    try:
        info = json.loads(text)
        # JSON can spell half of a surrogate pair, which no attribute takes.
        json.dumps(info, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as e:
        raise ModelError(
            f"{_title(node)} has an attribute 'info' that is not JSON",
            found=f"{_shortened(text)} ({e})",
            expected="a JSON object of attributes",
        ) from e
    if not isinstance(info, dict):
        raise ModelError(
            f"{_title(node)} has an attribute 'info' of another kind",
            found=f"a JSON {_kind(info)}",
            expected="a JSON object of attributes",
        )
    return info


def translate(node: Any, creator: Creator | None) -> Any:
    """Give a new node of the named op; the creator's declared field types decide between whole and real numbers."""
    from onnx import NodeProto, helper

    types = {field.name: field.type for field in creator.fields} if creator is not None else {}
    info = read_info(node)
    new = NodeProto()
    new.CopyFrom(node)
    new.op_type = named_op(node) or node.op_type
    new.domain = ""
    del new.attribute[:]
    new.attribute.extend(a for a in node.attribute if a.name not in {"name", "info", *info})
    for key, value in info.items():
        kind, converted = _convert(value, types.get(key), f"{_title(node)}, info['{key}']")
        new.attribute.append(helper.make_attribute(key, converted, attr_type=kind))
    return new


def _convert(value: object, field_type: str | None, place: str) -> tuple[int, Any]:
    """Choose the ONNX attribute type and make the value fit it."""
    from onnx import AttributeProto as Kind

    if isinstance(value, list):
        scalar = _common_type(value, field_type, place)
        kinds = {float: Kind.FLOATS, int: Kind.INTS, str: Kind.STRINGS}
        return kinds[scalar], [_fit(item, scalar, place) for item in value]
    scalar = _common_type([value], field_type, place)
    if field_type == "dims":
        return Kind.INTS, [_fit(value, int, place)]
    return {float: Kind.FLOAT, int: Kind.INT, str: Kind.STRING}[scalar], _fit(value, scalar, place)


def _common_type(values: Sequence[object], field_type: str | None, place: str) -> type:
    if field_type in _REAL:
        return float
    if field_type in _WHOLE:
        return int
    if field_type in _TEXT or (values and all(isinstance(value, str) for value in values)):
        return str
    if all(isinstance(value, int) for value in values):
        return int
    if all(isinstance(value, (int, float)) for value in values):
        return float
    odd = next(value for value in values if not isinstance(value, (int, float)))
    raise ModelError(
        f"{place} cannot become an attribute",
        found=f"a JSON {_kind(odd)}",
        expected="a number, a string, or a list of one of them",
    )


def _fit(value: object, scalar: type, place: str) -> Any:
    fits = {
        float: isinstance(value, (int, float)) and -_LARGEST <= value <= _LARGEST,
        int: isinstance(value, (int, float)) and value == value // 1 and int(value) in _INT64,
        str: isinstance(value, str),
    }[scalar]
    if not fits:
        raise ModelError(
            f"{place} does not go with the plugin's field",
            found=_shortened(json.dumps(value)),
            expected={float: "a number", int: "a whole number of 64 bits", str: "a string"}[scalar],
        )
    return scalar(value)


def _title(node: Any) -> str:
    name = node.name or ", ".join(node.output)
    return f"Plugin node '{name}' ({named_op(node)})"


def _kind(value: object) -> str:
    names = {dict: "object", list: "list", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004 - a line of an error message
