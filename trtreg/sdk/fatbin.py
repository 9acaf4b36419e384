"""The GPU code in a library: which architectures it has machine code and PTX for, read without CUDA's tools.

nvcc puts into the ELF section `.nv_fatbin` (`__nv_relfatbin` with relocatable device code) one container per source: a
header, then one entry per image with its kind and architecture. NVIDIA does not document the layout; the fields below
are what nvcc 12 and 13 write, and a test holds the result against `cuobjdump`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trtreg.errors import PluginBuildError
from trtreg.sdk.arch import Arch
from trtreg.sdk.elf import opened

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["GpuCode", "parse", "read"]

_SECTIONS: Final = (".nv_fatbin", "__nv_relfatbin")
_MAGIC: Final = 0xBA55ED50
_CONTAINER: Final = struct.Struct("<IHHQ")  # magic, version, size of this header, size of what follows
# kind, attributes, size of this header, size of the image, ..., architecture, ..., flags
_ENTRY: Final = struct.Struct("<HHIQ12xI8xQ")
_PTX, _MACHINE_CODE = 1, 2
_CHIP_ONLY, _FAMILY_ONLY = 1 << 20, 1 << 21  # sm_90a, sm_100f
_ALIGNMENT: Final = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuCode:
    """The architectures in a library, ascending: machine code for `sms`, PTX of `ptx`."""

    sms: tuple[Arch, ...] = ()
    ptx: tuple[Arch, ...] = ()


def read(path: Path) -> GpuCode:
    """Read the GPU code of the ELF file at `path`; PluginBuildError if it is damaged."""
    sections: list[bytes] = []
    with opened(path) as elf:
        for name in _SECTIONS:
            section = elf.get_section_by_name(name)
            if section is not None and section["sh_type"] != "SHT_NOBITS":
                # Whoever reads what is compressed gets as much memory as the file likes; no linker compresses these.
                if section.compressed or section["sh_offset"] + section["sh_size"] > elf.stream_len:
                    raise _damaged(path, 0)
                sections.append(section.data())
    return _sorted(image for data in sections for image in _images(data, path))


def parse(section: bytes, source: Path) -> GpuCode:
    """Read the bytes of one section; `source` is for the error."""
    return _sorted(_images(section, source))


def _sorted(images: Iterable[tuple[int, Arch]]) -> GpuCode:
    found = sorted(set(images))
    return GpuCode(
        sms=tuple(arch for kind, arch in found if kind == _MACHINE_CODE),
        ptx=tuple(arch for kind, arch in found if kind == _PTX),
    )


def _images(data: bytes, source: Path) -> Iterator[tuple[int, Arch]]:
    offset = 0
    while offset < len(data):
        # The linker aligns each container; what lies between is zero.
        if data[offset : offset + _ALIGNMENT].strip(b"\0") == b"":
            offset += _ALIGNMENT
            continue
        magic, version, header, size = _unpack(_CONTAINER, data, offset, len(data), source)
        if magic != _MAGIC or version != 1 or header < _CONTAINER.size or offset + header + size > len(data):
            raise _damaged(source, offset)
        entry, end = offset + header, offset + header + size
        while entry < end:
            kind, _, entry_header, image, arch, flags = _unpack(_ENTRY, data, entry, end, source)
            if entry_header < _ENTRY.size or entry + entry_header + image > end:
                raise _damaged(source, entry)
            variant = "a" if flags & _CHIP_ONLY else "f" if flags & _FAMILY_ONLY else ""
            yield kind, Arch(arch, variant)
            entry += entry_header + image
        offset = end


def _unpack(layout: struct.Struct, data: bytes, offset: int, end: int, source: Path) -> tuple[int, ...]:
    if offset + layout.size > end:
        raise _damaged(source, offset)
    return layout.unpack_from(data, offset)


def _damaged(source: Path, offset: int) -> PluginBuildError:
    return PluginBuildError(
        f"the GPU code in {source} is damaged, or of a layout that this version does not know",
        found=f"no image at byte {offset} of its section",
    )
