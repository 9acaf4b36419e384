"""Writing result files so that nothing half-written is ever seen under their names."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from trtreg.errors import OutputError

if TYPE_CHECKING:
    from typing import BinaryIO

__all__ = ["check_writable", "write"]


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise OutputError if `path` could not be written; to be asked before long work."""
    target = _target(path)
    temporary, file = _temporary(target)
    file.close()
    temporary.unlink()


def write(path: str | os.PathLike[str], data: bytes | bytearray | memoryview) -> None:
    """Write `data` to `path`, or leave what was there untouched: a file beside it takes its name when it is whole."""
    target = _target(path)
    temporary, file = _temporary(target)
    try:
        with file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException as e:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(e, OSError):
            raise _refused(target, e.strerror or str(e)) from e
        raise


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
