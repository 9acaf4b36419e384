"""A plugin library as other tools see it: a file, and how its creators get into TensorRT's registry."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from trtreg.discovery import InstalledPlugin

__all__ = ["PluginLibrary", "Style", "of", "with_style"]


class Style(Enum):
    """How the creators of a library get into the registry."""

    DYNAMIC = "dynamic"
    """IPluginRegistry::loadLibrary calls its `getCreators`; to be opened is not enough."""
    STATIC = "static"
    """Its static initialisers register them when it is opened (REGISTER_TENSORRT_PLUGIN)."""
    INIT = "init"
    """A function of its own registers them; to be opened is not enough."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PluginLibrary:
    """The library of an installed plugin package; `init` is the function's name for Style.INIT.

    One that is not `preloadable` must not be opened before TensorRT is in the process.
    """

    package: str
    version: str
    path: Path
    style: Style = Style.DYNAMIC
    init: str | None = None
    preloadable: bool = True


def of(plugin: InstalledPlugin) -> PluginLibrary | None:
    """The library of a package; None where its manifest is missing or broken."""
    if plugin.manifest is None or plugin.library_path is None or plugin.problem is not None:
        return None
    library = plugin.manifest.library
    return PluginLibrary(
        package=plugin.distribution,
        version=plugin.version,
        # Tools run in other folders; links stay, for they are what an update moves.
        path=plugin.library_path.absolute(),
        style=Style(library.registration),
        init=library.init,
    )


def with_style(libraries: Iterable[PluginLibrary], *styles: Style) -> tuple[PluginLibrary, ...]:
    """Those of the given styles."""
    return tuple(library for library in libraries if library.style in styles)
