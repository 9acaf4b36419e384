"""Wheels on their way from an index to the installer: fetched, verified, kept by hash, and read without unpacking."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import Distribution
from typing import TYPE_CHECKING, Final

from trtreg.errors import NotCachedError, WheelError

if TYPE_CHECKING:
    import zipfile
    from os import PathLike
    from pathlib import Path

    from trtreg.manifest import Manifest
    from trtreg.packages.attestations import Publisher
    from trtreg.packages.download import OnProgress
    from trtreg.packages.release import Release

__all__ = ["Fetched", "Wheel", "cached", "fetch", "inspect", "place", "sha256"]

# What reading a damaged archive raises, besides zipfile's own.
_UNSOUND: Final = (OSError, ValueError, LookupError, TypeError, RuntimeError, ArithmeticError, EOFError)
_LARGEST: Final = 1 << 24  # of a text file in a wheel


@dataclass(frozen=True, kw_only=True, slots=True)
class Wheel:
    """A wheel to be had, by its hash; `url` may be a file's.

    `site` is the root of the index that lists it, if one does; `provenance` where that offers its attestations, and
    `publishers` who a lock file says must have made them.
    """

    project: str
    version: str
    file: str
    url: str
    sha256: str
    size: int | None = None
    site: str | None = None
    provenance: str | None = None
    publishers: tuple[Publisher, ...] = ()

    @classmethod
    def of(cls, release: Release, site: str | None = None) -> Wheel:
        """The wheel of a release, of the index whose root is `site`."""
        return cls(
            project=release.project,
            version=release.version,
            file=release.file,
            url=release.url,
            sha256=release.sha256,
            size=release.size,
            site=site,
            provenance=release.provenance,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """A verified wheel on this machine; `requires` are its Requires-Dist."""

    wheel: Wheel
    path: Path
    requires: tuple[str, ...]
    manifests: tuple[Manifest, ...]


def cached(wheel: Wheel) -> Path | None:
    """Where the wheel lies in the cache, if what lies there is still the wheel."""
    path = place(wheel)
    return path if path.is_file() and sha256(path) == wheel.sha256 else None


def fetch(wheel: Wheel, *, offline: bool = False, on_progress: OnProgress | None = None) -> Fetched:
    """Get the wheel from the cache, else from its URL; with `offline` from no other machine."""
    path = cached(wheel)
    if path is None:
        if offline and not wheel.url.startswith("file:"):
            raise NotCachedError(f"{wheel.file} is not in the cache", remedy="try again without --offline")
        path = _download(wheel, on_progress)
    return inspect(wheel, path)


def inspect(wheel: Wheel, path: Path) -> Fetched:
    """Read the metadata in a wheel; WheelError where it is not the plugin package that its name says."""
    import lzma
    import struct
    import zipfile
    import zlib

    from packaging.requirements import Requirement
    from packaging.version import Version

    from trtreg.discovery import same_name
    from trtreg.errors import ManifestError

    try:
        with zipfile.ZipFile(path) as archive:
            inside = _Inside(archive)
            name, version = ((inside.metadata.get_all(key) or [""])[0] for key in ("Name", "Version"))
            if not same_name(name, wheel.project) or Version(version) != Version(wheel.version):
                found, expected = f"{name} {version}", f"{wheel.project} {wheel.version}"
                raise WheelError(f"{wheel.file} is another package", found=found, expected=expected)
            requires = tuple(inside.requires or ())
            for text in requires:
                Requirement(text)  # a ValueError where it is none
            return Fetched(wheel=wheel, path=path, requires=requires, manifests=_manifests(inside, wheel))
    except (*_UNSOUND, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, ManifestError) as e:
        raise WheelError(f"{wheel.file} is no sound wheel", found=str(e), remedy="tell who published it") from e


class _Inside(Distribution):
    """The metadata of a wheel that is not installed."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        folders = {name.partition("/")[0] for name in archive.namelist() if re.match(r"[^/]+\.dist-info/", name)}
        if len(folders) != 1:
            raise ValueError(f"it has {len(folders)} folders .dist-info")
        (self._folder,) = folders

    def read_text(self, filename: str) -> str | None:
        """A file of the .dist-info folder."""
        return self.text(f"{self._folder}/{filename}")

    def text(self, name: str) -> str | None:
        """Any file, if it is there."""
        try:
            info = self._archive.getinfo(name)
        except KeyError:
            return None
        if info.file_size > _LARGEST:
            raise ValueError(f"its {name} has {info.file_size} bytes")
        return self._archive.read(info).decode("utf-8")

    def locate_file(self, path: str | PathLike[str]) -> Path:
        """Nothing of it is on disk."""
        raise NotImplementedError(path)


def place(wheel: Wheel) -> Path:
    """Where the wheel lies in the cache, or would; WheelError where its name or hash is none."""
    from trtreg.packages import settings

    # Both come from an index: they must not lead elsewhere.
    if not re.fullmatch(r"[0-9a-f]{64}", wheel.sha256):
        raise WheelError(f"{wheel.file} has no sha256", found=repr(wheel.sha256), expected="64 hexadecimal digits")
    if not re.fullmatch(r"[\w.+!-]+\.whl", wheel.file):
        raise WheelError("This is no file name of a wheel", found=repr(wheel.file))
    return settings.cache_folder() / "wheels" / wheel.sha256 / wheel.file


def _download(wheel: Wheel, on_progress: OnProgress | None) -> Path:
    from trtreg.errors import OutputError
    from trtreg.packages import download

    path = place(wheel)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        remedy = "set XDG_CACHE_HOME to a folder that can be written"
        raise OutputError(f"cannot write {path}", found=e.strerror or str(e), remedy=remedy) from e
    return download.download(wheel.url, path, sha256=wheel.sha256, size=wheel.size, on_progress=on_progress)


def sha256(path: Path) -> str:
    """The hash of a file's content."""
    import hashlib

    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _manifests(inside: _Inside, wheel: Wheel) -> tuple[Manifest, ...]:
    import json

    from trtreg import manifest as manifests
    from trtreg.discovery import ENTRY_POINT_GROUP

    packages = [entry.value for entry in inside.entry_points if entry.group == ENTRY_POINT_GROUP]
    if not packages:
        raise WheelError(
            f"{wheel.project} is no TensorRT plugin",
            found=f"no entry point of the group {ENTRY_POINT_GROUP} in {wheel.file}",
            remedy=f"install it with pip or uv: pip install {wheel.project}=={wheel.version}",
        )
    found = []
    for package in packages:
        text = inside.text(f"{package.replace('.', '/')}/{manifests.FILE_NAME}")
        if text is None:
            raise ValueError(f"it has no {manifests.FILE_NAME} for {package}")
        found.append(manifests.parse(json.loads(text)))
    return tuple(found)
