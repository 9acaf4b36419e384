"""A plugin library as an ELF file: what it needs of the system that loads it."""

from __future__ import annotations

import re
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from trtreg import _elf
from trtreg.errors import PluginBuildError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["facts", "glibc_floor", "opened"]

_VERSION_SIZE: Final = 16  # bytes of an entry of Elf64_Vernaux


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open an ELF file with pyelftools; whatever a damaged one makes it raise becomes a PluginBuildError."""
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            _elf.check_tables(elf)
            yield elf
    except OSError as error:
        raise PluginBuildError(f"{path} cannot be read", found=error.strerror) from error
    # pyelftools trusts the numbers in the file.
    except (
        ELFError, ConstructError, UnicodeDecodeError, ValueError, LookupError, TypeError, AttributeError,
        ArithmeticError, MemoryError, RecursionError, AssertionError, struct.error,
    ) as error:  # fmt: skip
        raise PluginBuildError(f"{path} is no ELF file, or a damaged one", found=str(error) or None) from error


def facts(path: Path) -> _elf.ElfFacts:
    """Read machine, needed libraries and exports."""
    try:
        return _elf.read(path)
    except _elf.BadElfError as error:
        raise PluginBuildError(f"{path} is no shared library", found=str(error)) from error


def glibc_floor(path: Path) -> tuple[int, int] | None:
    """Find the oldest glibc that has every symbol version that the library refers to; None if it refers to none."""
    from elftools.elf.gnuversions import GNUVerNeedSection

    floor: tuple[int, int] | None = None
    with opened(path) as elf:
        budget, left = _elf.Budget(), elf.stream_len // _VERSION_SIZE
        for section in elf.iter_sections():
            if not isinstance(section, GNUVerNeedSection):
                continue
            for _, versions in section.iter_versions():
                for version in versions:
                    left -= 1  # they form lists, which may be rings
                    if left < 0:
                        raise _elf.BadElfError("more symbol versions than the file has room for")
                    found = _glibc(budget.spend(version.name))
                    if found is not None:
                        floor = max(floor, found) if floor else found
    return floor


def _glibc(version: str) -> tuple[int, int] | None:
    if version == "GLIBC_ABI_DT_RELR":  # a loader's ability, not a symbol's version; it came with 2.36
        return (2, 36)
    match = re.fullmatch(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)?", version)
    return (int(match[1]), int(match[2])) if match else None
