"""Who is to have a plugin creator that several have: a package, or TensorRT itself.

The configuration file, which is the one of the indexes (`trtreg.packages.settings`), says it as

    [prefer]
    ScatterND = "trtplugin-scatter"     # of any version and namespace
    "Split 1" = "tensorrt"              # of this version; "space::Split 1" for a namespace

TRTREG_PREFER, as `ScatterND=trtplugin-scatter,Split 1=tensorrt`, takes the place of the file's; set to nothing, it says
that nothing is preferred. What `trtreg onnx2trt --prefer-plugin` says is something else: that a plugin, whoever has it,
takes nodes which TensorRT's parser would import itself.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from trtreg.discovery import same_name
from trtreg.errors import PreferenceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trtreg.manifest import CreatorKey

__all__ = ["TENSORRT", "VARIABLE", "Preferences", "read"]

VARIABLE: Final = "TRTREG_PREFER"

TENSORRT: Final = "tensorrt"
"""The value that names TensorRT's own plugins, whichever flavour it is."""

_EXAMPLE: Final = "ScatterND=trtplugin-scatter or 'ScatterND 1=tensorrt', separated by commas"


@dataclass(frozen=True, kw_only=True, slots=True)
class Preferences:
    """Who is preferred, by creator as it was written; `origin` says where it stands."""

    winners: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    origin: str = "nowhere"

    def winner(self, key: CreatorKey) -> str | None:
        """The package that is to have the creator, TENSORRT, or None; what is said more exactly goes first."""
        return next((self.winners[name] for name in _written(key) if name in self.winners), None)

    def is_for(self, key: CreatorKey, distribution: str) -> bool:
        """Whether this package is to have the creator."""
        winner = self.winner(key)
        return winner is not None and winner != TENSORRT and same_name(winner, distribution)

    def is_for_tensorrt(self, key: CreatorKey) -> bool:
        """Whether TensorRT's own plugin is to be used."""
        return self.winner(key) == TENSORRT

    def told(self, key: CreatorKey) -> str:
        """What is preferred and where that is said, as a clause."""
        return f"{self.origin} prefers {self.winner(key)} for {key}"

    def unknown(self, keys: Iterable[CreatorKey], distributions: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """The entries that mean nothing to these creators and packages, each with the names that are near to it."""
        from trtreg._nearest import nearest

        creators, packages = [*keys], [TENSORRT, *distributions]
        written = {name for key in creators for name in _written(key)}
        found = {}
        for name, winner in self.winners.items():
            if name not in written:
                found[name] = nearest(name, written)
            elif not any(winner == package or same_name(winner, package) for package in packages):
                found[name] = nearest(winner, packages)
        return found


def read(environ: Mapping[str, str] | None = None) -> Preferences:
    """Read them. Raises PreferenceError for what means nothing, IndexSettingError for a file that is not TOML."""
    environ = os.environ if environ is None else environ
    if (listed := environ.get(VARIABLE)) is not None:
        return Preferences(winners=MappingProxyType(_listed(listed)), origin=VARIABLE)
    from trtreg.packages import settings

    file = settings.config_file(environ)
    table = settings.load(file).get("prefer", {})
    if not isinstance(table, dict):
        raise PreferenceError(f"{file}: 'prefer' is no table", found=repr(table), expected="[prefer]")
    for key, value in table.items():
        if not key.strip() or not isinstance(value, str) or not value.strip():
            raise PreferenceError(
                f"{file}: unexpected value in 'prefer.{key}'", found=repr(value), expected="a package, or tensorrt"
            )
    winners = {key.strip(): value.strip() for key, value in table.items()}
    return Preferences(winners=MappingProxyType(winners), origin=f"[prefer] of {file}")


def _written(key: CreatorKey) -> tuple[str, ...]:
    """How a preference may name the creator, the most exact first."""
    return (str(key), *((f"{key.namespace}::{key.name}",) if key.namespace else ()), key.name)


def _listed(text: str) -> dict[str, str]:
    winners: dict[str, str] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, equals, winner = (part.strip() for part in entry.partition("="))
        if not name or not equals or not winner or "=" in winner:
            raise PreferenceError(f"{VARIABLE} is malformed", found=repr(entry), expected=_EXAMPLE)
        if winners.setdefault(name, winner) != winner:
            raise PreferenceError(f"{VARIABLE} prefers two for {name}", found=f"{winners[name]} and {winner}")
    return winners
