"""All or nothing: what an installer did to some plugins is undone if a later step fails."""

from __future__ import annotations

import filecmp
import os
import shutil
import tempfile
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from trtreg.errors import TrtregError
from trtreg.packages import _site

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from trtreg.packages.installer import Installer

__all__ = ["restored_on_failure"]


@contextmanager
def restored_on_failure(names: Sequence[str], installer: Installer, wheels: Iterable[Path] = ()) -> Iterator[None]:
    """Keep copies of the distributions until the work is done; `wheels` are the files that will be installed."""
    before = {name: version for name, version in _site.plugin_versions().items() if name in names}
    fresh = [path for wheel in wheels for path in _places_of(wheel) if not os.path.lexists(path)]
    with tempfile.TemporaryDirectory(prefix="trtreg-") as folder:
        copies = {name: _copy(name, Path(folder) / name) for name in before}
        try:
            yield
        except BaseException as error:
            after, damaged = _restore(names, before, copies, installer, fresh)
            wrong = [*damaged, *(name for name in dict.fromkeys(names) if before.get(name) != after.get(name))]
            if isinstance(error, TrtregError):
                _append(error, _state(names, after, damaged, whole=not wrong))
            raise


def _append(error: TrtregError, text: str) -> None:
    """Say it after the facts, before the remedy."""
    remedy, error.remedy = error.remedy, None
    error.message = f"{error}\n{text}"
    error.found, error.expected, error.remedy = None, None, remedy


def _state(names: Sequence[str], after: dict[str, str], damaged: Sequence[str], *, whole: bool) -> str:
    now = "; ".join(
        f"of {name} only a part is there"
        if name in damaged
        else f"{name} {after[name]} is installed"
        if name in after
        else f"{name} is not installed"
        for name in dict.fromkeys(names)
    )
    return f"{'All plugins are as before' if whole else 'The plugins could not be put back as they were'}: {now}"


def _copy(name: str, folder: Path) -> list[tuple[Path, Path]]:
    """Copy the files that the distribution lists, if it is of this environment; pairs of original and copy."""
    copies: list[tuple[Path, Path]] = []
    distribution = _site.distribution(name)
    if distribution is None or not _site.is_own(distribution):
        return copies
    for number, part in enumerate(distribution.files or ()):
        original = Path(str(part.locate()))
        if original.is_file():
            folder.mkdir(exist_ok=True)
            copies.append((original, folder / str(number)))
            shutil.copy2(original, folder / str(number))
    return copies


def _restore(
    names: Sequence[str],
    before: dict[str, str],
    copies: dict[str, list[tuple[Path, Path]]],
    installer: Installer,
    fresh: Sequence[Path],
) -> tuple[dict[str, str], list[str]]:
    """Put back what is not as before; gives what is installed then, and of what files could not be put back."""
    damaged: list[str] = []
    now = _site.plugin_versions()
    changed = [name for name in dict.fromkeys(names) if before.get(name) != now.get(name) or name in copies]
    for name in changed:
        if name in now and before.get(name) != now[name]:
            # What it cannot uninstall, because it has only begun to install it, goes below.
            with suppress(TrtregError):
                installer.uninstall([name])
    _remove(fresh)
    for name in changed:
        try:
            for original, copy in copies.get(name, []):
                _put_back(copy, original)
        except OSError:  # noqa: PERF203 - a handful of plugins
            damaged.append(name)
    return _site.plugin_versions(), damaged


def _places_of(wheel: Path) -> list[Path]:
    """Where the members of a wheel go, but for scripts and the like; the folders after what is in them."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [PurePosixPath(name) for name in archive.namelist()]
    except (OSError, ValueError, zipfile.BadZipFile):
        return []
    safe = [name for name in names if not name.is_absolute() and ".." not in name.parts and "\0" not in str(name)]
    # Of the metadata also what an installer adds: RECORD, INSTALLER, REQUESTED, direct_url.json.
    infos = {name.parts[0] for name in safe if name.parts and name.parts[0].endswith(".dist-info")}
    added = [PurePosixPath(info, name) for info in infos for name in ("RECORD", "INSTALLER", "REQUESTED")]
    files = {*safe, *added}
    folders = {parent for name in files for parent in name.parents if parent.parts}
    caches = {folder / "__pycache__" for folder in folders}
    ordered = [*files, *caches, *sorted(folders, key=lambda folder: len(folder.parts), reverse=True)]
    return [place / name for place in _site.places() for name in ordered]


def _remove(fresh: Iterable[Path]) -> None:
    """Delete what an installer that failed has left of what was not there before."""
    for path in fresh:
        with suppress(OSError):
            if path.name == "__pycache__":
                shutil.rmtree(path, ignore_errors=True)
            elif path.is_dir() and not path.is_symlink():
                path.rmdir()  # only where nothing else is in it
            else:
                path.unlink(missing_ok=True)


def _put_back(copy: Path, original: Path) -> None:
    """Give a file its old contents. It stays as it is where it has them: the disk may be full."""
    if original.is_file() and filecmp.cmp(copy, original, shallow=False):
        return
    original.parent.mkdir(parents=True, exist_ok=True)
    # uv links files from its cache: never write into one.
    fresh = original.with_name(f".{original.name[:200]}.{os.getpid()}.tmp")
    try:
        shutil.copy2(copy, fresh)
        fresh.replace(original)
    finally:
        fresh.unlink(missing_ok=True)
