"""Which plugins an engine needs, by its lock or by the names that stand in it, and in which order of preference."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from trtreg import load_choice, load_plan
from trtreg.collision import remedy, tell

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    from trtreg.collision import Holder
    from trtreg.discovery import InstalledPlugin
    from trtreg.engine_lock import EngineLock
    from trtreg.environment import Environment
    from trtreg.flavour import InstalledTensorRT
    from trtreg.manifest import CreatorKey
    from trtreg.preferences import Preferences

__all__ = ["needed_creators", "needed_plugins", "planned", "plugins_in_plan"]

_log = logging.getLogger("trtreg")


def needed_plugins(
    lock: EngineLock | None, plan: bytes, plugins: Sequence[InstalledPlugin], here: Environment
) -> tuple[InstalledPlugin, ...]:
    """The packages to load for a plan: by its lock, each creator from the package that it names if that one fits.

    Without a lock, or with one of another plan, the names in the plan tell.
    """
    return _distinct(needed_creators(lock, plan, plugins, here).values())


def needed_creators(
    lock: EngineLock | None, plan: bytes, plugins: Sequence[InstalledPlugin], here: Environment
) -> dict[CreatorKey, InstalledPlugin]:
    """The creators that `needed_plugins` looks for, and the package for each.

    What the lock names goes before what is preferred: the engine was built with it.
    """
    from trtreg import discovery, preferences, scan

    if lock is None or not _is_of(lock, plan):
        fitting = [plugin for plugin in plugins if scan.unfitness(plugin, here) is None]
        found = _creators_in_plan(plan, fitting)
        # Those that do not fit are named too, so that loading them says why.
        return {**_creators_in_plan(plan, [plugin for plugin in plugins if plugin not in fitting]), **found}
    options: dict[CreatorKey, list[InstalledPlugin]] = {}
    for used in lock.plugins:
        for creator in () if used.embedded else used.creators:
            fitting = [plugin for plugin in scan.candidates(creator, plugins) if scan.unfitness(plugin, here) is None]
            same = [plugin for plugin in fitting if discovery.same_name(plugin.distribution, used.package)]
            if fitting:
                options[creator] = same or fitting
    return load_choice.choose(options, preferences.read())


def _is_of(lock: EngineLock, plan: bytes) -> bool:
    from hashlib import sha256

    return lock.plan_sha256 == sha256(plan).hexdigest()


def planned(
    path: str | os.PathLike[str],
    lock: EngineLock | None,
    plan: bytes,
    installed: Sequence[InstalledPlugin],
    here: Environment,
    tensorrt: InstalledTensorRT,
) -> tuple[InstalledPlugin, ...]:
    """The packages to load for a plan, none of which keeps another one out."""
    from trtreg import _holders, preferences

    wishes = preferences.read()
    needed = needed_creators(lock, plan, installed, here)
    is_certain = lock is not None and _is_of(lock, plan)
    if not is_certain and any(wishes.is_for_tensorrt(key) for key in needed):
        _holders.register_own(tensorrt)
    registered = _holders.registered(tensorrt, load_plan.all_creators(needed.values()), installed)
    if not is_certain:
        needed = _unserved(path, needed, registered, wishes)
    embedded = _holders.embedded_in(plan, installed)
    for key, holder in embedded.items():
        if wishes.winner(key):
            _log.warning("%s, but %s carries %s and uses that", wishes.told(key), path, holder)
    outcome = load_plan.make(
        needed.values(), needed=needed, registered=registered, embedded=embedded, preferences=wishes
    )
    tell(outcome.collisions)
    return outcome.require(str(path))


def _unserved(
    path: str | os.PathLike[str],
    needed: dict[CreatorKey, InstalledPlugin],
    registered: Mapping[CreatorKey, Holder],
    wishes: Preferences,
) -> dict[CreatorKey, InstalledPlugin]:
    """Those creators that nobody else has registered: without a lock, their names may stand in the plan by chance."""
    left = {}
    for key, plugin in needed.items():
        holder = registered.get(key)
        if holder is None or holder.package or wishes.is_for(key, plugin.distribution):
            left[key] = plugin
        elif not wishes.is_for_tensorrt(key):
            hint = remedy(key, [plugin.distribution])
            _log.warning("%s: %s has %s, so %s is not loaded for it; %s", path, holder, key, plugin.distribution, hint)
    return left


def plugins_in_plan(plan: bytes, plugins: Iterable[InstalledPlugin]) -> tuple[InstalledPlugin, ...]:
    """The packages with a creator whose name stands in the plan, and in no library that the plan carries.

    A plan holds the names of its plugins in plain bytes (seen with TensorRT-RTX 1.7.1). A name that stands there by
    chance loads a plugin too many, which does no harm. Of several packages with a creator, one is given: see
    `trtreg.load_choice`.
    """
    return _distinct(_creators_in_plan(plan, plugins).values())


def _creators_in_plan(plan: bytes, plugins: Iterable[InstalledPlugin]) -> dict[CreatorKey, InstalledPlugin]:
    from trtreg import embedded, preferences

    carried = [plan[one.offset : one.offset + one.size] for one in embedded.find(plan)]
    engine = embedded.without(plan) if carried else plan

    def is_needed(name: bytes) -> bool:
        return name in engine and not any(name in library for library in carried)

    options: dict[CreatorKey, list[InstalledPlugin]] = {}
    for plugin in plugins:
        for key in load_plan.creators(plugin):
            if is_needed(key.name.encode()):
                options.setdefault(key, []).append(plugin)
    if not any(len(having) > 1 for having in options.values()):
        return {key: having[0] for key, having in options.items()}
    return load_choice.choose(options, preferences.read())


def _distinct(plugins: Iterable[InstalledPlugin]) -> tuple[InstalledPlugin, ...]:
    return tuple({plugin.distribution: plugin for plugin in plugins}.values())
