"""A large index: its catalogue in shards, as it is published and as trtreg reads it; two processes that write it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import textwrap
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from trtreg import errors
from trtreg.index import Publisher, beside, catalogue, check
from trtreg.manifest import CreatorKey
from trtreg.packages import catalogue as client
from trtreg.packages.settings import Index, Settings

from .conftest import tree

ROOT = str(Path(__file__).resolve().parents[2])
MANY = [f"trtplugin-{chr(97 + number)}" for number in range(8)]


@pytest.fixture(autouse=True)
def small_limit(monkeypatch):
    """Five wheels are a large index here."""
    monkeypatch.setattr(catalogue, "LARGEST", 4)


@pytest.fixture
def many(make):
    return [make(name, op=f"Op{name[-1].upper()}") for name in MANY]


def root(site):
    return json.loads((site / "catalogue.json").read_text(encoding="utf-8"))


def validate(document, schema):
    text = files("trtreg").joinpath(f"schema/{schema}.schema.json").read_text(encoding="utf-8")
    jsonschema.Draft202012Validator.check_schema(json.loads(text))
    jsonschema.validate(document, json.loads(text), cls=jsonschema.Draft202012Validator)


# -- publishing


def test_the_catalogue_names_shards_and_projects(publisher, many, make, wheels, site):
    make(MANY[0], "0.9", op="Older")
    publisher.build([wheels])
    document = root(site)
    validate(document, "large-catalogue")
    assert [one["project"] for one in document["projects"]] == MANY
    assert document["projects"][0]["older_ops"] == [["Older", "1", ""]]
    found = []
    for shard, sha256 in document["shards"].items():
        data = (site / f"catalogue/{shard}.json").read_bytes()
        assert hashlib.sha256(data).hexdigest() == sha256
        validate(json.loads(data), "catalogue")
        found += [(one["project"], shard) for one in json.loads(data)["releases"]]
    assert sorted(found) == sorted(
        (one["project"], one["shard"]) for one in document["projects"] for _ in range(one["files"])
    )
    assert list(check(site)) == []


def test_one_more_wheel_rewrites_a_fixed_number_of_files(publisher, many, make, wheels, site):
    publisher.build([wheels])
    before = {name: (site / name).stat().st_mtime_ns for name in tree(site)}
    report = publisher.build([make(MANY[3], "2.0", op="OpD")])
    written = {name for name in tree(site) if before.get(name) != (site / name).stat().st_mtime_ns}
    shard = next(one["shard"] for one in root(site)["projects"] if one["project"] == MANY[3])
    assert {name for name in written if not name.startswith("files/")} == {
        *(
            "catalogue.json",
            f"catalogue/{shard}.json",
            "assets/plugins.js",
            f"assets/releases/{shard}.js",
            "index.html",
        ),
        *(f"simple/{MANY[3]}/index.{kind}" for kind in ("html", "json")),
    }
    assert report.written == 7
    assert list(check(site)) == []


def test_the_way_to_an_index_does_not_show(tmp_path, publisher, many, make, wheels, site):
    """Wheel by wheel, over the limit and back, every site is the one that one build makes."""
    for number, path in enumerate(many):
        publisher.build([path])
        Publisher(tmp_path / str(number)).build(many[: number + 1])
        assert tree(site) == tree(tmp_path / str(number))
        assert (site / "catalogue").exists() == ("shards" in root(site)) == (number >= 4)
        assert list(check(site)) == []
    for number in range(len(many) - 1, 0, -1):
        publisher.remove(MANY[number], "1.0")
        assert tree(site) == tree(tmp_path / str(number - 1))
        assert list(check(site)) == []


@pytest.mark.parametrize("damage", ["changed", "missing", "strange"])
def test_check_finds_a_wrong_shard(publisher, many, wheels, site, damage):
    publisher.build([wheels])
    shard = site / "catalogue" / f"{min(root(site)['shards'])}.json"
    if damage == "strange":
        shard = shard.with_name("zz.json")
    data = shard.read_bytes() if shard.exists() else b""
    shard.unlink(missing_ok=True)
    if damage != "missing":
        shard.write_bytes(data + b" ")
    assert [problem.path for problem in check(site)] == [f"catalogue/{shard.name}"]
    publisher.build(anew=True)
    assert damage == "strange" or list(check(site)) == []


# -- two processes: each test in a process of its own, since one with threads is never copied

BUILD = textwrap.dedent(
    """
    import os, signal, sys
    from trtreg import errors
    from trtreg.index import Publisher, beside, catalogue, rendering, tree

    site, wheels, limit, end = sys.argv[1:]
    catalogue.LARGEST = int(limit)
    rendering._WORTH_WHILE = 2
    beside._LEAST = 2
    me, forks, fork, add, take = os.getpid(), [], os.fork, tree.Stage.add_page, beside.Shares.__iter__
    has_taken, say = os.pipe()
    os.fork = lambda: forks.append(fork()) or forks[-1]

    def failing(self, project, files):
        if os.getpid() != me and end:
            if end == "no space":
                raise OSError(28, "No space left on device")
            if end == "bug":
                raise ValueError("a bug")
            os.kill(os.getpid(), signal.SIGKILL)
        add(self, project, files)

    def take_in_turn(self):
        shares = take(self)
        if os.getpid() == me:
            os.read(has_taken, 1)
            yield from shares
        else:
            share = next(shares)
            os.write(say, b".")
            yield share

    tree.Stage.add_page, beside.Shares.__iter__ = failing, take_in_turn
    try:
        report = Publisher(site).build([wheels], processes=2)
    except errors.IndexPublishError as error:
        print(len(forks), error)
    else:
        print(len(forks), report.projects)
    """
)
SHARED = textwrap.dedent(
    """
    import sys, time
    from trtreg.index import beside

    def take():
        for _, names in shares:
            time.sleep(0.001)
            taken.extend(names)

    def take_beside():
        take()
        with open(sys.argv[1], "w") as file:
            file.write(" ".join(taken))
        return len(taken)

    taken = []
    with beside.Shares([f"{number:05}" for number in range(6000)]) as shares:
        with beside.beside(take_beside) as others:
            take()
            assert len(taken) + others() == 6000
    print(*taken)
    """
)
INTERRUPTED = textwrap.dedent(
    """
    import os, time
    from trtreg.index import beside

    try:
        with beside.beside(lambda: time.sleep(100) or 0):
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        print("no process is left")
    """
)


def run(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ROOT})
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.parametrize("limit", [4, 100])
def test_two_processes_write_what_one_writes(tmp_path, many, make, wheels, monkeypatch, limit):
    make("helper", manifest=False)
    make("trtplugin-zz", manifest=False)
    one, two = tmp_path / "one", tmp_path / "two"
    monkeypatch.setattr(catalogue, "LARGEST", limit)
    Publisher(one).build([wheels])
    assert run(BUILD, two, wheels, limit, "") == f"1 {len(MANY) + 2}"
    assert tree(one) == tree(two)
    assert list(check(two)) == []
    assert {path.name for path in (two / ".trtreg").iterdir()} == {"ledger.sqlite3", "lock"}


def test_two_processes_take_each_share_once(tmp_path):
    mine = run(SHARED, tmp_path / "others").split()
    others = (tmp_path / "others").read_text().split()
    assert mine
    assert others
    assert sorted(mine + others) == [f"{number:05}" for number in range(6000)]


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 12_800, 12_801, 100_000])
def test_shares_have_all(count):
    names = [str(number) for number in range(count)]
    with beside.Shares(names) as shares:
        found = list(shares)
        assert list(shares) == []
    assert [name for _, some in found for name in some] == names
    assert [begin for begin, _ in found] == [int(some[0]) for _, some in found]


@pytest.mark.parametrize(("end", "said"), [("no space", "No space left"), ("killed", "killed"), ("bug", "a bug")])
def test_a_second_process_that_fails_fails_the_command(site, many, wheels, end, said):
    told = run(BUILD, site, wheels, 4, end)
    assert told.startswith("1 ")
    assert said in told
    assert not (site / "catalogue.json").exists()
    assert Publisher(site).build().recovered
    assert list(check(site)) == []


def test_an_error_here_ends_the_other_process():
    assert run(INTERRUPTED) == "no process is left"


# -- reading


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def opened(site, folder, **options):
    settings = Settings(indexes=(Index(name="large", url=f"{site.as_uri()}/"),))
    return client.open_all(settings, folder=folder, **options)


def shards_in(folder):
    return len(list(folder.glob("*.??.v*")))


def test_a_shard_is_read_where_it_is_needed(publisher, many, make, wheels, site, folder):
    make(MANY[0], "0.9", op="Older")
    publisher.build([wheels])
    with opened(site, folder) as found:
        assert found.states[0].releases == len(MANY) + 1
        assert [one.name for one in found.search("OpC")] == [MANY[2]]
        assert found.project(MANY[2]).version == "1.0"
        assert len(found.op_names()) == len(MANY) + 1
        assert found.ops_named_like("opd")[0] == "OpD"
        assert shards_in(folder) == 0
        (release,) = found.providing(CreatorKey("OpB", "1"))
        assert release.url == f"{site.as_uri()}/files/{MANY[1]}/{release.file}"
        assert shards_in(folder) == 1
        assert [one.version for one in found.providing("Older")] == ["0.9"]
        assert [one.version for one in found.releases(MANY[0])] == ["1.0", "0.9"]
        assert found.releases("trtplugin-nothing") == ()
    with opened(site, folder, offline=True) as found:
        assert len(found.releases(MANY[1])) == 1
        far = next(name for name in MANY if name[-1] not in "ab" and found.project(name) and far_from(site, name))
        with pytest.raises(errors.NotCachedError, match="without --offline"):
            found.releases(far)


def far_from(site, name):
    """Whether a project is in another shard than the first two."""
    shards = {one["project"]: one["shard"] for one in root(site)["projects"]}
    return shards[name] not in {shards[MANY[0]], shards[MANY[1]]}


def test_an_index_that_changes_meanwhile_is_asked_again(publisher, many, make, wheels, site, folder):
    publisher.build([wheels])
    with opened(site, folder) as found:
        publisher.build([make(MANY[0], "2.0", op="OpA")])
        assert [one.version for one in found.releases(MANY[0])] == ["2.0", "1.0"]
        publisher.remove(MANY[1], "1.0")
        assert found.releases(MANY[1]) == ()
        publisher.build([make(MANY[1], "3.0", op="OpB")])
    with opened(site, folder) as found:
        assert [one.version for one in found.releases(MANY[1])] == ["3.0"]


def test_advice_has_no_release_of_a_shard_that_is_not_cached(publisher, many, wheels, site, folder, tmp_path):
    publisher.build([wheels])
    other = tmp_path / "other"
    Publisher(other).build([wheels])
    settings = Settings(indexes=tuple(Index(name=one.name, url=f"{one.as_uri()}/") for one in (site, other)))
    client.open_all(settings, folder=folder).close()
    with client.cached(settings, folder=folder) as found:
        assert found.releases(MANY[0]) == found.providing("OpA") == ()
        assert [one.name for one in found.search("OpA")] == [MANY[0]]


def test_a_shard_without_the_project_does_not_give_its_name_away(publisher, many, wheels, site, folder):
    publisher.build([wheels])
    document = root(site)
    shard = document["projects"][0]["shard"]
    empty = b'{"schema": 1, "releases": [\n]}\n'
    (site / f"catalogue/{shard}.json").write_bytes(empty)
    document["shards"][shard] = hashlib.sha256(empty).hexdigest()
    (site / "catalogue.json").write_text(json.dumps(document))
    with opened(site, folder) as found, pytest.raises(errors.CatalogueError, match="no release of it"):
        found.releases(MANY[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shards": 3}, "'shards'"),
        ({"shards": {"../x": "0" * 64}}, "shards"),
        ({"shards": {"00": "0"}}, r"shards\.00"),
        ({"shard": "../../x"}, r"projects\[0\]\.shard"),
        ({"project": "x\u202ey"}, r"projects\[0\]\.project"),
        ({"version": "\u001b[31m"}, r"projects\[0\]\.version"),
        ({"files": -1}, r"projects\[0\]\.files"),
        ({"ops": [["a", "1"]]}, r"projects\[0\]\.ops\[0\]"),
        ({"ops": [["a\u0007", "1", ""]]}, "name"),
    ],
)
def test_a_hostile_list_is_refused(publisher, many, wheels, site, folder, change, message):
    publisher.build([wheels])
    document = root(site)
    (document if "shards" in change else document["projects"][0]).update(change)
    (site / "catalogue.json").write_text(json.dumps(document))
    with pytest.raises(errors.CatalogueError, match=message):
        opened(site, folder)
