"""The facts of one library file, read without opening it as a library."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from trtreg import _elf, _library_file
from trtreg.check.facts import LibraryFacts, Undefined
from trtreg.errors import PluginBuildError
from trtreg.foreign import style
from trtreg.sdk import elf, fatbin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["read"]

# elf(5) and the System V ABI; pyelftools gives these fields as numbers.
_EXECUTABLE, _WRITABLE = 1, 2
_DF_TEXTREL, _DF_BIND_NOW = 0x4, 0x8
_DF_1_NOW, _DF_1_NODELETE = 0x1, 0x8
_HIDDEN_VERSION: Final = 0x8000
_LONG: Final = 80  # of a symbol
_VERSION_SIZE: Final = 16  # bytes of an entry of Elf64_Vernaux


def read(file: Path, path: str) -> LibraryFacts:
    """Read `file`, which is called `path` in its package; OSError where it cannot be read at all."""
    with file.open("rb") as opened:
        digest, size = _library_file.sha256(opened), opened.tell()
    try:
        seen = _elf.read(file)
        with elf.opened(file) as image:
            hardening = _hardening(image)
            dynamic = _dynamic(image)
            versions, undefined, unique = _symbols(image)
        floor = elf.glibc_floor(file)
    except (PluginBuildError, _elf.BadElfError) as error:
        text = error.found or error.message if isinstance(error, PluginBuildError) else str(error)
        return LibraryFacts(path=path, sha256=digest, size=size, damage=text)
    code, gpu_problem = fatbin.GpuCode(), None
    try:
        code = fatbin.read(file)
    except PluginBuildError as error:
        gpu_problem = error.found or error.message
    fixed = "it is linked with -z nodelete" if dynamic.pop("nodelete") else None
    if unique and fixed is None:
        fixed = f"it exports {len(unique)} symbols that are unique in the process, as {min(unique)[:_LONG]}"
    return LibraryFacts(
        path=path,
        sha256=digest,
        size=size,
        machine=seen.machine,
        is_shared=seen.is_shared,
        soname=seen.soname,
        needed=seen.needed,
        exports=seen.exports,
        undefined=undefined,
        versions=versions,
        glibc=floor,
        fixed=fixed,
        sms=tuple(arch.dotted for arch in code.sms),
        ptx=tuple(arch.dotted for arch in code.ptx),
        gpu_problem=gpu_problem,
        interface=style.interface_hint(file.read_bytes()),
        **hardening,
        **dynamic,
    )


def _hardening(image: Any) -> dict[str, Any]:
    segments = [(str(segment["p_type"]), int(segment["p_flags"])) for segment in image.iter_segments()]
    stacks = [flags for kind, flags in segments if kind == "PT_GNU_STACK"]
    return {
        # Where the file does not say, the dynamic linker takes the stack to be executable.
        "executable_stack": not stacks or any(flags & _EXECUTABLE for flags in stacks),
        "relro": any(kind == "PT_GNU_RELRO" for kind, _ in segments),
        "writable_code": any(
            kind == "PT_LOAD" and flags & _EXECUTABLE and flags & _WRITABLE for kind, flags in segments
        ),
    }


def _dynamic(image: Any) -> dict[str, Any]:
    from elftools.elf.dynamic import DynamicSegment

    run_path: list[str] = []
    flags = first_flags = 0
    text_relocations = bind_now = False
    for segment in image.iter_segments("PT_DYNAMIC"):
        for tag in segment.iter_tags() if isinstance(segment, DynamicSegment) else ():
            kind = tag.entry.d_tag
            if kind in {"DT_RPATH", "DT_RUNPATH"}:
                run_path += str(tag.rpath if kind == "DT_RPATH" else tag.runpath).split(":")
            elif kind == "DT_FLAGS":
                flags = int(tag.entry.d_val)
            elif kind == "DT_FLAGS_1":
                first_flags = int(tag.entry.d_val)
            text_relocations = text_relocations or kind == "DT_TEXTREL"
            bind_now = bind_now or kind == "DT_BIND_NOW"
    return {
        "run_path": tuple(run_path),
        "bind_now": bind_now or bool(flags & _DF_BIND_NOW or first_flags & _DF_1_NOW),
        "text_relocations": text_relocations or bool(flags & _DF_TEXTREL),
        "nodelete": bool(first_flags & _DF_1_NODELETE),
    }


def _symbols(image: Any) -> tuple[dict[str, tuple[str, ...]], tuple[Undefined, ...] | None, set[str]]:
    """The versions asked of each library; the undefined symbols; the exported ones that forbid unloading."""
    from elftools.elf.gnuversions import GNUVerNeedSection, GNUVerSymSection
    from elftools.elf.sections import SymbolTableSection

    budget = _elf.Budget()
    left = image.stream_len // _VERSION_SIZE
    known: dict[int, tuple[str, str]] = {}
    versions: defaultdict[str, list[str]] = defaultdict(list)
    numbers = symbols = None
    for section in image.iter_sections():
        if isinstance(section, GNUVerNeedSection):
            for need, some in section.iter_versions():
                provider = budget.spend(str(need.name))
                left -= 1
                for version in some:
                    left -= 1
                    if left < 0:  # they form lists, which may be rings
                        raise _elf.BadElfError("more symbol versions than the file has room for")
                    name = budget.spend(str(version.name))
                    known[int(version["vna_other"]) & ~_HIDDEN_VERSION] = (name, provider)
                    versions[provider].append(name)
        elif isinstance(section, GNUVerSymSection):
            numbers = section
        elif isinstance(section, SymbolTableSection) and section["sh_type"] == "SHT_DYNSYM":
            symbols = section
    asked = {name: tuple(sorted(some)) for name, some in versions.items()}
    if symbols is None:
        return asked, None, set()
    if symbols["sh_entsize"] != image.structs.Elf_Sym.sizeof():
        raise _elf.BadElfError(f"symbols of {symbols['sh_entsize']} bytes")
    unique = {
        budget.spend(str(symbol.name))
        for symbol in symbols.iter_symbols()
        if symbol["st_info"]["bind"] == "STB_LOOS" and symbol["st_shndx"] != "SHN_UNDEF"
    }
    return asked, tuple(_undefined(symbols, numbers, known, budget)), unique


def _undefined(
    symbols: Any, numbers: Any, known: dict[int, tuple[str, str]], budget: _elf.Budget
) -> Iterator[Undefined]:
    for index, symbol in enumerate(symbols.iter_symbols()):
        if symbol["st_shndx"] != "SHN_UNDEF" or not symbol.name:
            continue
        # 0 and 1 are "local" and "global" without a version, which pyelftools gives as words.
        number = numbers.get_symbol(index)["ndx"] if numbers is not None else 0
        found = known.get(number & ~_HIDDEN_VERSION) if isinstance(number, int) else None
        version, provider = found or (None, None)
        weak = symbol["st_info"]["bind"] == "STB_WEAK"
        yield Undefined(name=budget.spend(str(symbol.name)), version=version, provider=provider, weak=weak)
