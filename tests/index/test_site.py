"""Publishing: incremental, deterministic, recoverable at every step, one publisher at a time."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from trtreg import errors
from trtreg.index import Publisher, catalogue, check
from trtreg.index import wheels as wheel_module

from .conftest import releases, tree

ROOT = Path(__file__).resolve().parents[2]


def page(site, project="trtplugin-one"):
    return json.loads((site / "simple" / project / "index.json").read_text(encoding="utf-8"))


def test_what_a_site_has(publisher, make, wheels, site):
    path = make(requires=["trtreg>=0.1"], metadata="Requires-Python: >=3.10")
    make("helper", manifest=False)
    report = publisher.build([wheels])
    assert report.added == ["helper-1.0-py3-none-any.whl", path.name]
    shown = {name for name in tree(site) if not name.startswith(("assets/", "index.html"))}
    assert shown == {
        "catalogue.json",
        "simple/index.html",
        "simple/index.json",
        *(f"simple/{project}/index.{kind}" for project in ("helper", "trtplugin-one") for kind in ("html", "json")),
        "files/helper/helper-1.0-py3-none-any.whl",
        "files/helper/helper-1.0-py3-none-any.whl.metadata",
        f"files/trtplugin-one/{path.name}",
        f"files/trtplugin-one/{path.name}.metadata",
    }
    (file,) = page(site)["files"]
    assert file["upload-time"] == "2026-09-21T14:13:20Z"
    assert file["requires-python"] == ">=3.10"
    assert file["size"] == path.stat().st_size
    assert (site / f"files/trtplugin-one/{path.name}").read_bytes() == path.read_bytes()
    assert (site / f"files/trtplugin-one/{path.name}.metadata").read_bytes().startswith(b"Metadata-Version")
    assert list(check(site)) == []


def test_the_catalogue_fits_its_schema(publisher, make, wheels, site):
    make(requires=["trtreg>=0.1"])
    make("helper", manifest=False)
    publisher.build([wheels])
    document = json.loads((site / "catalogue.json").read_text(encoding="utf-8"))
    schema = json.loads(files("trtreg").joinpath("schema/catalogue.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)
    (release,) = document["releases"]  # a wheel without a manifest has no line
    assert release["ops"] == [
        {
            "name": "One",
            "version": "1",
            "namespace": "",
            "inputs": [1, 2],
            "outputs": [1, 1],
            "fields": [["groups", "int32", 1], ["group", "int32", 1, "groups"]],
        }
    ]
    assert set(release) == set(schema["properties"]["releases"]["items"]["required"])


def test_the_client_reads_the_catalogue(publisher, make, wheels, site):
    release_module = pytest.importorskip("trtreg.packages.release")
    make()
    publisher.build([wheels])
    (data,) = releases(site)
    release = release_module.Release.parse(data, "https://example.org/sub/catalogue.json")
    assert release.url.startswith("https://example.org/sub/files/trtplugin-one/")
    assert [op.name for op in release.ops] == ["One"]


def test_versions_are_sorted_as_versions(publisher, make, wheels, site):
    for version in ("1.10", "1.9", "1.9rc1", "0.1", "1.9+cu13"):
        make(version=version)
    publisher.build([wheels])
    assert page(site)["versions"] == ["0.1", "1.9rc1", "1.9", "1.9+cu13", "1.10"]
    assert [one["version"] for one in releases(site)] == ["0.1", "1.9rc1", "1.9", "1.9+cu13", "1.10"]
    assert page(site)["files"][3]["url"].endswith("-1.9%2Bcu13-py3-none-any.whl")


def test_one_more_wheel_is_the_only_one_read(publisher, make, wheels, site, monkeypatch):
    for project in ("trtplugin-one", "trtplugin-three"):
        make(project, op=project)
    publisher.build([wheels])
    times = {name: (site / name).stat().st_mtime_ns for name in tree(site)}
    read = []
    real = wheel_module.read
    monkeypatch.setattr(wheel_module, "read", lambda path, name: read.append(name.file) or real(path, name))
    new = make("trtplugin-two", op="Two")
    report = publisher.build([wheels])
    assert read == report.added == [new.name]
    assert report.unchanged == 2
    changed = {name for name in tree(site) if times.get(name) != (site / name).stat().st_mtime_ns}
    assert not any("trtplugin-one" in name or "trtplugin-three" in name for name in changed)
    assert [one["project"] for one in releases(site)] == ["trtplugin-one", "trtplugin-three", "trtplugin-two"]
    assert list(check(site)) == []

    read.clear()
    report = publisher.build([wheels])
    assert (read, report.written, report.unchanged) == ([], 0, 3)


def test_a_touched_wheel_is_read_again_and_changes_nothing(publisher, make, wheels, site):
    path = make()
    publisher.build([wheels])
    before = tree(site)
    path.unlink()
    make()
    os.utime(path, (1, 1))
    report = publisher.build([wheels])
    assert (report.added, report.unchanged, tree(site)) == ([], 1, before)


@pytest.mark.parametrize("names", [["a", "b", "c"], ["c", "a", "b"]])
def test_any_order_of_changes_gives_the_catalogue_of_one_build(tmp_path, make, wheels, names):
    """Merging changed projects into the catalogue before must be the same as writing it anew."""
    all_of_them = [*names, "a-b", "aa", "z"]
    one = Publisher(tmp_path / "one")
    for number, name in enumerate(all_of_them):
        make(name, op=name)
        if number % 2:
            make(name, version="2.0", op=name)
        one.build([wheels])
    one.remove("b", "1.0")
    make("b", version="3.0", op="B")
    one.build([wheels / "b-3.0-py3-none-any.whl"])
    other = Publisher(tmp_path / "other")
    rest = [path for path in wheels.iterdir() if path.name != "b-1.0-py3-none-any.whl"]
    other.build(rest)
    assert tree(tmp_path / "one") == tree(tmp_path / "other")
    assert list(check(tmp_path / "one")) == []


def test_the_same_wheels_give_the_same_bytes(tmp_path, make, wheels):
    for name in ("trtplugin-one", "trtplugin-two", "a-b", "a", "ab"):
        make(name, op=name)
        make(name, version="2.0", op=name)
    Publisher(tmp_path / "x").build(sorted(wheels.iterdir()))
    elsewhere = shutil.copytree(wheels, tmp_path / "elsewhere")
    Publisher(tmp_path / "y").build(sorted(elsewhere.iterdir(), reverse=True))
    assert tree(tmp_path / "x") == tree(tmp_path / "y")
    Publisher(tmp_path / "x").build(anew=True)
    assert tree(tmp_path / "x") == tree(tmp_path / "y")


def test_many_wheels_are_read_by_several_processes(tmp_path, make, wheels, monkeypatch):
    from trtreg.index import intake

    monkeypatch.setattr(intake, "_WORTH_WHILE", (10, 1 << 40))
    monkeypatch.setattr(intake, "_BATCH", 3)
    for number in range(20):
        make(f"p{number}", op=f"P{number}")
    (wheels / "bad-1.0-py3-none-any.whl").write_bytes(b"")
    report = Publisher(tmp_path / "x").build([wheels], processes=2)
    assert (len(report.added), len(report.refused)) == (20, 1)
    Publisher(tmp_path / "y").build([wheels])
    assert tree(tmp_path / "x") == tree(tmp_path / "y")


def test_yank_and_unyank(publisher, make, wheels, site):
    make()
    make(version="2.0")
    publisher.build([wheels])
    before = tree(site)
    publisher.yank("TrtPlugin_One", "2", "wrong results")
    assert [file["yanked"] for file in page(site)["files"]] == [False, "wrong results"]
    assert [one["yanked"] for one in releases(site)] == [False, "wrong results"]
    publisher.yank("trtplugin-one", "2.0")
    assert [file["yanked"] for file in page(site)["files"]] == [False, True]
    assert 'data-yanked=""' in (site / "simple/trtplugin-one/index.html").read_text()
    assert [one["yanked"] for one in releases(site)] == [False, ""]
    assert list(check(site)) == []
    publisher.unyank("trtplugin-one", "2.0")
    assert tree(site) == before


def test_remove(publisher, make, wheels, site):
    make()
    two = make(version="2.0")
    make("trtplugin-two", op="Two")
    publisher.build([wheels])
    assert publisher.remove("trtplugin-one", two.name).removed == [two.name]
    assert page(site)["versions"] == ["1.0"]
    publisher.remove("trtplugin-one", "1.0")
    assert not (site / "simple/trtplugin-one").exists()
    assert not (site / "files/trtplugin-one").exists()
    assert "trtplugin-one" not in (site / "simple/index.html").read_text()
    assert list(check(site)) == []
    publisher.remove("trtplugin-two", "1.0")
    assert json.loads((site / "catalogue.json").read_text()) == {"schema": 1, "releases": []}
    assert list(check(site)) == []
    assert len(publisher.build([wheels]).added) == 3


def test_statuses(publisher, make, wheels, site):
    make()
    publisher.build([wheels])
    before = tree(site)
    publisher.set_status("trtplugin-one", "archived", "see trtplugin-two")
    assert page(site)["project-status"] == {"status": "archived", "reason": "see trtplugin-two"}
    assert 'name="pypi:project-status" content="archived"' in (site / "simple/trtplugin-one/index.html").read_text()
    assert [one["status"] for one in releases(site)] == ["archived"]
    make(version="2.0")
    assert "its project is archived" in publisher.build([wheels]).refused[0].reason

    publisher.set_status("trtplugin-one", "quarantined")
    assert page(site)["files"] == []
    assert "<a " not in (site / "simple/trtplugin-one/index.html").read_text()
    assert [one["status"] for one in releases(site)] == ["quarantined"]  # its name stays taken
    assert list(check(site)) == []

    publisher.set_status("trtplugin-one", "active")
    assert tree(site) == before


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda p: p.yank("trtplugin-on", "1.0"), "near it: trtplugin-one"),
        (lambda p: p.yank("trtplugin-one", "3.0"), "found 1.0"),
        (lambda p: p.remove("trtplugin-one", "garbage"), "found 1.0"),
        (lambda p: p.yank("trtplugin-one", "1.0", "two\nlines"), "one line"),
        (lambda p: p.set_status("trtplugin-one", "dead"), "one of active"),
    ],
)
def test_what_cannot_be_done(publisher, make, wheels, change, error):
    make()
    publisher.build([wheels])
    with pytest.raises(errors.IndexPublishError, match=error):
        change(publisher)


def test_only_an_index_is_changed(publisher, site):
    with pytest.raises(errors.NotPublishedError, match="is no index"):
        publisher.yank("x", "1")
    site.mkdir()
    (site / "thesis.tex").write_text("")
    with pytest.raises(errors.IndexPublishError, match="not empty"):
        publisher.build()


def test_a_packages_url(publisher, make, wheels, site):
    path = make(version="1.0+cu13")
    publisher.build([wheels], packages_url="https://example.org/w")
    (file,) = page(site)["files"]
    assert file["url"] == f"https://example.org/w/{path.name.replace('+', '%2B')}" == releases(site)[0]["url"]
    assert "core-metadata" not in file
    assert not (site / "files").exists()
    make("trtplugin-two", op="Two")
    publisher.build([wheels])  # it is kept
    assert page(site, "trtplugin-two")["files"][0]["url"].startswith("https://example.org/w/")
    publisher.build(packages_url="https://example.net/")
    assert releases(site)[1]["url"].startswith("https://example.net/trtplugin_two")
    assert list(check(site)) == []
    with pytest.raises(errors.IndexPublishError, match="cannot turn"):
        publisher.build(packages_url="")


def test_a_second_publisher_is_refused(publisher, make, wheels, site):
    make()
    publisher.build([wheels])
    with (site / ".trtreg/lock").open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(errors.IndexBusyError, match=f"found process {os.getpid()}"):
            publisher.yank("trtplugin-one", "1.0")
        with pytest.raises(errors.IndexBusyError):
            list(check(site))
    publisher.yank("trtplugin-one", "1.0")


def test_a_wheel_on_another_file_system_is_copied(publisher, make, wheels, site, monkeypatch):
    def refuse(*_arguments, **_keywords):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    path = make()
    publisher.build([wheels])
    assert (site / f"files/trtplugin-one/{path.name}").read_bytes() == path.read_bytes()


def test_a_private_wheel_is_copied_so_that_a_server_can_read_it(publisher, make, wheels, site):
    path = make()
    path.chmod(0o600)
    publisher.build([wheels])
    assert (site / f"files/trtplugin-one/{path.name}").stat().st_mode & 0o044 == 0o044


def test_a_wheel_that_changes_before_it_is_placed(publisher, make, wheels, site, monkeypatch):
    path = make()
    real = os.link

    def link(source, target, **keywords):
        with path.open("ab") as file:
            file.write(b"x")
        real(source, target, **keywords)

    monkeypatch.setattr(os, "link", link)
    assert "was changed" in publisher.build([wheels]).refused[0].reason
    assert not (site / f"files/trtplugin-one/{path.name}").exists()


@pytest.mark.parametrize("content", [b"garbage" * 1000, None])
def test_a_ledger_that_is_not_ours(publisher, make, wheels, site, content):
    make()
    publisher.build([wheels])
    ledger = site / ".trtreg/ledger.sqlite3"
    if content:
        ledger.write_bytes(content)
    else:
        import sqlite3

        with sqlite3.connect(ledger) as database:
            database.execute("PRAGMA user_version = 99")
        database.close()
    with pytest.raises(errors.LedgerError):
        publisher.build([wheels])


# -- what check finds

WHEEL = "files/trtplugin-one/trtplugin_one-1.0-py3-none-any.whl"


@pytest.mark.parametrize(
    "path",
    [
        *(WHEEL, f"{WHEEL}.metadata", "simple/trtplugin-one/index.html", "simple/trtplugin-one/index.json"),
        *("simple/index.html", "simple/index.json", "catalogue.json"),
    ],
)
def test_check_finds(publisher, make, wheels, site, path):
    make()
    publisher.build([wheels])
    file = site / path
    data = file.read_bytes()
    for content in (data[:-1] + b"X", data + b"X", data[:-1], b""):
        file.unlink()
        file.write_bytes(content)
        assert [problem.path for problem in check(site)] == [path]
    file.unlink()
    assert [problem.problem for problem in check(site)] == ["is missing"]
    if not path.startswith("files/"):
        publisher.build(anew=True)
        assert file.read_bytes() == data
        assert list(check(site)) == []


@pytest.mark.parametrize(
    "path", ["files/evil/x.whl", f"{WHEEL}.exe", "simple/evil/index.html", "simple/trtplugin-one/x", "simple/y"]
)
def test_check_finds_what_is_not_the_indexs_own(publisher, make, wheels, site, path):
    make()
    publisher.build([wheels])
    (site / path).parent.mkdir(exist_ok=True)
    (site / path).write_bytes(b"")
    (problem,) = check(site)
    assert path.startswith(problem.path)
    assert problem.problem == "is not the index's own"


def test_a_quick_check_finds_a_wheel_of_another_size(publisher, make, wheels, site):
    make()
    publisher.build([wheels])
    file = site / WHEEL
    data = file.read_bytes()
    file.unlink()
    file.write_bytes(data[:-1])
    assert len(list(check(site, quick=True))) == 1
    file.write_bytes(data[:-1] + b"X")
    assert list(check(site, quick=True)) == []


def test_pages_that_somebody_deleted_are_made_again(publisher, make, wheels, site):
    make()
    publisher.build([wheels])
    before = tree(site)
    shutil.rmtree(site / "simple")
    (site / "catalogue.json").unlink()
    publisher.build([wheels])
    assert tree(site) == before


# -- crashes

CRASH = textwrap.dedent(
    """
    import os, shutil, signal, sys, sqlite3
    from trtreg.index import Publisher, catalogue, ledger, site as site_module

    start, action, wheels, folder, limit = sys.argv[1:]
    catalogue.LARGEST = int(limit)
    CALLS = ["replace", "rename", "link", "unlink", "mkdir", "rmdir", "fsync", "write", "open"]

    def run(step):
        # Kill this process right before the step-th change of the disk.
        left = [step]
        def wrap(real):
            def call(*arguments, **keywords):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments, **keywords)
            return call
        for name in CALLS:
            setattr(os, name, wrap(getattr(os, name)))
        for name in ("begin", "commit", "add", "know", "settle", "set"):
            setattr(ledger.Ledger, name, wrap(getattr(ledger.Ledger, name)))
        publisher = Publisher(folder)
        {"build": lambda: publisher.build([wheels]),
         "yank": lambda: publisher.yank("trtplugin-one", "1.0"),
         "remove": lambda: publisher.remove("trtplugin-one", "1.0")}[action]()
        os._exit(0)

    step = 0
    while True:
        step += 1
        shutil.rmtree(folder, ignore_errors=True)
        if os.path.isdir(start):
            shutil.copytree(start, folder, copy_function=shutil.copy2)
        child = os.fork()
        if not child:
            try:
                run(step)
            except BaseException:
                import traceback; traceback.print_exc()
                os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(step, code, flush=True)
        if sys.stdin.readline() != "go on\\n" or code >= 0:
            break
    """
)


@pytest.mark.slow
@pytest.mark.parametrize("action", ["build", "first", "yank", "remove", "build large", "remove large", "build grows"])
def test_killed_at_every_step(  # noqa: C901, PLR0912, PLR0915 - one story
    tmp_path, make, wheels, action, monkeypatch
):
    """A crash leaves the old site or the new one, or new pages with the old catalogue; the next command finishes."""
    start, folder = tmp_path / "start", tmp_path / "site"
    action, _, size = action.partition(" ")
    limit = {"": catalogue.LARGEST, "large": 0, "grows": 3}[size]  # wheels up to which the catalogue is one file
    monkeypatch.setattr(catalogue, "LARGEST", limit)
    make()
    if action != "first":
        make("trtplugin-gone", op="Gone")
        Publisher(start).build([wheels])
        if action == "build":
            make("trtplugin-two", op="Two")
            make(version="2.0")
    kind = "build" if action == "first" else action
    old = tree(start)
    done = shutil.copytree(start, tmp_path / "done") if start.exists() else tmp_path / "done"
    publisher = Publisher(done)
    if kind == "build":
        publisher.build([wheels])
    else:
        getattr(publisher, kind)("trtplugin-one", "1.0")
    new = tree(done)
    assert old != new

    command = [sys.executable, "-c", CRASH, str(start), kind, str(wheels), str(folder), str(limit)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    seen = set()
    steps = 0
    with subprocess.Popen(command, **pipes, env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:
        for line in process.stdout:
            _, code = map(int, line.split())
            assert code in {0, -signal.SIGKILL}
            steps += 1
            now = tree(folder)
            # A reader finds every page and list whole, as it was or as it will be; every link leads to a file.
            for name, data in now.items():
                if not name.startswith("files/"):
                    assert data in {old.get(name), new.get(name)}, name
            if b'"shards"' in now.get("catalogue.json", b""):
                assert all(f"catalogue/{shard}.json" in now for shard in json.loads(now["catalogue.json"])["shards"])
            pages = [data.decode() for name, data in now.items() if name.startswith("simple/") and name.count("/") == 2]
            for project in ("trtplugin-one", "trtplugin-two", "trtplugin-gone"):
                for name in {n for n in {**old, **new} if n.startswith(f"files/{project}/") and n.endswith(".whl")}:
                    if any(name in text for text in pages):
                        assert name in now
            seen.add("new" if {n: d for n, d in now.items() if n in new} == new else "old" if now == old else "between")
            # The next command, whichever it is, finishes or undoes what was begun.
            recovered = tree_after_next(folder)
            if recovered is not None:
                assert {n for n in recovered if recovered[n] not in {old.get(n), new.get(n)}} == set()
                assert recovered in (old, new)
            if kind == "build":
                Publisher(folder).build([wheels])
                assert tree(folder) == new
            assert list(check(folder)) == [] if (folder / ".trtreg/ledger.sqlite3").exists() else True
            process.stdin.write("go on\n")
            process.stdin.flush()
            if code == 0:
                break
    assert process.returncode == 0
    assert steps > 20
    assert {"old", "new"} <= seen


def tree_after_next(folder):
    """Give what a command that changes nothing leaves; None where there is no index yet."""
    if not (folder / ".trtreg/ledger.sqlite3").exists():
        return None
    with suppress(errors.NotPublishedError):
        Publisher(folder).yank("no-such-project", "1")
    return tree(folder)


def test_a_site_that_was_damaged_is_mended_also_after_a_crash(publisher, make, wheels, site, monkeypatch):
    """The list of projects of another format tells that all is to be made again, and is in place before the rest is."""
    make()
    publisher.build([wheels])
    before = tree(site)
    (site / "assets" / "plugins.js").write_text("of another format\n", encoding="utf-8")
    (site / "index.html").write_text("of another format", encoding="utf-8")
    replace = os.replace

    def full(source, target):
        if target.endswith("index.html"):
            raise OSError(28, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(errors.IndexPublishError, match="could not be written"):
            publisher.build()
    assert tree(site)["assets/plugins.js"] == before["assets/plugins.js"]
    publisher.build()
    assert tree(site) == before
