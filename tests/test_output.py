import os
import stat

import pytest

from trtreg import engine, output, save_trt_engine
from trtreg.errors import OutputError


def test_writes_with_the_usual_permissions(tmp_path):
    before = os.umask(0o022)
    try:
        output.write(tmp_path / "a", b"one")
    finally:
        os.umask(before)
    assert (tmp_path / "a").read_bytes() == b"one"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644
    assert [*tmp_path.iterdir()] == [tmp_path / "a"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real").write_bytes(b"old")
    output.write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path, monkeypatch, error):
    (tmp_path / "a").write_bytes(b"old")

    def fail(descriptor):
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises((OutputError, KeyboardInterrupt)) as caught:
        output.write(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [tmp_path / "a"]
    if isinstance(error, OSError):
        assert "found No space left on device" in str(caught.value)


def bad_targets(folder):
    os.mkfifo(folder / "pipe")
    return {
        "it is a directory": folder,
        "it is no regular file": folder / "pipe",
        "no directory": folder / "absent" / "a",
        "File name too long": folder / ("n" * 300),
        "Not a directory": folder / "pipe" / "a",
    }


@pytest.mark.parametrize(
    "why", ["it is a directory", "it is no regular file", "no directory", "File name too long", "Not a directory"]
)
@pytest.mark.parametrize("act", [output.check_writable, lambda path: output.write(path, b"x")])
def test_refuses_what_cannot_be_written(tmp_path, why, act):
    with pytest.raises(OutputError, match=f"cannot write .*found {why}"):
        act(bad_targets(tmp_path)[why])


def test_refuses_a_read_only_file(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(OutputError, match="read-only"):
        output.write(tmp_path / "a", b"new")


def test_checking_leaves_nothing(tmp_path):
    output.check_writable(tmp_path / "a")
    assert not [*tmp_path.iterdir()]


class Memory(bytearray):
    """Like TensorRT's IHostMemory: a buffer."""


class CudaEngine:
    def serialize(self):
        return Memory(b"plan")


@pytest.mark.parametrize(
    "source",
    [
        b"plan",
        memoryview(b"plan"),
        Memory(b"plan"),
        CudaEngine(),
        engine.Engine(
            plan=b"plan",
            flavour="rtx",
            tensorrt_version="1",
            creators=(),
            plugins=(),
            layers=(),
            inputs=(),
            outputs=(),
        ),
    ],
)
def test_every_kind_of_engine_is_saved(tmp_path, source):
    save_trt_engine(source, str(tmp_path / "e"))
    assert (tmp_path / "e").read_bytes() == b"plan"
