"""The catalogues of the configured indexes, and what they say: releases of a project, providers of an op, search.

A project is taken from one index only: the first, in the configured order, that lists its name. Releases of that name
in other indexes are never considered, whatever their version. An index that can neither be asked nor be read from the
cache stops everything: otherwise whoever can make it fail could have its names taken from the next one.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trtreg.errors import IndexSettingError, NotCachedError, TrtregError
from trtreg.packages import _catalogue_cache as cache
from trtreg.packages import settings as settings_
from trtreg.packages.release import Release, normalised

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from trtreg.manifest import CreatorKey
    from trtreg.packages.download import Limits, OnProgress
    from trtreg.packages.settings import Index, Settings

__all__ = ["Catalogues", "Project", "Release", "State", "cached", "open_all"]


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """How one catalogue stands: `age` in seconds since its index was asked; `problem` is why a stale one is used."""

    index: Index
    age: float
    stale: bool
    releases: int
    problem: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """A project that a search found, as its newest release describes it; `index` is the name of its owner."""

    name: str
    index: str
    version: str
    summary: str
    ops: tuple[str, ...]


def open_all(
    settings: Settings | None = None,
    *,
    refresh: bool = False,
    offline: bool = False,
    folder: Path | None = None,
    limits: Limits | None = None,
    on_progress: OnProgress | None = None,
) -> Catalogues:
    """Open every catalogue; one of the last ten minutes is not asked for again, unless `refresh`.

    `folder` is that of the cache. Raises where an index has neither a catalogue nor a cached one.
    """
    settings = settings_.read() if settings is None else settings
    folder = settings_.cache_folder() / "catalogues" if folder is None else folder
    opened: list[tuple[Index, cache.Cached]] = []
    try:
        for index in settings.indexes:
            found = cache.obtain(
                index, folder, refresh=refresh, offline=offline, limits=limits, on_progress=on_progress
            )
            opened.append((index, found))
    except BaseException:
        Catalogues(opened).close()
        raise
    return Catalogues(opened)


def cached(settings: Settings | None = None, *, folder: Path | None = None) -> Catalogues | None:
    """Open what is in the cache, for advice beside a main task: asks no index, and raises nothing.

    It ends before the first index that is not cached, which might own any name, and has no releases of a project whose
    part of a large catalogue is not. None where there is nothing.
    """
    folder = settings_.cache_folder() / "catalogues" if folder is None else folder
    opened: list[tuple[Index, cache.Cached]] = []
    with suppress(TrtregError):
        indexes = (settings_.read() if settings is None else settings).indexes
        opened.extend((index, cache.obtain(index, folder, offline=True)) for index in indexes)
    return Catalogues(opened, is_advice=True) if opened else None


class Catalogues:
    """The open catalogues in the order of their indexes; a context manager that closes them."""

    def __init__(self, opened: Sequence[tuple[Index, cache.Cached]], *, is_advice: bool = False) -> None:
        self._opened = tuple(opened)
        self._is_advice = is_advice

    def __enter__(self) -> Catalogues:  # noqa: PYI034 - Self is of Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        for _, cached in self._opened:
            cached.close()

    @property
    def indexes(self) -> tuple[Index, ...]:
        """The indexes, in order."""
        return tuple(index for index, _ in self._opened)

    @property
    def states(self) -> tuple[State, ...]:
        """How each catalogue stands."""
        return tuple(
            State(
                index=index,
                age=cached.age,
                stale=cached.stale,
                releases=int(cached.store.meta["releases"]),
                problem=str(cached.problem) if cached.problem else None,
            )
            for index, cached in self._opened
        )

    def owner(self, project: str) -> Index | None:
        """The one index that the project is taken from; None where no catalogue lists it."""
        name = normalised(project)
        return next((index for index, cached in self._opened if cached.store.has(name)), None)

    def releases(self, project: str) -> tuple[Release, ...]:
        """The project's releases in its owner, the newest version first; also yanked and quarantined ones."""
        name = normalised(project)
        for _, cached in self._opened:
            try:
                found = cached.releases(name) if cached.store.has(name) else []
            except NotCachedError:
                if not self._is_advice:
                    raise
                return ()  # another index's releases of the name would be somebody else's
            if found:
                return tuple(sorted(found, key=lambda release: release.order, reverse=True))
        return ()

    def providing(self, op: CreatorKey | str) -> tuple[Release, ...]:
        """The releases that have the op, or any op of that name: by project, the newest version first."""
        wanted = (op, None, None) if isinstance(op, str) else op
        # Who else lists a project does not matter: its releases are the owner's.
        projects = dict.fromkeys(name for _, cached in self._opened for name in cached.store.providers(*wanted))
        return tuple(
            release
            for project in projects
            for release in self.releases(project)
            if any(c.name == op if isinstance(op, str) else c.key == op for c in release.ops)
        )

    def search(self, words: str | Sequence[str], *, limit: int = 50) -> tuple[Project, ...]:
        """The projects in whose name, ops or summary each of the words begins a word, best first."""
        wanted = words.split() if isinstance(words, str) else words
        ranked = []
        for position, (index, cached) in enumerate(self._opened):
            for name, summary, version, ops, rank in cached.store.search(wanted, limit):
                if self.owner(name) == index:
                    found = Project(name=name, index=index.name, version=version, summary=summary, ops=tuple(ops))
                    ranked.append((rank, position, found))
        return tuple(found for _, _, found in sorted(ranked, key=lambda entry: entry[:2])[:limit])

    def project(self, name: str) -> Project | None:
        """One project, as a search would show it."""
        folded = normalised(name)
        for index, cached in self._opened:
            found = cached.store.project(folded)
            if found is not None:
                summary, version, ops = found
                return Project(name=folded, index=index.name, version=version, summary=summary, ops=tuple(ops))
        return None

    def projects_named_like(self, name: str) -> tuple[str, ...]:
        """Names of projects that look like the one given, the nearest first."""
        from trtreg._nearest import nearest

        known = {other for _, cached in self._opened for other in cached.store.project_names()}
        return nearest(normalised(name), known)

    def ops_named_like(self, name: str) -> tuple[str, ...]:
        """Names of ops that look like the one given, the nearest first."""
        from trtreg._nearest import nearest_ops

        return nearest_ops(name, self.op_names())

    def op_names(self) -> frozenset[str]:
        """Every op name in the catalogues."""
        return frozenset(op for _, cached in self._opened for op in cached.store.op_names())

    def require(self) -> Catalogues:
        """Give itself, or raise IndexSettingError where there is no index at all."""
        if not self._opened:
            raise IndexSettingError(
                "no index is configured",
                expected=f"[[index]] with name and url in {settings_.config_file()}, or TRTREG_INDEX",
                remedy="or give --index URL",
            )
        return self
