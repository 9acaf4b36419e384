"""What trtreg reads of metadata by itself is what importlib.metadata reads, whatever happens to an environment."""

import importlib
import os
import shutil
import sys
import zipfile
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from trtreg import _metadata_scan, discovery

GROUP = "trtreg.plugins"
# Some are one name in other spellings.
NAMES = ("trtplugin-a", "Trtplugin.A", "trtplugin__a", "trtplugin-b")
names, versions, places = st.sampled_from(NAMES), st.sampled_from(("1.0", "1.0.post1", "2!3.0+x")), st.integers(0, 2)
ENTRIES = (
    None,
    "",
    "[console_scripts]\nx = y:z\n",
    "[trtreg.plugins]\nx = package\n",
    "# trtreg.plugins\n[console_scripts]\nx=y\n\n[trtreg.plugins]\n  x=package.inner  \ny = package\n",
    "[trtreg.plugins]\r\nx = one\r\n[other]\r\nx = two\r\n[[trtreg.plugins]\r\ny=three\r\n",
    "x = before\n[trtreg.plugins]\n#x = no\n",
)
# Which only importlib.metadata may judge.
ODD = (
    b"[trtreg.plugins]\nx\n",
    b"[trtreg.plugins]\nx = a b\n",
    b"[x]\ny\n[trtreg.plugins]\nx = a\n",
    b"[a]\nb = \xff\n",
)
METADATA = (
    "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
    "Metadata-Version: 2.4\r\nVERSION:   {version}\r\nSummary: a: b\r\n  Name: no\r\nname:{name}\r\n\r\nName: no\r\n",
    "Name: {name}\nName: another\nVersion: {version}\nClassifier: a\nClassifier: b\n more\n",
    "Name: {name}\x85x: y\nVersion: {version}\n",
    "Name: {name}\n \nVersion: {version}\n",
    "Name: {name} \nVersion: {version}\n",
    "Name: {name}\n more\nVersion: {version}\n",
    "Metadata-Version: 2.1\nVersion: {version}\n",
    "no header\nName: {name}\nVersion: {version}\n",
    "\nName: {name}\nVersion: {version}\n",
    "",
)


def reference(paths):
    """What `importlib.metadata.entry_points()` gives: of distributions of one name, the entries of the first.

    By its rule the name is that of the folder. One that calls itself by the name of another folder is shadowed by that.
    """
    importlib.invalidate_caches()
    normalised, found = _metadata_scan.normalised, []
    every = [one for one in distributions(path=paths) if not one._path.name.startswith("~")]
    keys = [normalised(one._path.name.lower().rpartition(".")[0].partition("-")[0]) for one in every]
    for number, (key, distribution) in enumerate(zip(keys, every, strict=True)):
        entries = [entry.value for entry in distribution.entry_points if entry.group == GROUP]
        if entries and key not in keys[:number]:
            name = distribution.metadata["Name"]
            if normalised(name) in (key, *({normalised(name)} - {*keys})):
                found += [(name, distribution.version, value) for value in entries]
    return sorted(set(found))


def described(plugins):
    return [(p.distribution, p.version, p.package, str(p.root), str(p.problem)) for p in plugins]


def by_importlib(paths):
    importlib.invalidate_caches()
    return described(discovery.scanned(None, paths))


class Environments(RuleBasedStateMachine):
    """Folders on the path to which installers, and people, do what they do."""

    @initialize()
    def begin(self):
        self.root = Path(os.environ["TRTREG_TEST_FOLDER"]) / os.urandom(8).hex()
        self.paths = [str(self.root / name) for name in ("one", "two", "three")]
        for path in self.paths[:2]:
            Path(path).mkdir(parents=True)

    def teardown(self):
        shutil.rmtree(self.root, ignore_errors=True)

    def infos(self, place):
        folder = Path(self.paths[place])
        return sorted(folder.iterdir()) if folder.is_dir() else []

    @rule(
        place=places,
        name=names,
        version=versions,
        entries=st.sampled_from(ENTRIES),
        kind=st.sampled_from((".dist-info", ".dist-info", ".egg-info", ".DIST-INFO")),
        text=st.sampled_from(METADATA[:3]),
    )
    def install(self, place, name, version, entries, kind, text):
        info = Path(self.paths[place], f"{name.replace('-', '_')}-{version}{kind}")
        info.mkdir(parents=True, exist_ok=True)
        file = "PKG-INFO" if kind == ".egg-info" else "METADATA"
        (info / file).write_bytes(text.format(name=name, version=version).encode())
        if entries is not None:
            (info / "entry_points.txt").write_bytes(entries.encode())

    @rule(place=places, number=st.integers(0, 3), version=versions)
    def upgrade(self, place, number, version):
        for info in self.infos(place)[number : number + 1]:
            fresh = info.with_name(f"{info.name.partition('-')[0]}-{version}.dist-info")
            if not fresh.exists():
                info.rename(fresh)

    @rule(place=places, number=st.integers(0, 3), mark=st.booleans())
    def remove(self, place, number, mark):
        for info in self.infos(place)[number : number + 1]:
            if mark and not info.name.startswith("~"):  # as pip does first
                shutil.rmtree(info.with_name(f"~{info.name[1:]}"), ignore_errors=True)
                info.rename(info.with_name(f"~{info.name[1:]}"))
            else:
                shutil.rmtree(info) if info.is_dir() else info.unlink()

    @rule(place=places, number=st.integers(0, 3), text=st.sampled_from(METADATA), name=names, version=versions)
    def edit_metadata(self, place, number, text, name, version):
        for info in self.infos(place)[number : number + 1]:
            if info.is_dir():
                (info / "METADATA").write_bytes(text.format(name=name, version=version).encode())

    @rule(place=places, number=st.integers(0, 3), content=st.sampled_from((*(e.encode() for e in ENTRIES if e), *ODD)))
    def edit_entry_points(self, place, number, content):
        for info in self.infos(place)[number : number + 1]:
            if info.is_dir():
                (info / "entry_points.txt").write_bytes(content)

    @rule(place=places, number=st.integers(0, 3))
    def lose_a_file(self, place, number):
        for info in self.infos(place)[number : number + 1]:
            for file in sorted(info.iterdir())[:1] if info.is_dir() else ():
                file.unlink()

    @rule(place=places)
    def leave_a_single_file(self, place):
        Path(self.paths[place]).mkdir(exist_ok=True)
        Path(self.paths[place], "single-1.0.egg-info").write_text("Name: single\nVersion: 1.0\n", encoding="utf-8")

    @rule(order=st.permutations(range(3)), twice=st.booleans())
    def order(self, order, twice):
        paths = list(dict.fromkeys(self.paths))
        self.paths = [paths[i] for i in order] + ([f"{paths[0]}/"] if twice and not paths[0].endswith("/") else [])
        self.paths = self.paths[:3]

    @invariant()
    def both_find_the_same(self):
        if not hasattr(self, "paths"):
            return
        expected = by_importlib(self.paths)
        assert described(discovery.discover(self.paths)) == expected
        scan = _metadata_scan.read(self.paths)
        if scan is not None:
            assert sorted({(name, version, package) for name, version, package, _ in scan.plugins}) == reference(
                self.paths
            )


@pytest.fixture(autouse=True)
def _folder(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TRTREG_TEST_FOLDER", str(tmp_path_factory.mktemp("environments")))


TestEnvironments = Environments.TestCase
TestEnvironments.settings = settings(
    max_examples=300, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("content", [*(entries.encode() for entries in ENTRIES if entries), *ODD])
@pytest.mark.parametrize("text", METADATA)
@pytest.mark.parametrize("folder", ["a-1.0.dist-info", "a-1.0.egg-info", "A-2.DIST-INFO", "~a-1.0.dist-info", "a-b"])
def test_every_way_of_writing(site, text, content, folder):
    info = site / folder
    info.mkdir()
    (info / "METADATA").write_bytes(text.format(name="a", version="1.0").encode())
    (info / "entry_points.txt").write_bytes(content)
    found = described(discovery.discover([str(site)]))
    assert found == by_importlib([str(site)])
    info.rename(site / "another-1.0.dist-info")
    assert described(discovery.discover([str(site)])) == by_importlib([str(site)])
    assert (found == []) >= (folder in ("~a-1.0.dist-info", "a-b"))


def test_the_usual_is_read_without_importlib_metadata(site, write_metadata, run_python):
    write_metadata("trtplugin-a", "package")
    (site / "other-1.0.dist-info").mkdir()
    code = """
import sys
from trtreg import _metadata_scan
before = {*sys.modules}
print([plugin[:3] for plugin in _metadata_scan.read([sys.argv[1]]).plugins], sorted({*sys.modules} - before))
"""
    assert run_python(code, str(site)).stdout == "[('trtplugin-a', '1.0', 'package')] []\n"


@pytest.mark.parametrize("kind", ["wheel", "egg folder", "file"])
def test_archives_and_eggs_are_left_to_importlib_metadata(site, write_metadata, tmp_path, kind):
    write_metadata("trtplugin-a", "package")
    if kind == "file":
        path = tmp_path / "file"
        path.touch()
    elif kind == "wheel":
        path = tmp_path / "a.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for file in site.rglob("*.dist-info/*"):
                archive.write(file, file.relative_to(site))
    else:
        path = tmp_path / "a.egg"
        shutil.copytree(site / "trtplugin_a-1.0.dist-info", path / "EGG-INFO")
        (path / "EGG-INFO" / "METADATA").rename(path / "EGG-INFO" / "PKG-INFO")
    assert _metadata_scan.read([str(path)]) is None
    assert len(discovery.discover([str(path)])) == (kind != "file")


def test_finders_of_others_are_asked_by_importlib_metadata(site, write_metadata, monkeypatch):
    write_metadata("trtplugin-a", "package")

    class Own(Distribution):
        def read_text(self, filename):
            return {
                "METADATA": "Name: trtplugin-own\nVersion: 3\n",
                "entry_points.txt": "[trtreg.plugins]\na = own\n",
            }.get(filename)

        def locate_file(self, path):
            return site / path

    class Finder:
        def find_distributions(self, context):
            return [Own()] if context.name in (None, "trtplugin-own") else []

    assert _metadata_scan.read([str(site)]) is not None
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    assert _metadata_scan.read([str(site)]) is None
    assert [p.distribution for p in discovery.discover([str(site)])] == ["trtplugin-a", "trtplugin-own"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every folder")
def test_a_folder_that_may_not_be_read_is_left_to_importlib_metadata(site, write_metadata):
    write_metadata("trtplugin-a", "package")
    site.chmod(0)
    try:
        assert _metadata_scan.read([str(site)]) is None
        assert discovery.discover([str(site)]) == ()
    finally:
        site.chmod(0o755)


def test_a_relative_path(site, write_metadata, monkeypatch):
    write_metadata("trtplugin-a", "package")
    monkeypatch.chdir(site)
    for path in ("", ".", "../site"):
        assert described(discovery.discover([path])) == by_importlib([path]) != []


@pytest.mark.parametrize("name", ["Foo", "foo__BAR.-x", "a-b_c.d", "A", "-", "é"])
def test_names_are_normalised_as_the_standard_says(name):
    import re

    assert _metadata_scan.normalised(name) == re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("folder", ["Some_Name-1.0.dist-info", "some.name-1.0.DIST-INFO", "SOME_name-1.0.egg-info"])
def test_name_and_version_whatever_the_folder_is_called(site, folder):
    (site / folder).mkdir()
    file = "PKG-INFO" if folder.endswith("egg-info") else "METADATA"
    (site / folder / file).write_text("Name: Some.Name\nVersion: 1.0\n", encoding="utf-8")
    for scan in (None, _metadata_scan.read([str(site)])):
        assert _metadata_scan.name_and_version("some-name", [str(site)], scan) == ("Some.Name", "1.0")


@pytest.mark.parametrize("name", ["pytest", "PyTest", "hypothesis", "no-such-distribution"])
def test_name_and_version_of_a_distribution(name, monkeypatch):
    from importlib.metadata import PackageNotFoundError, metadata

    try:
        expected = (metadata(name)["Name"], metadata(name)["Version"])
    except PackageNotFoundError:
        expected = None
    assert _metadata_scan.name_and_version(name, sys.path) == expected
    scan = _metadata_scan.read(sys.path)
    monkeypatch.setattr(os, "listdir", lambda path: pytest.fail(f"{path} is listed again"))
    assert _metadata_scan.name_and_version(name, sys.path, scan) == expected
