import itertools
import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from catalogues import catalogue as text_of
from catalogues import op, release, serve

from trtreg.errors import (
    CatalogueError,
    DownloadError,
    IndexSettingError,
    NotCachedError,
    NotOnServerError,
    OutputError,
)
from trtreg.manifest import CreatorKey
from trtreg.packages import catalogue
from trtreg.packages.download import Limits
from trtreg.packages.settings import Index, Settings

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server():
    with serve() as server:
        server.publish(release())
        yield server


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def settings_for(*servers):
    return Settings(indexes=tuple(Index(name=f"i{n}", url=server.site) for n, server in enumerate(servers)))


@pytest.fixture
def open_all(folder):
    """Open catalogues with the cache of this test, and close them at its end."""
    opened = []

    def open_all(*servers, **options):
        opened.append(catalogue.open_all(settings_for(*servers), folder=folder, **options))
        return opened[-1]

    yield open_all
    for each in opened:
        each.close()


def make_older(folder, seconds):
    for path in folder.glob("*.sqlite3"):
        stamp = path.stat().st_mtime - seconds
        os.utime(path, (stamp, stamp))


def versions(releases):
    return [each.version for each in releases]


class TestCache:
    def test_a_fresh_catalogue_is_not_asked_for_again(self, server, open_all):
        assert versions(open_all(server).releases("trtplugin-foo")) == ["1.0"]
        (state,) = open_all(server).states
        assert server.statuses == [200]
        assert (state.stale, state.problem, state.releases) == (False, None, 1)
        assert state.age < 60

    def test_an_old_one_is_asked_for_with_its_etag(self, server, open_all, folder):
        open_all(server)
        (path,) = folder.glob("*.sqlite3")
        before = path.stat().st_ino
        make_older(folder, 3600)
        (state,) = open_all(server).states
        assert server.statuses == [200, 304]
        assert state.age < 60
        assert not state.stale
        assert path.stat().st_ino == before

    def test_refresh_asks_at_once_and_sees_what_is_new(self, server, open_all):
        first = open_all(server)
        server.publish(release(), release(version="2.0"))
        assert versions(open_all(server).releases("trtplugin-foo")) == ["1.0"]
        assert versions(open_all(server, refresh=True).releases("trtplugin-foo")) == ["2.0", "1.0"]
        # Who has the old one open goes on with it.
        assert versions(first.releases("trtplugin-foo")) == ["1.0"]

    def test_offline_takes_any_age_and_tells_it(self, server, open_all, folder):
        open_all(server)
        make_older(folder, 7200)
        (state,) = open_all(server, offline=True).states
        assert state.stale
        assert 7200 <= state.age < 7300
        assert len(server.log) == 1

    def test_offline_without_a_cache(self, server, open_all):
        with pytest.raises(NotCachedError, match=r"i0 is not in the cache.*without --offline"):
            open_all(server, offline=True)
        assert server.log == []

    def test_a_folder_is_read_anew_each_time(self, tmp_path, folder):
        (tmp_path / "catalogue.json").write_bytes(text_of(release()))
        here = Settings(indexes=(Index(name="here", url=f"{tmp_path.as_uri()}/"),))
        with catalogue.open_all(here, folder=folder) as found:
            assert found.releases("trtplugin-foo")[0].url.startswith(tmp_path.as_uri())
        (tmp_path / "catalogue.json").write_bytes(text_of(release(version="3.0")))
        with catalogue.open_all(here, folder=folder) as found:
            assert versions(found.releases("trtplugin-foo")) == ["3.0"]

    def test_a_damaged_cache_is_made_anew(self, server, open_all, folder):
        open_all(server).close()
        (path,) = folder.glob("*.sqlite3")
        path.write_bytes(b"SQLite format 3\0" + bytes(1000))
        assert versions(open_all(server).releases("trtplugin-foo")) == ["1.0"]
        assert server.statuses == [200, 200]

    def test_nothing_but_the_cache_is_left(self, server, open_all, folder):
        open_all(server)
        assert [path.suffix for path in folder.iterdir()] == [".sqlite3"]
        assert folder.stat().st_mode & 0o077 == 0

    def test_what_a_killed_process_left_is_cleared_away(self, server, open_all, folder):
        folder.mkdir()
        old, new = folder / "1.json.tmp", folder / "2.json.tmp"
        for path in (old, new):
            path.touch()
        os.utime(old, (0, 0))
        open_all(server)
        assert not old.exists()
        assert new.exists()

    def test_a_cache_that_cannot_be_written(self, server, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(OutputError, match="XDG_CACHE_HOME"):
            catalogue.open_all(settings_for(server), folder=tmp_path / "file" / "x")

    def test_two_processes_at_once(self, server, folder):
        """Each writes files of its own, and the last to finish gives the cache its file."""
        # Without an ETag: each time the file is made anew.
        body = text_of(*(release(f"p{n:04}") for n in range(300)))
        count = itertools.count()

        def answer(handler):
            stream(body + b"\n" * (next(count) % 7))(handler)

        server.answer(answer)
        code = (
            "import sys; from pathlib import Path; from trtreg.packages import catalogue\n"
            "from trtreg.packages.settings import *\n"
            "s = Settings(indexes=(Index(name='i', url=sys.argv[1]),))\n"
            "for _ in range(5):\n"
            "    with catalogue.open_all(s, folder=Path(sys.argv[2]), refresh=True) as c:\n"
            "        assert len(c.search('plugin', limit=999)) == 300, c.states\n"
        )
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-W", "error", "-c", code, server.site, str(folder)]
        children = [subprocess.Popen(command, env=environ) for _ in range(2)]
        assert [child.wait(120) for child in children] == [0, 0]
        assert not [*folder.glob("*.tmp")]


def stream(*parts, **headers):
    def send(handler):
        handler.send_response(200)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        for part in parts:
            handler.wfile.write(part)

    return send


def status(code):
    return lambda handler: handler.send_error(code)


GOOD = text_of(release(), release(version="2.0"))
LINES = GOOD.splitlines(keepends=True)
BAD = {
    "gone": (status(404), NotOnServerError, "HTTP 404"),
    "server error": (status(500), DownloadError, "HTTP 500"),
    "forbidden": (status(403), DownloadError, "HTTP 403"),
    "hangs up": (lambda handler: None, DownloadError, "cannot connect"),
    "silent": (lambda handler: time.sleep(1), DownloadError, "does not answer in time"),
    "cut short": (stream(GOOD[:100], **{"Content-Length": str(len(GOOD))}), DownloadError, "broke off"),
    "cut short unseen": (stream(GOOD[:-4]), CatalogueError, "ends before its end"),
    "cut after a line": (stream(*LINES[:2]), CatalogueError, "ends before its end"),
    "empty": (b"", CatalogueError, "not JSON"),
    "a page": (b"<!DOCTYPE html>\n<title>Log in</title>", CatalogueError, "not JSON.*check the URL"),
    "binary": (bytes(range(256)), CatalogueError, "not JSON"),
    "a list": (b"[1]", CatalogueError, "no key 'schema'"),
    "a number": (b"3", CatalogueError, "no key 'schema'"),
    "no schema": (b'{"releases": []}', CatalogueError, "no key 'schema'"),
    "schema of tomorrow": (GOOD.replace(b'"schema": 1', b'"schema": 3'), CatalogueError, "found 3.*upgrade trtreg"),
    "schema true": (GOOD.replace(b'"schema": 1', b'"schema": true'), CatalogueError, "found True"),
    "no releases": (b'{"schema": 1}', CatalogueError, "'releases'"),
    "releases as object": (b'{"schema": 1, "releases": {}}', CatalogueError, "'releases'"),
    "no comma": (GOOD.replace(b"},\n", b"}\n"), CatalogueError, "line 2 lacks a comma"),
    "more after the end": (GOOD + b"x", CatalogueError, "not JSON"),
    "two a line": (GOOD.replace(b"},\n{", b"},{"), CatalogueError, "not JSON: found line 2"),
    "NaN": (GOOD.replace(b"123", b"NaN", 1), CatalogueError, "NaN is no JSON"),
    "no UTF-8": (GOOD.replace(b"The plugin", b"\xff", 1), CatalogueError, "not JSON"),
    "a line without end": (LINES[0] + b'"' + b"x" * (2 << 20), CatalogueError, "line 2 is longer"),
    "a head without end": (b"[" * (2 << 20), CatalogueError, "not JSON"),
    "deep": (LINES[0] + b"[" * 100000 + b"]" * 100000 + b"\n]}", CatalogueError, "not JSON: found line 2"),
    "a huge number": (GOOD.replace(b"123", b"9" * 5000, 1), CatalogueError, "not JSON: found line 2"),
    "a wrong type": (text_of(release(size="x")), CatalogueError, r"'releases\[0\].size'"),
    "no release": (LINES[0] + b"5\n]}", CatalogueError, "Unexpected type int"),
    "the second is wrong": (text_of(release(), release(version="2", ops=[{}])), CatalogueError,
                            r"'releases\[1\].ops\[0\].name'"),
    "javascript": (text_of(release(url="javascript:alert(1)")), CatalogueError, r"'releases\[0\].url'"),
    "a local file": (text_of(release(url="file:///etc/trtplugin_foo-1.0-py3-none-any.whl")), CatalogueError,
                     r"'releases\[0\].url'"),
    "scattered": (text_of(release("a"), release("b"), release("a", "2")), CatalogueError, "found a again"),
    "twice": (text_of(release(), release()), CatalogueError, "twice"),
    "too large": (stream(*LINES[:2], b" " * (1 << 20)), DownloadError, "too large"),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "error", "message"), BAD.values(), ids=BAD)
def test_a_bad_answer_is_told_and_the_cache_kept(server, open_all, folder, reply, error, message):
    limits = Limits(size=3 << 20 if reply is not BAD["too large"][0] else 1 << 16, silence=0.3)
    server.answer(reply)
    with pytest.raises(error, match=message) as caught:
        open_all(server, limits=limits)
    assert "index i0: " in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert [*folder.iterdir()] == []

    server.publish(release())
    open_all(server)
    make_older(folder, 3600)
    server.answer(reply)
    found = open_all(server, limits=limits)
    (state,) = found.states
    assert versions(found.releases("trtplugin-foo")) == ["1.0"]
    assert state.stale
    assert state.age >= 3600
    assert state.problem == str(caught.value)
    assert [path.suffix for path in folder.iterdir()] == [".sqlite3"]

    server.publish(release(version="5.0"))
    assert versions(open_all(server).releases("trtplugin-foo")) == ["5.0"]


def test_depth_is_refused_or_let_pass(server, open_all):
    """Decoding and encoding have limits of their own."""
    for depth in (100, *range(900, 1000), 3000, 30000):
        server.answer(text_of({**release(), "x": "DEEP"}).replace(b'"DEEP"', b"[" * depth + b"]" * depth))
        try:
            found = open_all(server, refresh=True)
        except CatalogueError:
            continue
        assert versions(found.releases("trtplugin-foo")) == ["1.0"]


def test_half_a_pair_is_let_pass_in_a_summary(server, open_all):
    server.publish(release(summary="a\ud800b", yanked="\udfff"))
    assert open_all(server).search("foo")[0].summary == "a b"


@pytest.mark.parametrize(
    "reply",
    [
        text_of(),
        b'{"schema":1,"releases":[]}',
        json.dumps(json.loads(GOOD), indent=2).encode(),
        json.dumps(json.loads(GOOD)).encode(),
        b'{"generator": "of tomorrow", "schema": 1, "releases": [\n' + b"".join(LINES[1:]),
        GOOD.replace(b"\n", b"\r\n"),
    ],
    ids=["empty", "empty in one line", "indented", "in one line", "more keys", "CRLF"],
)
def test_other_ways_of_writing_the_same(server, open_all, reply):
    server.answer(reply)
    assert len(open_all(server).releases("trtplugin-foo")) == len(json.loads(reply)["releases"])


class TestOneIndex:
    """A project is taken from the first index that lists its name, and from no other."""

    @pytest.fixture
    def other(self):
        with serve() as server:
            yield server

    def test_a_higher_version_elsewhere_does_not_count(self, server, other, open_all):
        """Dependency confusion: somebody publishes 99.0 of a private name in the public index."""
        server.publish(release(ops=["Foo"]))
        other.publish(
            release(version="99.0", ops=["Foo", "Evil"], summary="evil"), release("trtplugin-other", ops=["Other"])
        )
        found = open_all(server, other)
        assert versions(found.releases("trtplugin-foo")) == ["1.0"]
        assert found.owner("TRTplugin_foo").name == "i0"
        assert [(r.project, r.version, r.index) for r in found.providing("Foo")] == [("trtplugin-foo", "1.0", "i0")]
        assert found.providing(CreatorKey("Evil", "1")) == ()
        assert found.search("evil") == ()
        assert [(p.name, p.index) for p in found.search("trtplugin")] == [
            ("trtplugin-foo", "i0"),
            ("trtplugin-other", "i1"),
        ]
        assert found.releases("trtplugin-other")[0].index == "i1"
        # The order is the user's to say.
        assert versions(open_all(other, server).releases("trtplugin-foo")) == ["99.0"]

    def test_another_spelling_is_the_same_name(self, server, other, open_all):
        other.publish({**release(version="99.0"), "project": "TRTplugin.Foo"})
        assert versions(open_all(server, other).releases("trtplugin-foo")) == ["1.0"]

    def test_a_name_stays_owned_when_all_of_it_is_yanked(self, server, other, open_all):
        server.publish(release(yanked="broken"))
        other.publish(release(version="99.0"))
        assert versions(open_all(server, other).releases("trtplugin-foo")) == ["1.0"]

    @pytest.mark.parametrize("reply", [status(500), status(404), b"<html>"])
    def test_an_index_that_fails_does_not_give_its_names_away(self, server, other, open_all, reply):
        other.publish(release(version="99.0"))
        server.answer(reply)
        with pytest.raises((DownloadError, CatalogueError), match="index i0"):
            open_all(server, other)

    def test_nor_does_its_cache(self, server, other, open_all, folder):
        other.publish(release(version="99.0"))
        open_all(server, other)
        make_older(folder, 3600)
        server.answer(status(500))
        assert versions(open_all(server, other).releases("trtplugin-foo")) == ["1.0"]


class TestQueries:
    @pytest.fixture
    def found(self, server, open_all):
        server.publish(
            release("trtplugin-dcnv2", "0.9", ["DCNv2"], summary="Modulated deformable convolution"),
            release("trtplugin-dcnv2", "0.10", ["DCNv2", "MMCVModulatedDeformConv2d"], summary="Newest"),
            release("trtplugin-dcnv2", "1.0rc1", ["DCNv2"], summary="Candidate"),
            release("trtplugin-hswish", "1.0", ["HSwish"], summary="An activation, très bien"),
            release("trtplugin-nms", "1.0", [op("NMS", "2", "space"), op("NMS", "1")], summary="Conv of boxes"),
        )
        return open_all(server)

    def test_releases_come_newest_first(self, found):
        assert versions(found.releases("TRTplugin_DCNv2")) == ["1.0rc1", "0.10", "0.9"]
        assert found.releases("nothing") == ()
        assert found.owner("nothing") is None

    @pytest.mark.parametrize(
        ("key", "expected"),
        [
            ("NMS", ["trtplugin-nms"]),
            (CreatorKey("NMS", "1"), ["trtplugin-nms"]),
            (CreatorKey("NMS", "2", "space"), ["trtplugin-nms"]),
            (CreatorKey("NMS", "2"), []),
            (CreatorKey("MMCVModulatedDeformConv2d", "1"), ["trtplugin-dcnv2"]),
            ("nms", []),
        ],
    )
    def test_providers_of_an_op(self, found, key, expected):
        assert [each.project for each in found.providing(key)] == expected

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            ("dcnv2", ["trtplugin-dcnv2"]),
            ("DCN", ["trtplugin-dcnv2"]),
            ("deform conv", ["trtplugin-dcnv2"]),
            ("deformconv2d", ["trtplugin-dcnv2"]),
            ("conv2d", ["trtplugin-dcnv2"]),
            ("conv", ["trtplugin-dcnv2", "trtplugin-nms"]),  # in an op before in a summary
            ("conv boxes", ["trtplugin-nms"]),
            ("swish", ["trtplugin-hswish"]),
            ("tres", ["trtplugin-hswish"]),
            ("newest", ["trtplugin-dcnv2"]),
            ("candidate", []),
            ("nothing", []),
            ("", []),
            ('" OR * - ( NEAR', []),
            ("trtplugin-dcnv2", ["trtplugin-dcnv2"]),
        ],
    )
    def test_search(self, found, words, expected):
        assert [project.name for project in found.search(words)] == expected

    def test_a_search_is_limited(self, found):
        assert len(found.search("trtplugin", limit=2)) == 2

    def test_a_project_is_shown_as_its_newest_release(self, found):
        project = found.project("trtplugin-dcnv2")
        assert (project.version, project.summary) == ("0.10", "Newest")
        assert project.ops == ("DCNv2", "MMCVModulatedDeformConv2d")
        assert found.project("nothing") is None

    def test_names_that_look_alike(self, found):
        assert found.projects_named_like("trtplugin-dcn")[0] == "trtplugin-dcnv2"
        assert found.ops_named_like("hswich") == ("HSwish",)
        assert found.ops_named_like("Zzzz") == ()

    def test_no_index(self):
        with catalogue.open_all(Settings()) as found:
            assert found.search("x") == found.providing("x") == found.releases("x") == ()
            with pytest.raises(IndexSettingError, match="TRTREG_INDEX"):
                found.require()


def test_advice_from_the_cache_asks_nobody(server, open_all, folder):
    assert catalogue.cached(settings_for(server), folder=folder) is None
    open_all(server)
    make_older(folder, 10**6)
    with catalogue.cached(settings_for(server), folder=folder) as found:
        assert versions(found.releases("trtplugin-foo")) == ["1.0"]
    assert len(server.log) == 1


def test_advice_ends_before_an_index_that_is_not_cached(server, open_all, folder):
    with serve() as other:
        open_all(server)
        assert catalogue.cached(settings_for(other, server), folder=folder) is None
        with catalogue.cached(settings_for(server, other), folder=folder) as found:
            assert [index.name for index in found.indexes] == ["i0"]


def test_a_catalogue_that_is_not_closed_closes_itself(server, folder):
    """Else a ResourceWarning would end this test."""
    found = catalogue.open_all(settings_for(server), folder=folder)
    del found


def test_a_page_damaged_later_is_told(server, open_all, folder):
    server.publish(*(release(f"p{n:04}") for n in range(300)))
    found = open_all(server)
    (path,) = folder.glob("*.sqlite3")
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * (path.stat().st_size - 8192))
    with pytest.raises(CatalogueError, match="cached catalogue"):
        [found.releases(f"p{number:04}") for number in range(300)]


def test_the_file_holds_no_pickle_and_is_plain_sqlite(server, open_all, folder):
    open_all(server)
    (path,) = folder.glob("*.sqlite3")
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
