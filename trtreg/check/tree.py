"""The files of a wheel or of a package on disk, asked for in the same way; nobody vouches for either."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Protocol

from trtreg import _library_file
from trtreg.index.archive import Archive
from trtreg.index.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import BinaryIO

__all__ = ["Folder", "Tree", "Unpacker", "is_library"]


class Tree(Protocol):
    """Files by their names, which have slashes and stay inside; Refusal where one cannot be read."""

    @property
    def names(self) -> tuple[str, ...]:
        """All files."""

    def read(self, name: str, limit: int) -> bytes:
        """A small file, whole."""

    def size(self, name: str) -> int:
        """How many bytes it has."""

    def sha256(self, name: str) -> str:
        """The hash of its bytes."""

    def place(self, name: str) -> Path:
        """Where it lies on the disk, with the other libraries where they are in relation to it."""


class Folder:
    """Files below a folder."""

    def __init__(self, root: Path, names: Iterable[str]) -> None:
        self._root = root
        self.names = tuple(sorted(name for name in set(names) if (root / name).is_file()))

    def read(self, name: str, limit: int) -> bytes:
        """A small file, whole."""
        try:
            with (self._root / name).open("rb") as file:
                data = file.read(limit + 1)
        except OSError as error:
            raise Refusal(f"{name} cannot be read: {error.strerror}") from error
        if len(data) > limit:
            raise Refusal(f"{name} has more than {limit} bytes")
        return data

    def size(self, name: str) -> int:
        """How many bytes it has."""
        return (self._root / name).stat().st_size

    def sha256(self, name: str) -> str:
        """The hash of its bytes."""
        try:
            with (self._root / name).open("rb") as file:
                return _library_file.sha256(file)
        except OSError as error:
            raise Refusal(f"{name} cannot be read: {error.strerror}") from error

    def place(self, name: str) -> Path:
        """Where it lies."""
        return self._root / name


class Unpacker:
    """The files of a wheel; its libraries are put below `folder` before the first of them is asked for."""

    def __init__(self, file: BinaryIO, folder: Path) -> None:
        self._archive = Archive(file, os.fstat(file.fileno()).st_size)
        self._folder = folder
        self._unpacked = False
        self.names = tuple(name for name in self._archive.names if not name.endswith("/"))

    def read(self, name: str, limit: int) -> bytes:
        """A small file, whole."""
        return self._archive.read(name, limit)

    def size(self, name: str) -> int:
        """How many bytes it has."""
        return self._archive.size(name)

    def sha256(self, name: str) -> str:
        """The hash of its bytes."""
        return self._archive.sha256(name)

    def place(self, name: str) -> Path:
        """Where its copy lies."""
        if not self._unpacked:
            # All: they look for each other by their run paths.
            for one in self.names:
                if is_library(one):
                    self._copy(one)
            self._unpacked = True
        if not (self._folder / name).exists():
            self._copy(name)
        return self._folder / name

    def _copy(self, name: str) -> None:
        target = self._folder / name
        # The archive has refused names that lead elsewhere, links, and names that differ in case only.
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            self._archive.copy(name, file)


def is_library(name: str) -> bool:
    """Whether a file is a shared library by its name."""
    return re.search(r"\.so(\.[0-9]+)*$", name) is not None
