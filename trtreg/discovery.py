"""Finding the installed plugin packages from metadata alone: nothing of theirs is imported, no library is opened."""

# No pathlib, whose import takes longer than all of this:
# ruff: noqa: PTH111, PTH113, PTH114, PTH115, PTH118, PTH119, PTH120, PTH208

from __future__ import annotations

import os
import sys

import trtreg
from trtreg import _metadata_scan, _versions
from trtreg import manifest as manifests
from trtreg._dataclass import dataclass
from trtreg._metadata_scan import normalised

TYPE_CHECKING = False  # `typing` takes longer to import than `trtreg list` may take
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import Any, Final, TypeAlias

    from trtreg.errors import TrtregError
    from trtreg.manifest import Manifest

    _Entry: TypeAlias = tuple[str, str, str, str]
    """Name and version of a distribution, an import package, and where that is if it lies beside the metadata."""

__all__ = [
    "ENTRY_POINT_GROUP",
    "InstalledPlugin",
    "added",
    "discover",
    "distribution_of",
    "find",
    "library_folder",
    "same_name",
    "scanned",
]

ENTRY_POINT_GROUP: Final = _metadata_scan.GROUP


@dataclass(frozen=True, kw_only=True, slots=True)
class InstalledPlugin:
    """A plugin package on this machine; one that is broken has a `problem` and may have no manifest.

    An `added` one is no package but a finished library that `trtreg add` has put beside them.
    """

    distribution: str
    version: str
    package: str
    folder: str
    manifest: Manifest | None
    problem: TrtregError | None
    added: bool = False

    @property
    def root(self) -> Path:
        """The folder as a path."""
        from pathlib import Path

        return Path(self.folder)

    @property
    def remedy(self) -> str:
        """How to get it whole again."""
        return _remedy(self.distribution, self.folder) if self.added else f"reinstall {self.distribution}"

    @property
    def library_path(self) -> Path | None:
        """Where the plugin library lies, or None without a manifest."""
        return self.root / self.manifest.library.file if self.manifest else None

    @property
    def library_file(self) -> str | None:
        """The same as text."""
        return os.path.join(self.folder, self.manifest.library.file) if self.manifest else None


def discover(
    paths: Sequence[str] | None = None, *, among: Callable[[str], bool] | None = None
) -> tuple[InstalledPlugin, ...]:
    """All plugin packages on `paths` (default: `sys.path`, and the libraries that were added), sorted by name.

    A package that shadows another of the same name on an earlier path wins, as with imports, and any package wins over
    an added library of its name. With `among`, only those for whose names it is true: no file of the others is read.
    """
    return scanned(_metadata_scan.read(sys.path if paths is None else paths), paths, among=among)


def scanned(
    scan: _metadata_scan.Scan | None,
    paths: Sequence[str] | None = None,
    *,
    among: Callable[[str], bool] | None = None,
) -> tuple[InstalledPlugin, ...]:
    """The same for what has been read of `paths` already; None where that is left to importlib.metadata."""
    wanted = among or (lambda _: True)
    damaged: list[InstalledPlugin] = []
    entries = [*(_entry_points(paths, damaged) if scan is None else _entries(scan))]
    plugins = [_plugin(*entry, paths) for entry in entries if wanted(entry[0])]
    plugins += [plugin for plugin in damaged if wanted(plugin.distribution)]
    if paths is None:
        taken = {normalised(name) for name, *_ in entries} | {normalised(plugin.distribution) for plugin in damaged}
        extra = [_added(folder) for folder in _added_folders() if wanted(os.path.basename(folder))]
        plugins += [plugin for plugin in extra if normalised(plugin.distribution) not in taken]
    return tuple(sorted(plugins, key=lambda plugin: (normalised(plugin.distribution), plugin.package)))


def added() -> tuple[InstalledPlugin, ...]:
    """The libraries that `trtreg add` has registered for this user."""
    return tuple(map(_added, _added_folders()))


def library_folder() -> str:
    """Where `trtreg add` keeps a folder for each library: see https://specifications.freedesktop.org/basedir/."""
    base = os.environ.get("XDG_DATA_HOME", "")
    return _plain(f"{base if base.startswith('/') else os.path.expanduser('~/.local/share')}/trtreg/libraries")


def find(name: str, plugins: Iterable[InstalledPlugin] | None = None) -> InstalledPlugin:
    """The installed plugin whose distribution or import package is called `name`."""
    candidates = discover() if plugins is None else tuple(plugins)
    for plugin in candidates:
        if same_name(name, plugin.distribution) or name == plugin.package:
            return plugin
    names = ", ".join(plugin.distribution for plugin in candidates)
    raise trtreg.errors.UnknownPluginError(
        f"No installed plugin is called '{name}'",
        found=names or "no plugin at all",
        remedy=f"pip install {name}, or see `trtreg list`",
    )


def distribution_of(file: Path) -> str | None:
    """The installed distribution, with its version, that lists `file` among its files."""
    from importlib.metadata import distributions
    from pathlib import Path

    for distribution in distributions():
        for part in distribution.files or ():
            if part.name == file.name and Path(str(part.locate())).resolve() == file:
                return f"{distribution.metadata['Name']} {distribution.version}"
    return None


def same_name(one: str, other: str) -> bool:
    """Whether two distribution names are the same by https://packaging.python.org/specifications/name-normalization/."""
    return normalised(one) == normalised(other)


def _entries(scan: _metadata_scan.Scan) -> Iterator[_Entry]:
    for name, version, package, place in scan.plugins:
        yield name, version, package, _plain(os.path.join(os.path.dirname(place), *package.split(".")))


def _entry_points(paths: Sequence[str] | None, damaged: list[InstalledPlugin]) -> Iterator[_Entry]:
    """Ask importlib.metadata; plugins whose metadata cannot be understood go to `damaged`."""
    from importlib.metadata import Distribution
    from pathlib import Path

    context: dict[str, Any] = {} if paths is None else {"path": list(paths)}
    seen: set[tuple[str, str]] = set()
    for distribution in Distribution.discover(**context):
        folder = getattr(distribution, "_path", None)
        if folder is not None and folder.name.startswith("~"):
            continue  # pip was killed, and has left here what it had set aside
        # Parsing is dear, and most packages on a machine are no plugins: look at the raw text first.
        try:
            if ENTRY_POINT_GROUP not in (distribution.read_text("entry_points.txt") or ""):
                continue
            # Later Pythons will raise, and warn already, where a header is missing.
            headers, entries = distribution.metadata, tuple(distribution.entry_points)
            name, version = (str(headers[key] or "") if key in headers else "" for key in ("Name", "Version"))
            if not (name and version):
                raise ValueError("METADATA without name or version")  # noqa: TRY301 - one place for all damage
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            damaged.append(_damaged(folder or Path(), error))
            continue
        first = next(iter(Distribution.discover(name=name, **context)), distribution)
        if getattr(first, "_path", None) != folder:
            continue  # shadowed
        for entry in entries:
            key = (normalised(name), entry.value)
            if entry.group == ENTRY_POINT_GROUP and key not in seen:
                seen.add(key)
                beside = distribution.locate_file("/".join(entry.value.split(".")))
                yield name, version, entry.value, str(Path(str(beside)))


def _damaged(folder: Path, error: Exception) -> InstalledPlugin:
    """A plugin of whose installation only a part is there; its name is that of the folder of its metadata."""
    name, _, version = folder.name.removesuffix(".dist-info").partition("-")
    name = normalised(name)
    found = f"{folder}: {error}"
    problem = trtreg.errors.ManifestError("The package's metadata is damaged", found=found, remedy=f"reinstall {name}")
    return InstalledPlugin(
        distribution=name, version=version or "0", package="", folder=str(folder), manifest=None, problem=problem
    )


def _plugin(name: str, version: str, package: str, beside: str, paths: Sequence[str] | None) -> InstalledPlugin:
    folder = _folder(package, beside, paths)
    manifest = None
    problem: TrtregError | None = None
    try:
        manifest = manifests.read(f"{folder}/{manifests.FILE_NAME}")
        problem = _contradiction(name, version, folder, manifest, f"reinstall {name}")
    except trtreg.errors.TrtregError as error:
        problem = error
    return InstalledPlugin(
        distribution=name,
        version=version,
        package=package,
        folder=folder,
        manifest=manifest,
        problem=problem,
    )


def _plain(path: str) -> str:
    """The path as pathlib has it, which takes longer to import than `trtreg list` may take."""
    if path.startswith(("./", "//")) or "//" in path or "/./" in path:
        from pathlib import Path

        return str(Path(path))
    return path


def _added_folders() -> list[str]:
    """Each is called by the normalised name of its library."""
    folder = library_folder()
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [f"{folder}/{name}" for name in names if not name.startswith(".")]


def _added(folder: str) -> InstalledPlugin:
    manifest = None
    problem: TrtregError | None = None
    name = os.path.basename(folder)
    remedy = _remedy(name, folder)
    try:
        manifest = manifests.read(f"{folder}/{manifests.FILE_NAME}")
        problem = _contradiction(name, manifest.version, folder, manifest, remedy)
    except trtreg.errors.TrtregError as error:
        problem = error
        problem.remedy = remedy
    return InstalledPlugin(
        distribution=manifest.package if manifest else name,
        version=manifest.version if manifest else "0",
        package="",
        folder=folder,
        manifest=manifest,
        problem=problem,
        added=True,
    )


def _remedy(name: str, folder: str) -> str:
    """The link in the folder tells where the library was added from; a copy does not."""
    try:
        files = [f"{folder}/{file}" for file in os.listdir(folder)]
    except OSError:
        files = []
    target = next((os.readlink(file) for file in files if os.path.islink(file)), "LIBRARY")
    return f"`trtreg add {target} --name {name}` if it was rebuilt, `trtreg add --remove {name}` if it has gone"


def _folder(package: str, beside: str, paths: Sequence[str] | None) -> str:
    """The folder of the import package: beside the metadata for a wheel, where the import system says for others."""
    if _is_file(f"{beside}/{manifests.FILE_NAME}"):
        return beside
    parts = package.split(".")
    for top in _import_folders(parts[0], paths):
        folder = _plain(os.path.join(top, *parts[1:]))
        if _is_file(f"{folder}/{manifests.FILE_NAME}"):
            return folder
    return beside


def _is_file(path: str) -> bool:
    # One folder that nobody may enter must not hide all other plugins: pathlib raises there.
    return os.path.isfile(path)


def _import_folders(top_level: str, paths: Sequence[str] | None) -> tuple[str, ...]:
    """Where a top-level package is imported from; finding it runs no code of it, unlike for a package inside it."""
    from importlib.machinery import PathFinder
    from importlib.util import find_spec

    try:
        # Editable installs put their own finders on sys.meta_path, which only find_spec asks.
        spec = find_spec(top_level) if paths is None else PathFinder.find_spec(top_level, list(paths))
    except (ImportError, ValueError):  # ValueError: a module in sys.modules that has no spec
        return ()
    return tuple(spec.submodule_search_locations or ()) if spec else ()


def _contradiction(name: str, version: str, folder: str, manifest: Manifest, remedy: str) -> TrtregError | None:
    """What the manifest and the installed package do not agree on."""
    if not same_name(name, manifest.package):
        return trtreg.errors.ManifestError(
            "The manifest is of another package", found=manifest.package, expected=name, remedy=remedy
        )
    if version != manifest.version and not _versions.are_equal(version, manifest.version):
        return trtreg.errors.ManifestError(
            "The manifest is of another version", found=manifest.version, expected=version, remedy=remedy
        )
    library = f"{folder}/{manifest.library.file}"
    if not _is_file(library):
        return trtreg.errors.ManifestError(f"The plugin library {library} does not exist", remedy=remedy)
    return None
