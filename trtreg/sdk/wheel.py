"""Wheels as values: read, changed, and written so that the same contents always make the same bytes."""

from __future__ import annotations

import base64
import configparser
import email.parser
import hashlib
import io
import os
import re
import stat
import time
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trtreg.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Wheel", "add_entry_point", "parse_metadata", "read"]

_EPOCH: Final = 315532800  # 1980-01-01, the oldest that a zip file can tell
_GENERATED: Final = ("RECORD", "RECORD.jws", "RECORD.p7s")


@dataclass(frozen=True, kw_only=True, slots=True)
class Wheel:
    """A wheel: the front of its file name (name, version, build number), its tag, and its files but for RECORD."""

    stem: str
    tag: str
    files: Mapping[str, bytes]

    @property
    def dist_info(self) -> str:
        """The folder of the metadata."""
        return next(name.partition("/")[0] for name in self.files if re.fullmatch(r"[^/]+\.dist-info/WHEEL", name))

    @property
    def metadata(self) -> Mapping[str, str]:
        """The core metadata; the first value of each field."""
        return parse_metadata(self.files[f"{self.dist_info}/METADATA"].decode("utf-8"))

    def with_files(self, files: Mapping[str, bytes]) -> Wheel:
        """Add files, or put them in the place of others."""
        return replace(self, files={**self.files, **files})

    def with_entry_point(self, group: str, name: str, value: str) -> Wheel:
        """Add an entry point."""
        path = f"{self.dist_info}/entry_points.txt"
        text = add_entry_point(self.files.get(path, b"").decode("utf-8"), group, name, value)
        return self.with_files({path: text.encode("utf-8")})

    def with_tag(self, tag: str) -> Wheel:
        """Make it a wheel for the platform of `tag`."""
        path = f"{self.dist_info}/WHEEL"
        lines = [
            line
            for line in self.files[path].decode("utf-8").splitlines()
            if line and not line.startswith(("Tag:", "Root-Is-Purelib:"))
        ]
        lines += ["Root-Is-Purelib: false", f"Tag: {tag}", ""]
        return replace(self.with_files({path: "\n".join(lines).encode("utf-8")}), tag=tag)

    def unpack(self, folder: Path) -> Path:
        """Write the files below `folder`."""
        for name, data in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return folder

    def write(self, folder: Path) -> Path:
        """Write the wheel into `folder`: files sorted, with fixed modes and the time of SOURCE_DATE_EPOCH or 1980.

        OutputError where that cannot be; what was there then stays.
        """
        from trtreg import output

        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.stem}-{self.tag}.whl"
        info = f"{self.dist_info}/"
        names = sorted(self.files, key=lambda name: (name.startswith(info), name))
        record = "".join(f"{_quoted(name)},{_hash(self.files[name])},{len(self.files[name])}\n" for name in names)
        record_name = f"{info}RECORD"
        contents = [*((name, self.files[name]) for name in names)]
        contents.append((record_name, f"{record}{record_name},,\n".encode()))
        date = _date()
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in contents:
                entry = zipfile.ZipInfo(name, date)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.create_system = 3  # Unix, for the mode
                entry.external_attr = (stat.S_IFREG | _mode(name)) << 16
                archive.writestr(entry, data)
        # Never half of a wheel under its name: whoever is killed here leaves another file, or none.
        output.write(path, written.getbuffer())
        return path


def read(path: Path) -> Wheel:
    """Read the wheel at `path`."""
    parts = path.name.removesuffix(".whl").split("-")
    with zipfile.ZipFile(path) as archive:
        files = {
            entry.filename: archive.read(entry)
            for entry in archive.infolist()
            if not entry.is_dir() and entry.filename.rpartition(".dist-info/")[2] not in _GENERATED
        }
    return Wheel(stem="-".join(parts[:-3]), tag="-".join(parts[-3:]), files=files)


def parse_metadata(text: str) -> Mapping[str, str]:
    """Read core metadata; the first value of each field."""
    return dict(reversed(email.parser.HeaderParser().parsestr(text).items()))


def add_entry_point(text: str, group: str, name: str, value: str) -> str:
    """Add an entry point to the text of entry_points.txt."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # names are case-sensitive
    parser.read_string(text)
    if not parser.has_section(group):
        parser.add_section(group)
    parser.set(group, name, value)
    output = io.StringIO()
    parser.write(output)
    return output.getvalue()


def _date() -> tuple[int, int, int, int, int, int]:
    text = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        moment = time.gmtime(max(int(text), _EPOCH) if text else _EPOCH)
    except (ValueError, OverflowError, OSError):
        raise SettingError("SOURCE_DATE_EPOCH is no time", found=repr(text), expected="seconds since 1970") from None
    return (moment.tm_year, moment.tm_mon, moment.tm_mday, moment.tm_hour, moment.tm_min, moment.tm_sec)


def _mode(name: str) -> int:
    # The modes of files in a checkout depend on the umask; only what is run or loaded needs more than to be read.
    return 0o755 if ".so" in Path(name).suffixes or ".data/scripts/" in name else 0o644


def _hash(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if set(name) & set(',"\n') else name
