"""Writing result files so that nothing half-written is ever seen under their names."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from trtreg.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

__all__ = ["check_writable", "write", "write_pair"]


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise OutputError if `path` could not be written; to be asked before long work."""
    target = _target(path)
    temporary, file = _temporary(target)
    file.close()
    temporary.unlink()


def write(path: str | os.PathLike[str], data: bytes | bytearray | memoryview) -> None:
    """Write `data` to `path`, or leave what was there untouched: a file beside it takes its name when it is whole."""
    target = _target(path)
    with _written(target, data) as temporary:
        temporary.replace(target)


def write_pair(
    path: str | os.PathLike[str],
    data: bytes | bytearray | memoryview,
    companion: str | os.PathLike[str],
    about: bytes | None,
) -> None:
    """Write a file and its companion, or with `about` None the file alone, whose companion goes.

    Both are whole before the first takes its name, and the old companion goes before that. So whatever happens, a
    file has its own companion or none.
    """
    target, beside = _target(path), _target(companion)
    with _written(target, data) as temporary:
        if about is None:
            _remove(beside)
            temporary.replace(target)
            return
        with _written(beside, about) as other:
            _remove(beside)
            temporary.replace(target)
            other.replace(beside)


@contextmanager
def _written(target: Path, data: bytes | bytearray | memoryview) -> Iterator[Path]:
    """Give a whole file beside the target, to be renamed; none is left of it after a failure."""
    temporary, file = _temporary(target)
    try:
        with file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    except BaseException as e:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(e, OSError):
            raise _refused(target, e.strerror or str(e)) from e
        raise


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    # The order of two renames is that of the disk only if the folder itself is written in between.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _target(path: str | os.PathLike[str]) -> Path:
    """Follow links, so that a rename does not replace one, and refuse what a rename would destroy."""
    target = Path(os.path.realpath(path))
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        mode = None
    except OSError as e:
        raise _refused(target, e.strerror or str(e)) from e
    if mode is not None and stat.S_ISDIR(mode):
        raise _refused(target, "it is a directory")
    if mode is not None and not stat.S_ISREG(mode):
        raise _refused(target, "it is no regular file")
    if mode is not None and not os.access(target, os.W_OK):
        raise _refused(target, "it is read-only")
    if not target.parent.is_dir():
        raise OutputError(f"cannot write {target}", found=f"no directory {target.parent}", remedy="create it first")
    return target


def _temporary(target: Path) -> tuple[Path, BinaryIO]:
    """Open a new file beside the target, with the usual permissions (those of `tempfile` are the owner's only)."""
    temporary = target.with_name(f".{target.name[:200]}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        file = temporary.open("xb")
    except OSError as e:
        raise _refused(target, e.strerror or str(e)) from e
    return temporary, file


def _refused(target: Path, why: str) -> OutputError:
    return OutputError(f"cannot write {target}", found=why, remedy="choose another output path")
