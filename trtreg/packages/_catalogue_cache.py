"""The cache of catalogues: an SQLite file for each, replaced as a whole; its mtime is when the index was last asked."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from trtreg.errors import (
    CatalogueError,
    DownloadError,
    DownloadMismatchError,
    NotCachedError,
    NotOnServerError,
    OutputError,
    TrtregError,
)
from trtreg.packages import _catalogue_store as stores
from trtreg.packages.download import Limits, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trtreg.packages.download import OnProgress
    from trtreg.packages.release import Release
    from trtreg.packages.settings import Index

__all__ = ["MAX_AGE", "Cached", "obtain"]

MAX_AGE: Final = 600.0  # seconds for which nobody is asked
_LIMITS: Final = Limits(size=1 << 30)
_ABANDONED: Final = 86400.0


@dataclass(kw_only=True, slots=True)
class Cached:
    """An open catalogue: when its index was last asked, and why it is not of today, if so.

    `store` is another one once a shard has shown that the index has changed.
    """

    store: stores.Store
    checked: float
    shards: Shards
    problem: TrtregError | None = None

    @property
    def age(self) -> float:
        """Seconds since the index said that this is its catalogue."""
        return max(time.time() - self.checked, 0.0)

    @property
    def stale(self) -> bool:
        """Whether the index may have another by now."""
        return self.problem is not None or self.age > MAX_AGE

    def releases(self, project: str) -> list[Release]:
        """All releases of a project; raises where they are in a shard that neither can be had nor is cached."""
        try:
            return self._releases(project)
        except (DownloadMismatchError, NotOnServerError):  # the index has changed since it was asked
            newer = self.shards.catalogue_anew()
            self.store.close()
            self.store, self.checked, self.problem = newer.store, newer.checked, newer.problem
            return self._releases(project)

    def _releases(self, project: str) -> list[Release]:
        shard = self.store.shard(project)
        index = self.shards.index
        if shard is None:
            return self.store.releases(project, index.name)
        found = self.shards.open(*shard, self.store.meta["base_url"]).releases(project, index.name)
        if not found:  # to go on to the next index would be to take the name from this one
            raise CatalogueError(f"index {index.name} lists {project}, and has no release of it", remedy="try later")
        return found

    def close(self) -> None:
        """Close the files."""
        self.store.close()
        self.shards.close()


class Shards:
    """The shards of a large catalogue: each is fetched when first needed, and cached until its hash is another."""

    def __init__(
        self, index: Index, folder: Path, *, offline: bool, limits: Limits | None, on_progress: OnProgress | None
    ) -> None:
        self.index = index
        self._folder = folder
        self._offline = offline
        self._options: dict[str, Any] = {"limits": limits, "on_progress": on_progress}
        self._opened: dict[str, stores.Store] = {}

    def open(self, name: str, sha256: str, base_url: str) -> stores.Store:
        """Open a shard, which has this hash; links in it begin where those of the catalogue do."""
        wanted = (sha256, base_url)
        found = self._opened.get(name)
        if found is None or _is_of(found) != wanted:
            if found is not None:
                found.close()
            path = _path(self.index, self._folder, f".{name}")
            cached = _store(path)
            if cached is None or _is_of(cached) != wanted:
                if cached is not None:
                    cached.close()
                cached = self._fetched(name, path, sha256, base_url)
            found = self._opened[name] = cached
        return found

    def catalogue_anew(self) -> Cached:
        """Ask the index for its catalogue, however fresh the cached one is."""
        return obtain(self.index, self._folder, refresh=True, **self._options)

    def close(self) -> None:
        """Close the files."""
        for store in self._opened.values():
            store.close()

    def _fetched(self, name: str, path: Path, sha256: str, base_url: str) -> stores.Store:
        if self._offline:
            remedy = "run it once without --offline"
            raise NotCachedError(f"part {name} of the catalogue of {self.index.name} is not in the cache",
                                 found=str(path), remedy=remedy)  # fmt: skip
        url = f"{base_url.rpartition('/')[0]}/catalogue/{name}.json"
        options = {**self._options, "limits": self._options["limits"] or _LIMITS}
        try:
            with _temporaries(path) as (raw, built):
                fetch(url, raw, sha256=sha256, **options)
                with raw.open("rb") as source:
                    stores.build(source, built, base_url=base_url, meta={"sha256": sha256})
                built.replace(path)
        except (DownloadError, CatalogueError, OutputError) as e:
            raise _named(e, self.index) from e
        return stores.Store(path)


def obtain(
    index: Index,
    folder: Path,
    *,
    refresh: bool = False,
    offline: bool = False,
    limits: Limits | None = None,
    on_progress: OnProgress | None = None,
) -> Cached:
    """Open the catalogue of an index: from the cache where that is fresh or nothing else can be had.

    What is cached is kept until a new catalogue has arrived whole and been understood. Raises the reason where there
    is neither a catalogue nor a cached one.
    """
    path = _path(index, folder)
    shards = Shards(index, folder, offline=offline, limits=limits, on_progress=on_progress)
    cached = _open(path, shards)
    if offline:
        if cached is None:
            remedy = "run it once without --offline"
            raise NotCachedError(f"the catalogue of {index.name} is not in the cache", found=str(path), remedy=remedy)
        return cached
    # A file is asked each time: it costs nothing, and whoever builds an index here wants to see it.
    if cached is not None and not refresh and cached.age <= MAX_AGE and not index.url.startswith("file:"):
        return cached
    try:
        _prepare(folder)
        _update(index, path, cached, limits or _LIMITS, on_progress)
    except (DownloadError, CatalogueError, OutputError) as e:
        named = _named(e, index)
        if cached is None:
            raise named from e
        return Cached(store=cached.store, checked=cached.checked, shards=shards, problem=named)
    if cached is not None:
        cached.store.close()
    again = _open(path, shards)
    if again is None:
        raise CatalogueError(f"the cached catalogue of {index.name} has vanished", found=str(path), remedy="try again")
    return again


def _path(index: Index, folder: Path, part: str = "") -> Path:
    return folder / f"{hashlib.sha256(index.catalogue_url.encode()).hexdigest()[:32]}{part}.v{stores.FORMAT}.sqlite3"


def _open(path: Path, shards: Shards) -> Cached | None:
    store = _store(path)
    return None if store is None else Cached(store=store, checked=path.stat().st_mtime, shards=shards)


def _store(path: Path) -> stores.Store | None:
    """What is cached, or None: a damaged file is as good as none."""
    try:
        return stores.Store(path) if path.exists() else None
    except (OSError, CatalogueError):
        return None


def _is_of(store: stores.Store) -> tuple[object, object]:
    return store.meta.get("sha256"), store.meta.get("base_url")


def _update(index: Index, path: Path, cached: Cached | None, limits: Limits, on_progress: OnProgress | None) -> None:
    """Ask the index, and replace the cached file if it has another catalogue."""
    asked = time.time()
    validators = cached.store.meta if cached is not None else {}
    with _temporaries(path) as (raw, built):
        found = fetch(
            index.catalogue_url,
            raw,
            etag=validators.get("etag"),
            last_modified=validators.get("last_modified"),
            limits=limits,
            on_progress=on_progress,
        )
        if found is None:
            os.utime(path, (asked, asked))
            return
        if (found.sha256, found.url) != (validators.get("sha256"), validators.get("base_url")):
            meta = {"etag": found.etag, "last_modified": found.last_modified, "sha256": found.sha256}
            with raw.open("rb") as source:
                stores.build(source, built, base_url=found.url, meta=meta)
            os.utime(built, (asked, asked))
            built.replace(path)
        else:
            os.utime(path, (asked, asked))


@contextmanager
def _temporaries(path: Path) -> Iterator[tuple[Path, Path]]:
    """Names beside `path` for what is downloaded and what is made of it; nothing stays there."""
    mark = f"{os.getpid()}.{os.urandom(4).hex()}"
    raw, built = path.with_name(f"{mark}.json.tmp"), path.with_name(f"{mark}.sqlite3.tmp")
    try:
        yield raw, built
    except OSError as e:
        raise OutputError(f"cannot write {path}", found=e.strerror or str(e)) from e
    finally:
        for temporary in (raw, built):
            with suppress(OSError):
                temporary.unlink()


def _prepare(folder: Path) -> None:
    """Make the folder, and clear away what a killed process left."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in folder.glob("*.tmp"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _ABANDONED:
                    path.unlink()
    except OSError as e:
        remedy = "set XDG_CACHE_HOME to a folder that can be written"
        raise OutputError(f"cannot make {folder}", found=e.strerror or str(e), remedy=remedy) from e


def _named(error: TrtregError, index: Index) -> TrtregError:
    """The same error, with the index in front."""
    return type(error)(f"index {index.name}: {error.message}", found=error.found, expected=error.expected,
                       remedy=error.remedy)  # fmt: skip
