"""The site's files: what is put there, how it appears all at once, and who may write.

Everything is written beside the site's files, in `.trtreg/stage/`, made durable, and then renamed into place.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Final

from trtreg.errors import IndexBusyError, IndexPublishError
from trtreg.index.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import BinaryIO

    from trtreg.index.ledger import Row
    from trtreg.index.wheels import Facts

__all__ = [
    "STATE",
    "Stage",
    "belonging",
    "locked",
    "place",
    "place_provenance",
    "remove",
    "remove_folder",
    "sweep",
    "unplace",
]

STATE: Final = ".trtreg"
_FEW: Final = 64  # files up to which each is synchronised by itself
_CHUNK: Final = 1 << 20
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL


@contextmanager
def locked(site: str, *, shared: bool = False) -> Iterator[None]:
    """Be the only publisher of the site, or one of several readers, for as long as this lasts."""
    import fcntl

    state = f"{site}/{STATE}"
    os.makedirs(state, exist_ok=True)
    with open(f"{state}/lock", "a+b") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            who = file.read(100).decode("ascii", "replace").strip()
            raise IndexBusyError(
                f"{site} is being published by another process",
                found=f"process {who}" if who else None,
                remedy="wait until it has ended; nothing was changed",
            ) from error
        if not shared:
            file.truncate(0)
            file.write(str(os.getpid()).encode("ascii"))
            file.flush()
        yield


class Stage:
    """New files on their way into the site: they lie in a folder of the same shape, which is merged into the site."""

    def __init__(self, site: str | os.PathLike[str]) -> None:
        self._site = os.fspath(site)
        self._own: list[str] = []
        self._folder = self.own_folder("stage")
        os.mkdir(f"{self._folder}/simple")
        # By a descriptor: with the folder's whole path the creation of each page would take longer.
        self._simple = os.open(f"{self._folder}/simple", os.O_RDONLY | os.O_CLOEXEC)
        self._first = not os.path.isdir(f"{self._site}/simple")
        self._some: list[str] = []  # the first that this process has staged
        self.count = 0

    def __enter__(self) -> Stage:  # noqa: PYI034 - typing has Self since Python 3.11
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self._simple)
        for folder in self._own:
            remove_folder(folder)

    def own_folder(self, name: str) -> str:
        """Make an empty folder that is there as long as the stage."""
        folder = f"{self._site}/{STATE}/{name}"
        remove_folder(folder)
        os.mkdir(folder)
        self._own.append(folder)
        return folder

    def add_page(self, project: str, files: dict[str, bytes]) -> None:
        """Stage the small files of a project, but those of which the site has the very bytes."""
        if not self._first:
            old = f"{self._site}/simple/{project}"
            files = {name: data for name, data in files.items() if not _has(f"{old}/{name}", data)}
        if not files:
            return
        os.mkdir(project, dir_fd=self._simple)
        for name, data in files.items():
            # Thousands of these: a file object each would take twice as long.
            descriptor = os.open(f"{project}/{name}", _CREATE, 0o666, dir_fd=self._simple)
            try:
                done = os.write(descriptor, data)
                while done < len(data):
                    done += os.write(descriptor, data[done:])
            finally:
                os.close(descriptor)
        self._count([f"simple/{project}/{name}" for name in files])

    def add(self, target: str, pieces: Iterable[str]) -> None:
        """Stage a file piece by piece, unless the site has the very bytes."""
        stream = iter(pieces)
        with open(self.path(target), "xb") as file:
            while some := "".join(islice(stream, 100)).encode("utf-8"):
                file.write(some)
        self.settle(target)

    def path(self, target: str) -> str:
        """Where a file of the site is staged; its folder is there."""
        folder = f"{self._folder}/{os.path.dirname(target)}"
        if not os.path.isdir(folder):
            os.makedirs(folder)
        return f"{self._folder}/{target}"

    def settle(self, target: str) -> None:
        """Count a file as staged, where it is one; but what the site has already, with the very bytes, is not."""
        path = f"{self._folder}/{target}"
        if not os.path.exists(path):
            return
        if _same_bytes(f"{self._site}/{target}", path):
            os.unlink(path)
        else:
            self._count([target])

    def drop(self, target: str) -> None:
        """Take a file off the stage."""
        os.unlink(f"{self._folder}/{target}")

    def open_newest(self, target: str) -> BinaryIO:
        """Open a file for reading: the staged one, else the site's."""
        return self.open_old(target, self._folder) or open(f"{self._site}/{target}", "rb")

    def open_old(self, target: str, root: str = "") -> BinaryIO | None:
        """Open a file of the site for reading, if it is there."""
        try:
            return open(f"{root or self._site}/{target}", "rb")
        except FileNotFoundError:
            return None

    def others(self, folder: str, names: set[str]) -> list[str]:
        """Give the files in a folder of the site that have other names than these."""
        try:
            found = os.listdir(f"{self._site}/{folder}")
        except FileNotFoundError:
            return []
        return [f"{folder}/{name}" for name in sorted(set(found) - names)]

    def publish(self) -> None:
        """Make everything durable, then rename it into place: pages first, and files after folders."""
        few = self.count == len(self._some)  # and none by another process
        if few:
            for target in self._some:
                _sync_file(f"{self._folder}/{target}")
        else:
            _sync_all(self._site)
        _merge(self._folder, self._site)
        if few:
            for folder in {os.path.dirname(target) for target in self._some} | {"simple", ""}:
                _sync_file(f"{self._site}/{folder}")
        else:
            _sync_all(self._site)

    def _count(self, targets: Sequence[str]) -> None:
        self.count += len(targets)
        if len(self._some) < _FEW:
            self._some += targets


def _has(path: str, data: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return os.fstat(file.fileno()).st_size == len(data) and file.read() == data
    except FileNotFoundError:
        return False


def _merge(source: str, target: str) -> None:
    with os.scandir(source) as entries:
        found = [(entry.is_dir(follow_symlinks=False), entry.name) for entry in entries]
    # What lists wheels for programs and people comes after the pages that lead to them, and `index.html` last of all.
    for is_folder, name in sorted(found, key=lambda one: (not one[0], one[1] != "simple", one[1])):
        try:
            os.replace(f"{source}/{name}", f"{target}/{name}")
        except OSError as error:  # noqa: PERF203
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST} or not is_folder:
                raise
            _merge(f"{source}/{name}", f"{target}/{name}")
    os.rmdir(source)


def place(site: str, path: str, facts: Facts, provenance: bytes | None = None) -> None:
    """Put a wheel and what belongs to it where pages will link to: the wheel as a link or a copy.

    Refusal if it changed meanwhile.
    """
    folder = f"{site}/files/{facts.name.project}"
    target = f"{folder}/{facts.name.file}"
    if not os.path.isdir(folder):
        os.makedirs(folder)
    try:
        _link(path, target, facts)
    except FileNotFoundError as error:
        raise Refusal("it was deleted while it was read") from error
    with open(f"{target}.metadata", "wb") as file:
        file.write(facts.metadata)
    if provenance is not None:
        place_provenance(site, facts.name.project, facts.name.file, provenance)
    else:
        with suppress(FileNotFoundError):  # of the same wheel, which was removed before
            os.unlink(f"{target}.provenance")


def place_provenance(site: str, project: str, file: str, provenance: bytes) -> None:
    """Put the provenance object of a wheel beside it."""
    with open(f"{site}/files/{project}/{file}.provenance", "wb") as target:
        target.write(provenance)


def _link(path: str, target: str, facts: Facts) -> None:
    # A link has the permissions of its file: where others may not read that, a server could not, so it is copied.
    if not os.lstat(path).st_mode & 0o004:
        _copy(path, target, facts)
        return
    try:
        _link_anew(path, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        _copy(path, target, facts)
        return
    status = os.stat(target)
    if (status.st_ino, status.st_size, status.st_mtime_ns) != (facts.inode, facts.size, facts.mtime_ns):
        os.unlink(target)
        raise Refusal("it was changed while it was read; build again when it is finished")


def _link_anew(path: str, target: str) -> None:
    try:
        os.link(path, target, follow_symlinks=False)
    except FileExistsError:  # what a build that was broken off has left
        os.unlink(target)
        os.link(path, target, follow_symlinks=False)


def _copy(path: str, target: str, facts: Facts) -> None:
    import hashlib

    digest = hashlib.sha256()
    with open(path, "rb") as source, open(target, "wb") as copy:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            copy.write(chunk)
        copy.flush()
        os.fsync(copy.fileno())
    if digest.hexdigest() != facts.sha256:
        os.unlink(target)
        raise Refusal("it was changed while it was read; build again when it is finished")


def unplace(site: str, project: str, file: str) -> None:
    """Take a wheel and what belongs to it away, and the folder with the last one."""
    folder = f"{site}/files/{project}"
    for name in (file, f"{file}.metadata", f"{file}.provenance"):
        with suppress(FileNotFoundError):
            os.unlink(f"{folder}/{name}")
    with suppress(OSError):
        os.rmdir(folder)


def remove(site: str, target: str) -> None:
    """Delete a file of the site, if it is there, and its folder with the last one."""
    with suppress(OSError):
        os.unlink(f"{site}/{target}")
        os.rmdir(os.path.dirname(f"{site}/{target}"))


def remove_folder(path: str) -> None:
    """Delete a folder and what is in it, if it is there."""
    shutil.rmtree(path, ignore_errors=True)


def belonging(row: Row) -> tuple[str, ...]:
    """The names of a wheel and of the files that belong to it, in its project's folder."""
    provenance = () if row.provenance_sha256 is None else (f"{row.file}.provenance",)
    return (row.file, f"{row.file}.metadata", *provenance)


def sweep(site: str, wanted: Iterable[tuple[str, Iterable[str]]]) -> None:
    """Delete what a build that was broken off has left below files/: all but the wanted files of each project."""
    known: set[str] = set()
    for project, files in wanted:
        known.add(project)
        with suppress(FileNotFoundError):
            for name in set(os.listdir(f"{site}/files/{project}")) - set(files):
                os.unlink(f"{site}/files/{project}/{name}")
    with suppress(FileNotFoundError):
        for project in set(os.listdir(f"{site}/files")) - known:
            remove_folder(f"{site}/files/{project}")


def _same_bytes(one: str, other: str) -> bool:
    """Whether two files hold the same; False where one is missing."""
    try:
        with open(one, "rb") as a, open(other, "rb") as b:
            if os.fstat(a.fileno()).st_size != os.fstat(b.fileno()).st_size:
                return False
            while chunk := a.read(_CHUNK):
                if chunk != b.read(_CHUNK):
                    return False
    except FileNotFoundError:
        return False
    return True


def _sync_file(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_all(site: str) -> None:
    """Synchronise the site's file system: for thousands of files cheaper than one by one."""
    import ctypes

    descriptor = os.open(site, os.O_RDONLY)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if not hasattr(library, "syncfs"):
            os.sync()
        elif library.syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise IndexPublishError("The site could not be written to its disk", found=os.strerror(code))
    finally:
        os.close(descriptor)
