"""What the commands say of installed plugins: one verdict each, in words and for programs."""

from __future__ import annotations

from trtreg import compatibility, discovery, environment
from trtreg._dataclass import dataclass

TYPE_CHECKING = False  # `typing` takes longer to import than `trtreg list` may take
if TYPE_CHECKING:
    from typing import Any

    from trtreg.discovery import InstalledPlugin
    from trtreg.environment import Environment

__all__ = ["Judged", "as_json", "judge", "judge_all"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """An installed plugin, the reasons why it does not fit as they are shown, and notes where it does."""

    plugin: InstalledPlugin
    reasons: tuple[compatibility.Reason, ...]
    notes: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether trtreg would load it."""
        return self.plugin.problem is None and not self.reasons

    @property
    def verdict(self) -> str:
        """One line."""
        if self.plugin.problem is not None:
            return " ".join(f"broken: {self.plugin.problem}".split())
        if self.reasons:
            return "; ".join(str(reason) for reason in self.reasons)
        return "yes" + (f" ({'; '.join(self.notes)})" if self.notes else "")

    @property
    def ops(self) -> tuple[str, ...]:
        """The op names that it provides."""
        creators = self.plugin.manifest.library.creators if self.plugin.manifest else ()
        return tuple(dict.fromkeys(creator.name for creator in creators))


def judge_all(here: Environment | None = None) -> tuple[Judged, ...]:
    """Judge every installed plugin."""
    facts = environment.read() if here is None else here
    return tuple(judge(plugin, facts) for plugin in discovery.discover())


def as_json(judged: Judged) -> dict[str, Any]:
    """The part that `list`, `info` and `doctor` have in common."""
    plugin = judged.plugin
    return {
        "package": plugin.distribution,
        "version": plugin.version,
        "fits": judged.fits,
        "problem": str(plugin.problem) if plugin.problem else None,
        "reasons": [
            {"code": r.code, "found": r.found, "expected": r.expected, "remedy": r.remedy} for r in judged.reasons
        ],
        "notes": [*judged.notes],
        "library": plugin.library_file,
        "ops": [*judged.ops],
    }


def judge(plugin: InstalledPlugin, here: Environment) -> Judged:
    """Judge one."""
    if plugin.manifest is None or plugin.problem is not None:
        return Judged(plugin=plugin, reasons=(), notes=())
    verdict = compatibility.judge(plugin.manifest, here)
    if isinstance(verdict, compatibility.Incompatible):
        return Judged(plugin=plugin, reasons=verdict.reasons, notes=())
    return Judged(plugin=plugin, reasons=(), notes=verdict.notes)
