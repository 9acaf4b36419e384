"""What an installer that was killed has left, and files that cannot be put back."""

from __future__ import annotations

import pytest

from trtreg import errors
from trtreg.packages import _site, _transaction

RECORD = "trtplugin_a/x.so,,\ntrtplugin_a-1.0.dist-info/METADATA,,\ntrtplugin_a-1.0.dist-info/RECORD,,\n"


@pytest.fixture
def info(tmp_path, monkeypatch):
    monkeypatch.setattr(_site, "places", lambda: (tmp_path,))
    folder = tmp_path / "trtplugin_a-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: trtplugin-a\nVersion: 1.0\n")
    (folder / "RECORD").write_text(RECORD)
    return folder


def test_whole_metadata_stay(info):
    _site.clear_debris(["trtplugin-a"])
    assert (info / "RECORD").exists()


@pytest.mark.parametrize("missing", ["RECORD", "METADATA", "entry_points.txt"])
def test_metadata_that_lack_a_part_go(info, missing):
    (info / "RECORD").write_text(f"{RECORD}{info.name}/entry_points.txt,,\n")
    (info / "entry_points.txt").write_text("")
    (info / missing).unlink()
    _site.clear_debris(["trtplugin-other"])
    assert info.exists()
    _site.clear_debris(["Trtplugin_A"])
    assert not info.exists()


@pytest.fixture
def copied(tmp_path):
    original, copy = tmp_path / "site" / "a.so", tmp_path / "copy"
    original.parent.mkdir()
    original.write_bytes(b"a library")
    copy.write_bytes(b"a library")
    return copy, original


def no_room(*_):
    raise OSError(28, "No space left on device")


def test_what_is_as_it_was_is_not_written(copied, monkeypatch):
    """Where the disk is full, the file would be lost."""
    monkeypatch.setattr(_transaction.shutil, "copy2", no_room)
    _transaction._put_back(*copied)
    assert copied[1].read_bytes() == b"a library"


def test_what_cannot_be_put_back_is_said(copied, monkeypatch):
    copied[1].write_bytes(b"of another version")
    monkeypatch.setattr(_site, "plugin_versions", lambda: {"trtplugin-a": "1.0"})
    monkeypatch.setattr(_transaction, "_copy", lambda *_: [copied])

    def work():
        with _transaction.restored_on_failure(["trtplugin-a"], None):
            monkeypatch.setattr(_transaction.shutil, "copy2", no_room)
            raise errors.InstallerError("broken")

    with pytest.raises(errors.InstallerError, match=r"broken\nThe plugins could not be put back .*only a part"):
        work()
    assert copied[1].read_bytes() == b"of another version"
    assert [path.name for path in copied[1].parent.iterdir()] == ["a.so"], "no temporary file"
