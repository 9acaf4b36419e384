"""Facts of an ELF shared library, read from the file: letting the dynamic linker open a bad one can end the process."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BadElfError", "Budget", "ElfFacts", "check_tables", "interpreter", "read", "soname"]

_T = TypeVar("_T")

# pyelftools trusts the numbers in the file; OSError is a seek to where no file goes.
_DAMAGE: Final = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, MemoryError, RecursionError),
    *(AssertionError, struct.error),
)
_MOST_TEXT: Final = 1 << 26  # bytes of names in one file; the largest libraries of C++ have a third of it


class BadElfError(ValueError):
    """The file is no ELF file, or a damaged one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ElfFacts:
    """What the dynamic linker would see; `machine` is named as `platform.machine()` does.

    `search` is where the library itself has its dependencies looked for (DT_RPATH, DT_RUNPATH), as it says so.
    """

    machine: str
    is_shared: bool
    soname: str | None
    needed: tuple[str, ...]
    exports: frozenset[str]
    search: tuple[str, ...] = ()


class Budget:
    """How much of a file's names is read: thousands of symbols may point to one string of megabytes."""

    def __init__(self) -> None:
        self._left = _MOST_TEXT

    def spend(self, text: str) -> str:
        """Give the text back, or raise BadElfError where there was too much."""
        self._left -= len(text) + 1
        if self._left < 0:
            raise BadElfError(f"its names have more than {_MOST_TEXT} bytes")
        return text


def check_tables(elf: Any) -> None:
    """Raise BadElfError unless the tables of segments and sections lie in the file: a reader follows them to their end.

    Entries of no size would be read for ever.
    """
    structs, size = elf.structs, elf.stream_len
    tables = (
        ("segments", elf["e_phoff"], elf["e_phentsize"], structs.Elf_Phdr.sizeof(), elf.num_segments()),
        ("sections", elf["e_shoff"], elf["e_shentsize"], structs.Elf_Shdr.sizeof(), elf.num_sections()),
    )
    for what, offset, entry, usual, count in tables:
        if count and (entry != usual or offset + count * entry > size):
            raise BadElfError(f"{count} {what} of {entry} bytes from byte {offset} on, in a file of {size}")


def read(library: str | PathLike[str] | BinaryIO) -> ElfFacts:
    """Read the facts of a file or an open one; raises BadElfError, or OSError where it cannot be opened."""
    if isinstance(library, str | PathLike):
        with open(library, "rb") as file:  # noqa: PTH123 - a path or what os.fspath takes
            return _with_elf(file, _facts)
    return _with_elf(library, _facts)


def interpreter(program: str | PathLike[str]) -> str | None:
    """The dynamic linker that a program asks for."""
    with open(program, "rb") as file:  # noqa: PTH123 - a path or what os.fspath takes
        return _with_elf(file, _interpreter)


def soname(library: str | PathLike[str]) -> str | None:
    """The name that a library gives itself; its symbols, of which TensorRT has thousands, are not read."""
    with open(library, "rb") as file:  # noqa: PTH123 - a path or what os.fspath takes
        return _with_elf(file, _soname)


def _with_elf(file: BinaryIO, reader: Callable[[Any], _T]) -> _T:
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    try:
        elf = ELFFile(file)
        check_tables(elf)
        return reader(elf)
    except BadElfError:
        raise
    except ELFError as error:
        raise BadElfError(str(error) or "not an ELF file") from error
    except (*_DAMAGE, ConstructError) as error:
        raise BadElfError(f"damaged ELF file: {error}") from error


def _facts(elf: Any) -> ElfFacts:
    from elftools.elf.dynamic import DynamicSegment

    size = elf.stream_len
    soname = None
    needed: list[str] = []
    search: list[str] = []
    exports: set[str] = set()
    budget, dynamic = Budget(), 0
    for segment in elf.iter_segments():
        end = segment["p_offset"] + segment["p_filesz"]
        if end > size:
            # Mapped all the same by the dynamic linker; touching the missing part is a bus error.
            raise BadElfError(f"truncated: {size} bytes of at least {end}")
        if not isinstance(segment, DynamicSegment):
            continue
        dynamic += 1
        if dynamic > 1:
            raise BadElfError("more than one dynamic segment")
        for tag in segment.iter_tags():
            if tag.entry.d_tag == "DT_NEEDED":
                needed.append(budget.spend(tag.needed))
            elif tag.entry.d_tag == "DT_SONAME":
                soname = tag.soname
            elif tag.entry.d_tag in {"DT_RPATH", "DT_RUNPATH"}:
                search += (tag.rpath if tag.entry.d_tag == "DT_RPATH" else tag.runpath).split(":")
        exports.update(
            budget.spend(symbol.name)
            for symbol in segment.iter_symbols()
            if symbol["st_shndx"] != "SHN_UNDEF" and symbol["st_info"]["bind"] in {"STB_GLOBAL", "STB_WEAK", "STB_LOOS"}
        )
    return ElfFacts(
        machine=str(elf["e_machine"]).removeprefix("EM_").lower(),
        is_shared=elf["e_type"] == "ET_DYN",
        soname=soname,
        needed=tuple(needed),
        exports=frozenset(exports),
        search=tuple(filter(None, search)),
    )


def _interpreter(elf: Any) -> str | None:
    for segment in elf.iter_segments("PT_INTERP"):
        return str(segment.get_interp_name())
    return None


def _soname(elf: Any) -> str | None:
    for segment in elf.iter_segments("PT_DYNAMIC"):
        for tag in segment.iter_tags("DT_SONAME"):
            return str(tag.soname)
    return None
