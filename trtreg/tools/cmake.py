"""CMake: an imported target that a program links, so that static plugins register and the paths of others are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trtreg.errors import ToolFlagsError
from trtreg.tools.flags import Flags, Source
from trtreg.tools.library import Style, with_style

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trtreg.tools.library import PluginLibrary

__all__ = ["TARGET", "flags"]

TARGET: Final = "trtreg::plugins"
_DEFINITION: Final = "TENSORRT_PLUGIN_LIBRARIES"
_SOURCES = (
    Source(
        title="CMake, imported libraries",
        url="https://cmake.org/cmake/help/latest/command/add_library.html#imported-libraries",
    ),
    Source(
        title="CMake, target_link_libraries",
        url="https://cmake.org/cmake/help/latest/command/target_link_libraries.html",
    ),
    Source(
        title="TensorRT, IPluginRegistry::loadLibrary",
        url="https://github.com/NVIDIA/TensorRT/blob/release/11.1/include/NvInferRuntimeCommon.h",
    ),
)


def flags(libraries: tuple[PluginLibrary, ...], flavour: str) -> Flags:
    """Text for a CMakeLists.txt; a bracket argument needs no escapes, a definition those of a C string."""
    del flavour
    dynamic = with_style(libraries, Style.DYNAMIC)
    linked = with_style(libraries, Style.STATIC, Style.INIT)
    notes = []
    if dynamic:
        notes.append(
            f"in C++: for (char const* path : {{{_DEFINITION}}}) getPluginRegistry()->loadLibrary(path);  "
            "// before parsing or deserialising"
        )
    notes += [
        f"call {library.init or 'the function of initialisation'} of {library.path.name} yourself: {library.package}"
        for library in with_style(libraries, Style.INIT)
    ]
    return Flags(
        tool="cmake",
        libraries=libraries,
        text=(*_target(dynamic, linked), f"target_link_libraries(your_program PRIVATE {TARGET})") if libraries else (),
        options={"target": TARGET} if libraries else {},
        notes=tuple(notes),
        sources=_SOURCES,
    )


def _target(dynamic: Sequence[PluginLibrary], linked: Sequence[PluginLibrary]) -> Iterable[str]:
    yield f"add_library({TARGET} INTERFACE IMPORTED)"
    if dynamic:
        paths = ",".join(f'"{_text(library)}"' for library in dynamic)
        definition = f"{_DEFINITION}={paths}"
        yield f"target_compile_definitions({TARGET} INTERFACE [==[{definition}]==])"
    if linked:
        # Nothing refers to a symbol of them, and linkers drop what nothing needs.
        yield f"target_link_libraries({TARGET} INTERFACE -Wl,--push-state,--no-as-needed"
        yield from (f"  [==[{_text(library)}]==]" for library in linked)
        yield "  -Wl,--pop-state)"


def _text(library: PluginLibrary) -> str:
    path = str(library.path)
    # CMake splits at a semicolon, make at a dollar and at a hash, and a quote ends the C string.
    if odd := [character for character in ';"\\$#\n' if character in path]:
        raise ToolFlagsError(
            f"the path of {library.package} cannot stand in a CMakeLists.txt",
            found=path,
            expected=f"a path without any of {''.join(odd)!r}",
            remedy="install the plugin into another folder, or make a link to the library elsewhere",
        )
    return path
