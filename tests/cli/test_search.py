import json
import os

import pytest
from catalogues import op, release, serve

from trtreg import errors


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server():
    with serve() as server:
        server.publish(
            release("trtplugin-dcnv2", "0.1", ["DCNv2"], summary="Deformable convolution"),
            release("trtplugin-dcnv2", "0.2", ["DCNv2"], summary="Deformable convolution", machine="mips"),
            release("trtplugin-hswish", "1.0", ["HSwish"], machine="mips", summary="Activation"),
        )
        yield server


def test_by_words(cli, server):
    code, out, err = cli("search", "deform", "--index", server.site)
    name = server.site.removeprefix("http://").rstrip("/")
    assert (code, err) == (0, "")
    header, row, *_, last = out.splitlines()
    assert header.split() == ["PACKAGE", "VERSION", "INDEX", "FITS", "OPS", "SUMMARY"]
    # The newest that fits this machine.
    assert row.split() == ["trtplugin-dcnv2", "0.1", name, "yes", "DCNv2", "Deformable", "convolution"]
    assert last == f"{name}: 3 releases, checked 0 seconds ago"


def test_by_op_with_what_does_not_fit(cli, server):
    code, out, _ = cli("search", "--op", "HSwish", "--index", server.site)
    assert code == 0
    assert out.splitlines()[1].split()[:4:3] == ["trtplugin-hswish", "no"]
    assert "- trtplugin-hswish: machine: found " in out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--op", "DCNv3"], "Nothing found for 'DCNv3'.\nDid you mean DCNv2?"),
        (["hswich"], "Nothing found for 'hswich'.\nDid you mean HSwish?"),
        (["zzzz"], "Nothing found for 'zzzz'.\n\n"),
    ],
)
def test_nothing_found(cli, server, arguments, text):
    code, out, _ = cli("search", *arguments, "--index", server.site)
    assert code == 0
    assert out.startswith(text)


def test_the_limit(cli, server):
    _, out, _ = cli("search", "trtplugin", "--limit", "1", "--index", server.site, "--json")
    assert len(json.loads(out)["packages"]) == 1


def test_several_indexes_and_the_name_of_the_owner(cli, server):
    with serve() as other:
        other.publish(release("trtplugin-dcnv2", "99", ["DCNv2"]), release("trtplugin-dcnv3", ops=["DCNv3"]))
        _, out, _ = cli("search", "dcn", "--index", server.site, "--index", other.site, "--json")
    found = {package["package"]: (package["version"], package["index"]) for package in json.loads(out)["packages"]}
    first, second = (each.site.removeprefix("http://").rstrip("/") for each in (server, other))
    assert found == {"trtplugin-dcnv2": ("0.1", first), "trtplugin-dcnv3": ("1.0", second)}


def test_an_index_that_fails_is_warned_of_and_its_cache_used(cli, server, tmp_path):
    cli("search", "dcn", "--index", server.site)
    for path in (tmp_path / "cache").rglob("*.sqlite3"):
        stamp = path.stat().st_mtime - 3 * 86400
        os.utime(path, (stamp, stamp))
    server.answer(b"<html>")
    code, out, err = cli("search", "dcn", "--index", server.site)
    assert code == 0
    assert "trtplugin-dcnv2" in out
    assert "checked 3 days ago (stale)" in out
    assert "warning: index" in err
    assert "the catalogue is not JSON" in err
    assert "using the catalogue of 3 days ago" in err
    code, out, err = cli("search", "dcn", "--index", server.site, "--offline")
    assert (code, err) == (0, "")
    assert "3 days ago (stale)" in out


def test_an_index_that_fails_without_a_cache(cli, server):
    server.answer(b"<html>")
    code, out, err = cli("search", "dcn", "--index", server.site)
    assert (code, out) == (errors.CatalogueError.exit_code, "")
    assert "trtreg: remedy: check the URL" in err
    assert cli("search", "dcn", "--index", f"{server.url}/nothing")[0] == errors.NotOnServerError.exit_code
    assert cli("search", "dcn", "--index", server.site, "--offline")[0] == errors.NotCachedError.exit_code


@pytest.mark.parametrize("arguments", [["x"], ["x", "--no-index"], ["x", "--index", "nonsense"]])
def test_no_index(cli, arguments):
    assert cli("search", *arguments)[0] == errors.IndexSettingError.exit_code


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["x", "--op", "y"],
        ["x", "--limit", "0"],
        ["x", "--offline", "--refresh"],
        ["x", "--no-index", "--index", "y"],
    ],
)
def test_wrong_usage(cli, capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        cli("search", *arguments)
    assert caught.value.code == 2


def test_no_control_character_reaches_the_terminal(cli, server):
    server.publish(release("trtplugin-foo", ops=[op("Foo")], summary="a\x1b]0;title\x07b"))
    _, out, _ = cli("search", "foo", "--index", server.site)
    assert "\x1b" not in out
    assert "\x07" not in out


def test_a_password_is_not_printed(cli, server):
    url = server.site.replace("http://", "http://me:secret@")
    for arguments in (["--json"], [], ["--refresh"]):
        code, out, err = cli("search", "dcn", "--index", url, *arguments)
        assert code == 0
        assert "secret" not in out + err
    server.answer(b"<html>")
    assert "secret" not in cli("search", "dcn", "--index", url, "--refresh")[2]
