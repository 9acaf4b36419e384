"""What the catalogues have for an op: from each project that provides it, the release that would be installed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trtreg.packages import _release_fit
from trtreg.packages._release_fit import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trtreg.environment import Environment
    from trtreg.manifest import Creator, CreatorKey
    from trtreg.packages._release_fit import Target
    from trtreg.packages.catalogue import Catalogues
    from trtreg.packages.release import Release

__all__ = ["Offer", "Shelf", "best"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """A release of a catalogue; `reasons` say why it does not fit this machine, if so. `op` is what was asked for."""

    release: Release
    reasons: tuple[str, ...] = ()
    op: Creator | None = None

    @property
    def fits(self) -> bool:
        """Whether it can be installed here."""
        return not self.reasons

    def __str__(self) -> str:
        return f"{self.release.project} {self.release.version} (index {self.release.index})"


class Shelf:
    """The catalogues, judged for one machine; it remembers what it has looked up."""

    def __init__(self, catalogues: Catalogues, environment: Environment | None = None) -> None:
        self._catalogues = catalogues
        self._target = _release_fit.read(environment)
        self._known: dict[tuple[CreatorKey, ...], tuple[Offer, ...]] = {}

    @property
    def catalogues(self) -> Catalogues:
        """The catalogues themselves."""
        return self._catalogues

    def offers(self, keys: tuple[CreatorKey, ...]) -> tuple[Offer, ...]:
        """One offer of each project that has one of the creators, those that fit first."""
        if keys not in self._known:
            found: list[Offer] = []
            for key in keys:
                offers = [offer for offer in self._of(key) if offer.release.project not in _projects(found)]
                found += offers
            self._known[keys] = tuple(sorted(found, key=lambda offer: not offer.fits))
        return self._known[keys]

    def of_project(self, project: str) -> Offer | None:
        """The offer of a project, whatever it provides."""
        return best(self._catalogues.releases(project), self._target)

    def with_op(self, name: str) -> tuple[Offer, ...]:
        """One offer of each project that has an op of this name in any version, those that fit first."""
        releases: dict[str, list[Release]] = {}
        for release in self._catalogues.providing(name):
            releases.setdefault(release.project, []).append(release)
        offers = [best(some, self._target) for some in releases.values()]
        return tuple(sorted((offer for offer in offers if offer), key=lambda offer: not offer.fits))

    def namesakes(self, name: str) -> tuple[str, ...]:
        """Creators of that op name in other versions or namespaces, with the project that has each."""
        found = {
            f"{creator.key} ({release.project})"
            for release in self._catalogues.providing(name)
            for creator in release.ops
            if creator.name == name
        }
        return tuple(sorted(found))

    def _of(self, key: CreatorKey) -> list[Offer]:
        releases: dict[str, list[Release]] = {}
        for release in self._catalogues.providing(key):
            releases.setdefault(release.project, []).append(release)
        offers = [best(some, self._target, key) for some in releases.values()]
        return [offer for offer in offers if offer is not None]


def best(releases: Sequence[Release], target: Target, key: CreatorKey | None = None) -> Offer | None:
    """The newest release that fits, a finished one before a pre-release; else the newest, with what is against it."""
    creators = frozenset() if key is None else frozenset([key])
    first: Offer | None = None
    ordered = sorted(releases, key=lambda r: (not r.order.is_prerelease, r.order, _release_fit.preference(r, target)))
    for release in reversed(ordered):
        wanted = Wanted(project=release.project, creators=creators)
        reasons = tuple(map(str, _release_fit.obstacles(release, wanted, target)))
        offer = Offer(release=release, reasons=reasons, op=None if key is None else release.provides(key))
        if offer.fits:
            return offer
        first = first or offer
    return first


def _projects(offers: Iterable[Offer]) -> set[str]:
    return {offer.release.project for offer in offers}
