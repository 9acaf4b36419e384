"""What a tool must be told: its arguments and environment, the text to paste, and where its makers say so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from trtreg.errors import ToolFlagsError
from trtreg.tools.library import Style

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from trtreg.tools.library import PluginLibrary

__all__ = ["Flags", "Source", "Unloadable", "joined", "preload", "unloadable"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where the tool's makers document what is used here."""

    title: str
    url: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Unloadable:
    """A library that the tool has no way to load; `instead` is what to do about it."""

    package: str
    reason: str
    instead: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Flags:
    """What to tell a tool about libraries.

    `text` is for pasting, in the quoting of a shell or of the tool's file; `arguments` and `environment` hold the same
    unquoted, for programs, and `options` what goes into a file or a call, by its key.
    """

    tool: str
    libraries: tuple[PluginLibrary, ...]
    text: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    unloadable: tuple[Unloadable, ...] = ()
    notes: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()


# https://man7.org/linux/man-pages/man8/ld.so.8.html: "items of the list can be separated by spaces or colons, and there
# is no support for escaping either separator".
_PRELOAD_SEPARATORS: Final = " \t\n:"


def preload(libraries: Sequence[PluginLibrary]) -> str:
    """The value of LD_PRELOAD."""
    return joined(libraries, ":", forbidden=_PRELOAD_SEPARATORS, where="LD_PRELOAD")


def joined(libraries: Iterable[PluginLibrary], separator: str, *, forbidden: str, where: str) -> str:
    """The paths in a list that has no escape for its separator; ToolFlagsError for a path that it cannot hold."""
    paths = []
    for library in libraries:
        path = str(library.path)
        if any(character in path for character in forbidden):
            raise ToolFlagsError(
                f"the path of {library.package} cannot stand in {where}",
                found=path,
                expected=f"a path without any of {forbidden!r}, for which {where} has no escape",
                remedy="install the plugin into another folder, or make a link to the library elsewhere",
            )
        paths.append(path)
    return separator.join(paths)


def unloadable(libraries: Iterable[PluginLibrary], what_it_does: str, instead: str) -> tuple[Unloadable, ...]:
    """Tell of libraries that only the registry, or their own function, can register, to a tool that just opens them."""
    return tuple(
        Unloadable(
            package=library.package,
            reason=f"{what_it_does}, and the creators of {library.path.name} register only "
            + (
                "when IPluginRegistry::loadLibrary loads it"
                if library.style is Style.DYNAMIC
                else f"when its function {library.init or 'of initialisation'} is called"
            ),
            instead=instead,
        )
        for library in libraries
    )
