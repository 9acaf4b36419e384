"""What loading some plugins together would do, before any is loaded: who has which creator, and who gives way. Pure.

TensorRT's registry has each creator (name, version, namespace) once, and takes a library whole or not at all: one
creator that is there already keeps all the others of its library out. A creator that TensorRT or a program registered
by itself can be taken out and put back; one that came with a library goes with that library only. Libraries inside an
engine go into a registry of the runtime's own, which is asked first, so they keep nobody out. All of it was seen with
TensorRT-RTX 1.7.1, and all but the last with TensorRT-lean 10.16 and 11.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from trtreg.collision import Collision, Holder, holder_of, remedy
from trtreg.errors import CreatorConflictError
from trtreg.manifest import CreatorKey
from trtreg.preferences import TENSORRT, Preferences

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from trtreg.collision import Outcome
    from trtreg.discovery import InstalledPlugin

__all__ = ["LoadPlan", "all_creators", "creators", "make"]

_WHOLE: Final = "TensorRT takes a library whole or not at all"
_NONE: Final[Mapping[CreatorKey, Holder]] = MappingProxyType({})
_NOBODY: Final = Preferences()


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadPlan:
    """What to load, in order, what to leave out, and every creator that several have."""

    load: tuple[InstalledPlugin, ...]
    left_out: tuple[InstalledPlugin, ...]
    collisions: tuple[Collision, ...]

    @property
    def problems(self) -> tuple[Collision, ...]:
        """Those that nothing decides, and those that cannot be as they are decided."""
        return tuple(collision for collision in self.collisions if collision.fatal)

    def require(self, purpose: str) -> tuple[InstalledPlugin, ...]:
        """Give what to load; CreatorConflictError with every problem, before anything is loaded."""
        if self.problems:
            raise CreatorConflictError(f"The plugins for {purpose} cannot be loaded together", collisions=self.problems)
        return self.load


def creators(plugin: InstalledPlugin) -> tuple[CreatorKey, ...]:
    """All that loading the package would register."""
    return plugin.manifest.library.keys if plugin.manifest else ()


def all_creators(plugins: Iterable[InstalledPlugin]) -> frozenset[CreatorKey]:
    """All that loading these packages would register."""
    return frozenset(key for plugin in plugins for key in creators(plugin))


def make(
    plugins: Iterable[InstalledPlugin],
    *,
    needed: Mapping[CreatorKey, InstalledPlugin] | None = None,
    registered: Mapping[CreatorKey, Holder] = _NONE,
    embedded: Mapping[CreatorKey, Holder] = _NONE,
    preferences: Preferences = _NOBODY,
) -> LoadPlan:
    """Lay all creators of these packages beside each other, beside TensorRT's and those inside an engine.

    `needed` says which creators are needed, and from which package: all of `plugins` must then be loaded. Without it
    each may be left out. A package that is loaded already collides with nobody but the others.
    """
    given = list({plugin.distribution: plugin for plugin in plugins}.values())
    contests = [contest for key in _keys(given) if (contest := _contest(key, given, registered, preferences))]
    kept = given if needed is not None else _kept(given, contests)
    judge = _Judge(kept, contests, needed or {}, preferences)
    collisions = [judge.verdict(contest) for contest in contests]
    collisions += [
        _embedded(key, [plugin for plugin in kept if key in creators(plugin)], embedded[key])
        for key in _keys(kept)
        if key in embedded
    ]
    return LoadPlan(
        load=tuple(kept),
        left_out=tuple(plugin for plugin in given if plugin not in kept),
        collisions=tuple(collisions),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Contest:
    """A creator of several packages, or of some that are to be loaded and one who has it in the registry."""

    key: CreatorKey
    rivals: tuple[InstalledPlugin, ...]
    holder: Holder | None
    winner: InstalledPlugin | Holder | None


def _contest(
    key: CreatorKey,
    plugins: Sequence[InstalledPlugin],
    registered: Mapping[CreatorKey, Holder],
    preferences: Preferences,
) -> _Contest | None:
    rivals = tuple(plugin for plugin in plugins if key in creators(plugin))
    holder = registered.get(key)
    if holder and any(holder.package == plugin.distribution for plugin in rivals):
        holder = None
    if len(rivals) + (holder is not None) == 1:
        return None
    winner: InstalledPlugin | Holder | None
    winner = next((plugin for plugin in rivals if preferences.is_for(key, plugin.distribution)), None)
    if holder and winner is None:
        theirs = preferences.is_for_tensorrt(key) and holder.kind == "tensorrt"
        if theirs or (holder.package and preferences.is_for(key, holder.package)):
            winner = holder
    return _Contest(key=key, rivals=rivals, holder=holder, winner=winner)


def _kept(plugins: Sequence[InstalledPlugin], contests: Sequence[_Contest]) -> list[InstalledPlugin]:
    """Who stays, where each may be left out: a winner before its losers, and then who comes first."""
    # A package in the registry is loaded; nothing but its owner takes it out.
    stuck = {c.key for c in contests if c.holder and (c.winner is None or c.holder.package)}
    lost = {c.key for c in contests if isinstance(c.winner, Holder)} | stuck
    waiting = [plugin for plugin in plugins if not lost.intersection(creators(plugin))]
    kept: list[InstalledPlugin] = []
    while waiting:
        beaten = {
            plugin.distribution for c in contests if c.winner in waiting for plugin in c.rivals if plugin != c.winner
        }
        # Where preferences go round in a circle, the first stays.
        one = next((plugin for plugin in waiting if plugin.distribution not in beaten), waiting[0])
        kept.append(one)
        mine = set(creators(one))
        waiting = [plugin for plugin in waiting if plugin is not one and not mine.intersection(creators(plugin))]
    return [plugin for plugin in plugins if plugin in kept]


class _Judge:
    """Says what becomes of each contest, once it is known who stays and who is needed for what."""

    def __init__(
        self,
        kept: Sequence[InstalledPlugin],
        contests: Sequence[_Contest],
        needed: Mapping[CreatorKey, InstalledPlugin],
        preferences: Preferences,
    ) -> None:
        self._kept = kept
        self._settled = {
            plugin.distribution
            for contest in contests
            if isinstance(contest.winner, Holder) or contest.winner in kept
            for plugin in contest.rivals
            if plugin not in kept
        }
        self._preferences = preferences
        self._needs: dict[str, list[CreatorKey]] = {}
        for key, plugin in needed.items():
            self._needs.setdefault(plugin.distribution, []).append(key)

    def verdict(self, contest: _Contest) -> Collision:
        rivals = [plugin for plugin in contest.rivals if plugin in self._kept]
        if contest.winner is None:
            return self._undecided(contest, rivals)
        if contest.holder and contest.holder.package and contest.winner != contest.holder:
            why = f"{self._told(contest)}, but the other one is loaded already"
            return _collision(
                contest, "impossible", why, f"unload {contest.holder.package} first, or use a new process"
            )
        losers = [plugin for plugin in rivals if plugin != contest.winner]
        if losers and (isinstance(contest.winner, Holder) or contest.winner in rivals):
            return self._needed_all_the_same(contest, losers)
        if contest.holder and contest.winner in rivals:
            return _collision(
                contest, "set-aside", f"{self._told(contest)}; the other one gives way while it is loaded"
            )
        out = [plugin for plugin in contest.rivals if plugin not in rivals]
        return _collision(contest, "left-out", f"{self._told(contest)}; {_without(out)}")

    def _undecided(self, contest: _Contest, rivals: Sequence[InstalledPlugin]) -> Collision:
        out = [plugin for plugin in contest.rivals if plugin not in rivals]
        names: list[str] = [plugin.distribution for plugin in contest.rivals]
        if contest.holder and contest.holder.package:
            return _collision(contest, "undecided", self._refused(contest.rivals), _unload(contest.holder))
        if out and all(plugin.distribution in self._settled for plugin in out):
            gone = " and ".join(plugin.distribution for plugin in out)
            return _collision(contest, "left-out", f"left out for another creator anyway: {gone}")
        if out:  # each may be left out, so it is only a matter of saying it
            names += [TENSORRT] if contest.holder and contest.holder.kind == "tensorrt" else []
            return _collision(contest, "undecided", f"nothing says which; {_without(out)}", remedy(contest.key, names))
        if len(rivals) > 1:
            return _collision(contest, "undecided", self._refused(rivals), self._no_way(contest.key, rivals))
        served = set(self._needs.get(names[0], ())) <= {contest.key}
        names += [TENSORRT] if served and contest.holder and contest.holder.kind == "tensorrt" else []
        return _collision(contest, "undecided", self._refused(rivals), remedy(contest.key, names))

    def _needed_all_the_same(self, contest: _Contest, losers: Sequence[InstalledPlugin]) -> Collision:
        why = f"{self._told(contest)}, but {self._refused(losers)}"
        if isinstance(contest.winner, Holder):
            return _collision(contest, "impossible", why, remedy(contest.key, [losers[0].distribution]))
        rivals = [plugin for plugin in contest.rivals if plugin in self._kept]
        return _collision(contest, "impossible", why, self._no_way(contest.key, rivals))

    def _no_way(self, key: CreatorKey, rivals: Sequence[InstalledPlugin]) -> str:
        names = " and ".join(plugin.distribution for plugin in rivals)
        return f"no preference helps while both are needed: use releases of {names} of which only one has {key}"

    def _refused(self, plugins: Iterable[InstalledPlugin]) -> str:
        """Why a package does not go in, and what it is needed for."""
        parts = [
            f"{plugin.distribution} is needed for {CreatorKey.listed(needs)}"
            for plugin in plugins
            if (needs := self._needs.get(plugin.distribution))
        ]
        return f"{_WHOLE}{', and ' if parts else ''}{', '.join(parts)}"

    def _told(self, contest: _Contest) -> str:
        return self._preferences.told(contest.key)


def _unload(holder: Holder) -> str:
    return f"unload {holder.package} first, or use a new process"


def _collision(contest: _Contest, outcome: Outcome, why: str, hint: str = "") -> Collision:
    first = (contest.holder,) if contest.holder else ()
    holders = (*map(holder_of, contest.rivals), *first)
    return Collision(key=contest.key, holders=holders, outcome=outcome, why=why, remedy=hint)


def _embedded(key: CreatorKey, plugins: Iterable[InstalledPlugin], holder: Holder) -> Collision:
    holders = (*map(holder_of, plugins), holder)
    why = "the engine uses the one that stands in it"
    return Collision(key=key, holders=holders, outcome="embedded", why=why)


def _without(plugins: Sequence[InstalledPlugin]) -> str:
    """Which packages are left out, and what goes with them."""
    return "; ".join(
        f"{plugin.distribution} is left out, with all of {CreatorKey.listed(creators(plugin))}: {_WHOLE}"
        for plugin in plugins
    )


def _keys(plugins: Iterable[InstalledPlugin]) -> tuple[CreatorKey, ...]:
    return tuple(dict.fromkeys(key for plugin in plugins for key in creators(plugin)))
