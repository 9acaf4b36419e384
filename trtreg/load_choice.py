"""Which packages to take, where several have what is needed. Pure."""

from __future__ import annotations

from itertools import combinations, islice, product
from typing import TYPE_CHECKING, Final

from trtreg.collision import Collision, holder_of, remedy
from trtreg.load_plan import creators
from trtreg.preferences import Preferences

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from trtreg.discovery import InstalledPlugin
    from trtreg.manifest import CreatorKey

__all__ = ["choose", "passed_over"]

# A model that needs two such creators is rare: this bounds the work for a strange one.
_MOST_TRIED: Final = 4096
_NOBODY: Final = Preferences()


def choose(
    options: Mapping[CreatorKey, Sequence[InstalledPlugin]], preferences: Preferences = _NOBODY
) -> dict[CreatorKey, InstalledPlugin]:
    """For each creator that is needed, the package to take of those that have it.

    What is preferred is taken. Of the others, those that collide least with each other, then the fewest packages, then
    the first.
    """
    left = {
        key: [plugin for plugin in plugins if preferences.is_for(key, plugin.distribution)] or [*plugins]
        for key, plugins in options.items()
        if plugins
    }
    tried = islice(product(*left.values()), _MOST_TRIED)
    return dict(zip(left, min(tried, key=_cost), strict=True))


def passed_over(
    options: Mapping[CreatorKey, Sequence[InstalledPlugin]],
    chosen: Mapping[CreatorKey, InstalledPlugin],
    preferences: Preferences = _NOBODY,
) -> tuple[Collision, ...]:
    """What `choose` had to choose between, but for packages that are taken for something else."""
    taken = {plugin.distribution for plugin in chosen.values()}
    found = []
    for key, plugin in chosen.items():
        others = [one for one in options[key] if one.distribution not in taken]
        if not others:
            continue
        if preferences.is_for(key, plugin.distribution):
            why, hint = preferences.told(key), ""
        else:
            why, hint = (
                f"nothing says which, so {plugin.distribution} is taken",
                remedy(key, [one.distribution for one in (plugin, *others)]),
            )
        holders = tuple(map(holder_of, (plugin, *others)))
        found.append(Collision(key=key, holders=holders, outcome="passed-over", why=why, remedy=hint))
    return tuple(found)


def _cost(chosen: Iterable[InstalledPlugin]) -> tuple[int, int]:
    """How many creators the packages have in common, and how many packages there are."""
    sets = {plugin.distribution: set(creators(plugin)) for plugin in chosen}
    return sum(len(one & other) for one, other in combinations(sets.values(), 2)), len(sets)
