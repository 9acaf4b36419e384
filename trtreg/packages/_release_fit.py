"""Whether one release can be installed here: every obstacle, as a pure function of the release and the target."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from trtreg import compatibility

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Literal

    from packaging.tags import Tag

    from trtreg.environment import Environment
    from trtreg.manifest import CreatorKey
    from trtreg.packages.release import Release

    Code = Literal[
        "specifier", "op", "yanked", "quarantined", "pre-release", "python", "platform", "trtreg", compatibility.Code
    ]

__all__ = ["Obstacle", "Target", "Wanted", "obstacles", "preference", "read"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Obstacle:
    """One reason against a release, in words; `code` is for programs."""

    code: Code
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A project that is asked for; `creators` are what it must provide, `because` says who wants it.

    The project's name is normalised.
    """

    project: str
    specifier: SpecifierSet = field(default_factory=SpecifierSet)
    creators: frozenset[CreatorKey] = frozenset()
    because: tuple[str, ...] = ()

    def __and__(self, other: Wanted) -> Wanted:
        """Join what two ask of the same project."""
        return Wanted(
            project=self.project,
            specifier=self.specifier & other.specifier,
            creators=self.creators | other.creators,
            because=tuple(dict.fromkeys([*self.because, *other.because])),
        )

    def __str__(self) -> str:
        return f"{self.project}{self.specifier}"


@dataclass(frozen=True, kw_only=True)
class Target:
    """What plugins are installed for: the machine with its TensorRT, and the Python environment.

    `tags` are those of https://packaging.python.org/specifications/platform-compatibility-tags/, the best one first.
    """

    environment: Environment
    python: str
    tags: tuple[Tag, ...]
    trtreg: str

    @cached_property
    def ranks(self) -> dict[Tag, int]:
        """The place of each tag, the best one 0."""
        return {tag: rank for rank, tag in reversed([*enumerate(self.tags)])}


def read(environment: Environment | None = None) -> Target:
    """Read the facts of this machine and of this Python."""
    import platform

    from packaging.tags import sys_tags

    from trtreg import __version__
    from trtreg import environment as environments

    return Target(
        environment=environments.read() if environment is None else environment,
        python=platform.python_version(),
        tags=tuple(sys_tags()),
        trtreg=__version__,
    )


def obstacles(release: Release, wanted: Wanted, target: Target) -> tuple[Obstacle, ...]:
    """Every reason against the release, but for being a pre-release: that depends on what else there is."""
    return (*_of_the_request(release, wanted), *_of_the_index(release, wanted), *_of_the_target(release, target))


def preference(release: Release, target: Target) -> tuple[int, tuple[int, str] | tuple[()], str]:
    """Orders the files of one version: what sorts last is the best for the target."""
    try:
        _, _, build, tags = parse_wheel_filename(release.file)
    except InvalidWheelFilename:
        return (-len(target.tags) - 1, (), release.file)
    worst = len(target.tags)
    return (-min((target.ranks.get(tag, worst) for tag in tags), default=worst), build, release.file)


def _of_the_request(release: Release, wanted: Wanted) -> Iterator[Obstacle]:
    if not wanted.specifier.contains(release.version, prereleases=True):
        yield Obstacle(code="specifier", text=f"not among the wanted versions ({wanted.specifier})")
    have = {creator.key for creator in release.ops} if wanted.creators else set()
    for key in sorted(wanted.creators - have):
        yield Obstacle(code="op", text=f"it has no op {key}")


def _of_the_index(release: Release, wanted: Wanted) -> Iterator[Obstacle]:
    if release.yanked is not False and not _is_pinned(release, wanted.specifier):
        reason = f": {release.yanked}" if release.yanked else ""
        yield Obstacle(code="yanked", text=f"withdrawn by its publisher{reason}")
    if release.status == "quarantined":
        yield Obstacle(code="quarantined", text="the index holds the project in quarantine")


def _of_the_target(release: Release, target: Target) -> Iterator[Obstacle]:
    if not _contains(release.requires_python or "", target.python):
        yield Obstacle(code="python", text=f"Python: found {target.python}, expected {release.requires_python}")
    try:
        tags = parse_wheel_filename(release.file)[3]
    except InvalidWheelFilename:
        yield Obstacle(code="platform", text=f"platform: {release.file} is no name of a wheel")
    else:
        if target.ranks.keys().isdisjoint(tags):
            text = f"platform: found {_platforms(target.tags[:1])}, expected {_platforms(sorted(tags, key=str))}"
            yield Obstacle(code="platform", text=text)
    yield from _of_trtreg(release, target)
    verdict = compatibility.judge(release.manifest(), target.environment)
    if isinstance(verdict, compatibility.Incompatible):
        yield from (Obstacle(code=reason.code, text=str(reason)) for reason in verdict.reasons)


def _of_trtreg(release: Release, target: Target) -> Iterator[Obstacle]:
    """A release for another trtreg would replace the one that runs."""
    from packaging.requirements import InvalidRequirement, Requirement

    for text in release.requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            yield Obstacle(code="trtreg", text=f"its requirement {text!r} cannot be read")
            continue
        if requirement.name.lower() == "trtreg" and not _contains(str(requirement.specifier), target.trtreg):
            found = f"trtreg: found {target.trtreg}, expected {requirement.specifier}"
            yield Obstacle(code="trtreg", text=f"{found}; upgrade trtreg")


def _is_pinned(release: Release, specifier: SpecifierSet) -> bool:
    """Whether the user named the version: https://peps.python.org/pep-0592/#installers."""
    exact = (s for s in specifier if s.operator in {"==", "==="} and not s.version.endswith(".*"))
    return any(s.contains(release.order, prereleases=True) for s in exact)


def _contains(specifier: str, version: str) -> bool:
    try:
        return SpecifierSet(specifier).contains(version, prereleases=True)
    except InvalidSpecifier:
        return False


def _platforms(tags: Sequence[Tag]) -> str:
    return " or ".join(dict.fromkeys(str(tag) for tag in tags)) or "none"
