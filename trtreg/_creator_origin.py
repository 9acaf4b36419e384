"""Which library a registered plugin creator comes from: TensorRT's registry does not tell.

A creator is a C++ object, and its first word points to a vtable inside the library that defined its class. Both
addresses are looked up among the mappings of this process before they are followed, so a surprise in the layout of a
Python object gives "unknown", never a fault.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any, Final, NamedTuple

__all__ = ["DELETED", "library_of"]

# Linux appends it to the path of a file that is mapped but has been removed or replaced on disk.
DELETED: Final = " (deleted)"

_WORD = ctypes.sizeof(ctypes.c_void_p)


class _Mapping(NamedTuple):
    start: int
    end: int
    readable: bool
    path: str


def library_of(creator: Any) -> Path | None:
    """The file of the library that defined `creator` (an object of TensorRT's Python module), or None if unknown."""
    if type(creator).__basicsize__ < object.__basicsize__ + _WORD:
        return None
    # pybind11 keeps the pointer to the C++ object right behind the head of the Python object.
    instance = _word(id(creator) + object.__basicsize__)
    mappings = _mappings()
    if _find(mappings, instance) is None:
        return None
    table = _find(mappings, _word(instance))
    # A path that starts with a slash is a file; others are "[heap]" and the like, or nothing.
    if table is None or not table.path.startswith("/"):
        return None
    from trtreg.trust import integrity

    # What we have loaded is mapped from memory.
    known = integrity.origin(table.path)
    if known is None:
        return Path(table.path)
    path, is_current = known
    return path if is_current else Path(f"{path}{DELETED}")


def _word(address: int) -> int:
    return ctypes.c_void_p.from_address(address).value or 0


def _find(mappings: list[_Mapping], address: int) -> _Mapping | None:
    for mapping in mappings:
        if mapping.readable and mapping.start <= address and address + _WORD <= mapping.end:
            return mapping
    return None


def _mappings() -> list[_Mapping]:
    """See proc_pid_maps(5)."""
    mappings = []
    with Path("/proc/self/maps").open(encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            span, permissions, _, _, _, *path = line.rstrip("\n").split(" ", 5)
            start, end = (int(address, 16) for address in span.split("-"))
            mappings.append(_Mapping(start, end, permissions.startswith("r"), "".join(path).strip()))
    return mappings
