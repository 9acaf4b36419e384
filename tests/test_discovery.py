import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest

from trtreg import discovery
from trtreg.errors import ManifestError, UnknownPluginError
from trtreg.manifest import CreatorKey

ONE = (CreatorKey("One", "1"),)
LIBRARY = b"bytes that nobody opens"


def discover(site):
    return discovery.discover([str(site)])


def test_an_installed_plugin_is_found_without_importing_it(install, site):
    plugin = install(LIBRARY, ONE, name="trtplugin-one")
    assert discover(site) == (plugin,)
    assert (plugin.distribution, plugin.version, plugin.package) == ("trtplugin-one", "1.0", "trtplugin_one")
    assert plugin.root == site / "trtplugin_one"
    assert plugin.library_path == site / "trtplugin_one" / "libplugin.so"
    assert plugin.manifest.library.creators[0].key == ONE[0]
    assert plugin.problem is None
    assert "trtplugin_one" not in sys.modules


def test_plugins_on_sys_path_are_found_sorted(install, site, monkeypatch):
    for name in ("trtplugin-b", "Trtplugin-A"):
        install(LIBRARY, ONE, name=name)
    monkeypatch.syspath_prepend(str(site))
    found = [plugin.distribution for plugin in discovery.discover() if plugin.root.parent == site]
    assert found == ["Trtplugin-A", "trtplugin-b"]


def test_other_packages_are_no_plugins(site):
    info = site / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[console_scripts]\nother = trtreg.plugins:x\n", encoding="utf-8")
    (site / "bare-1.0.dist-info").mkdir()
    assert discover(site) == ()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "trtplugin.json").write_text("{", encoding="utf-8"), "is not JSON"),
        (lambda root: (root / "trtplugin.json").unlink(), "does not exist"),
        (lambda root: (root / "libplugin.so").unlink(), r"library .*libplugin.so does not exist; reinstall"),
        (shutil.rmtree, "does not exist"),
        (lambda root: edit(root, package="other"), "of another package: found other, expected trtplugin-test"),
        (lambda root: edit(root, version="2.0"), r"of another version: found 2\.0, expected 1\.0"),
        (lambda root: edit(root, version=2), "Unexpected type int"),
    ],
    ids=["no JSON", "no manifest", "no library", "no package", "name", "version", "type"],
)
def test_a_broken_package_is_a_plugin_with_a_problem(install, site, spoil, message):
    root = install(LIBRARY, ONE).root
    spoil(root)
    (plugin,) = discover(site)
    assert isinstance(plugin.problem, ManifestError)
    with pytest.raises(ManifestError, match=message):
        raise plugin.problem
    assert plugin.root == root
    if plugin.manifest is None:
        assert plugin.library_path is None


def edit(root, **values):
    path = root / "trtplugin.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


@pytest.mark.parametrize("version", ["1.0", "1", "1.0.0"])
def test_other_spellings_of_the_version_and_the_name_are_the_same(install, site, version):
    edit(install(LIBRARY, ONE).root, version=version, package="TRTplugin_Test")
    (plugin,) = discover(site)
    assert plugin.problem is None


def test_the_first_on_the_path_shadows_the_others(install, site, tmp_path):
    install(LIBRARY, ONE)
    first = tmp_path / "first"
    shutil.copytree(site, first)
    paths = [str(first), str(site)]
    assert [plugin.root.parent for plugin in discovery.discover(paths)] == [first]
    # also where the one that shadows is no plugin (any more)
    (first / "trtplugin_test-1.0.dist-info" / "entry_points.txt").unlink()
    assert discovery.discover(paths) == ()


def test_an_editable_install_through_a_path(install, site, tmp_path, monkeypatch):
    package = install(LIBRARY, ONE).root
    source = tmp_path / "project" / "src"
    source.mkdir(parents=True)
    package.rename(source / package.name)
    assert [type(plugin.problem) for plugin in discover(site)] == [ManifestError]
    (plugin,) = discovery.discover([str(site), str(source)])
    assert (plugin.root, plugin.problem) == (source / package.name, None)
    for path in (site, source):
        monkeypatch.syspath_prepend(str(path))
    assert discovery.find("trtplugin-test") == plugin


def test_an_editable_install_through_a_finder(install, site, tmp_path, monkeypatch):
    package = install(LIBRARY, ONE).root
    project = tmp_path / "project"
    package.rename(project)

    class Finder:  # as setuptools installs one
        @staticmethod
        def find_spec(name, *_):
            if name != package.name:
                return None
            return importlib.util.spec_from_file_location(
                name, project / "__init__.py", submodule_search_locations=[str(project)]
            )

    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    plugin = discovery.find("trtplugin-test")
    assert (plugin.root, plugin.problem) == (project, None)
    assert package.name not in sys.modules


def test_a_package_inside_a_package(install, site, write_metadata):
    root = install(LIBRARY, ONE, name="trtplugin-test").root
    shutil.rmtree(site / "trtplugin_test-1.0.dist-info")
    (site / "outer").mkdir()
    (site / "outer" / "__init__.py").write_text("raise RuntimeError('imported')", encoding="utf-8")
    root.rename(site / "outer" / "inner")
    write_metadata("trtplugin-test", "outer.inner")
    (plugin,) = discover(site)
    assert (plugin.root, plugin.problem) == (site / "outer" / "inner", None)


def test_find_by_distribution_or_package(install, site):
    plugin = install(LIBRARY, ONE, name="trtplugin-one")
    for name in ("trtplugin-one", "TRTPlugin.One", "trtplugin_one"):
        assert discovery.find(name, [plugin]) == plugin
    with pytest.raises(UnknownPluginError, match=r"'two': found trtplugin-one; pip install two"):
        discovery.find("two", [plugin])
    with pytest.raises(UnknownPluginError, match="no plugin at all"):
        discovery.find("two", [])


def test_the_distribution_that_a_file_belongs_to(tmp_path):
    name = discovery.distribution_of(Path(pytest.__file__).resolve())
    assert name == f"pytest {pytest.__version__}"
    assert discovery.distribution_of(tmp_path / "nobody's.so") is None


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("entry_points.txt", "[trtreg.plugins]\ntrtplugin-te"),
        ("METADATA", None),
        ("METADATA", ""),
        ("METADATA", "Metadata-Version: 2.1\nName: trtplugin-test\n"),
        ("METADATA", "Metadata-Version: 2.1\nVersion: 1.0\n"),
    ],
)
def test_an_installation_that_was_broken_off(install, site, file, content):
    """Told of, and no reason for others not to be seen."""
    install(b"a library", name="trtplugin-whole")
    install(b"a library", name="trtplugin-test")
    path = site / "trtplugin_test-1.0.dist-info" / file
    path.unlink()
    if content is not None:
        path.write_text(content, encoding="utf-8")
    broken, whole = discovery.discover([str(site)])
    assert (broken.distribution, broken.version, whole.problem) == ("trtplugin-test", "1.0", None)
    assert "metadata is damaged" in str(broken.problem)
    assert "reinstall trtplugin-test" in str(broken.problem)


def test_what_pip_has_set_aside_is_no_plugin(install, site):
    install(b"a library", name="trtplugin-test")
    (site / "trtplugin_test-1.0.dist-info").rename(site / "~rtplugin_test-1.0.dist-info")
    assert discovery.discover([str(site)]) == ()


def test_of_plugins_that_are_not_wanted_no_file_is_read(install, site, run_python, tmp_path):
    for name in ("trtplugin-a", "trtplugin-b"):
        install(LIBRARY, ONE, name=name)
    added = tmp_path / "data" / "trtreg" / "libraries"
    added.mkdir(parents=True)
    shutil.copytree(site / "trtplugin_a", added / "own")
    edit(added / "own", package="own")
    code = """
import os, sys
opened = []
sys.addaudithook(lambda event, arguments: event == "open" and opened.append(str(arguments[0])))
from trtreg import discovery
sys.path.insert(0, sys.argv[1])
print(*(plugin.distribution for plugin in discovery.discover(among=sys.argv[2].__eq__)))
print(*(os.path.basename(os.path.dirname(name)) for name in opened if name.endswith("trtplugin.json")))
"""
    for name, folder in (("trtplugin-b", "trtplugin_b"), ("own", "own"), ("no", "")):
        done = run_python(code, str(site), name, XDG_DATA_HOME=str(tmp_path / "data"))
        assert done.stdout == f"{name if folder else ''}\n{folder}\n", done.stderr


def test_a_package_whose_name_is_too_long_for_a_file(install, site):
    found = install(b"a library", name="trtplugin-test")
    text = (found.root / "trtplugin.json").read_text(encoding="utf-8")
    (found.root / "trtplugin.json").write_text(text.replace("libplugin.so", "x" * 1000), encoding="utf-8")
    (plugin,) = discovery.discover([str(site)])
    assert "does not exist" in str(plugin.problem)
