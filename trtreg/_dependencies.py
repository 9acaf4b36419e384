"""What keeps a library from being loaded, asked of the dynamic linker in another process: its own code does not run."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trtreg import _elf

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Obstacles", "find_obstacles"]

_SECONDS = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Obstacles:
    """Libraries that cannot be found, and the dynamic linker's other complaints (symbols, versions)."""

    missing: tuple[str, ...]
    complaints: tuple[str, ...]


def find_obstacles(library: Path) -> Obstacles:
    """Resolve all dependencies of `library`, the indirect ones too, as `ldd -r` does."""
    linker = _elf.interpreter(sys.executable)
    if linker is None:  # a static Python: it could load no library anyway
        return Obstacles(missing=(), complaints=())
    # See ld.so(8): list what would be loaded, resolve all symbols, report those that are undefined.
    setting = {"LD_TRACE_LOADED_OBJECTS": "1", "LD_WARN": "yes", "LD_BIND_NOW": "yes"}
    try:
        answer = subprocess.run(  # noqa: S603 - the linker of this very Python, and a path
            [linker, str(library)],
            env={**os.environ, **setting, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Obstacles(missing=(), complaints=(str(error),))
    lines = [line.strip() for line in (answer.stdout + answer.stderr).splitlines()]
    absent = dict.fromkeys(line.split(" => ")[0] for line in lines if line.endswith("=> not found"))
    missing = tuple(name for name in absent if not _is_resident(name))
    complaints = tuple(dict.fromkeys(line for line in lines if "=>" not in line and _is_complaint(line)))
    # Where a library is absent its symbols are as well: that is no second reason.
    return Obstacles(missing=missing, complaints=() if absent else complaints)


def _is_complaint(line: str) -> bool:
    return any(words in line for words in ("undefined symbol", "not found", "error while loading", "cannot "))


def _is_resident(name: str) -> bool:
    """Whether this process has loaded a library of that name from a place where the linker would not look."""
    try:
        ctypes.CDLL(name, mode=os.RTLD_NOLOAD | os.RTLD_NOW)
    except OSError:
        return False
    return True
