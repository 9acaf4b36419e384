from __future__ import annotations

import base64
import csv
import hashlib
import os
import zipfile
from typing import TYPE_CHECKING

import pytest

from trtreg.errors import SettingError
from trtreg.sdk import repair, wheel

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "pkg/__init__.py": b"",
    "pkg/lib.so": b"\x7fELF",
    "pkg.libs/libz-1.so.2": b"",
    'pkg/odd, "name".txt': b"x",
    "pkg-1.0.data/scripts/run": b"#!python\n",
    "pkg-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\nGenerator: x\n\n",
    "pkg-1.0.dist-info/METADATA": b"Metadata-Version: 2.4\nName: pkg\nVersion: 1.0\n"
    b"License-File: a\nLicense-File: b\n\nName: of the text\n",
}
MADE = wheel.Wheel(stem="pkg-1.0", tag="py3-none-any", files=FILES)
TAG = "py3-none-manylinux_2_28_x86_64"


def test_written_wheel(tmp_path: Path) -> None:
    path = MADE.with_tag(TAG).write(tmp_path)
    assert path.name == f"pkg-1.0-{TAG}.whl"
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        modes = {entry.filename: entry.external_attr >> 16 for entry in archive.infolist()}
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        record = {row[0]: row[1:] for row in csv.reader(archive.read(names[-1]).decode().splitlines())}
        for name in names[:-1]:
            digest = base64.urlsafe_b64encode(hashlib.sha256(archive.read(name)).digest()).rstrip(b"=").decode()
            assert record.pop(name) == [f"sha256={digest}", str(len(archive.read(name)))]
        lines = archive.read("pkg-1.0.dist-info/WHEEL").decode().splitlines()
    assert record == {"pkg-1.0.dist-info/RECORD": ["", ""]}
    # The specification recommends that the metadata comes last.
    assert names[-3:] == [f"pkg-1.0.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD")]
    assert names[:-3] == sorted(names[:-3])
    runnable = {"pkg/lib.so", "pkg.libs/libz-1.so.2", "pkg-1.0.data/scripts/run"}
    assert {name for name, mode in modes.items() if mode == 0o100755} == runnable
    assert {mode for name, mode in modes.items() if name not in runnable} == {0o100644}
    assert lines == ["Wheel-Version: 1.0", "Generator: x", "Root-Is-Purelib: false", f"Tag: {TAG}"]


def test_same_contents_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = MADE.write(tmp_path / "first")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    umask = os.umask(0o077)
    try:
        second = wheel.Wheel(stem="pkg-1.0", tag="py3-none-any", files=dict(reversed(FILES.items()))).write(tmp_path)
    finally:
        os.umask(umask)
    assert first.read_bytes() == second.read_bytes()
    assert wheel.read(first) == MADE


def test_source_date_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text, year in (("1700000000", 2023), ("0", 1980), ("", 1980)):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
        with zipfile.ZipFile(MADE.write(tmp_path)) as archive:
            assert {entry.date_time[0] for entry in archive.infolist()} == {year}
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(SettingError, match="SOURCE_DATE_EPOCH is no time: found 'yesterday'"):
        MADE.write(tmp_path)


def test_metadata_is_of_the_header_only() -> None:
    assert MADE.metadata["Name"] == "pkg"
    assert MADE.metadata["License-File"] == "a"


def test_entry_points_are_added_to_those_that_are_there() -> None:
    text = "[console_scripts]\nRun-It = pkg:Main\n"
    text = wheel.add_entry_point(text, "trtreg.plugins", "a-B", "pkg")
    assert wheel.add_entry_point(text, "trtreg.plugins", "a-B", "pkg") == text
    assert text.split("\n\n")[0] == "[console_scripts]\nRun-It = pkg:Main"
    assert "[trtreg.plugins]\na-B = pkg\n" in text


@pytest.mark.parametrize(
    ("floor", "tag"), [(None, "2_17"), ((2, 5), "2_17"), ((2, 17), "2_17"), ((2, 34), "2_34"), ((3, 0), "3_0")]
)
def test_tag_of_a_floor(floor: tuple[int, int] | None, tag: str) -> None:
    assert repair.manylinux_tag(floor, "aarch64") == f"py3-none-manylinux_{tag}_aarch64"


@pytest.mark.parametrize(
    ("needed", "answer"),
    [
        ([], False),
        (["libc.so.6", "ld-linux-x86-64.so.2", "libm.so.6", "libdl.so.2", "librt.so.1", "libpthread.so.0"], False),
        (["ld-linux-aarch64.so.1", "libc.so.6"], False),
        (["libc.so.6", "libz.so.1"], True),
        (["libstdc++.so.6"], True),
        (["libcudart.so.13"], True),
        (["libm.so"], True),
    ],
)
def test_what_auditwheel_must_judge(needed: list[str], answer: bool) -> None:
    assert repair.is_needed(needed) is answer
