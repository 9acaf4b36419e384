"""A plugin creator that several have: who they are, what becomes of it, and how to say who is to have it. Pure."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from trtreg.preferences import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trtreg.discovery import InstalledPlugin
    from trtreg.manifest import CreatorKey

__all__ = ["Collision", "Holder", "Outcome", "holder_of", "remedy", "tell"]

Outcome = Literal["undecided", "impossible", "left-out", "set-aside", "embedded", "passed-over"]
"""What becomes of a creator that several have.

"undecided": nothing says who is to have it. "impossible": something says it, and it cannot be done. "left-out": a
package is not loaded. "set-aside": the one in the registry gives way. "embedded": the engine uses its own.
"passed-over": one of several packages was taken, and no other is needed.
"""

_FATAL: Final = frozenset({"undecided", "impossible"})
_log = logging.getLogger("trtreg")


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """Somebody who has a creator: `package` names the package, where it is one."""

    kind: Literal["package", "tensorrt", "engine", "process"]
    name: str
    place: str = ""
    package: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.place})" if self.place else self.name


@dataclass(frozen=True, kw_only=True, slots=True)
class Collision:
    """A creator that several have, what becomes of it and why, and what to do where that is a problem."""

    key: CreatorKey
    holders: tuple[Holder, ...]
    outcome: Outcome
    why: str
    remedy: str = ""

    @property
    def fatal(self) -> bool:
        """Whether something that was to be loaded is not."""
        return self.outcome in _FATAL

    @property
    def told(self) -> str:
        """Who has it, and what becomes of it."""
        every = "both" if len(self.holders) == 2 else "all"  # noqa: PLR2004
        return f"{' and '.join(map(str, self.holders))} {every} have {self.key}: {self.why}"

    def __str__(self) -> str:
        return f"{self.told}; {self.remedy}" if self.remedy else self.told


def holder_of(plugin: InstalledPlugin) -> Holder:
    """A package as somebody who has creators."""
    return Holder(
        kind="package",
        name=f"{plugin.distribution} {plugin.version}",
        place=str(plugin.library_path or ""),
        package=plugin.distribution,
    )


def remedy(key: CreatorKey, names: Iterable[str]) -> str:
    """How to say who is to have a creator: one of these packages, or TENSORRT."""
    wishes = list(dict.fromkeys(names))
    written = " or ".join(f'"{key}" = "{name}"' for name in wishes)
    return f"say who is to have it: {written} in [prefer] of the configuration file, or {VARIABLE}='{key}={wishes[0]}'"


def tell(collisions: Iterable[Collision]) -> None:
    """Log what became of creators that several have: a choice that nobody has made as a warning, others as "info".

    Those that are fatal are for an error, or for the caller's own words.
    """
    for collision in collisions:
        if not collision.fatal:
            _log.log(logging.WARNING if collision.remedy else logging.INFO, "%s", collision)
