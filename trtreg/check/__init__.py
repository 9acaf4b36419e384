"""The gate for publishers: facts of wheels and libraries, read in child processes where code runs; rules; findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trtreg.check.finding import LEVELS, Finding, Level, Rule

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from trtreg.check.facts import PackageFacts
    from trtreg.check.target import Targets

__all__ = ["Checked", "Finding", "Level", "Rule", "check", "judge"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """What was read of one wheel, package or library, and everything that was found, what counts most first."""

    package: PackageFacts
    findings: tuple[Finding, ...]

    def count(self, level: Level) -> int:
        """How many findings are of that level."""
        return sum(finding.level == level for finding in self.findings)


def check(
    paths: Sequence[str],
    *,
    targets: Targets | None = None,
    load: bool = True,
    init: str | None = None,
    ignore: Collection[str] = (),
) -> Iterator[Checked]:
    """Check wheels, libraries and folders of them, each by all rules but those whose ids `ignore` names.

    No code of theirs runs in this process; with `load`, it runs in children. `init` is the function to call in a
    library that registers its creators by one and has no manifest.

    Raises:
        CheckInputError: a path is not there, or has nothing in it to check.
        MissingExtraError: a library needs more than glibc, and auditwheel is not installed.
    """
    from trtreg.check import gather

    for package in gather.gather(paths, load=load, init=init):
        yield Checked(package=package, findings=judge(package, targets=targets, ignore=ignore))


def judge(
    package: PackageFacts, *, targets: Targets | None = None, ignore: Collection[str] = ()
) -> tuple[Finding, ...]:
    """Everything that the rules find in the facts. Pure."""
    from trtreg.check import library_rules, load_rules, wheel_rules

    found = [*wheel_rules.judge(package), *library_rules.judge(package), *load_rules.judge(package)]
    if targets is not None:
        found += load_rules.judge_targets(package, targets)
    kept = (finding for finding in found if finding.rule.id not in ignore)
    return tuple(sorted(kept, key=lambda one: (LEVELS.index(one.level), one.rule.id)))
