"""An ONNX file without its weights: they are skipped in the file, and cost neither memory nor time.

The fields are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, their coding that of
https://protobuf.dev/programming-guides/encoding/. Everything else of the file is given as it stands there.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["read"]

_SMALL: Final = 1 << 16  # bytes: messages of less are copied, whatever is in them
_PAGE: Final = 4096  # bytes that are read behind each tensor that is skipped
_DEEPEST: Final = 100  # as protobuf's own limit
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIZES: Final = {_FIXED64: 8, _FIXED32: 4}
# By message and field number: the message that is in the field, or "weights". A node's own tensors are kept: they may
# be attributes that a plugin is checked for.
_FIELDS: Final[Mapping[str, Mapping[int, str]]] = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {6: "graph", 11: "graph"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": dict.fromkeys((4, 5, 6, 7, 9, 10, 11), "weights"),
}


class _MalformedError(Exception):
    """No protobuf message, or one that ends too soon."""


def read(path: str | os.PathLike[str]) -> bytes | None:
    """The model in a file without the weights of its graphs; None where the file is no well-formed message."""
    with open(path, "rb", buffering=_PAGE) as file:  # noqa: PTH123 - a path or what os.fspath takes
        try:
            return b"".join(_message(file, os.fstat(file.fileno()).st_size, "model", 0))
        except _MalformedError:
            return None


def _message(file: BinaryIO, size: int, kind: str, depth: int) -> list[bytes]:
    """The parts of a message that begins here and has this size, in order."""
    if depth > _DEEPEST:
        raise _MalformedError
    parts: list[bytes] = []
    fields, end = _FIELDS[kind], file.tell() + size
    while (position := file.tell()) < end:
        tag, number = _varint(file)
        wire = number & 7
        if wire == _VARINT:
            parts += (tag, _varint(file)[0])
            continue
        length_bytes, length = _varint(file) if wire == _BYTES else (b"", _SIZES.get(wire, -1))
        if length < 0 or position + length > end:
            raise _MalformedError
        inside = fields.get(number >> 3)
        if wire != _BYTES or inside is None or length < _SMALL:
            content = file.read(length)
            if len(content) != length:
                raise _MalformedError
            parts += (tag, length_bytes, content)
        elif inside == "weights":
            file.seek(length, os.SEEK_CUR)
        else:
            inner = _message(file, length, inside, depth + 1)
            parts += (tag, _encoded(sum(map(len, inner))), *inner)
    if file.tell() != end:
        raise _MalformedError
    return parts


def _varint(file: BinaryIO) -> tuple[bytes, int]:
    """A number as it stands in the file, and its value."""
    raw, value = b"", 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise _MalformedError
        raw += byte
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:  # noqa: PLR2004 - the bit that says that another follows
            return raw, value
    raise _MalformedError


def _encoded(value: int) -> bytes:
    raw = bytearray()
    while value > 0x7F:  # noqa: PLR2004
        raw.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*raw, value))
