"""What keeps a library from being loaded, asked of the dynamic linker in another process: its own code does not run."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trtreg import _elf

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Obstacles", "find_beside", "find_obstacles"]

_SECONDS = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Obstacles:
    """Libraries that cannot be found, and the dynamic linker's other complaints (symbols, versions)."""

    missing: tuple[str, ...]
    complaints: tuple[str, ...]


def find_obstacles(library: Path) -> Obstacles:
    """Resolve all dependencies of `library`, the indirect ones too, as `ldd -r` does."""
    try:
        lines = _trace(library)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Obstacles(missing=(), complaints=(str(error),))
    absent = dict.fromkeys(line.split(" => ")[0] for line in lines if line.endswith("=> not found"))
    missing = tuple(name for name in absent if not _is_resident(name))
    complaints = tuple(dict.fromkeys(line for line in lines if "=>" not in line and _is_complaint(line)))
    # Where a library is absent its symbols are as well: that is no second reason.
    return Obstacles(missing=missing, complaints=() if absent else complaints)


def find_beside(library: Path, search: Iterable[str]) -> tuple[Path, ...]:
    """Those of its dependencies that the linker finds through `$ORIGIN`, the library's own folder.

    `search` is what the library says of where to look; a library that is opened by another path has another `$ORIGIN`.
    """
    origin = str(library.parent)
    folders = {
        os.path.normpath(entry.replace("${ORIGIN}", origin).replace("$ORIGIN", origin))
        for entry in search
        if "ORIGIN" in entry
    }
    if not folders:
        return ()
    try:
        lines = _trace(library)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = (line.partition(" => ")[2].rpartition(" (0x")[0] for line in lines)
    return tuple(Path(path) for path in found if os.path.normpath(os.path.dirname(path)) in folders)  # noqa: PTH120


def _trace(library: Path) -> list[str]:
    """What the dynamic linker says when it is to list all that it would load, and no code runs: see ld.so(8)."""
    linker = _elf.interpreter(sys.executable)
    if linker is None:  # a static Python: it could load no library anyway
        return []
    # Resolve all symbols, and report those that are undefined.
    setting = {"LD_TRACE_LOADED_OBJECTS": "1", "LD_WARN": "yes", "LD_BIND_NOW": "yes"}
    answer = subprocess.run(  # noqa: S603 - the linker of this very Python, and a path
        [linker, str(library)],
        env={**os.environ, **setting, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_SECONDS,
        check=False,
    )
    return [line.strip() for line in (answer.stdout + answer.stderr).splitlines()]


def _is_complaint(line: str) -> bool:
    return any(words in line for words in ("undefined symbol", "not found", "error while loading", "cannot "))


def _is_resident(name: str) -> bool:
    """Whether this process has loaded a library of that name from a place where the linker would not look."""
    try:
        ctypes.CDLL(name, mode=os.RTLD_NOLOAD | os.RTLD_NOW)
    except OSError:
        return False
    return True
