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

    Infos: TypeAlias = tuple[str, list[str]]
    """The beginning of a path, and the names of the folders of metadata that are there."""

__all__ = ["GROUP", "Scan", "UnusualError", "name_and_version", "normalised", "read"]

GROUP = "trtreg.plugins"

_KINDS = (".dist-info", ".egg-info")
_METADATA = ("METADATA", "PKG-INFO")
_LONGEST = 1 << 20  # bytes of a file; beyond that it is not what is usual
_DECISIVE = ("tensorrt", "pynvml", "nvidia_ml_py", "packaging")


class Scan:
    """The plugins that were found, and what was looked at.

    `infos` is all metadata, whether or not of a plugin. Of each folder of the path there are its path and identity; the
    places in it where there are no entry points and where there are some; the identities of the latter, one after the
    other; and the names in it of packages on which it depends whether a plugin fits.
    """

    # No dataclass: importing those takes longer than a scan.
    __slots__ = ("folders", "infos", "plugins")

    def __init__(self, plugins: list[Plugin], folders: list[Folder], infos: list[Infos]) -> None:
        self.plugins = plugins
        self.folders = folders
        self.infos = infos


class UnusualError(Exception):
    """Only importlib.metadata knows what to make of it."""


def read(paths: Sequence[str]) -> Scan | None:
    """Read the metadata on `paths`; of distributions of one name, the first on the path counts.

    None where importlib.metadata has to be asked instead.
    """
    if not _is_usual_import_system():
        return None
    infos: list[Infos] = []
    candidates: list[tuple[str, str]] = []
    try:
        folders = [_read_folder(path, infos, candidates) for path in dict.fromkeys(paths)]
        return Scan([*_plugins(candidates, infos)], folders, infos)
    except (UnusualError, OSError, ValueError, TypeError):  # not UTF-8; a path that is none, or may not be entered
        return None


def name_and_version(distribution: str, paths: Sequence[str], scan: Scan | None = None) -> tuple[str, str] | None:
    """What the metadata of a distribution says; None where there is none. UnusualError: ask importlib.metadata.

    With a scan of those paths the folders are not listed again.
    """
    if not _is_usual_import_system():
        raise UnusualError
    sought = normalised(distribution)
    try:
        for start, infos in scan.infos if scan else map(_list, dict.fromkeys(paths)):
            for info in infos:
                if info[0].lower() == sought[0] and _key(info) == sought:
                    return _headers(start + info)
    except (OSError, ValueError, TypeError) as error:
        raise UnusualError from error
    return None


def _is_usual_import_system() -> bool:
    """Whether distributions are found by Python's own finder, and by no other."""
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_distributions")]
    names = [(getattr(finder, "__module__", ""), getattr(finder, "__name__", "")) for finder in finders]
    return names == [("_frozen_importlib_external", "PathFinder")]


def _list(path: str) -> Infos:
    _refuse_egg(path)
    names = os.listdir(path or ".") if os.path.exists(path or ".") else ()  # noqa: PTH110, PTH208 - no pathlib here
    return os.path.join(path, ""), _metadata_among(names)  # noqa: PTH118


def _read_folder(path: str, infos: list[Infos], candidates: list[tuple[str, str]]) -> Folder:
    """Look into a folder of the path: `infos` gets the names of its metadata, `candidates` what may be a plugin's."""
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
        # This loop is most of what `trtreg list` does that is not kept.
        start, found = os.path.join(path, ""), _metadata_among(names)  # noqa: PTH118
        infos.append((start, found))
        access, existing = os.access, os.F_OK
        for name in found:
            file = name + "/entry_points.txt"
            # Most have none, and an exception costs more than to ask before.
            if not access(file, existing, dir_fd=folder):
                without.append(file)
                continue
            content = _read_file(file, folder, identities)
            having.append(file)
            # "~": pip was killed, and has left here what it had set aside
            if GROUP in content and not name.startswith("~"):
                candidates.append((start + name, content))
    finally:
        os.close(folder)
    decisive = sorted([name for name in names if name.startswith(_DECISIVE)])
    return path, known, without, having, identities, decisive


def _refuse_egg(path: str) -> None:
    if path.rstrip("/").lower().endswith(".egg"):
        raise UnusualError


def _metadata_among(names: Iterable[str]) -> list[str]:
    return [name for name in names if name[-5:].lower() == "-info" and name[-10:].lower().endswith(_KINDS)]


def _key(name: str) -> str:
    """The distribution that a folder of metadata is taken for, whatever stands in it."""
    return normalised(name.lower().rpartition(".")[0].partition("-")[0])


def _read_file(path: str, folder: int | None = None, identities: list[int] | None = None) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK, dir_fd=folder)
    try:
        before = os.fstat(descriptor)
        # One byte more than there should be. A fixed length that is long enough for all takes ten times as long.
        content = os.read(descriptor, min(before.st_size, _LONGEST) + 1)
    finally:
        os.close(descriptor)
    if len(content) != before.st_size:
        raise UnusualError
    if identities is not None:
        identities += (before.st_ino, before.st_size, before.st_mtime_ns, before.st_ctime_ns)
    return content.decode()


def _plugins(candidates: Iterable[tuple[str, str]], every: Iterable[Infos]) -> Iterator[Plugin]:
    described = [(place, *_headers(place), [*_packages(content)]) for place, content in candidates]
    # The first folder on the path of each of these distributions; names of others are not looked at more closely.
    first: dict[str, str] = {}
    initials = {name[0].lower() for _, name, _, _ in described}
    for start, infos in every:
        for info in infos:
            if info[0].lower() in initials:
                first.setdefault(_key(info), start + info)
    seen: set[tuple[str, str]] = set()
    for place, name, version, packages in described:
        if first.get(normalised(name), place) != place:
            continue  # shadowed
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
    for line in content.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
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
        if not plain.isascii() or not plain.isalnum() or not text[0].isalnum():
            raise UnusualError
    return name, version


def normalised(name: str) -> str:
    """The name as all its spellings have it: https://packaging.python.org/specifications/name-normalization/."""
    name = name.lower().replace("_", "-").replace(".", "-")
    while "--" in name:
        name = name.replace("--", "-")
    return name
