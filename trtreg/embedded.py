"""Libraries that stand inside an engine: TensorRT writes plugin libraries into a plan as they are.

Seen with TensorRT-RTX 1.7.1: the runtime loads them while it deserialises, into a registry of its own, also where
`engine_host_code_allowed` is False, and whether or not the process has the same plugins registered.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from trtreg.errors import EngineBuildError, SettingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from trtreg.discovery import InstalledPlugin

__all__ = ["EmbeddedLibrary", "find", "prove", "request", "without"]

# https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html: 64 bits, little endian, version 1
_MAGIC: Final = b"\x7fELF\x02\x01\x01"
_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SHARED: Final = 3  # ET_DYN
_NOBITS: Final = 8  # SHT_NOBITS: a section that takes no room in the file
_MACHINES: Final = frozenset({62, 183})  # EM_X86_64, EM_AARCH64: GPU code is ELF too
_MOST_ENTRIES: Final = 1 << 18  # of segments and sections, in all libraries of a plan: thousands of times what is usual


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddedLibrary:
    """A shared library in a plan: where it begins, and its size and hash as its own tables tell them."""

    offset: int
    size: int
    sha256: str

    def is_library(self, plan: bytes, size: int, digest: str) -> bool:
        """Whether it is the file of this size and sha256, which may be longer than its tables tell."""
        if (size, digest) == (self.size, self.sha256):
            return True
        return size > self.size and sha256(memoryview(plan)[self.offset : self.offset + size]).hexdigest() == digest


def find(plan: bytes) -> tuple[EmbeddedLibrary, ...]:
    """The shared libraries for the CPU that a plan carries, in order."""
    return tuple(
        EmbeddedLibrary(offset=start, size=end - start, sha256=sha256(memoryview(plan)[start:end]).hexdigest())
        for start, end in _spans(plan)
    )


def without(plan: bytes) -> bytes:
    """The plan with its libraries cut out: the engine proper."""
    parts, last = [], 0
    for start, end in _spans(plan):
        parts.append(plan[last:start])
        last = end
    return b"".join([*parts, plan[last:]]) if parts else plan


def request(trt: Any, config: Any, plugins: Iterable[InstalledPlugin]) -> None:
    """Make the builder write the libraries of these plugins into the plan."""
    if not hasattr(config, "plugins_to_serialize"):
        raise SettingError(
            f"{trt.__name__} {trt.__version__} writes no plugins into engines",
            remedy="leave embed_plugins out, and install the packages where the engine runs",
        )
    paths = []
    for plugin in plugins:
        style = getattr(plugin.manifest.library, "registration", "dynamic") if plugin.manifest else "dynamic"
        if style != "dynamic":
            raise SettingError(
                f"{plugin.distribution} cannot be written into an engine",
                found=f"{style} registration",
                expected="a library with getCreators",
                remedy=f"leave embed_plugins out, and install {plugin.distribution} where the engine runs",
            )
        paths.append(str(plugin.library_path))
    config.plugins_to_serialize = paths


def prove(trt: Any, plan: bytes, plugins: Iterable[InstalledPlugin]) -> None:
    """Raise EngineBuildError unless the libraries of these plugins stand in the plan."""
    libraries = find(plan)
    for plugin in plugins:
        wanted = plugin.manifest.library if plugin.manifest else None
        if wanted and not any(library.is_library(plan, wanted.size, wanted.sha256) for library in libraries):
            raise EngineBuildError(
                f"{trt.__name__} {trt.__version__} did not write {plugin.distribution} into the engine",
                found=f"{len(libraries)} libraries in it, none with its sha256",
                remedy=f"leave embed_plugins out, and install {plugin.distribution} where the engine runs",
            )


def _spans(plan: bytes) -> Iterator[tuple[int, int]]:
    budget, at = _MOST_ENTRIES, plan.find(_MAGIC)
    while at >= 0:
        size, looked_at = _length(memoryview(plan)[at:], budget)
        budget -= looked_at
        if size:
            yield at, at + size
        at = plan.find(_MAGIC, at + max(size, 1))


def _length(file: memoryview, budget: int) -> tuple[int, int]:
    """How far a shared library reaches, 0 if there is none, and how many entries of its tables were looked at.

    It is as long as its header, segments and sections tell, as far as they lie in the file. What the dynamic linker
    does not look at must not hide a library from us: it takes one whose sections lie nowhere, or whose end is missing.
    """
    try:
        _, kind, machine, _, _, segments, sections, _, header, segment, segment_count, section, section_count, _ = (
            _HEADER.unpack_from(file)
        )
    except struct.error:
        return 0, 0
    # The dynamic linker insists on entries of this size, and on a table that is there.
    if kind != _SHARED or machine not in _MACHINES or segment != _SEGMENT.size or not segment_count:
        return 0, 0
    ends = [_HEADER.size, header, segments + segment * segment_count]
    if ends[-1] > len(file):
        return 0, 0
    if segment_count + section_count > budget:  # built to keep us busy: a library, however long
        return _HEADER.size, 0
    for index in range(segment_count):
        _, _, offset, _, _, size, _, _ = _SEGMENT.unpack_from(file, segments + segment * index)
        ends.append(offset + size)
    if section == _SECTION.size and sections + section * section_count <= len(file):
        ends.append(sections + section * section_count)
        for index in range(section_count):
            _, what, _, _, offset, size, *_ = _SECTION.unpack_from(file, sections + section * index)
            ends.append(0 if what == _NOBITS else offset + size)
    return max(end for end in ends if end <= len(file)), segment_count + section_count
