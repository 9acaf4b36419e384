"""Rules, and what they find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["LEVELS", "Finding", "Level", "Rule"]

Level = Literal["error", "warning", "note"]
LEVELS: Final[tuple[Level, ...]] = ("error", "warning", "note")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """What has to be so, and why. An `id` never gets another meaning; `name` is for people.

    `foreign` is the level for a library that was not made with our SDK, where it is another.
    """

    id: str
    name: str
    level: Level
    text: str
    why: str
    foreign: Level | None = None

    def level_for(self, *, foreign: bool) -> Level:
        """How much it counts for such a library."""
        return self.foreign if foreign and self.foreign is not None else self.level


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that is not as its rule wants it.

    `where` is the file in the wheel or package that it is about; None for the whole. An error fails the gate.
    """

    rule: Rule
    level: Level
    message: str
    found: str | None = None
    expected: str | None = None
    remedy: str
    where: str | None = None
