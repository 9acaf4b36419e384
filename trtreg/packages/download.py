"""Files from http, https and file URLs: streamed, limited in size and time, checked, and whole or not there at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from trtreg.errors import DownloadError, DownloadMismatchError, OutputError
from trtreg.packages import _sources
from trtreg.packages._sources import Limits, Source, allowed
from trtreg.packages.settings import public

__all__ = ["Downloaded", "Limits", "OnProgress", "allowed", "download", "fetch"]

OnProgress: TypeAlias = Callable[[int, "int | None"], object]
"""Called with the bytes that are there, and with all that are to come where the server says so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Downloaded:
    """What came: the URL after redirects, the validators for the next time, and the content's size and hash."""

    url: str
    etag: str | None
    last_modified: str | None
    size: int
    sha256: str


def download(
    url: str,
    path: str | os.PathLike[str],
    *,
    sha256: str | None = None,
    size: int | None = None,
    on_progress: OnProgress | None = None,
    limits: Limits | None = None,
) -> Path:
    """Download to `path`, whole and checked, or not at all; another size or hash raises DownloadMismatchError."""
    fetch(url, path, sha256=sha256, size=size, on_progress=on_progress, limits=limits)
    return Path(path)


def fetch(
    url: str,
    path: str | os.PathLike[str],
    *,
    etag: str | None = None,
    last_modified: str | None = None,
    sha256: str | None = None,
    size: int | None = None,
    on_progress: OnProgress | None = None,
    limits: Limits | None = None,
) -> Downloaded | None:
    """Download to `path`; None where the server says that nothing has changed since `etag` or `last_modified`."""
    limits = limits or Limits()
    target = Path(path)
    with _sources.opened(url, etag, last_modified, limits) as source:
        if source is None:
            return None
        if size is not None and source.length not in {None, size}:
            raise _mismatch(source.url, "size", f"{source.length} bytes", f"{size} bytes")
        temporary = target.with_name(f".{target.name[:200]}.{os.getpid()}.{os.urandom(4).hex()}.part")
        try:
            found = _copy(source, temporary, limits, size, on_progress)
            if size is not None and found.size != size:
                raise _mismatch(source.url, "size", f"{found.size} bytes", f"{size} bytes")
            if sha256 is not None and found.sha256 != sha256:
                raise _mismatch(source.url, "sha256", found.sha256, sha256)
            temporary.replace(target)
        except OSError as e:
            raise OutputError(f"cannot write {target}", found=e.strerror or str(e)) from e
        finally:
            with suppress(OSError):
                temporary.unlink()
    return found


def _copy(source: Source, path: Path, limits: Limits, size: int | None, on_progress: OnProgress | None) -> Downloaded:
    digest, count = hashlib.sha256(), 0
    with path.open("xb") as file:
        for chunk in source.chunks:
            count += len(chunk)
            if size is not None and count > size:
                raise _mismatch(source.url, "size", f"more than {size} bytes", f"{size} bytes")
            if count > limits.size:
                raise DownloadError(f"{public(source.url)} is too large", expected=f"at most {limits.size} bytes")
            digest.update(chunk)
            file.write(chunk)
            if on_progress is not None:
                on_progress(count, source.length)
        file.flush()
        os.fsync(file.fileno())
    return Downloaded(
        url=source.url,
        etag=source.etag,
        last_modified=source.last_modified,
        size=count,
        sha256=digest.hexdigest(),
    )


def _mismatch(url: str, what: str, found: str, expected: str) -> DownloadMismatchError:
    remedy = "try again; if it stays so, the file was replaced: tell who runs the index"
    return DownloadMismatchError(f"{public(url)} has another {what}", found=found, expected=expected, remedy=remedy)
