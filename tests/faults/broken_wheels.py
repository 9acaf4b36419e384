"""The table of broken wheels, each as the bytes of a file."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import stat
import struct
import warnings
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["FILE", "NAME", "BrokenWheel", "of_archives", "of_contents", "sound"]

NAME, VERSION = "trtplugin-fault", "1.0"
PACKAGE, INFO = "trtplugin_fault", "trtplugin_fault-1.0.dist-info"
FILE = f"{PACKAGE}-{VERSION}-py3-none-any.whl"
DATE = (2026, 1, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokenWheel:
    """A broken wheel. `may_publish` and `may_fetch` where it need not be refused by an index and by a client."""

    kind: str
    name: str
    content: bytes
    may_publish: bool = False
    may_fetch: bool = False
    quick: bool = True


def contents(manifest: dict[str, Any], library: bytes) -> dict[str, bytes]:
    """The members of a sound wheel but for RECORD."""
    return {
        f"{PACKAGE}/__init__.py": b"raise RuntimeError('imported')\n",
        f"{PACKAGE}/libplugin.so": library,
        f"{PACKAGE}/trtplugin.json": json.dumps(manifest).encode(),
        f"{INFO}/METADATA": f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\n".encode(),
        f"{INFO}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{INFO}/entry_points.txt": f"[trtreg.plugins]\n{NAME} = {PACKAGE}\n".encode(),
    }


def record(files: Mapping[str, bytes]) -> bytes:
    """Make the RECORD of these files."""
    lines = []
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(data)}\n")
    return "".join([*lines, f"{INFO}/RECORD,,\n"]).encode()


def pack(files: Mapping[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED, modes: Mapping[str, int] | None = None,
         twice: str | None = None) -> bytes:  # fmt: skip
    """Write a zip file."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, DATE)
            entry.compress_type = compression
            entry.external_attr = (modes or {}).get(name, stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, data)
        if twice is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                archive.writestr(zipfile.ZipInfo(twice, DATE), b"another")
    return target.getvalue()


def sound(manifest: dict[str, Any], library: bytes, **changes: bytes | None) -> bytes:
    """A whole wheel; `changes` are by the last part of a member's name, None takes it away. RECORD goes with them."""
    files = contents(manifest, library)
    for key, data in changes.items():
        (name,) = (name for name in files if name.rpartition("/")[2].partition(".")[0] == key)
        if data is None:
            del files[name]
        else:
            files[name] = data
    return pack({**files, f"{INFO}/RECORD": record(files)})


def of_archives(manifest: dict[str, Any], library: bytes) -> Iterator[BrokenWheel]:
    """Files that are damaged as archives."""
    whole = sound(manifest, library)
    for size in range(0, len(whole), 1024):
        yield BrokenWheel(kind="wheel cut off at each kilobyte", name=f"{size} bytes", content=whole[:size])
    yield BrokenWheel(kind="wheel cut off at each kilobyte", name="the last byte", content=whole[:-1])
    draw = random.Random(8)  # noqa: S311 - the same bytes each time
    for number in range(400):
        changed = bytearray(whole)
        places = [draw.randrange(len(whole)) for _ in range(1 + number % 3)]
        for place in places:
            changed[place] ^= 1 << draw.randrange(8)
        yield BrokenWheel(
            kind="wheel with flipped bits", name=f"{number}: {', '.join(map(str, places))}", content=bytes(changed),
            may_publish=True, may_fetch=True, quick=number < 60,
        )  # fmt: skip
    end = whole.rindex(b"PK\x05\x06")
    for name, at, value in (("members that are not there", 10, 0xFFFF), ("no members", 10, 0),
                            ("a directory behind the end", 16, 0x7FFFFFFF), ("a directory of no size", 12, 0),
                            ("a comment that is not there", 20, 0x7FFF)):  # fmt: skip
        changed = bytearray(whole)
        struct.pack_into("<I" if at in {12, 16} else "<H", changed, end + at, value)
        may = name in {"members that are not there", "no members"}  # nobody believes the count
        yield BrokenWheel(kind="no sound archive", name=name, content=bytes(changed), may_publish=may, may_fetch=True)
    for name, content in {
        "empty": b"",
        "text": b"no wheel\n",
        "an empty archive": pack({}),
        "zeros": bytes(5000),
        "a wheel in a wheel": pack({FILE: whole}),
        "a page of HTML": b"<!DOCTYPE html><html><body>Please log in</body></html>",
        "a tar file": b"trtplugin_fault/".ljust(512, b"\0"),
    }.items():
        yield BrokenWheel(kind="no sound archive", name=name, content=content)
    for name, content in {
        "something before it": b"#!/bin/sh\n" + whole,
        "something behind it": whole + b"more",
        "a wheel behind a wheel": whole + whole,
    }.items():
        yield BrokenWheel(kind="no sound archive", name=name, content=content, may_publish=True, may_fetch=True)
    # Bit 0 of the flags of each member: encrypted.
    changed = bytearray(whole)
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = changed.find(mark)
        while place >= 0:
            changed[place + at] |= 1
            place = changed.find(mark, place + 4)
    yield BrokenWheel(kind="no sound archive", name="encrypted", content=bytes(changed))
    unknown = whole.replace(b"PK\x01\x02", b"PK\x01\x02")
    changed = bytearray(unknown)
    place = changed.find(b"PK\x01\x02")
    while place >= 0:
        struct.pack_into("<H", changed, place + 10, 99)
        place = changed.find(b"PK\x01\x02", place + 4)
    yield BrokenWheel(kind="no sound archive", name="compressed in a way that nobody knows", content=bytes(changed))


def of_contents(manifest: dict[str, Any], library: bytes) -> Iterator[BrokenWheel]:  # noqa: PLR0915 - a table
    """Archives that are whole, and no sound wheels of a plugin."""
    files = contents(manifest, library)

    def made(**changes: bytes | None) -> bytes:
        return sound(manifest, library, **changes)

    def archive(extra: Mapping[str, bytes], **options: Any) -> bytes:
        everything = {**files, **extra}
        return pack({**everything, f"{INFO}/RECORD": record(everything)}, **options)

    def wheel(name: str, content: bytes, *, publish: bool = False, fetch: bool = False) -> BrokenWheel:
        return BrokenWheel(kind="no sound wheel", name=name, content=content, may_publish=publish, may_fetch=fetch)

    metadata = files[f"{INFO}/METADATA"]
    yield wheel("no METADATA", made(METADATA=None))
    yield wheel("no WHEEL", made(WHEEL=None), publish=True, fetch=True)
    yield wheel("no manifest", made(trtplugin=None))
    yield wheel("no library", made(libplugin=None), fetch=True)
    yield wheel("no entry point", made(entry_points=None), publish=True)
    yield wheel("entry points that are none", made(entry_points=b"[trtreg.plugins\n= =\n"))
    yield wheel("an entry point to nothing", made(entry_points=b"[trtreg.plugins]\na = elsewhere\n"))
    yield wheel("an entry point outside", made(entry_points=b"[trtreg.plugins]\na = ../../etc\n"))
    yield wheel("an empty METADATA", made(METADATA=b""))
    yield wheel("METADATA that is no text", made(METADATA=b"\xff\xfe" * 50))
    yield wheel("METADATA of another package", made(METADATA=metadata.replace(NAME.encode(), b"trtplugin-other")))
    yield wheel("METADATA of another version", made(METADATA=metadata.replace(b"1.0\n", b"2.0\n")))
    yield wheel("METADATA of sixty megabytes", made(METADATA=metadata + b"X: " + b"y" * (60 << 20)))
    yield wheel(
        "a requirement that is none", made(METADATA=metadata + b"Requires-Dist: ???\n"), publish=True, fetch=True
    )
    yield wheel("a manifest that is no JSON", made(trtplugin=b"{"))
    yield wheel("an empty manifest", made(trtplugin=b"{}"))
    yield wheel("a manifest nested a hundred thousand deep", made(trtplugin=b"[" * 100_000))
    yield wheel("a manifest of sixty megabytes", made(trtplugin=b" " * (60 << 20)))
    other = json.dumps({**manifest, "package": "trtplugin-other"}).encode()
    yield wheel("a manifest of another package", made(trtplugin=other), fetch=True)
    other = json.dumps({**manifest, "version": "9.9"}).encode()
    yield wheel("a manifest of another version", made(trtplugin=other), fetch=True)
    other = json.dumps({**manifest, "library": {**manifest["library"], "file": "../x.so"}}).encode()
    yield wheel("a manifest of a library elsewhere", made(trtplugin=other))
    yield wheel("another library than the manifest's", made(libplugin=library + b"\0"), fetch=True)
    yield wheel("an empty library", made(libplugin=b""), fetch=True)
    yield wheel("a member above it", archive({"../evil.py": b"x"}), fetch=True)
    yield wheel("a member at the root", archive({"/etc/evil": b"x"}), fetch=True)
    yield wheel("a member with a zero in its name", archive({"evil\0.py": b"x"}), publish=True, fetch=True)
    yield wheel("a member with a backslash", archive({"..\\evil.py": b"x"}), publish=True, fetch=True)
    yield wheel("a member of a thousand letters", archive({"x" * 1000: b"x"}), publish=True, fetch=True)
    yield wheel("a second .dist-info", archive({"other-1.0.dist-info/METADATA": metadata}))
    link = {f"{PACKAGE}/link": stat.S_IFLNK | 0o777}
    yield wheel("a link out of it", archive({f"{PACKAGE}/link": b"/etc/passwd"}, modes=link), publish=True, fetch=True)
    yield wheel("a member twice", archive({}, twice=f"{PACKAGE}/libplugin.so"), fetch=True)
    yield wheel("the manifest twice", archive({}, twice=f"{PACKAGE}/trtplugin.json"), fetch=True)
    bomb = archive({f"{PACKAGE}/bomb": bytes(300 << 20)})
    yield wheel("three hundred megabytes of zeros", bomb, publish=True, fetch=True)
    many = archive({f"{PACKAGE}/{number}.py": b"" for number in range(20_000)})
    yield wheel("twenty thousand members", many, publish=True, fetch=True)
    yield wheel("no RECORD", pack(files), fetch=True)
    wrong = record({**files, f"{PACKAGE}/libplugin.so": b"other"})
    yield wheel("a RECORD with another hash", pack({**files, f"{INFO}/RECORD": wrong}), fetch=True, publish=True)
    yield wheel("an empty RECORD", pack({**files, f"{INFO}/RECORD": b""}), fetch=True)
    yield wheel("a RECORD that is no text", pack({**files, f"{INFO}/RECORD": b"\xff" * 99}), fetch=True)
