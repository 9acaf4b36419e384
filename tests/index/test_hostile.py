"""Hostile wheels: each is refused by name with its reason, and the others are published."""

import hashlib
import json
import os
import struct
import zipfile
from pathlib import Path

import pytest
from wheel_files import LIBRARY, manifest_of

from trtreg.index import archive, check

from .conftest import contents, pack, releases

FILE = "trtplugin_one-1.0-py3-none-any.whl"
INFO = "trtplugin_one-1.0.dist-info"


def refusal(publisher, wheels, make, path):
    """Build with a good wheel beside it, and give why the bad one was refused."""
    good = make("trtplugin-good", op="Good")
    report = publisher.build([wheels])
    assert report.added == [good.name]
    assert [Path(one.path).name for one in report.refused] == [path.name]
    assert [release["project"] for release in releases(Path(publisher._site))] == ["trtplugin-good"]
    assert list(check(publisher._site)) == []
    return report.refused[0].reason


MEMBERS = [
    ("../../etc/cron.d/x", "outside"),
    ("/etc/passwd", "outside"),
    ("a/../../x", "outside"),
    ("C:/x", "outside"),
    ("a\\..\\x", "outside"),
    ("a/./x", "outside"),
    ("a\nb", "outside"),
    ("TrtPlugin_one/__init__.py", "differs in case only"),
    ("trtplugin_one/LIBONE.SO", "differs in case only"),
    ("other-1.0.dist-info/METADATA", "2 folders called"),
    ("trtplugin_one/sub/trtplugin.json", "2 manifests"),
]


@pytest.mark.parametrize(("name", "reason"), MEMBERS)
def test_names_of_members(publisher, wheels, make, name, reason):
    path = pack(wheels / FILE, {**contents(), name: b"{}"})
    assert reason in refusal(publisher, wheels, make, path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_twice(publisher, wheels, make):
    path = pack(wheels / FILE, contents())
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("trtplugin_one/__init__.py", "import os")
    assert "is there twice" in refusal(publisher, wheels, make, path)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "no zip"), (b"MZ\x90", "no zip"), (b"PK\x05\x06", "no zip"), (os.urandom(5000), "no zip")],
)
def test_no_zip(publisher, wheels, make, data, reason):
    path = wheels / FILE
    path.write_bytes(data)
    assert reason in refusal(publisher, wheels, make, path)


@pytest.mark.parametrize("cut", [1, 30, 400])
def test_truncated(publisher, wheels, make, cut):
    path = pack(wheels / FILE, contents())
    path.write_bytes(path.read_bytes()[:-cut])
    assert "zip" in refusal(publisher, wheels, make, path)


def test_something_before_the_first_member(publisher, wheels, make):
    path = pack(wheels / FILE, contents())
    path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())
    assert "precedes" in refusal(publisher, wheels, make, path)


def test_something_behind_the_directory(publisher, wheels, make):
    path = pack(wheels / FILE, contents())
    path.write_bytes(path.read_bytes() + b"tail")
    assert "follows the end" in refusal(publisher, wheels, make, path)


def test_a_bomb_of_many_zeros(publisher, wheels, make):
    path = pack(wheels / FILE, {**contents(), "trtplugin_one/zeros": bytes(archive._RATIO_FROM + 1)})
    assert "zip bomb" in refusal(publisher, wheels, make, path)


def test_a_bomb_of_overlapping_members(publisher, wheels, make):
    """As https://www.bamsoftware.com/hacks/zipbomb/ does it: many directory entries for the same bytes."""
    path = pack(wheels / FILE, contents())
    data = bytearray(path.read_bytes())
    first = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", first + 4)
    data[second + 42 : second + 46] = data[first + 42 : first + 46]
    path.write_bytes(data)
    assert "overlaps" in refusal(publisher, wheels, make, path)


def test_a_directory_that_declares_to_be_huge(publisher, wheels, make):
    path = pack(wheels / FILE, contents())
    data = bytearray(path.read_bytes())
    data[-10:-6] = struct.pack("<L", 0xFFFF_0000)
    path.write_bytes(data)
    assert "directory takes" in refusal(publisher, wheels, make, path)


@pytest.mark.parametrize("member", [f"{INFO}/METADATA", "trtplugin_one/trtplugin.json"])
def test_members_that_are_read_are_limited(publisher, wheels, make, member):
    files = contents()
    files[member] += b" " * (5 << 20)
    assert "at most" in refusal(publisher, wheels, make, pack(wheels / FILE, files))


@pytest.mark.parametrize("size", [1, 100_000])
def test_a_declared_size_that_is_not_the_real_one(publisher, wheels, make, size):
    path = pack(wheels / FILE, contents())
    with zipfile.ZipFile(path) as file:
        info = file.getinfo(f"{INFO}/METADATA")
    data = bytearray(path.read_bytes())
    at = data.index(struct.pack("<L", info.file_size), data.index(b"PK\x01\x02"))
    data[at : at + 4] = struct.pack("<L", size)
    path.write_bytes(data)
    reason = refusal(publisher, wheels, make, path)
    assert "cannot be unpacked" in reason or "another size" in reason


def test_a_member_that_is_damaged(publisher, wheels, make):
    path = pack(wheels / FILE, contents())
    with zipfile.ZipFile(path) as file:
        info = file.getinfo(f"{INFO}/METADATA")
    data = bytearray(path.read_bytes())
    data[info.header_offset + 30 + len(info.filename) + 5] ^= 0xFF
    path.write_bytes(data)
    assert "cannot be unpacked" in refusal(publisher, wheels, make, path)


def test_an_encrypted_member(publisher, wheels, make):
    path = pack(wheels / FILE, contents())
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert "encrypted" in refusal(publisher, wheels, make, path)


def test_a_compression_that_wheels_do_not_have(publisher, wheels, make):
    path = pack(wheels / FILE, contents(), compression=zipfile.ZIP_BZIP2)
    assert "method 12" in refusal(publisher, wheels, make, path)


def test_a_member_that_is_a_link(publisher, wheels, make):
    path = pack(wheels / FILE, contents())
    with zipfile.ZipFile(path, "a") as file:
        info = zipfile.ZipInfo("trtplugin_one/link")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        file.writestr(info, "/etc/passwd")
    assert "symbolic link" in refusal(publisher, wheels, make, path)


def test_a_member_that_record_does_not_list(publisher, wheels, make):
    path = pack(wheels / FILE, contents())
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("sitecustomize.py", "")
    assert "not listed in RECORD" in refusal(publisher, wheels, make, path)


METADATA = [
    (b"Name: one\nVersion: 1.0\n\n", "no field metadata-version"),
    (b"Metadata-Version: 2.4\nVersion: 1.0\n\n", "no field name"),
    (b"Metadata-Version: 2.4\nName: other\nVersion: 1.0\n\n", "of the project other"),
    (b"Metadata-Version: 2.4\nName: trtplugin-one\nVersion: 1.1\n\n", "of version 1.1"),
    (b"Metadata-Version: 2.4\nName: trtplugin-one\nName: other\nVersion: 1.0\n\n", "name more than once"),
    (b"Metadata-Version: 2.4\nName: trtplugin-one\rName: other\nVersion: 1.0\n\n", "more than once"),
    (b"Metadata-Version: 2.4\nName: trtplugin-one\nVersion: 1.0\nRequires-Python: <b>\n\n", "Requires-Python"),
    (b"Metadata-Version: 2.4\nName: trtplugin-one\nVersion: 1.0\nRequires-Dist: a b c\n\n", "Requires-Dist"),
    (b"Metadata-Version: 2.4\nName: trtplugin-one\nVersion: zero\n\n", "no version"),
    (b"\xff\xfe", "not UTF-8"),
]


@pytest.mark.parametrize(("data", "reason"), METADATA)
def test_metadata(publisher, wheels, make, data, reason):
    path = pack(wheels / FILE, {**contents(), f"{INFO}/METADATA": data})
    assert reason in refusal(publisher, wheels, make, path)


MANIFESTS = [
    (manifest_of("trtplugin-other"), "of the package trtplugin-other"),
    (manifest_of(version="2.0"), "of version 2.0"),
    (manifest_of(sha256="0" * 64), "another SHA-256"),
    (manifest_of(size=1), "by its manifest 1"),
    (manifest_of(file="libtwo.so"), "which is not there"),
    (manifest_of(file="../libone.so"), "library.file"),
    ({"schema": 99}, "'schema'"),
    ([], "the document"),
]


@pytest.mark.parametrize(("manifest", "reason"), MANIFESTS)
def test_manifests_that_disagree(publisher, wheels, make, manifest, reason):
    files = contents()
    files["trtplugin_one/trtplugin.json"] = json.dumps(manifest).encode()
    assert reason in refusal(publisher, wheels, make, pack(wheels / FILE, files))


UNLISTABLE = [
    ({"op": "One\x1b[31m"}, "ops[0].name"),
    ({"requires": [f"numpy{'>=1,' * 600}"]}, "requires"),
    ({"metadata": f"Requires-Python: {'>=3.8,' * 50}>=3.9"}, "requires_python"),
]


@pytest.mark.parametrize(("parts", "where"), UNLISTABLE)
def test_what_would_spoil_the_catalogue_for_all_clients(publisher, wheels, make, parts, where):
    said = refusal(publisher, wheels, make, pack(wheels / FILE, contents(**parts)))
    assert "a catalogue cannot list it" in said
    assert where in said


@pytest.mark.parametrize(("parts", "where"), [*UNLISTABLE, ({"version": f"1.0+{'a' * 200}"}, "version")])
def test_a_release_like_a_sound_one_before_is_checked_too(publisher, wheels, make, parts, where):
    sound = make("trtplugin-one", "0.1")
    path = pack(wheels / FILE.replace("1.0", parts.get("version", "1.0")), contents(**parts))
    report = publisher.build([wheels])
    assert report.added == [sound.name]
    assert [one.path for one in report.refused] == [str(path)]
    assert "a catalogue cannot list it" in report.refused[0].reason
    assert where in report.refused[0].reason


def test_a_manifest_for_another_machine(publisher, wheels, make):
    path = make(tag="py3-none-manylinux_2_28_aarch64")
    assert "for x86_64" in refusal(publisher, wheels, make, path)


def test_a_manifest_that_is_nested_too_deep(publisher, wheels, make):
    files = {**contents(), "trtplugin_one/trtplugin.json": b"[" * 200_000}
    assert "no JSON" in refusal(publisher, wheels, make, pack(wheels / FILE, files))


def test_a_manifest_that_no_entry_point_names(publisher, wheels, make):
    files = {**contents(), f"{INFO}/entry_points.txt": b"[trtreg.plugins]\nx = elsewhere\n"}
    assert "no entry point" in refusal(publisher, wheels, make, pack(wheels / FILE, files))


@pytest.mark.parametrize("member", ["METADATA", "WHEEL", "RECORD"])
def test_a_part_of_every_wheel_is_missing(publisher, wheels, make, member):
    files = contents()
    files.pop(f"{INFO}/{member}", None)
    assert (
        "it has no" in refusal(publisher, wheels, make, pack(wheels / FILE, files, record=False)) or member != "RECORD"
    )


@pytest.mark.parametrize(
    "file",
    [
        "trtplugin_one.whl",
        "trtplugin_one-1.0.whl",
        "trtplugin-one-1.0-py3-none-any.whl",
        "trtplugin_one-1.0-build-py3-none-any.whl",
        "trtplugin_one-one-py3-none-any.whl",
        "<b>x<_b>-1.0-py3-none-any.whl",
        "a b-1.0-py3-none-any.whl",
        f"{'a' * 230}-1.0-py3-none-any.whl",
    ],
)
def test_file_names(publisher, wheels, make, file):
    reason = refusal(publisher, wheels, make, pack(wheels / file, contents()))
    assert "PEP 427" in reason or "PEP 440" in reason


def test_a_wheel_that_is_a_link(publisher, wheels, make, tmp_path):
    path = wheels / FILE
    path.symlink_to(make(folder=tmp_path / "elsewhere"))
    assert "symbolic link" in refusal(publisher, wheels, make, path)


def test_a_wheel_that_is_a_pipe(publisher, wheels, make):
    path = wheels / FILE
    os.mkfifo(path)
    assert "regular file" in refusal(publisher, wheels, make, path)


def test_a_wheel_that_is_a_folder(publisher, wheels, make):
    path = wheels / FILE
    path.mkdir()
    refusal(publisher, wheels, make, path)


def test_a_wheel_that_is_gone(publisher, wheels, make, site):
    make()
    report = publisher.build([wheels, wheels / "trtplugin_two-1.0-py3-none-any.whl"])
    assert [one.reason for one in report.refused] == ["it cannot be read: No such file or directory"]


def test_a_wheel_that_may_not_be_read(publisher, wheels, make, monkeypatch):
    """By a patch, as root may read everything."""
    path = make()
    real = os.open

    def refuse(name, *arguments, **keywords):
        if name == str(path):
            raise PermissionError(13, "Permission denied")
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(os, "open", refuse)
    assert "Permission denied" in refusal(publisher, wheels, make, path)


def test_one_name_with_other_bytes(publisher, wheels, make, tmp_path, site):
    first = make()
    publisher.build([wheels])
    before = (site / "files/trtplugin-one" / first.name).read_bytes()
    make(folder=tmp_path / "other", op="Other")
    report = publisher.build([tmp_path / "other"])
    assert "published with other bytes" in report.refused[0].reason
    assert (site / "files/trtplugin-one" / first.name).read_bytes() == before

    publisher.remove("trtplugin-one", "1.0")
    assert publisher.build([tmp_path / "other"]).added == [first.name]
    assert releases(site)[0]["ops"][0]["name"] == "Other"


def test_one_name_with_other_bytes_in_one_build(publisher, wheels, make, tmp_path, site):
    make()
    make(folder=tmp_path / "other", op="Other")
    report = publisher.build([wheels, tmp_path / "other"])
    assert [Path(one.path).name for one in report.refused] == [FILE, FILE]
    assert report.added == []


def test_the_same_wheel_in_two_folders_is_one(publisher, wheels, make, tmp_path):
    make()
    make(folder=tmp_path / "other")
    report = publisher.build([wheels, tmp_path / "other", wheels / FILE])
    assert (report.added, report.refused) == ([FILE], [])


@pytest.mark.parametrize("file", ["TRTplugin_One-1.0-py3-none-any.whl", "trtplugin.one-1.0-py3-none-any.whl"])
def test_names_that_are_the_same_to_installers(publisher, wheels, make, file, tmp_path):
    make()
    publisher.build([wheels])
    report = publisher.build([pack(tmp_path / "other" / file, contents())])
    assert f"published as {FILE}" in report.refused[0].reason


def test_a_hostile_reason_is_escaped(publisher, wheels, make, site):
    make()
    publisher.build([wheels])
    publisher.yank("trtplugin-one", "1.0", '"><script>alert(1)</script>')
    publisher.set_status("trtplugin-one", "deprecated", "<b>&\"'")
    page = (site / "simple/trtplugin-one/index.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<b>" not in page
    assert 'data-yanked="&quot;&gt;&lt;script&gt;' in page


def test_the_library_is_read_in_pieces(publisher, wheels, make, site):
    """A library is hashed, however large: only its proportion to the file is limited."""
    library = os.urandom(3 << 20) + LIBRARY
    described = manifest_of(sha256=hashlib.sha256(library).hexdigest(), size=len(library))
    files = {**contents(), "trtplugin_one/libone.so": library}
    files["trtplugin_one/trtplugin.json"] = json.dumps(described).encode()
    pack(wheels / FILE, files)
    assert publisher.build([wheels]).added == [FILE]
