"""Which releases to install: a pure function of what is wanted, the indexes, what is installed, and the target.

It chooses the newest release that fits, says of each newer one why it was passed over, and refuses two packages that
would register the same creator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from trtreg import compatibility
from trtreg.errors import (
    NoFittingReleaseError,
    SettingError,
    UnknownPackageError,
)
from trtreg.packages import _release_fit, conflicts
from trtreg.packages._release_fit import Obstacle, Target, Wanted

if TYPE_CHECKING:
    from trtreg.discovery import InstalledPlugin
    from trtreg.manifest import CreatorKey
    from trtreg.packages.release import Release
    from trtreg.preferences import Preferences

__all__ = [
    "Choice",
    "Kept",
    "Obstacle",
    "PassedOver",
    "Plan",
    "Releases",
    "Target",
    "Wanted",
    "resolve",
    "wish",
]

Releases: TypeAlias = Callable[[str], "Sequence[Release]"]
"""Every release of a project, in any order; none where no index has the project."""

Similar: TypeAlias = Callable[[str], "Sequence[str]"]
"""Known names that look like the one given."""

_ROUNDS: Final = 50
_SHOWN: Final = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class PassedOver:
    """A release that was not chosen, and every reason."""

    version: str
    file: str
    obstacles: tuple[Obstacle, ...]

    def __str__(self) -> str:
        return f"{self.version}: {'; '.join(map(str, self.obstacles))}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A release to install; `replaces` is the version that is installed now, `passed_over` what is newer."""

    release: Release
    replaces: str | None
    passed_over: tuple[PassedOver, ...] = ()
    notes: tuple[str, ...] = ()
    because: tuple[str, ...] = ()

    @property
    def action(self) -> Literal["install", "upgrade", "downgrade", "reinstall"]:
        """What installing it means."""
        if self.replaces is None:
            return "install"
        old, new = Version(self.replaces), Version(self.release.version)
        return "reinstall" if old == new else "upgrade" if old < new else "downgrade"


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """An installed plugin that is what was asked for; `passed_over` are newer releases, if any were looked for."""

    project: str
    version: str
    passed_over: tuple[PassedOver, ...] = ()
    because: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to do, sorted by project."""

    choices: tuple[Choice, ...] = ()
    kept: tuple[Kept, ...] = ()


def wish(text: str, because: str = "named") -> Wanted:
    """Read `NAME`, `NAME==1.2` or `NAME>=1`; extras, markers and URLs mean nothing to a plugin."""
    from packaging.requirements import InvalidRequirement

    expected = "a name, or one with versions, as 'trtplugin-dcnv2>=0.1'"
    try:
        requirement = Requirement(text)
    except InvalidRequirement as e:
        raise SettingError("This names no package", found=repr(text), expected=expected) from e
    if requirement.url or requirement.marker or requirement.extras:
        remedy = "for a wheel of your own use pip or uv" if requirement.url else None
        raise SettingError("Neither URL, extra nor marker can be given", found=text, expected=expected, remedy=remedy)
    return Wanted(project=canonicalize_name(requirement.name), specifier=requirement.specifier, because=(because,))


def resolve(
    wanted: Iterable[Wanted],
    *,
    releases: Releases,
    installed: Iterable[InstalledPlugin],
    target: Target,
    upgrade: bool = False,
    pre: bool = False,
    similar: Similar | None = None,
    preferences: Preferences | None = None,
) -> Plan:
    """Make the plan.

    A plugin that is installed and does what is wanted is kept, unless `upgrade` finds something newer; `pre` allows
    pre-releases. Requirements of the chosen releases on other plugins are followed, without going back to an older
    release where they cannot be met. Two packages may have a creator that `preferences` give to one of them.
    """
    present = _Installed(installed, target)
    asked: dict[str, Wanted] = {}
    for one in wanted:
        asked[one.project] = asked[one.project] & one if one.project in asked else one
    named, current = frozenset(asked), dict(asked)
    for _ in range(_ROUNDS):
        shop = _Shop(releases, present, target, pre, similar or (lambda _: ()))
        outcome = [shop.choose(current[name], upgrade=upgrade and name in named) for name in sorted(current)]
        choices = tuple(one for one in outcome if isinstance(one, Choice))
        following = dict(asked)
        for one in _required(choices, releases, present):
            following[one.project] = following[one.project] & one if one.project in following else one
        if following == current:
            break
        current = following
    else:
        raise NoFittingReleaseError(
            "The plugins' requirements on each other do not settle", found=", ".join(str(w) for w in current.values())
        )
    chosen = {choice.release.project: choice.release for choice in choices}
    registered = {f"{name} {r.version}": [creator.key for creator in r.ops] for name, r in chosen.items()}
    others = [p for name, group in present.plugins.items() if name not in chosen for p in group]
    conflicts.refuse(registered, others, preferences)
    return Plan(choices=choices, kept=tuple(one for one in outcome if isinstance(one, Kept)))


class _Installed:
    """The installed plugins by normalised name; a distribution may hold several."""

    def __init__(self, plugins: Iterable[InstalledPlugin], target: Target) -> None:
        self.plugins: dict[str, list[InstalledPlugin]] = {}
        self._target = target
        for plugin in plugins:
            self.plugins.setdefault(canonicalize_name(plugin.distribution), []).append(plugin)

    def version(self, project: str) -> str | None:
        """The installed version, also of a plugin that is broken."""
        return self.plugins[project][0].version if project in self.plugins else None

    def creators(self, project: str) -> set[CreatorKey]:
        """What the installed version registers."""
        manifests = [plugin.manifest for plugin in self.plugins.get(project, [])]
        return {creator.key for m in manifests if m for creator in m.library.creators}

    def does(self, wanted: Wanted) -> bool:
        """Whether the installed version is whole, fits, and has what is wanted."""
        version = self.version(wanted.project)
        return (
            version is not None
            and wanted.specifier.contains(version, prereleases=True)
            and wanted.creators <= self.creators(wanted.project)
            and all(self._fits(plugin) for plugin in self.plugins[wanted.project])
        )

    def _fits(self, plugin: InstalledPlugin) -> bool:
        if plugin.manifest is None or plugin.problem is not None:
            return False
        return isinstance(compatibility.judge(plugin.manifest, self._target.environment), compatibility.Compatible)


class _Shop:
    """Chooses one project's release."""

    def __init__(self, releases: Releases, present: _Installed, target: Target, pre: bool, similar: Similar) -> None:
        self._similar = similar
        self._releases = releases
        self._present = present
        self._target = target
        self._pre = pre

    def choose(self, wanted: Wanted, *, upgrade: bool) -> Choice | Kept:
        version = self._present.version(wanted.project)
        satisfied = self._present.does(wanted)
        if satisfied and version and not upgrade:
            return Kept(project=wanted.project, version=version, because=wanted.because)
        offered = self._releases(wanted.project)
        if not offered and satisfied and version:
            return Kept(project=wanted.project, version=version, because=wanted.because)
        if not offered:
            from trtreg._nearest import remedy

            others = "see `trtreg search`; indexes are given with --index, TRTREG_INDEX or the configuration file"
            raise UnknownPackageError(
                f"No index has a plugin package called '{wanted.project}'",
                remedy=remedy(self._similar(wanted.project), otherwise=others),
            )
        best, passed = self._best(wanted, offered)
        if satisfied and version and (best is None or best.order <= Version(version)):
            newer = tuple(one for one in passed if Version(one.version) > Version(version))
            return Kept(project=wanted.project, version=version, passed_over=newer, because=wanted.because)
        if best is None:
            raise _none_fits(wanted, passed)
        return Choice(
            release=best,
            replaces=version,
            passed_over=tuple(one for one in passed if Version(one.version) > best.order),
            notes=tuple(self._notes(best)),
            because=wanted.because,
        )

    def _best(self, wanted: Wanted, offered: Sequence[Release]) -> tuple[Release | None, list[PassedOver]]:
        """The best release, and what stands against each of the other versions, the newest first."""
        by_version: dict[Version, list[Release]] = {}
        for release in offered:
            by_version.setdefault(release.order, []).append(release)
        fitting: dict[Version, Release] = {}
        passed: list[PassedOver] = []
        for version in sorted(by_version, reverse=True):
            judged = [(r, _release_fit.obstacles(r, wanted, self._target)) for r in by_version[version]]
            fits = [release for release, obstacles in judged if not obstacles]
            if fits:
                fitting[version] = max(fits, key=lambda r: _release_fit.preference(r, self._target))
            else:  # of several files, what stands against the one that comes nearest
                release, obstacles = min(judged, key=lambda pair: (len(pair[1]), pair[0].file))
                passed.append(PassedOver(version=release.version, file=release.file, obstacles=obstacles))
        usable = fitting
        if not self._pre and not wanted.specifier.prereleases:
            usable = {v: r for v, r in fitting.items() if not v.is_prerelease} or fitting
        if not usable:
            return None, passed
        for version, release in fitting.items():
            if version not in usable:
                why = Obstacle(code="pre-release", text="a pre-release; --pre allows it")
                passed.append(PassedOver(version=release.version, file=release.file, obstacles=(why,)))
        passed.sort(key=lambda one: Version(one.version), reverse=True)
        return usable[max(usable)], passed

    def _notes(self, release: Release) -> Iterable[str]:
        if release.yanked is not False:
            yield f"withdrawn by its publisher{f': {release.yanked}' if release.yanked else ''}"
        if release.status in {"archived", "deprecated"}:
            yield f"the project is {release.status}"
        if Version(release.version).is_prerelease:
            yield "a pre-release"
        verdict = compatibility.judge(release.manifest(), self._target.environment)
        if isinstance(verdict, compatibility.Compatible):
            yield from verdict.notes


def _none_fits(wanted: Wanted, passed: Sequence[PassedOver]) -> NoFittingReleaseError:
    shown = [f"- {wanted.project} {one}" for one in passed[:_SHOWN]]
    if len(passed) > _SHOWN:
        shown.append(f"- and {len(passed) - _SHOWN} older versions")
    return NoFittingReleaseError("\n".join([f"No release of {wanted} fits here, of {len(passed)}:", *shown]))


def _required(choices: Iterable[Choice], releases: Releases, present: _Installed) -> Iterable[Wanted]:
    """What chosen releases require of other plugins; the rest is for the installer and the user's own indexes."""
    for choice in choices:
        for text in choice.release.requires:
            requirement = Requirement(text)
            name = canonicalize_name(requirement.name)
            if name == "trtreg" or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
                continue
            if name in present.plugins or releases(name):
                because = f"required by {choice.release.project} {choice.release.version}"
                yield Wanted(project=name, specifier=requirement.specifier, because=(because,))
