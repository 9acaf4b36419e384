"""A node's attributes against the fields of a plugin creator: what is missing, unknown or of the wrong kind.

TensorRT's parser passes on every attribute that the creator has a field for, in the type that the exporter wrote, and
drops all others without a word. So a misspelt attribute gives an engine that computes something else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from trtreg import plugin_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from trtreg.manifest import Creator, Field

__all__ = ["Fault", "check"]

# What the parser itself reads.
_RESERVED: Final = frozenset({"plugin_version", "plugin_namespace"})
_TEXT: Final = frozenset({"char"})
_WHOLE: Final = frozenset({"int8", "int16", "int32", "int64", "dims"})

_Values: TypeAlias = "Sequence[object] | None"
"""None: a tensor or another thing that is not looked into."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Something about one attribute; a `fatal` one stands in the way of a conversion."""

    attribute: str
    kind: Literal["missing", "unknown", "type", "length", "value", "twice"]
    text: str
    fatal: bool

    def __str__(self) -> str:
        return self.text


def check(node: Any, creator: Creator, *, complete: bool) -> tuple[Fault, ...]:
    """Compare; `complete` says that the fields are all there is, with their defaults, as the SDK of trtreg writes them.

    Without it, what is missing cannot be known, and lengths are only a hint: other creators give them loosely.
    """
    given = _given(node)
    if not complete and not creator.fields:
        return ()
    fields = {field.name: field for field in creator.fields}
    faults: list[Fault] = []
    for name, values in given.items():
        field = fields.get(name)
        if field is None:
            faults.append(_unknown(name, [*fields]))
        elif values is not None:
            faults += _judge(field, values, complete=complete)
    if complete:
        faults += _absences(creator, given)
    return tuple(faults)


def _given(node: Any) -> dict[str, _Values]:
    from onnx import AttributeProto as Kind

    readers = {
        Kind.INT: lambda a: [a.i],
        Kind.FLOAT: lambda a: [a.f],
        Kind.STRING: lambda a: [a.s.decode("utf-8", "replace")],
        Kind.INTS: lambda a: [*a.ints],
        Kind.FLOATS: lambda a: [*a.floats],
        Kind.STRINGS: lambda a: [text.decode("utf-8", "replace") for text in a.strings],
    }
    skipped = _RESERVED | ({"name", "info"} if plugin_nodes.named_op(node) else set())
    given: dict[str, _Values] = {}
    for attribute in node.attribute:
        if attribute.name not in skipped:
            reader = readers.get(attribute.type)
            given[attribute.name] = None if reader is None else reader(attribute)
    if plugin_nodes.named_op(node):
        for name, value in plugin_nodes.read_info(node).items():
            if name not in _RESERVED:
                given[name] = value if isinstance(value, list) else [value]
    return given


def _judge(field: Field, values: Sequence[object], *, complete: bool) -> Iterator[Fault]:
    name, is_text = field.name, field.type in _TEXT
    for value in values:
        if not isinstance(value, str if is_text else (int, float)):
            expected = "a string" if is_text else f"{'whole numbers' if field.type in _WHOLE else 'numbers'}"
            text = f"attribute '{name}' is {_kind(value)}, and the plugin wants {expected} ({field.type})"
            yield Fault(attribute=name, kind="type", text=text, fatal=True)
            return
        if field.type in _WHOLE and isinstance(value, float) and not value.is_integer():
            text = f"attribute '{name}' is {value:g}, and the plugin wants whole numbers ({field.type})"
            yield Fault(attribute=name, kind="value", text=text, fatal=True)
            return
    # A single number stands for all of an array.
    if not is_text and field.length and len(values) not in {1, field.length}:
        text = f"attribute '{name}' has {len(values)} values, and the plugin wants {field.length}"
        yield Fault(attribute=name, kind="length", text=text, fatal=complete)


def _absences(creator: Creator, given: Mapping[str, _Values]) -> Iterator[Fault]:
    for field in creator.fields:
        if field.alias_of is not None:
            continue
        names = [field.name, *(other.name for other in creator.fields if other.alias_of == field.name)]
        used = [name for name in names if name in given]
        if len(used) > 1:
            text = f"attribute '{field.name}' is given {len(used)} times, as {' and '.join(used)}"
            yield Fault(attribute=field.name, kind="twice", text=text, fatal=True)
        if not used and field.default is None:
            text = f"attribute '{' or '.join(names)}' ({field.type}) is missing, and the plugin has no default for it"
            yield Fault(attribute=field.name, kind="missing", text=text, fatal=True)


def _unknown(name: str, known: Sequence[str]) -> Fault:
    from trtreg._nearest import nearest

    near = nearest(name, known, most=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    text = f"attribute '{name}' is unknown to the plugin, and TensorRT ignores it{hint}"
    return Fault(attribute=name, kind="unknown", text=text, fatal=False)


def _kind(value: object) -> str:
    if isinstance(value, str):
        return f"the string {value[:40]!r}"
    return "a number" if isinstance(value, (int, float)) else f"a {type(value).__name__}"
