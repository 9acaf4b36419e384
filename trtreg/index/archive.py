"""Zip files that nobody vouches for: what is judged before any byte of a member is used, and reads that are bounded.

Here no member goes to disk by its name. Only a few named members are read, each with a limit.
"""

from __future__ import annotations

import hashlib
import re
import stat
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Final

from trtreg.index.refusal import Refusal

if TYPE_CHECKING:
    from typing import IO, BinaryIO

__all__ = ["Archive"]

_MEBI: Final = 1 << 20
_DIRECTORY_LIMIT: Final = 32 * _MEBI  # of the central directory, which zipfile reads whole: about 300 k members
_RATIO: Final = 50  # PyPI's own limits: more than 50 bytes out of one, once that is more than 64 MiB
_RATIO_FROM: Final = 64 * _MEBI
_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_LOCAL_HEADER: Final = 30
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]|^/|^[A-Za-z]:|(^|/)\.{1,2}(/|$)|//")
_ENCRYPTED: Final = 0x1
_BROKEN: Final = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError),
    OverflowError,  # an offset beyond all files
)


class Archive:
    """A zip file whose directory was found sound; Refusal says what was not."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        _check_end(file, size)
        try:
            self._zip = zipfile.ZipFile(file)
        except _BROKEN as error:
            raise Refusal(f"it is no readable zip file: {error}") from error
        self._members = {info.orig_filename: info for info in self._zip.infolist()}
        _check_members(self._zip.infolist(), size)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all members, folders included."""
        return tuple(self._members)

    def size(self, name: str) -> int:
        """The declared size of a member."""
        return self._members[name].file_size

    def read(self, name: str, limit: int) -> bytes:
        """Read a small member whole; both the declared and the real size are held to the limit."""
        if self._members[name].file_size > limit:
            raise Refusal(f"{name} declares {self._members[name].file_size} bytes; at most {limit} are read")
        try:
            with self._zip.open(self._members[name]) as member:
                data = member.read(limit + 1)
        except _BROKEN as error:
            raise Refusal(f"{name} cannot be unpacked: {error}") from error
        if len(data) > limit or len(data) != self._members[name].file_size:
            raise Refusal(f"{name} unpacks to another size than the {self._members[name].file_size} bytes it declares")
        return data

    def sha256(self, name: str) -> str:
        """Hash a member while it is unpacked; its size was found to be in proportion to the file's."""
        try:
            with self._zip.open(self._members[name]) as member:
                return _digest(member)
        except _BROKEN as error:
            raise Refusal(f"{name} cannot be unpacked: {error}") from error

    def copy(self, name: str, target: BinaryIO) -> None:
        """Unpack a member into an open file: no more than the size that was found to be in proportion."""
        try:
            with self._zip.open(self._members[name]) as member:
                while chunk := member.read(_MEBI):
                    target.write(chunk)
        except _BROKEN as error:
            raise Refusal(f"{name} cannot be unpacked: {error}") from error


def _digest(member: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := member.read(_MEBI):
        digest.update(chunk)
    return digest.hexdigest()


def _check_end(file: BinaryIO, size: int) -> None:
    """Read the end of the directory as zipfile will, so that a huge directory is refused before it is read."""
    file.seek(max(0, size - _END.size - 0xFFFF - _END64_LOCATOR.size))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        raise Refusal("it is no zip file")
    *_, length, _offset, comment = _END.unpack_from(tail, at)
    if at + _END.size + comment != len(tail):
        raise Refusal("it is no sound zip file: something follows the end of its directory")
    locator = at - _END64_LOCATOR.size
    if locator >= 0 and tail[locator : locator + 4] == b"PK\x06\x07":
        record_at = _END64_LOCATOR.unpack_from(tail, locator)[2]
        file.seek(min(record_at, size))  # beyond the end there is none
        record = file.read(56)
        if len(record) != 56 or record[:4] != b"PK\x06\x06":  # noqa: PLR2004 - the record's size
            raise Refusal("it is no sound zip file: its ZIP64 directory is not where it says")
        (length,) = struct.unpack_from("<Q", record, 40)
    if length > _DIRECTORY_LIMIT:
        raise Refusal(f"its directory takes {length} bytes; at most {_DIRECTORY_LIMIT} are read")


def _check_members(members: list[zipfile.ZipInfo], size: int) -> None:
    seen: dict[str, str] = {}
    total = 0
    for info in members:
        name = info.orig_filename
        if _UNSAFE.search(name.rstrip("/")) or not name.rstrip("/"):
            raise Refusal(f"the member {name!r} would be unpacked outside of its folder, or has no portable name")
        other = seen.setdefault(name.rstrip("/").casefold(), name)
        if other is not name:
            kind = "twice" if other == name else f"beside {other!r}, which differs in case only"
            raise Refusal(f"the member {name!r} is there {kind}")
        if info.flag_bits & _ENCRYPTED:
            raise Refusal(f"the member {name!r} is encrypted")
        if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise Refusal(f"the member {name!r} is compressed with method {info.compress_type}; wheels use deflate")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise Refusal(f"the member {name!r} is a symbolic link")
        total += info.file_size
    if total > _RATIO_FROM and total > _RATIO * size:
        raise Refusal(f"it would unpack to {total} bytes, {total // max(size, 1)} times its size: a zip bomb")
    end = 0
    for info in sorted(members, key=lambda one: one.header_offset):
        if info.header_offset < end or (end == 0 and info.header_offset != 0):
            raise Refusal(f"the member {info.orig_filename!r} overlaps another, or something precedes it: a zip bomb")
        end = info.header_offset + _LOCAL_HEADER + info.compress_size
