"""Judging a library as a file: what it needs, what it shows, how it is protected. Pure."""

from __future__ import annotations

import posixpath
import re
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Final

from trtreg.check import table
from trtreg.check.finding import Finding
from trtreg.foreign import linkage, style
from trtreg.foreign.wrap import EXTERNAL
from trtreg.sdk import repair
from trtreg.sdk.compile import EXPORTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from trtreg.check.facts import LibraryFacts, PackageFacts, PluginFacts
    from trtreg.check.finding import Rule
    from trtreg.manifest import Manifest, Registration

__all__ = ["judge"]

_DRIVER: Final = re.compile(r"lib(?:cuda|nvcuvid|nvoptix|nvidia-[\w-]+)\.so[.\d]*")
_RUNTIME: Final = re.compile(r"lib(?:stdc\+\+|gcc_s|c\+\+|c\+\+abi)\.so[.\d]*")
# What two libraries of a process must not find in each other: the C++ runtime (std, operator new and delete), cudart.
_RUNTIME_SYMBOL: Final = re.compile(
    r"_Z(?:N[KVRO]*|[TV]*)?S[tabsiod]|_Z(?:nw|na|dl|da)[A-Za-z]|_?_?cuda[A-Z]\w+|__cxa_\w+"
)
# What the linker's start-up code names, and libraries of TensorRT define.
_OPTIONAL: Final = re.compile(r"_ITM_\w+|__gmon_start__|__cxa_finalize|__tls_get_addr")
_OF_TENSORRT: Final = re.compile(
    r"getPluginRegistry|getBuilderPluginRegistry|getLogger|getInferLib\w+|create\w+_INTERNAL"
)
_SHOWN: Final = 5  # symbols,
_LONG: Final = 80  # and this much of each: those of C++ can have thousands of letters
_BUILD: Final = "build it with trtreg's build backend"
_LINK: Final = "link it with"


def judge(package: PackageFacts) -> Iterator[Finding]:
    """All findings about the libraries in it."""
    for plugin in package.plugins:
        if plugin.library is not None:
            yield from _one(package, plugin.library)
            if plugin.library.damage is None:
                yield from _plugin(plugin, plugin.library)
    for library in package.companions:
        yield from _one(package, library)


def _finding(
    rule: Rule,
    library: LibraryFacts,
    message: str,
    *,
    remedy: str,
    found: str | None = None,
    expected: str | None = None,
    foreign: bool | None = None,
) -> Finding:
    return Finding(
        rule=rule,
        level=rule.level_for(foreign=library.foreign if foreign is None else foreign),
        message=message,
        found=found,
        expected=expected,
        remedy=remedy,
        where=library.path,
    )


def _one(package: PackageFacts, library: LibraryFacts) -> Iterator[Finding]:
    """What holds for any library in a wheel."""
    if library.damage is not None:
        yield _finding(table.DAMAGED, library, f"it is no shared library: {library.damage}", remedy="build it again")
        return
    if not library.is_shared:
        text = "it is no shared library, but a program or an object file"
        yield _finding(table.DAMAGED, library, text, remedy="link it with -shared")
    yield from _needed(package, library)
    yield from _newer_symbols(package, library)
    yield from _run_path(package, library)
    yield from _protection(library)


def _needed(package: PackageFacts, library: LibraryFacts) -> Iterator[Finding]:
    inside = _inside(package)
    for name in library.needed:
        if not repair.is_needed([name]) or name in inside:
            continue
        if linkage.is_tensorrt(name):
            rule, remedy = table.NEEDS_TENSORRT, "implement IPluginV3, export getCreators, and link nothing of TensorRT"
        elif _DRIVER.fullmatch(name):
            rule, remedy = (
                table.NEEDS_DRIVER,
                "use the CUDA runtime, or ask for the driver's functions when they are used",
            )
        elif _RUNTIME.fullmatch(name):
            rule, remedy = table.NEEDS_RUNTIME, f"{_LINK} -static-libstdc++ -static-libgcc"
        elif package.allowed is not None and name in package.allowed:
            continue
        else:
            external = any(fnmatch(name, pattern) for pattern in EXTERNAL)
            text = f"it needs {name}, which is neither in the wheel nor on every Linux"
            remedy = f"{_LINK} the static one, or let auditwheel take it into the wheel (`trtreg wrap` does)"
            finding = _finding(table.NEEDS_OTHERS, library, text, found=name, remedy=remedy)
            if external and library.foreign:
                finding = Finding(
                    rule=finding.rule,
                    level="warning",
                    message=f"it needs {name}, which another package has to bring",
                    found=name,
                    remedy="name that package in the wheel's dependencies",
                    where=library.path,
                )
            yield finding
            continue
        yield _finding(rule, library, f"it needs {name}", found=name, expected="not among what it needs", remedy=remedy)


def _inside(package: PackageFacts) -> set[str]:
    """What the dynamic linker can find in the wheel, by its own name or by the file's."""
    return {name for one in package.companions for name in (one.soname, one.path.rpartition("/")[2]) if name}


def _newer_symbols(package: PackageFacts, library: LibraryFacts) -> Iterator[Finding]:
    promised = package.glibc
    remedy = "build it in an older Linux, as cibuildwheel does, or let auditwheel find the tag"
    if promised is not None and library.glibc is not None and library.glibc > promised:
        newest = _dotted(library.glibc)
        symbols = [
            symbol.name
            for symbol in library.undefined or ()
            if symbol.version in {f"GLIBC_{newest}", f"GLIBC_{newest}.0"}
        ]
        yield _finding(
            table.FLOOR,
            library,
            f"it needs glibc {newest}" + (f", for {_some(symbols)}" if symbols else ""),
            found=f"glibc {newest}",
            expected=f"{_dotted(promised)} or older, by the tag",
            remedy=remedy,
        )
    for provider, versions in library.versions.items():
        for version in versions:
            prefix, _, number = version.partition("_")
            known = package.symbol_versions.get(prefix)
            if known is not None and prefix != "GLIBC" and number not in known and provider not in _inside(package):
                text = f"it needs {version} of {provider}, which is newer than the tag"
                yield _finding(table.FLOOR, library, text, found=version, remedy=remedy)


def _run_path(package: PackageFacts, library: LibraryFacts) -> Iterator[Finding]:
    top = posixpath.dirname(library.path)
    for entry in library.run_path:
        relative = re.sub(r"^\$(?:ORIGIN|\{ORIGIN\})(?=/|$)", "", entry)
        if relative == entry:
            text = "its run path is not relative to itself"
        elif package.wheel and posixpath.normpath(f"{top}/./{relative}").startswith(".."):
            text = "its run path leads out of the wheel"
        else:
            continue
        remedy = "link it without -rpath, or with one from $ORIGIN; `patchelf --remove-rpath` takes it away"
        expected = "$ORIGIN, or a path from there to a folder in the wheel"
        yield _finding(table.RUN_PATH, library, text, found=repr(entry), expected=expected, remedy=remedy)


def _protection(library: LibraryFacts) -> Iterator[Finding]:
    if library.executable_stack:
        text = "it asks for an executable stack, or does not say that it needs none"
        remedy = f"{_LINK} -Wl,-z,noexecstack, and mark assembly sources with .note.GNU-stack"
        yield _finding(table.STACK, library, text, remedy=remedy)
    missing = [name for name, there in (("RELRO", library.relro), ("BIND_NOW", library.bind_now)) if not there]
    if missing:
        text = f"it is linked without {' and '.join(missing)}"
        yield _finding(table.RELRO, library, text, remedy=f"{_LINK} -Wl,-z,relro,-z,now")
    if library.writable_code:
        text = "a part of it is both writable and executable"
        yield _finding(table.WRITABLE_CODE, library, text, remedy=f"{_LINK} -Wl,-z,separate-code, and no -N")
    if library.text_relocations:
        text = "the dynamic linker has to write to its code"
        yield _finding(table.TEXT_RELOCATIONS, library, text, remedy="compile all of it with -fPIC")


def _plugin(plugin: PluginFacts, library: LibraryFacts) -> Iterator[Finding]:
    """What holds for a library of plugins."""
    yield from _functions(plugin, library)
    yield from _exports(plugin.manifest, library)
    yield from _undefined(plugin, library)
    if library.fixed is not None:
        remedy = "compile it with -fno-gnu-unique and -fvisibility=hidden, and link it without -z nodelete"
        yield _finding(table.FIXED, library, f"it cannot be unloaded: {library.fixed}", remedy=remedy)
    if library.gpu_problem is not None:
        text = f"its GPU code cannot be read: {library.gpu_problem}"
        yield _finding(table.GPU_CODE, library, text, remedy="build it again, or use a newer trtreg")
    elif library.sms and not library.ptx:
        text = "it has machine code only, so it runs on no newer GPU"
        remedy = "add PTX of the newest architecture, as TRTREG_CUDA_ARCHS='86;90;120+PTX' does"
        yield _finding(table.PTX, library, text, found=f"sm {', '.join(library.sms)}", remedy=remedy)


def _registration(plugin: PluginFacts, library: LibraryFacts) -> Registration:
    if plugin.manifest is not None:
        return plugin.manifest.library.registration
    loaded = next((load.registration for load in plugin.loads if load.registration), None)
    if loaded is not None:
        return loaded
    return "dynamic" if any(name in library.exports for name in style.ENTRY_POINTS) else "static"


def _functions(plugin: PluginFacts, library: LibraryFacts) -> Iterator[Finding]:
    registration = _registration(plugin, library)
    init = plugin.manifest.library.init if plugin.manifest else None
    if not library.foreign:
        missing = [name for name in EXPORTS if name not in library.exports]
        remedy = "end one source with TRTREG_PLUGINS(...) of trtreg/plugin.h"
    else:
        missing = []
        if registration == "dynamic" and not any(name in library.exports for name in style.ENTRY_POINTS):
            missing = ["getCreators"]
        if init is not None and init not in library.exports:
            missing = [init]
        remedy = 'export extern "C" getCreators(int32_t&), as the SDK does'
    if missing:
        yield _finding(table.ENTRY_FUNCTION, library, f"it does not export {', '.join(missing)}", remedy=remedy)


def _exports(manifest: Manifest | None, library: LibraryFacts) -> Iterator[Finding]:
    init = manifest.library.init if manifest else None
    if library.foreign:
        more = sorted(name for name in library.exports if _RUNTIME_SYMBOL.match(name))
        text = f"it exports {len(more)} symbols of the C++ or CUDA runtime"
    else:
        more = sorted(library.exports - {*EXPORTS, init})
        text = f"it exports {len(more)} symbols besides the SDK's"
    if more:
        remedy = f"{_LINK} -fvisibility=hidden and -Wl,--exclude-libs,ALL, or a version script; {_BUILD} does"
        yield _finding(table.EXPORTS, library, text, found=_some(more), remedy=remedy)


def _undefined(plugin: PluginFacts, library: LibraryFacts) -> Iterator[Finding]:
    if library.undefined is None:
        return
    # Symbols of these have versions, so one without is of another library.
    versioned = {name for name in library.needed if name in library.versions or not repair.is_needed([name])}
    unknown = set(library.needed) - versioned
    resident = _registration(plugin, library) != "dynamic"
    missing = []
    for symbol in library.undefined:
        if symbol.weak or _OPTIONAL.fullmatch(symbol.name):
            continue
        if symbol.provider is not None:
            if symbol.provider not in library.needed:
                missing.append(f"{symbol.name}@{symbol.version}")
        elif not (unknown or (resident and _OF_TENSORRT.fullmatch(symbol.name))):
            missing.append(symbol.name)
    if missing:
        text = f"{len(missing)} of its symbols are in none of the libraries that it needs"
        remedy = f"{_LINK} -Wl,--no-undefined, which tells what is missing"
        yield _finding(table.UNDEFINED, library, text, found=_some(missing), remedy=remedy)


def _some(names: Iterable[str]) -> str:
    every = [name if len(name) <= _LONG else f"{name[:_LONG]}…" for name in names]
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + more


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
