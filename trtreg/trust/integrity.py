"""The file that is opened is the file that was hashed, and nobody else can write to it meanwhile.

A library is opened once. Its bytes go through that descriptor into memory of this process that is then sealed: no
process can change them, this one neither. They are hashed on the way, what is known of an ELF file is read from them,
and the dynamic linker maps them. So nothing that happens to the file, its folder or a link to it after the first byte
was read can bring other code in, and a library that is replaced or cut short while it is in use stays what it was.

Where the kernel gives no such memory, the dynamic linker gets the descriptor: the same file, whatever its name leads to
by then; a write into the file itself is not noticed.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import stat
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trtreg.errors import HashMismatchError, LoadError, UntrustedFileError

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

    from trtreg.manifest import Library
    from trtreg.trust.policy import Mode

__all__ = ["OpenedLibrary", "open_library", "origin", "require_trusted"]

_log = logging.getLogger("trtreg.loader")

_BLOCK: Final = 1 << 20
_NOEXEC_SEAL: Final = 8  # MFD_NOEXEC_SEAL, Linux 6.3; some kernels allow nothing else
# Linux has these since 3.17; Python does not name them before 3.13. See fcntl_linux(2).
_ADD_SEALS: Final = 1033
_SEALS: Final = 1 | 2 | 4 | 8  # no more seals, no shrinking, no growing, no writing

# Never closed while the process lives: the dynamic linker knows a library by the path it was opened by, and the number
# of a descriptor is a part of it. So a library that is loaded a thousand times has one.
_kept: Final[dict[tuple[Path, str], OpenedLibrary]] = {}
_mapped: Final[dict[str, OpenedLibrary]] = {}
_told: Final[set[str]] = set()


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedLibrary:
    """A library whose bytes are at hand: `path` is the file that they came from, `loadable` what is to be opened.

    `descriptor` reads them, and is None where `loadable` is the path itself; `memory` is the name of the memory that
    holds them, if any does. `facts` are those of the file when it was read.
    """

    path: Path
    loadable: Path
    sha256: str
    size: int
    descriptor: int | None
    memory: str | None
    facts: os.stat_result

    def file(self) -> io.BufferedReader:
        """The bytes as a file, from their beginning; to be closed."""
        # By its path, so that each reader has a position of its own.
        return self.loadable.open("rb")


def open_library(
    path: Path, *, expected: Library | None = None, sealed: bool = True, remedy: str | None = None
) -> OpenedLibrary:
    """Open a library, hash it, and keep what was hashed; without `sealed`, the path is what will be opened.

    Raises LoadError where it cannot be read or is no file, HashMismatchError where it is not the `expected` one.
    """
    try:
        # A pipe or a device must not keep us waiting.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _unreadable(path, error, remedy) from error
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise LoadError(f"{path} is no file", found=stat.filemode(facts.st_mode), remedy=remedy)
        opened = _read(path, descriptor, facts, expected, sealed=sealed)
    except OSError as error:
        raise _unreadable(path, error, remedy) from error
    finally:
        os.close(descriptor)
    if expected is not None and (opened.size, opened.sha256) != (expected.size, expected.sha256):
        _close(opened)
        raise HashMismatchError(
            f"{path} is not the library that its manifest describes",
            found=f"sha256 {opened.sha256} ({opened.size} bytes)",
            expected=f"{expected.sha256} ({expected.size} bytes)",
            remedy=remedy,
        )
    return _keep(opened)


def origin(mapped: str) -> tuple[Path, bool] | None:
    """Of a mapping's path in /proc/self/maps: the file that the bytes came from, and whether it still has them."""
    opened = _mapped.get(_memory_name(mapped))
    if opened is None:
        return None
    try:
        return opened.path, _identity(opened.path.stat()) == _identity(opened.facts)
    except OSError:
        return opened.path, False


def require_trusted(opened: OpenedLibrary, mode: Mode, *, owner: str, root: Path) -> None:
    """See that only root and this user can write to the library, its folder, and the manifest in the folder `root`.

    Under "strict" UntrustedFileError is raised, under "warn" it is told once, on the logger "trtreg.loader".
    """
    if mode == "off":
        return
    flaws = [*_flaws(opened, root)]
    if not flaws:
        return
    message = f"The library of {owner} can be changed by others: {', '.join(flaws)}"
    expected = "root or this user as owner, and no write permission for others"
    remedy = f"chown or chmod, or install {owner} again as this user"
    if mode == "strict":
        raise UntrustedFileError(message, expected=expected, remedy=remedy)
    if message not in _told:
        _told.add(message)
        _log.warning("%s; expected %s; %s", message, expected, remedy)


def _unreadable(path: Path, error: OSError, remedy: str | None) -> LoadError:
    return LoadError(f"{path} cannot be read", found=error.strerror or str(error), remedy=remedy)


def _identity(facts: os.stat_result) -> tuple[int, ...]:
    return (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)


def _read(
    path: Path, descriptor: int, facts: os.stat_result, expected: Library | None, *, sealed: bool
) -> OpenedLibrary:
    """Hash what the descriptor gives, and copy it; of a file that grows and grows, no more than was expected."""
    most = (facts.st_size if expected is None else expected.size) + 1
    name = f"trtreg-{os.urandom(4).hex()}-{re.sub(r'[^A-Za-z0-9._-]', '_', path.name)[:200]}"
    memory = _memory(name) if sealed else None
    digest, size = sha256(), 0
    try:
        while block := os.read(descriptor, min(_BLOCK, most - size)):
            digest.update(block)
            size += len(block)
            if memory is not None and not _is_written(memory, block):
                os.close(memory)
                memory = None
        if memory is not None:
            fcntl.fcntl(memory, _ADD_SEALS, _SEALS)
    except OSError:
        if memory is not None:
            os.close(memory)
        raise
    kept = memory
    if sealed and memory is None:
        kept = os.dup(descriptor)
        _log.info("%s is opened through its descriptor: there is no memory here that can be sealed", path)
    return OpenedLibrary(
        path=path,
        loadable=path if kept is None else Path(f"/proc/self/fd/{kept}"),
        sha256=digest.hexdigest(),
        size=size,
        descriptor=kept,
        memory=None if memory is None else name,
        facts=facts,
    )


def _memory(name: str) -> int | None:
    wanted = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(name, wanted | _NOEXEC_SEAL)
    except OSError:  # before Linux 6.3
        pass
    try:
        return os.memfd_create(name, wanted)
    except OSError:
        return None


def _is_written(descriptor: int, block: bytes) -> bool:
    """Whether all of it could be written: limits on the size of files count for memory of this kind too."""
    view = memoryview(block)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError:
        return False
    return True


def _keep(opened: OpenedLibrary) -> OpenedLibrary:
    """The one that is kept of this file and these bytes."""
    if opened.descriptor is None:
        return opened
    key = (opened.path, opened.sha256)
    known = _kept.setdefault(key, opened)
    if known is not opened and _is_open(known):
        _close(opened)
        # The same bytes may have been written anew.
        opened = replace(known, facts=opened.facts)
    # Where it is closed, somebody has closed all descriptors, as a daemon does when it starts.
    _kept[key] = opened
    if opened.memory is not None:
        _mapped[opened.memory] = opened
    return opened


def _is_open(opened: OpenedLibrary) -> bool:
    try:
        # Another file may have the number by now.
        target = os.readlink(opened.loadable)  # noqa: PTH115 - as text, for it may be no path
    except OSError:
        return False
    return (_memory_name(target) if opened.memory else target) == (opened.memory or str(opened.path))


def _memory_name(mapped: str) -> str:
    return mapped.removeprefix("/memfd:").removesuffix(" (deleted)")


def _close(opened: OpenedLibrary) -> None:
    if opened.descriptor is not None:
        os.close(opened.descriptor)


def _flaws(opened: OpenedLibrary, root: Path) -> Iterator[str]:
    from trtreg import manifest

    yield from _flaws_of(opened.path, opened.facts)
    for path in dict.fromkeys((opened.path.parent, root, root / manifest.FILE_NAME)):
        try:
            facts = path.stat()
        except OSError:
            continue
        yield from _flaws_of(path, facts)


def _flaws_of(path: Path, facts: os.stat_result) -> Iterator[str]:
    mode = facts.st_mode
    if facts.st_uid not in {0, os.geteuid()}:
        yield f"{path} belongs to user {_user(facts.st_uid)}"
    if stat.S_ISDIR(mode) and mode & stat.S_ISVTX:
        return  # as /tmp: nobody can remove or replace the files of others
    if mode & stat.S_IWOTH:
        yield f"{path} is writable by everybody"
    elif mode & stat.S_IWGRP and not _is_private(facts.st_gid, facts.st_uid):
        yield f"{path} is writable by group {_group(facts.st_gid)}"


def _is_private(gid: int, uid: int) -> bool:
    """Whether the group has no member but the owner, as the groups that Linux makes with each user have."""
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        return False
    return user.pw_gid == gid and group.gr_name == user.pw_name and {*group.gr_mem} <= {user.pw_name}


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
