"""What trials have shown, kept in `$XDG_CACHE_HOME/trtreg/trials/`: a file for each library, TensorRT and environment.

The folder is this user's alone. What is damaged, of another version, or of somebody else counts as not there: the
library is then tried again.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["VERSION", "Key", "Verdict", "alone", "clear", "folder", "make", "read", "read_all", "write"]

#: Of how a library is tried: what an older version let pass is tried again.
VERSION: Final = 2

_MOST: Final = 65_536  # bytes; ours have less than two thousand
_TICK: Final = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """What a verdict is about. `environment` is where Python's packages are: others bring other dependencies."""

    sha256: str
    flavour: str
    tensorrt: str
    registration: str
    init: str
    environment: str = sys.prefix

    @property
    def name(self) -> str:
        """The name of its file."""
        digest = sha256("\0".join((str(VERSION), *asdict(self).values())).encode("utf-8", "surrogateescape"))
        return f"{self.sha256}-{digest.hexdigest()[:16]}.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """How a trial ended. `reason` is empty where all went well; `time` is in seconds since 1970."""

    version: int = VERSION
    sha256: str
    flavour: str
    tensorrt: str
    registration: str
    init: str
    environment: str
    package: str
    library: str
    reason: str
    seconds: float
    time: int

    @property
    def passed(self) -> bool:
        """Whether the library may be loaded."""
        return not self.reason

    @property
    def key(self) -> Key:
        """What it is about."""
        return Key(**{field.name: getattr(self, field.name) for field in fields(Key)})


def make(key: Key, *, package: str, library: Path, reason: str, seconds: float) -> Verdict:
    """A verdict of now."""
    return Verdict(
        **asdict(key), package=package, library=str(library), reason=reason, seconds=seconds, time=int(time.time())
    )


def folder() -> Path:
    """Where they are kept."""
    from trtreg.packages import settings

    return settings.cache_folder() / "trials"


def read(key: Key) -> Verdict | None:
    """The verdict, if there is one that can be believed."""
    found = _read(folder() / key.name)
    return found if found is not None and found.key == key else None


def read_all() -> tuple[Verdict, ...]:
    """All verdicts of this user, by package and time."""
    found = (_read(path) for path in folder().glob("*.json"))
    return tuple(sorted((verdict for verdict in found if verdict), key=lambda verdict: (verdict.package, verdict.time)))


def write(verdict: Verdict) -> None:
    """Keep it; raises OSError where that is impossible."""
    root = _own_folder()
    fresh = root / f".{os.getpid()}-{os.urandom(4).hex()}.new"
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(asdict(verdict), file, indent=1)
        fresh.replace(root / verdict.key.name)
    finally:
        fresh.unlink(missing_ok=True)


def clear(verdicts: tuple[Verdict, ...]) -> None:
    """Forget them; raises OSError where that is impossible."""
    for verdict in verdicts:
        (folder() / verdict.key.name).unlink(missing_ok=True)


@contextmanager
def alone(key: Key, seconds: float) -> Iterator[None]:
    """Let one process or thread at a time try a library; who has waited for `seconds` goes on all the same."""
    try:
        path = _own_folder() / f".{key.name}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:  # a home that cannot be written: each tries for itself
        yield
        return
    try:
        _wait(descriptor, seconds)
        yield
    finally:
        # Whoever waits for this file gets it, and finds the verdict.
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _wait(descriptor: int, seconds: float) -> None:
    end = time.monotonic() + seconds
    with suppress(OSError):  # a file system without locks
        while not _is_locked(descriptor) and time.monotonic() < end:
            time.sleep(_TICK)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _own_folder() -> Path:
    root = folder()
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if stat.S_IMODE(root.stat().st_mode) & 0o077 and root.stat().st_uid == os.geteuid():
        root.chmod(0o700)
    return root


def _read(path: Path) -> Verdict | None:
    with suppress(OSError, ValueError, RecursionError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            facts = os.fstat(descriptor)
            mine = facts.st_uid == os.geteuid() and not facts.st_mode & 0o022
            if mine and stat.S_ISREG(facts.st_mode) and facts.st_size <= _MOST:
                return _parse(json.loads(file.read()))
    return None


def _parse(data: object) -> Verdict | None:
    types: dict[str, type | tuple[type, ...]] = {"int": int, "float": (int, float), "str": str}
    if not isinstance(data, dict) or {*data} != {field.name for field in fields(Verdict)}:
        return None
    for field in fields(Verdict):
        if not isinstance(data[field.name], types[str(field.type)]) or isinstance(data[field.name], bool):
            return None
    if data["version"] != VERSION or re.fullmatch(r"[0-9a-f]{64}", data["sha256"]) is None:
        return None
    return Verdict(**data)
