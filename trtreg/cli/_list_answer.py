"""Making an answer of `trtreg list` one that can be given again: see `_list_cache`, which reads what this writes."""

from __future__ import annotations

import marshal
import os
import sys
import time
from _imp import source_hash

from trtreg import _identity, _metadata_scan
from trtreg.cli import _list_cache

TYPE_CHECKING = False  # `typing` takes longer to import than a thousand distributions take to be read
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from trtreg._identity import Folder, Identity
    from trtreg._metadata_scan import Scan
    from trtreg.discovery import InstalledPlugin

__all__ = ["begin", "keep", "renew"]

_MOST = 64  # environments
_GRAINS = (100_000_000, 2_000_000_000)  # nanoseconds: of most file systems, and of those that have whole seconds only


def begin() -> tuple[int, Scan | None]:
    """The time, and the metadata from which a new answer is to be made."""
    return time.time_ns(), _metadata_scan.read(sys.path)


def renew(kept: tuple[Any, ...]) -> bool:
    """Read the metadata again, and keep the rest of an answer; tells whether it is the same."""
    folders, plugins, watched, *rest = kept
    start, scan = begin()
    if scan is None or scan.plugins != plugins or _decisive(scan.folders) != _decisive(folders):
        return False
    key = _list_cache.key()
    if key is not None and not _is_young(_times(scan.folders, ()), start):
        try:
            _write(key, (scan.folders, plugins, watched, *rest))
        except OSError:  # a home that cannot be written any more
            return True
    return True


def keep(
    begun: tuple[int, Scan | None],
    installed: Sequence[InstalledPlugin],
    rows: Sequence[tuple[str, ...]],
    document: str,
    *,
    has_driver: bool,
) -> None:
    """Keep an answer that was made of what `begin` gave, if it can be told how long it holds."""
    start, scan = begun
    key, driver = _list_cache.key(), _list_cache.read_driver()
    mig = "MIG" in os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if key is None or scan is None or mig or has_driver != bool(driver[1]):
        return
    try:
        watched = [(path, _identity.identity(path)) for path in _watched(scan, installed)]
        if not _is_young(_times(scan.folders, watched), start):
            _write(key, (scan.folders, scan.plugins, watched, driver, time.time(), [*map(tuple, rows)], document))
    except (OSError, ValueError, LookupError):  # a home that cannot be written; a plugin out of its usual place
        return


def _watched(scan: Scan, installed: Iterable[InstalledPlugin]) -> Iterator[str]:
    """The files and folders, besides those of the scan, that an answer depends on; LookupError if that is not known."""
    from trtreg import discovery, manifest

    usual = set()
    for _, _, package, place in scan.plugins:
        yield place
        yield f"{place}/{'METADATA' if place.endswith('.dist-info') else 'PKG-INFO'}"
        usual.add(f"{os.path.dirname(place)}/{package.replace('.', '/')}")  # noqa: PTH120
    yield discovery.library_folder()
    for plugin in installed:
        file = f"{plugin.folder}/{manifest.FILE_NAME}"
        if not plugin.added and (plugin.folder not in usual or not os.path.isfile(file)):  # noqa: PTH113
            raise LookupError(plugin.distribution)
        # The folder too: what is not there now may be there later.
        yield from filter(None, (plugin.folder, file, plugin.library_file))
    for path, *_, names in scan.folders:
        for name in names:
            inside = "METADATA" if name.endswith("info") else "__init__.py"
            yield from (f"{path}/{name}", f"{path}/{name}/{inside}")
    for name, module in [*sys.modules.items()]:
        if name.partition(".")[0] == "trtreg" and module.__file__:
            yield module.__file__
    yield from ("/dev", "/etc/ld.so.cache")


def _times(folders: Iterable[Folder], watched: Iterable[tuple[str, Identity | None]]) -> Iterator[int]:
    """When each file and folder was last changed."""
    for _, known, _, _, identities, _ in folders:
        if known:
            yield max(known[2:])
        yield from map(max, identities[2::4], identities[3::4])
    yield from (max(known[2:]) for _, known in watched if known)


def _is_young(times: Iterable[int], now: int) -> bool:
    """Whether another change could leave one of the files with the same times."""
    return any(newest > now - _GRAINS[newest % 1_000_000_000 == 0] for newest in times)


def _decisive(folders: Iterable[Folder]) -> list[tuple[str, list[str]]]:
    return [(path, names) for path, *_, names in folders if names]


def _write(key: tuple[Any, ...], kept: tuple[Any, ...]) -> None:
    body = marshal.dumps((key, kept), 2)
    path = _list_cache.folder_name()
    os.makedirs(path, mode=0o700, exist_ok=True)  # noqa: PTH103
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    fresh = f".{os.getpid()}-{os.urandom(4).hex()}.new"
    try:
        _list_cache.require_own(folder)
        _make_room(folder)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(source_hash(_list_cache.FORMAT, body) + body)
            os.rename(fresh, _list_cache.file_name(key), src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(fresh, dir_fd=folder)
            raise
    finally:
        os.close(folder)


def _make_room(folder: int) -> None:
    """Forget the environments that were asked longest ago, and what killed processes left."""
    names = os.listdir(folder)
    if len(names) < _MOST:
        return
    names.sort(key=lambda name: os.stat(name, dir_fd=folder).st_mtime_ns)
    for name in names[: _MOST // 2]:
        os.unlink(name, dir_fd=folder)
