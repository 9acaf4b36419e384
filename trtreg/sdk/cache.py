"""Objects that were compiled before: found again by content, never by path or time.

An isolated build has its compilers and headers in another place each time, so a key is made of contents. What a source
includes is known only after it was compiled; the record of an object names the files that it was made from, with their
hashes, and the object counts only while all of them are the same.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from trtreg.errors import PluginBuildError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["Cache", "digest", "key", "locked"]


def key(*parts: object) -> str:
    """Make a short name of everything that a result depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:24]


def digest(path: Path) -> str:
    """Hash a file's contents."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other builds of the same project waiting; raise PluginBuildError if the folder cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("w")
    except OSError as error:
        raise PluginBuildError(f"{folder} cannot be written", found=error.strerror) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Cache:
    """A folder of results. `roots` maps a word to a folder; files below are recorded relative to it."""

    def __init__(self, folder: Path, roots: Mapping[str, Path], project: Path) -> None:
        self.folder = folder
        self._roots = {word: os.path.realpath(path) + os.sep for word, path in roots.items()}
        self._project = project
        self._digests: dict[str, str | None] = {}

    def find(self, name: str) -> Path | None:
        """Find a result whose inputs have not changed."""
        result = self.folder / name
        try:
            record = json.loads(self._record(name).read_text(encoding="utf-8"))
            inputs, expected = record["inputs"], record["sha256"]
            fresh = all(self._digest(token) == sha256 for token, sha256 in inputs.items())
            return result if fresh and digest(result) == expected else None
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None  # never made, or left half-written

    def make(self, name: str, build: Callable[[Path], Iterable[str]]) -> Path:
        """Let `build` write the result to the path that it is given and name the files that it read; keep both."""
        self.folder.mkdir(parents=True, exist_ok=True)
        result = self.folder / name
        with tempfile.TemporaryDirectory(prefix=".new-", dir=self.folder) as scratch:
            fresh = Path(scratch) / name
            tokens = sorted({self._token(path) for path in build(fresh)})
            inputs = {token: self._digest(token) for token in tokens}
            record = Path(scratch) / "record"
            record.write_text(json.dumps({"inputs": inputs, "sha256": digest(fresh)}, indent=1), encoding="utf-8")
            fresh.replace(result)
            record.replace(self._record(name))
        return result

    def _record(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _token(self, path: str) -> str:
        real = os.path.realpath(self._project / path)
        for word, root in self._roots.items():
            if real.startswith(root):
                return f"{word}:{real[len(root) :]}"
        return f":{real}"

    def _digest(self, token: str) -> str | None:
        if token not in self._digests:
            word, _, path = token.partition(":")
            try:
                self._digests[token] = digest(Path(self._roots.get(word, "")) / path)
            except OSError:
                self._digests[token] = None
        return self._digests[token]
