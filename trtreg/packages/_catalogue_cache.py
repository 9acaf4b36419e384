"""The cache of catalogues: an SQLite file for each, replaced as a whole; its mtime is when the index was last asked."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trtreg.errors import CatalogueError, DownloadError, NotCachedError, OutputError, TrtregError
from trtreg.packages import _catalogue_store as stores
from trtreg.packages.download import Limits, fetch

if TYPE_CHECKING:
    from pathlib import Path

    from trtreg.packages.download import OnProgress
    from trtreg.packages.settings import Index

__all__ = ["MAX_AGE", "Cached", "obtain"]

MAX_AGE: Final = 600.0  # seconds for which nobody is asked
_LIMITS: Final = Limits(size=1 << 30)
_ABANDONED: Final = 86400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Cached:
    """An open catalogue: when its index was last asked, and why it is not of today, if so."""

    store: stores.Store
    checked: float
    problem: TrtregError | None = None

    @property
    def age(self) -> float:
        """Seconds since the index said that this is its catalogue."""
        return max(time.time() - self.checked, 0.0)

    @property
    def stale(self) -> bool:
        """Whether the index may have another by now."""
        return self.problem is not None or self.age > MAX_AGE


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
    path = folder / f"{hashlib.sha256(index.catalogue_url.encode()).hexdigest()[:32]}.v{stores.FORMAT}.sqlite3"
    cached = _open(path)
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
        return Cached(store=cached.store, checked=cached.checked, problem=named)
    if cached is not None:
        cached.store.close()
    again = _open(path)
    if again is None:
        raise CatalogueError(f"the cached catalogue of {index.name} has vanished", found=str(path), remedy="try again")
    return again


def _open(path: Path) -> Cached | None:
    """What is cached, or None: a damaged file is as good as none."""
    try:
        checked = path.stat().st_mtime
        return Cached(store=stores.Store(path), checked=checked)
    except (OSError, CatalogueError):
        return None


def _update(index: Index, path: Path, cached: Cached | None, limits: Limits, on_progress: OnProgress | None) -> None:
    """Ask the index, and replace the cached file if it has another catalogue."""
    asked = time.time()
    validators = cached.store.meta if cached is not None else {}
    mark = f"{os.getpid()}.{os.urandom(4).hex()}"
    raw, built = path.with_name(f"{mark}.json.tmp"), path.with_name(f"{mark}.sqlite3.tmp")
    try:
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
        if found.sha256 != validators.get("sha256") or found.url != validators.get("base_url"):
            meta = {"etag": found.etag, "last_modified": found.last_modified, "sha256": found.sha256}
            with raw.open("rb") as source:
                stores.build(source, built, base_url=found.url, meta=meta)
            os.utime(built, (asked, asked))
            built.replace(path)
        else:
            os.utime(path, (asked, asked))
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
