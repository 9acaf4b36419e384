"""`trtreg lock` and `trtreg sync`, and the lock in the hands of uv."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from importlib.resources import files

import jsonschema
import pytest
from packaging.pylock import Pylock

from trtreg import errors

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LOCK_ERROR = errors.LockFileError.exit_code


def actions(done):
    found = json.loads(done.stdout)
    schema = json.loads(files("trtreg").joinpath("schema/install.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(found, schema, cls=jsonschema.Draft202012Validator)
    return {action["package"]: action["action"] for action in found["actions"]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pylock.toml"


@pytest.fixture
def locked(pip_room, market, path, serve):
    """Lock a and b 1.0, from a server."""
    market.add("trtplugin-a", "1.0", "A", requires=["trtreg>=0.1"])
    market.add("trtplugin-b", "1.0", "B")
    url = serve(market.folder)
    pip_room.environ["TRTREG_INDEX"] = url
    pip_room.trtreg("lock", "trtplugin-b", "trtplugin-a", "-o", path)
    return url


def test_a_lock_is_what_the_standard_says(pip_room, market, path, locked):
    lock = tomllib.loads(path.read_text())
    Pylock.from_dict(lock)
    assert (lock["lock-version"], lock["created-by"]) == ("1.0", "trtreg")
    assert lock["environments"][0].startswith('sys_platform == "linux" and platform_machine == ')
    assert lock["tool"] == {"trtreg": {"tensorrt": "rtx 1.7.1"}}
    assert [package["name"] for package in lock["packages"]] == ["trtplugin-a", "trtplugin-b"]
    package, line = lock["packages"][0], market.lines[0]
    assert package["index"] == f"{locked}simple/"
    assert (package["version"], package["requires-python"]) == ("1.0", ">=3.10")
    (wheel,) = package["wheels"]
    assert wheel["url"] == f"{locked}{line['url']}"
    assert (wheel["name"], wheel["size"], wheel["hashes"]) == (line["file"], line["size"], {"sha256": line["sha256"]})
    assert wheel["upload-time"].isoformat() == "2026-11-21T03:00:00+00:00"
    # The same once more.
    before = path.read_bytes()
    done = pip_room.trtreg("lock", "trtplugin-a", "trtplugin-b", "-o", path, "--json")
    assert path.read_bytes() == before
    schema = json.loads(files("trtreg").joinpath("schema/lock.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(json.loads(done.stdout), schema, cls=jsonschema.Draft202012Validator)


def test_what_is_installed_is_locked_and_synced(room, market, path):
    """Also from files, and on another machine's copy of the tree."""
    for version in ("1.0", "1.1"):
        market.add("trtplugin-a", version, "A")
    market.add("trtplugin-b", "1.0", "B")
    environ = {"TRTREG_INDEX": market.url}
    assert "There is nothing to lock" in room.trtreg("lock", "-o", path, code=LOCK_ERROR, **environ).stderr
    room.trtreg("install", "trtplugin-a==1.0", **environ)
    room.trtreg("lock", "-o", path, **environ)
    package = tomllib.loads(path.read_text())["packages"][0]
    assert package["version"] == "1.0"
    assert package["wheels"][0]["path"] == f"site/{market.lines[0]['url']}"
    assert "index" not in package
    room.trtreg("install", "trtplugin-a==1.1", "trtplugin-b", **environ)
    moved = path.parent / "moved"
    moved.mkdir()
    market.folder.rename(moved / "site")
    path.rename(moved / path.name)
    lock = moved / path.name
    dry = room.trtreg("sync", lock, "--prune", "--dry-run", "--json")
    assert actions(dry) == {"trtplugin-a": "downgrade", "trtplugin-b": "uninstall"}
    assert room.installed == {"trtplugin-a": "1.1", "trtplugin-b": "1.0"}
    room.trtreg("sync", lock)
    assert room.installed == {"trtplugin-a": "1.0", "trtplugin-b": "1.0"}
    room.trtreg("sync", lock, "--prune")
    assert room.installed == {"trtplugin-a": "1.0"}
    assert room.trtreg("sync", lock, "--prune").stdout.endswith("Nothing to do.\n")


def test_the_same_version_with_other_contents_is_replaced(room, market, path):
    market.add("trtplugin-a", "1.0", "A")
    room.trtreg("install", "trtplugin-a", "--index", market.url)
    room.trtreg("lock", "-o", path, "--index", market.url)
    library = room.packages / "trtplugin_a" / "libplugin.so"
    library.write_bytes(b"changed")
    assert actions(room.trtreg("sync", path, "--json")) == {"trtplugin-a": "reinstall"}
    assert library.read_bytes() == b"trtplugin-a 1.0"
    assert actions(room.trtreg("sync", path, "--json")) == {"trtplugin-a": "keep"}


def test_a_lock_for_a_model(pip_room, market, path, tmp_path):
    onnx = pytest.importorskip("onnx")
    text = '<ir_version: 8, opset_import: ["" : 17]> g (float[1] x) => (float[p] y) { a = MyA (x) y = MyB (a) }'
    onnx.save_model(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    for name in "abc":
        market.add(f"trtplugin-{name}", "1.0", f"My{name.upper()}")
    for names in (["trtplugin-a", "trtplugin-c"], []):  # one of the two is installed, and one that is not needed
        if names:
            pip_room.trtreg("install", *names, "--index", market.url)
        pip_room.trtreg("lock", "--for", tmp_path / "m.onnx", "-o", path, "--index", market.url)
        packages = tomllib.loads(path.read_text())["packages"]
        assert [package["name"] for package in packages] == ["trtplugin-a", "trtplugin-b"]


def test_other_tools_install_from_a_lock(room, market, path, serve):
    """Readers of the standard that know nothing of trtreg."""
    if room.kind == "uv":
        command = ["uv", "pip", "install", "--python", room.python, "--preview", "-r", path]
    else:
        command = [room.python, "-m", "pip", "install", "-r", path]
        if "pylock.toml" not in room.run("-m", "pip", "install", "--help").stdout:
            pytest.skip("this pip does not read lock files yet")

    def run():
        return subprocess.run(command, env=room.environ, capture_output=True, text=True, check=False)

    market.add("trtplugin-a", "1.0", "A")
    for url in (serve(market.folder), market.url):
        room.trtreg("lock", "trtplugin-a", "-o", path, "--index", url)
        done = run()
        assert done.returncode == 0, done.stderr
        assert room.installed == {"trtplugin-a": "1.0"}
        room.trtreg("uninstall", "trtplugin-a")
    # They heed the hash too.
    path.write_text(path.read_text().replace(market.lines[0]["sha256"], "0" * 64))
    assert run().returncode != 0
    assert room.installed == {}


# -- locks that are refused --------------------------------------------------------------------------------------------
def test_another_hash(pip_room, market, path, locked):
    path.write_text(path.read_text().replace(market.lines[1]["sha256"], "0" * 64))
    done = pip_room.trtreg("sync", path, code=errors.DownloadMismatchError.exit_code)
    assert "trtplugin_b-1.0-py3-none-any.whl has another sha256" in done.stderr
    assert pip_room.installed == {}, "neither of the two"


def test_another_wheel(pip_room, market, path, locked):
    wheel = market.folder / market.lines[0]["url"]
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    code = errors.DownloadMismatchError.exit_code
    assert "has another size" in pip_room.trtreg("sync", path, code=code).stderr
    assert pip_room.installed == {}


CHANGES = [
    ('lock-version = "1.0"', 'lock-version = "2.0"', "pylock version 2.0 is not supported"),
    ('lock-version = "1.0"', 'lock-version = "1.0', "is not TOML"),
    ('created-by = "trtreg"', "", "Missing required value in 'created-by'"),
    ('sys_platform == \\"linux\\"', 'sys_platform == \\"win32\\"', "is for another environment"),
    (">=3.10", ">=3.99", "is for another environment"),
    ("sha256 =", "md5 =", "has no sha256: found md5"),
    ('name = "trtplugin-a"', 'name = "trtplugin-x"', "breaks the standard of lock files"),
    ("http://", "ftp://", "has no usable URL"),
]


@pytest.mark.parametrize(("old", "new", "text"), CHANGES, ids=[text for _, _, text in CHANGES])
def test_a_lock_that_is_none(pip_room, path, locked, old, new, text):
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new, 1) if "name" in old else content.replace(old, new))
    assert text in pip_room.trtreg("sync", path, code=LOCK_ERROR).stderr
    assert pip_room.installed == {}


def test_a_marker_leaves_a_package_out(pip_room, path, locked):
    name = 'name = "trtplugin-b"\nversion'
    assert name in path.read_text()
    marked = 'name = "trtplugin-b"\nmarker = "sys_platform == \'win32\'"\nversion'
    path.write_text(path.read_text().replace(name, marked))
    pip_room.trtreg("sync", path)
    assert pip_room.installed == {"trtplugin-a": "1.0"}


def test_a_lock_for_another_tensorrt(pip_room, market, path, base):
    """The standard has no word for TensorRT: the wheel's own manifest is judged."""
    market.add("trtplugin-a", "1.0", "A", tensorrt=">=1.7")
    pip_room.trtreg("lock", "trtplugin-a", "-o", path, "--index", market.url)
    wheel = market.add("trtplugin-a", "1.0", "A", tensorrt=">=99")
    first, second = market.lines
    text = path.read_text().replace(first["sha256"], second["sha256"])
    path.write_text(text.replace(f"size = {first['size']}", f"size = {wheel.stat().st_size}"))
    done = pip_room.trtreg("sync", path, code=errors.IncompatiblePluginError.exit_code)
    assert "- TensorRT version: found rtx 1.7.1, expected rtx >=99" in done.stderr


def test_packages_that_are_no_plugins(pip_room, path, pypi):
    pypi.add("helper", "1.0")
    (wheel,) = pypi.folder.rglob("*.whl")
    path.write_text(
        f"""
        lock-version = "1.0"
        created-by = "another tool"
        [[packages]]
        name = "helper"
        version = "1.0"
        [[packages.wheels]]
        name = "{wheel.name}"
        path = "{wheel}"
        hashes = {{sha256 = "{hashlib.sha256(wheel.read_bytes()).hexdigest()}"}}
        """
    )
    done = pip_room.trtreg("sync", path, code=errors.WheelError.exit_code)
    assert "helper is no TensorRT plugin: found no entry point" in done.stderr


def test_conflicts_with_what_is_installed(pip_room, market, path, locked):
    market.add("trtplugin-c", "1.0", "A")
    pip_room.trtreg("install", "trtplugin-c", "--index", market.url)
    pip_room.trtreg("sync", path, code=errors.ConflictingPluginsError.exit_code)
    assert pip_room.installed == {"trtplugin-c": "1.0"}


@pytest.mark.parametrize("name", ["lock.toml", "pylock.a.b.toml"])
def test_names_of_locks(pip_room, market, tmp_path, name):
    done = pip_room.trtreg("lock", "-o", tmp_path / name, "--index", market.url, code=LOCK_ERROR)
    assert f"found {name}, expected pylock.toml or pylock.NAME.toml" in done.stderr


def test_nothing_is_written_where_something_is_wrong(pip_room, market, path, locked):
    before = path.read_bytes()
    pip_room.trtreg("lock", "nobody-has-it", "-o", path, code=errors.UnknownPackageError.exit_code)
    assert path.read_bytes() == before
    assert "does not exist" in pip_room.trtreg("sync", path.parent / "pylock.no.toml", code=LOCK_ERROR).stderr
    assert [p.name for p in path.parent.glob("*pylock*")] == ["pylock.toml"]
