"""The plugins that the metadata of installed distributions tells of, read without importlib.metadata.

That module takes longer to be imported than a thousand distributions take to be read here. What is read is the usual:
folders on the path, with `.dist-info` and `.egg-info` folders in them as wheels and editable installs leave them.
It is read as importlib.metadata reads it; where that might see anything else (archives and eggs, finders of others,
damaged or oddly written files), `read` gives None, and it has to be asked.

Everything that was looked at has its identity recorded before it is read: as long as all of them are the same, so is
the answer. `trtreg list` keeps its table by that. This module imports nothing that Python has not imported by itself.
"""

from __future__ import annotations

import os
import sys

from trtreg import _identity

TYPE_CHECKING = False  # `typing` takes longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import TypeAlias

    from trtreg._identity import Folder

    Plugin: TypeAlias = tuple[str, str, str, str]
    """Name, version and import package of a distribution, and the folder of its metadata."""

__all__ = ["GROUP", "Scan", "UnusualError", "name_and_version", "normalised", "read"]

GROUP = "trtreg.plugins"

_METADATA = ("METADATA", "PKG-INFO")
_LONGEST = 1 << 20  # bytes of a file; beyond that it is not what is usual
_DECISIVE = ("tensorrt", "pynvml", "nvidia_ml_py", "packaging")


class Scan:
    """The plugins that were found, and what was looked at.

    Of each folder of the path there are its path and identity; the places in it where there are no entry points and
    where there are some; the identities of the latter, one after the other; and the names in it of packages on which it
    depends whether a plugin fits.
    """

    # No dataclass: importing those takes longer than a scan.
    __slots__ = ("folders", "plugins")

    def __init__(self, plugins: list[Plugin], folders: list[Folder]) -> None:
        self.plugins = plugins
        self.folders = folders


class UnusualError(Exception):
    """Only importlib.metadata knows what to make of it."""


def read(paths: Sequence[str]) -> Scan | None:
    """Read the metadata on `paths`; of distributions of one name, the first on the path counts.

    None where importlib.metadata has to be asked instead.
    """
    if not _is_usual_import_system():
        return None
    every: list[str] = []
    candidates: list[tuple[str, bytes]] = []
    try:
        folders = [_read_folder(path, every, candidates) for path in dict.fromkeys(paths)]
        return Scan([*_plugins(candidates, every)], folders)
    except (UnusualError, OSError, ValueError, TypeError):  # not UTF-8; a path that is none, or may not be entered
        return None


def name_and_version(distribution: str, paths: Sequence[str]) -> tuple[str, str] | None:
    """What the metadata of a distribution says; None where there is none. UnusualError: ask importlib.metadata."""
    if not _is_usual_import_system():
        raise UnusualError
    sought = normalised(distribution)
    try:
        for path in dict.fromkeys(paths):
            _refuse_egg(path)
            if not os.path.exists(path or "."):  # noqa: PTH110 - no pathlib here
                continue
            for name in os.listdir(path or "."):  # noqa: PTH208
                if name[:1].lower() == sought[:1] and _is_metadata(name) and _key(name) == sought:
                    return _headers(os.path.join(path, name))  # noqa: PTH118
    except (OSError, ValueError, TypeError) as error:
        raise UnusualError from error
    return None


def _is_usual_import_system() -> bool:
    """Whether distributions are found by Python's own finder, and by no other."""
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_distributions")]
    names = [(getattr(finder, "__module__", ""), getattr(finder, "__name__", "")) for finder in finders]
    return names == [("_frozen_importlib_external", "PathFinder")]


def _read_folder(path: str, every: list[str], candidates: list[tuple[str, bytes]]) -> Folder:
    """Look into a folder of the path: `every` gets its metadata, `candidates` those which may be a plugin's."""
    _refuse_egg(path)
    known = _identity.identity(path or ".")
    without: list[str] = []
    having: list[str] = []
    identities: list[int] = []
    if known is None:
        return path, None, without, having, identities, []
    folder = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        names = os.listdir(folder)  # noqa: PTH208 - no pathlib here
        for name in names:
            if not _is_metadata(name):
                continue
            place = os.path.join(path, name)  # noqa: PTH118
            every.append(place)
            file = name + "/entry_points.txt"
            # Most have none, and an exception costs more than to ask before.
            if not os.access(file, os.F_OK, dir_fd=folder):
                without.append(file)
                continue
            content = _read_file(file, folder, identities)
            having.append(file)
            # "~": pip was killed, and has left here what it had set aside
            if GROUP in content.decode() and not name.startswith("~"):
                candidates.append((place, content))
    finally:
        os.close(folder)
    decisive = sorted(name for name in names if name.startswith(_DECISIVE))
    return path, known, without, having, identities, decisive


def _refuse_egg(path: str) -> None:
    if path.rstrip("/").lower().endswith(".egg"):
        raise UnusualError


def _is_metadata(name: str) -> bool:
    tail = name[-9:].lower()
    return tail == ".egg-info" or (tail == "dist-info" and name[-10:-9] == ".")


def _key(name: str) -> str:
    """The distribution that a folder of metadata is taken for, whatever stands in it."""
    return normalised(name.lower().rpartition(".")[0].partition("-")[0])


def _read_file(path: str, folder: int | None = None, identities: list[int] | None = None) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK, dir_fd=folder)
    try:
        before = os.fstat(descriptor)
        content = os.read(descriptor, _LONGEST)
    finally:
        os.close(descriptor)
    if len(content) != before.st_size:
        raise UnusualError
    if identities is not None:
        identities += _identity.of(before)
    return content


def _plugins(candidates: Iterable[tuple[str, bytes]], every: Iterable[str]) -> Iterator[Plugin]:
    first: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    for place, content in candidates:
        packages = [*_packages(content.decode())]
        name, version = _headers(place)
        if not first:
            for other in every:
                first.setdefault(_key(os.path.basename(other)), other)  # noqa: PTH119
        if first.get(normalised(name), place) != place:
            continue  # shadowed, by the names of the folders
        for package in packages:
            if (normalised(name), package) not in seen:
                seen.add((normalised(name), package))
                yield name, version, package, place


def _packages(text: str) -> Iterator[str]:
    """The values in the group of plugins, by the rules of importlib.metadata."""
    section = None
    for line in map(str.strip, text.splitlines()):
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            section = line.strip("[]")
        elif section is not None:
            _, equals, value = line.partition("=")
            value = value.strip()
            if not equals or (section == GROUP and not all(part.isidentifier() for part in value.split("."))):
                raise UnusualError
            if section == GROUP:
                yield value


def _headers(place: str) -> tuple[str, str]:
    """The two headers of metadata, which has to be plainly written."""
    for file in _METADATA:
        if os.access(f"{place}/{file}", os.F_OK):
            content = _read_file(f"{place}/{file}")
            break
    else:
        raise UnusualError
    values: dict[str, str] = {}
    last = "name"
    # Not splitlines(), which knows more ends of lines than email's parser does.
    for line in content.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if not line:
            break
        key, colon, value = line.partition(":")
        if line.startswith((" ", "\t")):
            # A header goes on; neither of these two does.
            if last in ("name", "version"):
                raise UnusualError
            continue
        if not colon or not key.isascii() or not key.replace("-", "").isalnum():
            raise UnusualError
        last = key.lower()
        values.setdefault(last, value.lstrip(" \t"))
    name, version = values.get("name", ""), values.get("version", "")
    for text, marks in ((name, "-_."), (version, "-_.+!")):
        plain = text.translate(dict.fromkeys(map(ord, marks)))
        if not plain.isascii() or not plain.isalnum():
            raise UnusualError
    return name, version


def normalised(name: str) -> str:
    """The name as all its spellings have it: https://packaging.python.org/specifications/name-normalization/."""
    name = name.lower().replace("_", "-").replace(".", "-")
    while "--" in name:
        name = name.replace("--", "-")
    return name
