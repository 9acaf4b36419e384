"""What the registry holds already of a library's creators: its own, another library's, or some that give way."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from trtreg import _set_aside, discovery
from trtreg.errors import AlreadyRegisteredError
from trtreg.manifest import CreatorKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from trtreg.loader import LoadedPlugin

__all__ = ["is_adoptable", "make_room", "registered"]

_log = logging.getLogger("trtreg.loader")


def registered(registry: Any) -> dict[CreatorKey, Any]:
    """All creators; asking for one by name would log an error where it is absent."""
    return {CreatorKey.of(creator): creator for creator in registry.all_creators}


def make_room(
    registry: Any,
    library: Path,
    declared: Sequence[CreatorKey],
    there: Mapping[CreatorKey, Any],
    distribution: str,
    loaded: Iterable[LoadedPlugin],
) -> tuple[_set_aside.SetAside, ...]:
    """Take out of the registry what others have of these creators, if this package is preferred for all of that.

    Creators of packages that are loaded stay: whoever loaded those may have them in use. Raises PreferenceError.
    """
    held = _held_by_others(library, declared, there)
    if not held or any(not held.keys().isdisjoint(known.creators) for known in loaded):
        return ()
    from trtreg import preferences

    wishes = preferences.read()
    if not all(wishes.is_for(key, distribution) for key in held):
        return ()
    taken = _set_aside.take_out(registry, {key: there[key] for key in held})
    if taken:
        told = "; ".join(wishes.told(key) for key in held)
        _log.info("%s gives way to %s: %s", CreatorKey.listed(held), distribution, told)
    return taken or ()


def is_adoptable(
    library: Path,
    declared: Sequence[CreatorKey],
    there: Mapping[CreatorKey, Any],
    distribution: str,
    loaded: Iterable[LoadedPlugin],
) -> bool:
    """Whether this very library is in the registry already; AlreadyRegisteredError if another one has its creators."""
    if others := _held_by_others(library, declared, there):
        owners = dict.fromkeys(_owner(origin) for origin in others.values())
        raise AlreadyRegisteredError(
            f"Creators of {distribution} are already registered: {CreatorKey.listed(others)}",
            found=f"they come from {', '.join(owners)}",
            expected=f"no creators of these names, or those of {library}: TensorRT takes a library whole or not at all",
            remedy=_way_in(others, distribution, loaded),
        )
    present = [key for key in declared if key in there]
    if present and len(present) < len(declared):
        raise AlreadyRegisteredError(
            f"Some creators of {distribution} are registered, and some are not",
            found=CreatorKey.listed(present),
            expected=CreatorKey.listed(declared),
            remedy="restart the process: somebody has removed a part of them",
        )
    return bool(present)


def _held_by_others(
    library: Path, declared: Sequence[CreatorKey], there: Mapping[CreatorKey, Any]
) -> dict[CreatorKey, Path | None]:
    """Those of the creators that another library has in the registry, and which; None where that is unknown."""
    from trtreg._creator_origin import library_of

    origins = {key: library_of(there[key]) for key in declared if key in there}
    return {key: origin for key, origin in origins.items() if origin != library}


def _way_in(others: Mapping[CreatorKey, Path | None], distribution: str, loaded: Iterable[LoadedPlugin]) -> str:
    """What to do for a package whose creators others have."""
    from trtreg import preferences
    from trtreg._creator_origin import DELETED
    from trtreg.collision import remedy

    if any(str(origin).endswith(DELETED) for origin in others.values()):
        return "restart the process: the library was replaced while in use"
    wishes = preferences.read()
    owners = sorted(known.plugin.distribution for known in loaded if not others.keys().isdisjoint(known.creators))
    undecided = [key for key in others if not wishes.is_for(key, distribution)]
    if owners or not undecided:
        # Where it is preferred, the registry did not give the others up: they came with a whole library.
        return f"unload {' and '.join(owners) or 'the other library'} first, or do not load it in this process"
    return f"do not load {distribution} in this process, or {remedy(min(undecided), [distribution])}"


def _owner(library: Path | None) -> str:
    """The package that a library belongs to, and its path."""
    from trtreg import _holders

    return str(_holders.holder(library, discovery.discover()))
