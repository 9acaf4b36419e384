"""The facts of one wheel, read from its file name, its hash and three of its members; what contradicts is refused."""

from __future__ import annotations

import configparser
import csv
import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from trtreg.discovery import ENTRY_POINT_GROUP
from trtreg.errors import CatalogueError, ManifestError
from trtreg.index import catalogue, core_metadata
from trtreg.index.archive import Archive
from trtreg.index.refusal import Refusal
from trtreg.manifest import FILE_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

    from trtreg.manifest import Manifest

__all__ = ["Facts", "Name", "parse_name", "read"]

_METADATA_LIMIT: Final = 4 << 20
_RECORD_LIMIT: Final = 32 << 20
_CHUNK: Final = 1 << 20
# https://packaging.python.org/specifications/binary-distribution-format/#file-name-convention
_FILE_NAME: Final = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._]*[A-Za-z0-9])?)-(?P<version>[A-Za-z0-9_.!+]+)(?:-(?P<build>[0-9][A-Za-z0-9_.]*))?"
    r"-(?P<tags>[A-Za-z0-9_.]+-[A-Za-z0-9_.]+-(?P<platform>[A-Za-z0-9_.]+))\.whl"
)
_LONGEST_NAME: Final = 240  # with ".metadata" behind it, a file system takes 255
_UNRECORDED: Final = ("RECORD", "RECORD.jws", "RECORD.p7s")


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """A wheel's file name; files of one `identity` are the same to installers, however they are written."""

    file: str
    project: str
    version: str
    platform: str
    identity: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """All that the ledger keeps of a wheel, its METADATA, and the file's own marks when it was read.

    `entry` is the part of the catalogue's line that comes from the manifest; None for a wheel without one.
    """

    name: Name
    size: int
    sha256: str
    metadata: bytes
    requires_python: str
    entry: str | None
    mtime_ns: int
    inode: int


def parse_name(file: str) -> Name:
    """Take a file name apart; Refusal where it is none of a wheel."""
    match = _FILE_NAME.fullmatch(file)
    if match is None or len(file) > _LONGEST_NAME:
        raise Refusal("its name is not NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl (PEP 427)")
    project = re.sub(r"[-_.]+", "-", match["name"]).lower()
    version, canonical = _version(match["version"].replace("_", "-"))
    tags = "-".join(".".join(sorted(part.split("."))) for part in match["tags"].lower().split("-"))
    build = (match["build"] or "").lower()
    return Name(
        file=file,
        project=project,
        version=version,
        platform=match["platform"].lower(),
        identity=f"{project}-{canonical}-{build}-{tags}",
    )


def read(path: str, name: Name) -> Facts:
    """Read the wheel at `path`; Refusal says why it is not taken."""
    # Neither a link, which may lead anywhere tomorrow, nor a pipe, which would keep the publisher waiting.
    flags = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if os.path.islink(path):
            raise Refusal("it is a symbolic link; give the file itself") from error
        raise Refusal(f"it cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Refusal("it is no regular file")
        try:
            sha256 = _digest(file)
            archive = Archive(file, status.st_size)
            metadata, facts = _facts(archive, name)
        except OSError as error:
            raise Refusal(f"it cannot be read: {error.strerror or error}") from error
        after = os.fstat(descriptor)
        if (after.st_size, after.st_mtime_ns) != (status.st_size, status.st_mtime_ns):
            raise Refusal("it was changed while it was read; build again when it is finished")
    return Facts(
        name=name,
        size=status.st_size,
        sha256=sha256,
        metadata=metadata,
        requires_python=facts[0],
        entry=facts[1],
        mtime_ns=status.st_mtime_ns,
        inode=status.st_ino,
    )


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(min(_CHUNK, os.fstat(file.fileno()).st_size + 1)))
    while count := file.readinto(buffer):  # type: ignore[attr-defined]  # a raw file has it
        digest.update(buffer[:count])
    return digest.hexdigest()


def _facts(archive: Archive, name: Name) -> tuple[bytes, tuple[str, str | None]]:
    names = archive.names
    info = _dist_info(names, name)
    for needed in ("METADATA", "WHEEL", "RECORD"):
        if f"{info}/{needed}" not in names:
            raise Refusal(f"it has no {info}/{needed}")
    data = archive.read(f"{info}/METADATA", _METADATA_LIMIT)
    metadata = core_metadata.parse(data)
    if re.sub(r"[-_.]+", "-", metadata.name).lower() != name.project:
        raise Refusal(f"METADATA is of the project {metadata.name}, the file name of {name.project}")
    if _version(metadata.version)[1] != _version(name.version)[1]:
        raise Refusal(f"METADATA is of version {metadata.version}, the file name of {name.version}")
    _check_record(archive, info)
    manifest = _manifest(archive, info, name)
    if manifest is None:
        return data, (metadata.requires_python, None)
    entry = catalogue.entry(manifest, metadata)
    try:
        catalogue.check(entry, name, metadata.requires_python)
    except CatalogueError as error:
        raise Refusal(f"a catalogue cannot list it: {error}") from error
    return data, (metadata.requires_python, entry)


def _dist_info(names: Iterable[str], name: Name) -> str:
    found = {
        top for top, slash, _ in (member.partition("/") for member in names) if slash and top.endswith(".dist-info")
    }
    if len(found) != 1:
        raise Refusal(f"it has {len(found)} folders called *.dist-info; a wheel has one")
    (info,) = found
    project, _, version = info.removesuffix(".dist-info").rpartition("-")
    if (
        re.sub(r"[-_.]+", "-", project).lower() != name.project
        or _version(version.replace("_", "-"))[0] != name.version
    ):
        raise Refusal(f"its folder {info} is not of {name.project} {name.version}")
    return info


def _check_record(archive: Archive, info: str) -> None:
    """Installers unpack what the directory lists; what RECORD does not list would be installed unseen."""
    text = archive.read(f"{info}/RECORD", _RECORD_LIMIT).decode("utf-8", "replace")
    try:
        recorded = {row[0] for row in csv.reader(text.splitlines()) if row}
    except csv.Error as error:
        raise Refusal(f"RECORD cannot be read: {error}") from error
    present = {member for member in archive.names if not member.endswith("/")}
    exempt = {f"{info}/{one}" for one in _UNRECORDED}
    for member in sorted(present - recorded - exempt):
        raise Refusal(f"the member {member!r} is not listed in RECORD")
    for member in sorted(recorded - present - exempt):
        raise Refusal(f"RECORD lists {member!r}, which is not there")


def _manifest(archive: Archive, info: str, name: Name) -> Manifest | None:
    from trtreg import manifest as manifests

    found = [member for member in archive.names if member.rpartition("/")[2] == FILE_NAME]
    if not found:
        # A package without a plugin may be in an index; one that says it has a plugin, and has none, installs nowhere.
        if packages := _entry_points(archive, info):
            raise Refusal(
                f"entry points of the group {ENTRY_POINT_GROUP} name {', '.join(packages)}, without a {FILE_NAME}"
            )
        return None
    if len(found) > 1:
        raise Refusal(f"it has {len(found)} manifests: {', '.join(sorted(found))}")
    (member,) = found
    package = member.rpartition("/")[0].replace("/", ".")
    if package not in _entry_points(archive, info):
        raise Refusal(f"no entry point of the group {ENTRY_POINT_GROUP} names {package}, where its manifest lies")
    try:
        manifest = manifests.parse(json.loads(archive.read(member, _METADATA_LIMIT)))
    except ManifestError as error:
        raise Refusal(f"{member}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise Refusal(f"{member} is no JSON: {error}") from error
    _check_manifest(archive, manifest, member, name)
    return manifest


def _check_manifest(archive: Archive, manifest: Manifest, member: str, name: Name) -> None:
    if re.sub(r"[-_.]+", "-", manifest.package).lower() != name.project:
        raise Refusal(f"its manifest is of the package {manifest.package}, the file name of {name.project}")
    if _version(manifest.version)[1] != _version(name.version)[1]:
        raise Refusal(f"its manifest is of version {manifest.version}, the file name of {name.version}")
    library = manifest.library
    if name.platform != "any" and not all(one.endswith(f"_{library.machine}") for one in name.platform.split(".")):
        raise Refusal(f"its library is for {library.machine}, the file name for {name.platform}")
    path = f"{member.rpartition('/')[0]}/{library.file}".lstrip("/")
    if path not in archive.names:
        raise Refusal(f"its manifest names the library {path}, which is not there")
    if archive.size(path) != library.size:
        raise Refusal(f"its library has {archive.size(path)} bytes, by its manifest {library.size}")
    if archive.sha256(path) != library.sha256:
        raise Refusal(f"its library {path} has another SHA-256 than its manifest says")


def _entry_points(archive: Archive, info: str) -> tuple[str, ...]:
    path = f"{info}/entry_points.txt"
    if path not in archive.names:
        return ()
    try:
        return _plugins(archive.read(path, _METADATA_LIMIT))
    except (configparser.Error, UnicodeDecodeError) as error:
        raise Refusal(f"{path} cannot be read: {' '.join(str(error).split())}") from error


@lru_cache(maxsize=4)  # wheels come sorted by project
def _plugins(entry_points: bytes) -> tuple[str, ...]:
    """Give the packages that entry points name as plugins; the wheels of a project mostly have the same file."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    parser.read_string(entry_points.decode("utf-8"))
    return tuple(parser[ENTRY_POINT_GROUP].values()) if parser.has_section(ENTRY_POINT_GROUP) else ()


@lru_cache(maxsize=4096)
def _version(text: str) -> tuple[str, str]:
    """Give the version as PEP 440 writes it, and as it compares: 1.0 and 1.0.0 are the same."""
    from packaging.utils import canonicalize_version
    from packaging.version import InvalidVersion, Version

    try:
        return str(Version(text)), canonicalize_version(text)
    except (InvalidVersion, ValueError):  # ValueError: more digits than Python makes a number of
        raise Refusal(f"{text[:100]!r} is no version (PEP 440)") from None
