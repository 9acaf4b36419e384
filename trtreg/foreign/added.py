"""Finished libraries that are registered for this user, without a wheel.

Each has a folder under `$XDG_DATA_HOME/trtreg/libraries/` (default `~/.local/share`) with a manifest and a link to the
library, or a copy of it. Discovery reads these folders as it reads packages.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from trtreg import discovery, manifest
from trtreg.errors import LibraryNameError, OutputError
from trtreg.foreign import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trtreg.discovery import InstalledPlugin
    from trtreg.manifest import Manifest

__all__ = ["add", "remove"]


def add(library: Path, described: Manifest, *, copy: bool = False) -> InstalledPlugin:
    """Register the library under the manifest's name; one that was added from the same place is replaced.

    A link leaves the library where its neighbours are, which it may look for beside itself; when it is rebuilt, its
    hash is another, and it is refused until it is added again. A copy stays what it is.

    Raises LibraryNameError where the name is taken, OutputError where the folder cannot be written.
    """
    name = describe.normalised(described.package)
    root = Path(discovery.library_folder(), name)
    _refuse_taken(name, root, library)
    fresh, stale = (root.with_name(f".{name}.{os.getpid()}.{kind}") for kind in ("new", "old"))
    with _writing(root):
        fresh.mkdir(parents=True)
        try:
            place = fresh / described.library.file
            shutil.copy2(library, place) if copy else place.symlink_to(library.resolve())
            (fresh / manifest.FILE_NAME).write_text(manifest.to_json(described), encoding="utf-8")
            if root.exists():
                root.rename(stale)
            fresh.rename(root)
        finally:
            for leftover in (fresh, stale):
                shutil.rmtree(leftover, ignore_errors=True)
    return _find(name)


def remove(name: str) -> InstalledPlugin:
    """Forget an added library, whose file stays where it is. Raises LibraryNameError where none has the name."""
    plugin = _find(name)
    with _writing(plugin.root):
        # Out of sight first: a folder that is half gone must not be discovered.
        away = plugin.root.with_name(f".{plugin.root.name}.{os.getpid()}.old")
        plugin.root.rename(away)
        shutil.rmtree(away)
    return plugin


def _find(name: str) -> InstalledPlugin:
    plugins = discovery.added()
    for plugin in plugins:
        if discovery.same_name(plugin.root.name, name):
            return plugin
    raise LibraryNameError(
        f"No added library is called '{name}'",
        found=", ".join(plugin.root.name for plugin in plugins) or "none at all",
        remedy="see `trtreg list`; packages are removed with `trtreg uninstall`",
    )


def _refuse_taken(name: str, root: Path, library: Path) -> None:
    for plugin in discovery.discover():
        if not discovery.same_name(plugin.distribution, name):
            continue
        if not plugin.added:
            raise LibraryNameError(
                f"A package is called '{name}'",
                found=f"{plugin.distribution} {plugin.version} in {plugin.root}",
                remedy="choose another name with --name",
            )
        links = [entry.resolve() for entry in root.iterdir() if entry.is_symlink()]
        if links and library.resolve() not in links:
            raise LibraryNameError(
                f"Another library was added as '{name}'",
                found=str(links[0]),
                expected=str(library.resolve()),
                remedy=f"trtreg add --remove {name}, or choose another name with --name",
            )


@contextmanager
def _writing(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write {root}", found=error.strerror or str(error), remedy="set XDG_DATA_HOME to another folder"
        ) from error
