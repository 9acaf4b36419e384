"""Fetching, verifying and reading wheels, in this process."""

from __future__ import annotations

import hashlib
import zipfile

import pytest

from trtreg import errors
from trtreg.packages import lock, wheels
from trtreg.packages.release import Release
from trtreg.packages.wheels import Wheel


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "trtreg" / "wheels"


def of(path, **changes):
    name, version = path.name.split("-")[:2]
    content = path.read_bytes()
    facts = {"project": name.replace("_", "-"), "version": version, "file": path.name, "url": path.as_uri(),
             "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}  # fmt: skip
    return Wheel(**{**facts, **changes})


def test_a_wheel_is_kept_by_its_hash(market, cache):
    path = market.add("trtplugin-a", "1.0", "A", requires=["numpy>=1", "torch; extra == 'x'"])
    wheel, seen = of(path), []
    assert wheels.cached(wheel) is None
    found = wheels.fetch(wheel, on_progress=lambda done, total: seen.append((done, total)))
    assert found.path == cache / wheel.sha256 / path.name
    assert found.requires == ("numpy>=1", "torch; extra == 'x'")
    assert [creator.name for m in found.manifests for creator in m.library.creators] == ["A"]
    assert seen[-1] == (wheel.size, wheel.size)
    path.unlink()
    assert wheels.fetch(wheel, offline=True) == found


@pytest.mark.parametrize(
    "changes",
    [
        {"file": "../x-1-py3-none-any.whl"},
        {"file": "a/x-1-py3-none-any.whl"},
        {"file": "x-1-py3-none-any.zip"},
        {"sha256": "../../elsewhere"},
        {"sha256": "A" * 64},
    ],
)
def test_what_an_index_says_leads_nowhere_else(market, cache, changes):
    with pytest.raises(errors.WheelError):
        wheels.fetch(of(market.add("trtplugin-a", "1.0", "A"), **changes))
    assert not cache.exists()


def write(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


METADATA = "Metadata-Version: 2.1\nName: trtplugin-a\nVersion: 1.0\n"
ENTRY = "[trtreg.plugins]\na = trtplugin_a\n"
INFO = "trtplugin_a-1.0.dist-info"
UNSOUND = [
    ("no zip", None, "not a zip file"),
    ("no metadata", {}, "0 folders .dist-info"),
    ("two", {f"{INFO}/METADATA": METADATA, "x.dist-info/METADATA": METADATA}, "2 folders .dist-info"),
    ("no name", {f"{INFO}/METADATA": "Version: 1.0\n"}, "found  1.0, expected trtplugin-a 1.0"),
    ("no version", {f"{INFO}/METADATA": "Name: trtplugin-a\n"}, "is no sound wheel"),
    ("another name", {f"{INFO}/METADATA": METADATA.replace("-a", "-b")}, "found trtplugin-b 1.0, expected trtplugin-a"),
    ("another version", {f"{INFO}/METADATA": METADATA.replace("1.0", "1.1")}, "found trtplugin-a 1.1"),
    ("no requirement", {f"{INFO}/METADATA": METADATA + "Requires-Dist: ???\n"}, "Expected package name"),
    ("no plugin", {f"{INFO}/METADATA": METADATA}, "is no TensorRT plugin"),
    ("no manifest", {f"{INFO}/METADATA": METADATA, f"{INFO}/entry_points.txt": ENTRY}, "has no trtplugin.json"),
    ("no JSON", {f"{INFO}/METADATA": METADATA, f"{INFO}/entry_points.txt": ENTRY,
                 "trtplugin_a/trtplugin.json": "{"}, "is no sound wheel"),
    ("an empty manifest", {f"{INFO}/METADATA": METADATA, f"{INFO}/entry_points.txt": ENTRY,
                           "trtplugin_a/trtplugin.json": "{}"}, "Missing required key"),
    ("a bomb", {f"{INFO}/METADATA": METADATA + " " * (1 << 25)}, "METADATA has 335544"),
    ("no text", {f"{INFO}/METADATA": b"\xff"}, "is no sound wheel"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "text"), [case[1:] for case in UNSOUND], ids=[case[0] for case in UNSOUND])
def test_wheels_that_are_not_sound(tmp_path, files, text):
    path = tmp_path / "trtplugin_a-1.0-py3-none-any.whl"
    if files is None:
        path.write_bytes(b"no zip")
    else:
        write(path, files)
    with pytest.raises(errors.WheelError) as caught:
        wheels.fetch(of(path))
    assert text in str(caught.value)


# -- locks, in this process --------------------------------------------------------------------------------------------
def release(url="https://name:secret@plugins.example/files/trtplugin_a-1.0-py3-none-any.whl", **changes):
    return Release(
        project="trtplugin-a", version="1.0", file="trtplugin_a-1.0-py3-none-any.whl", url=url, sha256="0" * 64,
        size=1, machine="x86_64", **changes,
    )  # fmt: skip


@pytest.fixture
def target():
    from trtreg.packages import _release_fit

    return _release_fit.read()


def test_no_password_gets_into_a_lock(tmp_path, target):
    text = lock.render([release()], tmp_path, target, {"trtplugin-a": "https://name:secret@plugins.example/"})
    assert 'url = "https://plugins.example/files/' in text
    assert 'index = "https://plugins.example/simple/"' in text
    assert "secret" not in text


def test_a_time_that_is_none_is_left_out(tmp_path, target):
    assert "upload-time" not in lock.render([release(uploaded="12-31")], tmp_path, target)


@pytest.mark.parametrize("module", ["packaging.pylock", "tomli_w"])
def test_what_locks_need(monkeypatch, tmp_path, target, module):
    import sys

    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(errors.MissingExtraError, match=r"pip install 'trtreg\[lock\]'"):
        lock.render([release()], tmp_path, target)


def test_a_packaging_that_is_too_old(monkeypatch, tmp_path, target):
    from packaging import pylock

    monkeypatch.delattr(pylock.Pylock, "select")
    with pytest.raises(errors.MissingExtraError, match=r"expected packaging>=26\.1"):
        lock.render([release()], tmp_path, target)


def test_a_name_with_spaces_and_a_percent_sign(tmp_path, target):
    folder = tmp_path / "my 100% site"
    url = (folder / "trtplugin_a-1.0-py3-none-any.whl").as_uri()
    path = tmp_path / "pylock.toml"
    lock.write(path, [release(url)], target)
    assert 'path = "my 100% site/trtplugin_a-1.0-py3-none-any.whl"' in path.read_text()
    (wheel,) = lock.read(path)
    assert wheel.url == url
