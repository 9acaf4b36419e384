"""From paths to facts: wheels, libraries, and packages on disk."""

from __future__ import annotations

import configparser
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trtreg import manifest as manifests
from trtreg.check import loading, platforms, read_library, read_wheel
from trtreg.check.facts import PackageFacts, PluginFacts, Problem, WheelFacts
from trtreg.check.tree import Folder, Unpacker, is_library
from trtreg.errors import CheckInputError
from trtreg.foreign import style
from trtreg.index.refusal import Refusal
from trtreg.sdk import repair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from trtreg.check.facts import LibraryFacts
    from trtreg.check.tree import Tree
    from trtreg.manifest import Manifest

__all__ = ["gather"]

_WORKERS: Final = 4  # each waits for a child process most of the time


@dataclass(frozen=True, kw_only=True, slots=True)
class _How:
    load: bool
    init: str | None


def gather(paths: Sequence[str], *, load: bool = True, init: str | None = None) -> Iterator[PackageFacts]:
    """Read everything that `paths` name, in their order; with `load`, what it does when it is opened too.

    `init` is the function to call in libraries of which no manifest says how they register.

    Raises:
        CheckInputError: a path is not there, or has nothing in it to check.
        MissingExtraError: a library needs more than glibc, and auditwheel is not installed.
    """
    how = _How(load=load, init=init)
    jobs = [job for path in paths for job in _jobs(path, how=how)]
    with ThreadPoolExecutor(_WORKERS) as pool:
        yield from pool.map(lambda job: job(), jobs)


def _jobs(text: str, *, how: _How) -> list[Callable[[], PackageFacts]]:
    path = Path(text)
    if path.is_dir():
        found = list(_in_folder(path, how=how))
        if not found:
            raise CheckInputError(
                f"{text} has nothing in it to check",
                expected="wheels, an installed or unpacked plugin package, or plugin libraries",
            )
        return found
    if not path.is_file():
        raise CheckInputError(f"{text} is no file and no folder", expected="a wheel, a library, or a folder of them")
    return [lambda: _wheel(path, how=how)] if text.endswith(".whl") else [lambda: _library(path, how=how)]


def _in_folder(folder: Path, *, how: _How) -> Iterator[Callable[[], PackageFacts]]:
    entries = sorted(folder.iterdir())
    wheels = [entry for entry in entries if entry.suffix == ".whl"]
    infos = [entry for entry in entries if entry.suffix == ".dist-info" and _names_plugins(entry)]
    for wheel in wheels:
        yield lambda wheel=wheel: _wheel(wheel, how=how)  # type: ignore[misc]
    for info in infos:
        yield lambda info=info: _installed(folder, info, how=how)  # type: ignore[misc]
    if (folder / manifests.FILE_NAME).is_file():
        yield lambda: _loose(folder, how=how)
    elif not wheels and not infos:
        for entry in entries:
            if is_library(entry.name) and entry.is_file():
                yield lambda entry=entry: _library(entry, how=how)  # type: ignore[misc]


def _names_plugins(info: Path) -> bool:
    return bool(_packages(info))


def _packages(info: Path) -> list[str]:
    try:
        text = (info / "entry_points.txt").read_text(encoding="utf-8")
        return [value for _, value in read_wheel.entry_points(text)]
    except (OSError, UnicodeDecodeError, configparser.Error):
        return []


def _wheel(path: Path, *, how: _How) -> PackageFacts:
    bare = PackageFacts(path=str(path), kind="wheel")
    with tempfile.TemporaryDirectory(prefix="trtreg-check-") as folder:
        try:
            with path.open("rb") as file:
                tree = Unpacker(file, Path(folder))
                wheel = replace(read_wheel.read(tree, path.name), refusal=read_wheel.refusal(path.resolve()))
                return _filled(replace(bare, wheel=wheel), tree, how=how)
        except Refusal as error:
            return replace(bare, wheel=WheelFacts(file=path.name, unreadable=str(error)))
        except OSError as error:
            text = f"it cannot be read: {error.strerror or error}"
            return replace(bare, wheel=WheelFacts(file=path.name, unreadable=text))


def _installed(folder: Path, info: Path, *, how: _How) -> PackageFacts:
    tops = [info, *(folder / package.partition(".")[0] for package in _packages(info))]
    tops += [top.with_name(f"{top.name}.libs") for top in tops]  # where auditwheel puts libraries
    names = {path.relative_to(folder).as_posix() for top in tops for path in top.rglob("*")}
    tree = Folder(folder, names | {*read_wheel.recorded(info / "RECORD")})
    wheel = read_wheel.read(tree, info.name, info=info.name)
    return _filled(PackageFacts(path=str(info), kind="package", wheel=wheel), tree, how=how)


def _loose(folder: Path, *, how: _How) -> PackageFacts:
    """A folder with a manifest in it, as a build in place and `trtreg add` leave it."""
    tree = Folder(folder, [entry.name for entry in folder.iterdir()])
    return _filled(PackageFacts(path=str(folder), kind="package"), tree, how=how)


def _library(path: Path, *, how: _How) -> PackageFacts:
    """A library, with the manifest beside it if that names it."""
    names = [path.name]
    beside = Folder(path.parent, [manifests.FILE_NAME])
    for name, found in read_wheel.read_manifests(beside):
        if not isinstance(found, Problem) and found.library.file == path.name:
            names.append(name)
    return _filled(PackageFacts(path=str(path), kind="library"), Folder(path.parent, names), how=how)


def _filled(package: PackageFacts, tree: Tree, *, how: _How) -> PackageFacts:
    """Add the libraries and their manifests."""
    problems: list[Problem] = []
    declared: dict[str, tuple[str, Manifest]] = {}
    for name, found in read_wheel.read_manifests(tree):
        if isinstance(found, Problem):
            problems.append(found)
        else:
            declared[f"{name.rpartition('/')[0]}/{found.library.file}".lstrip("/")] = (name, found)
    wanted = [name for name in tree.names if is_library(name) or name in declared or package.kind == "library"]
    libraries = {
        name: read_library.read(tree.place(name), name)
        for name in wanted
        if not name.endswith(f"/{manifests.FILE_NAME}") and name != manifests.FILE_NAME
    }
    # Where a manifest is missing or damaged, the library tells by itself that it is one of plugins.
    entries = {*style.ENTRY_POINTS}
    is_plugin = {name for name, one in libraries.items() if name in declared or entries & one.exports}
    if package.kind == "library":
        is_plugin = {*libraries}
    companions = {name: one for name, one in libraries.items() if name not in is_plugin}
    plugins = []
    for name in sorted(is_plugin | set(declared)):
        place, manifest = declared.get(name, (None, None))
        others = [tree.place(other) for other in companions]
        plugins.append(_plugin(libraries.get(name), manifest, place, tree, others, how=how))
    filled = replace(package, plugins=tuple(plugins), companions=tuple(companions.values()))
    if problems and filled.wheel is not None:
        filled = replace(filled, wheel=replace(filled.wheel, problems=(*filled.wheel.problems, *problems)))
    own = {one.soname for one in libraries.values()} | {name.rpartition("/")[2] for name in libraries}
    needed = {name for one in libraries.values() for name in one.needed} - own
    if repair.is_needed(needed):
        machine = next((one.machine for one in libraries.values()), "")
        allowed, versions = platforms.policy(filled.glibc, machine)
        filled = replace(filled, allowed=allowed, symbol_versions=versions)
    return filled


def _plugin(
    library: LibraryFacts | None,
    manifest: Manifest | None,
    manifest_path: str | None,
    tree: Tree,
    companions: Sequence[Path],
    *,
    how: _How,
) -> PluginFacts:
    facts = PluginFacts(library=library, manifest=manifest, manifest_path=manifest_path)
    if library is None:
        return facts
    derived = _read(library)
    silence = None
    file = tree.place(library.path)
    if how.load and not library.foreign and loading.obstacle(library) is None:
        said, silence = loading.derive(file, companions)
        derived |= said
    loads = loading.load_everywhere(file, library, manifest, how.init) if how.load else ()
    done = next((one for one in loads if one.status == "loaded"), None)
    if library.foreign and done is not None:
        derived |= {"registration": done.registration, "init": done.init, "interface": done.interface}
    return replace(facts, derived=derived, silence=silence, loads=loads)


def _read(library: LibraryFacts) -> dict[str, Any]:
    """The fields of a manifest that stand in the file itself."""
    found: dict[str, Any] = {"sha256": library.sha256, "size": library.size}
    if library.damage is not None:
        return found
    glibc = None if library.glibc is None else f"{library.glibc[0]}.{library.glibc[1]}"
    found |= {"machine": library.machine, "glibc": glibc, "needed": [*library.needed]}
    if library.gpu_problem is None:
        found |= {"sms": [*library.sms], "ptx": [*library.ptx]}
    return found
