"""`trtreg install`, `upgrade` and `uninstall` in real environments, with pip and with uv."""

from __future__ import annotations

import hashlib
import http.server
import json
import shutil
import sys
import zipfile
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from trtreg import errors


def document(done, name="install"):
    """The JSON that a command printed, checked."""
    found = json.loads(done.stdout)
    schema = json.loads(files("trtreg").joinpath(f"schema/{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(found, schema, cls=jsonschema.Draft202012Validator)
    return found


def actions(done):
    return {action["package"]: action["action"] for action in document(done)["actions"]}


def test_the_newest_that_fits_is_installed_from_a_verified_file(room, market):
    for version, tensorrt in (("1.0", ">=1.7"), ("1.1", ">=1.7"), ("2.0", ">=99")):
        market.add("trtplugin-a", version, "A", tensorrt=tensorrt)
    done = room.trtreg("install", "trtplugin-A", "--index", market.url)
    assert room.installed == {"trtplugin-a": "1.1"}
    assert done.stdout.startswith("trtplugin-a 1.1 installed from ")
    assert "2.0 passed over: TensorRT version: found rtx 1.7.1, expected rtx >=99" in done.stdout
    assert "1.0 passed over" not in done.stdout
    assert "Downloading trtplugin_a-1.1-py3-none-any.whl" in done.stderr
    assert f"with {room.kind}" in done.stderr
    # Not tied to the cache.
    assert [*room.packages.rglob("direct_url.json")] == []
    listed = json.loads(room.trtreg("list", "--json").stdout)["plugins"]
    assert [(plugin["package"], plugin["fits"]) for plugin in listed] == [("trtplugin-a", True)]


def test_what_is_there_is_left_alone_and_asks_nobody(pip_room, market):
    market.add("trtplugin-a", "1.0", "A")
    pip_room.trtreg("install", "trtplugin-a", "--index", market.url)
    market.add("trtplugin-a", "1.1", "A")
    done = pip_room.trtreg("install", "trtplugin-a", "--index", "http://127.0.0.1:9/")
    assert done.stdout == "trtplugin-a 1.0 is installed already\nNothing to do.\n"
    found = document(pip_room.trtreg("install", "trtplugin-a", "--json", "--no-index"))
    assert (found["actions"][0]["action"], found["installer"]) == ("keep", None)


def test_upgrade_and_downgrade(room, market):
    market.add("trtplugin-a", "1.0", "A")
    market.add("trtplugin-b", "1.0", "B")
    environ = {"TRTREG_INDEX": market.url}
    room.trtreg("install", "trtplugin-a", "trtplugin-b", **environ)
    market.add("trtplugin-a", "1.1", "A")
    market.add("trtplugin-b", "1.1", "B")
    dry = room.trtreg("upgrade", "--refresh", "--dry-run", "--json", **environ)
    assert actions(dry) == {"trtplugin-a": "upgrade", "trtplugin-b": "upgrade"}
    assert room.installed == {"trtplugin-a": "1.0", "trtplugin-b": "1.0"}
    done = room.trtreg("upgrade", "trtplugin-a", **environ)
    assert "trtplugin-a 1.1 upgraded" in done.stdout
    assert ", instead of 1.0" in done.stdout
    room.trtreg("install", "--upgrade", "trtplugin-b", **environ)
    assert room.installed == {"trtplugin-a": "1.1", "trtplugin-b": "1.1"}
    assert actions(room.trtreg("install", "trtplugin-a<1.1", "--json", **environ)) == {"trtplugin-a": "downgrade"}
    assert room.installed == {"trtplugin-a": "1.0", "trtplugin-b": "1.1"}
    assert "No installed plugin is called" in room.trtreg("upgrade", "pip", code=11, **environ).stderr


def test_uninstall(room, market):
    market.add("trtplugin-a", "1.0", "A")
    room.trtreg("install", "trtplugin-a", "--index", market.url)
    refused = room.trtreg("uninstall", "trtplugin-a", "packaging", code=errors.UnknownPluginError.exit_code)
    assert "packaging" in refused.stderr
    assert "would be uninstalled" in room.trtreg("uninstall", "trtplugin-a", "--dry-run").stdout
    assert room.installed == {"trtplugin-a": "1.0"}
    assert actions(room.trtreg("uninstall", "trtplugin_A", "--json")) == {"trtplugin-a": "uninstall"}
    assert (room.installed, room.leftovers) == ({}, set())


# -- one name, one index ---------------------------------------------------------------------------------------------
def test_no_other_index_can_supply_a_name(room, market, pypi, serve):
    """A higher version of the plugin lies in pip's and uv's own indexes, and on a second index of plugins."""
    market.add("trtplugin-a", "1.0", "A", requires=["helper>=1", "trtreg>=0.1"])
    second = type(market)(market.folder.parent / "second")
    second.folder.mkdir()
    second.add("trtplugin-a", "9.9", "A")
    for version in ("1.0", "9.9"):
        pypi.add("trtplugin-a", version, {"evil.py": ""})
    pypi.add("helper", "1.0", requires=["trtplugin-a>=1.0"])
    pypi.add("trtreg", "9.9", {"evil.py": ""})
    url = serve(pypi.folder) + "simple/"
    environ = {"PIP_NO_INDEX": "0", "PIP_EXTRA_INDEX_URL": url, "PIP_INDEX_URL": url, "UV_NO_INDEX": "0",
               "UV_DEFAULT_INDEX": url, "UV_INDEX": url,
               "PIP_FIND_LINKS": str(pypi.folder / "simple" / "trtplugin-a")}  # fmt: skip
    done = room.trtreg("install", "trtplugin-a", "--index", market.url, "--index", second.url, **environ)
    assert room.installed == {"trtplugin-a": "1.0", "helper": "1.0"}
    assert not (room.packages / "evil.py").exists()
    assert "from your own indexes: helper>=1" in done.stderr


def test_a_dependency_that_wants_another_version_of_a_plugin_is_refused(room, market, pypi, serve):
    market.add("trtplugin-a", "1.0", "A", requires=["helper"])
    pypi.add("helper", "1.0", requires=["trtplugin-a>=5"])
    pypi.add("trtplugin-a", "9.9", {"evil.py": ""})
    url = serve(pypi.folder) + "simple/"
    environ = {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": url, "UV_NO_INDEX": "0", "UV_DEFAULT_INDEX": url}
    code = errors.InstallerError.exit_code
    done = room.trtreg("install", "trtplugin-a", "--index", market.url, code=code, **environ)
    assert (room.installed, room.leftovers) == ({}, set())
    assert "All plugins are as before: trtplugin-a is not installed" in done.stderr


# -- what goes wrong ---------------------------------------------------------------------------------------------------
def test_a_failing_dependency_rolls_back(room, market):
    market.add("trtplugin-a", "1.0", "A")
    market.add("trtplugin-b", "1.0", "B")
    environ = {"TRTREG_INDEX": market.url}
    room.trtreg("install", "trtplugin-a", **environ)
    library = room.packages / "trtplugin_a" / "libplugin.so"
    before = {path.name: path.read_bytes() for path in library.parent.iterdir() if path.is_file()}
    market.add("trtplugin-a", "1.1", "A", requires=["nowhere-to-be-had"])
    done = room.trtreg("install", "--upgrade", "--refresh", "trtplugin-a", "trtplugin-b", code=74, **environ)
    assert "nowhere-to-be-had" in done.stderr, "the installer's own words"
    text = "All plugins are as before: trtplugin-a 1.0 is installed; trtplugin-b is not installed"
    assert text in done.stderr
    assert room.installed == {"trtplugin-a": "1.0"}
    assert {path.name: path.read_bytes() for path in library.parent.iterdir() if path.is_file()} == before
    # And the installer finds it in order.
    room.trtreg("uninstall", "trtplugin-a")
    assert (room.installed, room.leftovers) == ({}, set())


def test_a_failing_installer_says_so(pip_room, market):
    wheel = market.add("trtplugin-a", "1.0", "A")
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("trtplugin_a-1.0.dist-info/WHEEL2", "")
    market.lines[0] |= facts(wheel)
    market.save()
    room = pip_room
    (room.packages / "pip").mkdir()
    (room.packages / "pip" / "__init__.py").touch()
    (room.packages / "pip" / "__main__.py").write_text("raise SystemExit('the disk is full')", encoding="utf-8")
    done = room.trtreg("install", "trtplugin-a", "--index", market.url, code=74)
    assert "trtreg: error: pip install ended with code 1; its last words:\n  the disk is full\n" in done.stderr
    assert room.installed == {}


def facts(wheel):
    return {"sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(), "size": wheel.stat().st_size}


def test_another_hash(room, market):
    wheel = market.add("trtplugin-a", "1.0", "A")
    wheel.write_bytes(wheel.read_bytes()[:-1] + b"?")
    code = errors.DownloadMismatchError.exit_code
    done = room.trtreg("install", "trtplugin-a", "--index", market.url, code=code)
    assert "has another sha256" in done.stderr
    assert room.installed == {}
    assert [path for path in (market.folder.parent / "cache").rglob("*") if "whl" in path.name] == []


def test_a_cached_wheel_is_looked_at_again(pip_room, market):
    wheel = market.add("trtplugin-a", "1.0", "A")
    pip_room.trtreg("install", "trtplugin-a", "--index", market.url)
    pip_room.trtreg("uninstall", "trtplugin-a")
    (cached,) = (market.folder.parent / "cache").rglob("*.whl")
    cached.write_bytes(b"changed")
    pip_room.trtreg("install", "trtplugin-a", "--index", market.url)
    assert cached.read_bytes() == wheel.read_bytes()
    assert pip_room.installed == {"trtplugin-a": "1.0"}


class Truncating(http.server.SimpleHTTPRequestHandler):
    """Says how long a wheel is, and breaks off in its middle."""

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if path.suffix != ".whl":
            super().do_GET()
            return
        data = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])


def test_a_download_that_breaks_off(pip_room, market, serve):
    market.add("trtplugin-a", "1.0", "A")
    code = errors.DownloadError.exit_code
    done = pip_room.trtreg("install", "trtplugin-a", "--index", serve(market.folder, Truncating), code=code)
    assert "broke off" in done.stderr
    assert pip_room.installed == {}
    # The next try starts afresh.
    pip_room.trtreg("install", "trtplugin-a", "--index", serve(market.folder))
    assert pip_room.installed == {"trtplugin-a": "1.0"}


def test_offline_takes_what_is_in_the_cache(pip_room, market, serve):
    market.add("trtplugin-a", "1.0", "A")
    market.add("trtplugin-b", "1.0", "B")
    environ = {"TRTREG_INDEX": serve(market.folder)}
    pip_room.trtreg("install", "trtplugin-a", **environ)
    pip_room.trtreg("uninstall", "trtplugin-a")
    pip_room.trtreg("install", "trtplugin-a", "--offline", **environ)
    assert pip_room.installed == {"trtplugin-a": "1.0"}
    code = errors.NotCachedError.exit_code
    done = pip_room.trtreg("install", "trtplugin-b", "--offline", code=code, **environ)
    assert "trtplugin_b-1.0-py3-none-any.whl is not in the cache" in done.stderr


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"tensorrt": {"rtx": ">=1"}}, errors.IncompatiblePluginError, "does not fit this machine"),
        ({"ops": []}, errors.ConflictingPluginsError, "both register the op A 1"),
    ],
)
def test_a_catalogue_that_lies(pip_room, market, change, code, text):
    """The wheel itself has the last word, before anything is touched."""
    market.add("trtplugin-other", "1.0", "A")
    pip_room.trtreg("install", "trtplugin-other", "--index", market.url)
    lies = {"op": "Z", "tensorrt": ">=99"} if "tensorrt" in change else {"op": "A", "tensorrt": ">=1.7"}
    market.add("trtplugin-a", "1.0", lies["op"], tensorrt=lies["tensorrt"])
    market.lines[-1] |= change
    market.save()
    args = ("install", "trtplugin-a", "--index", market.url, "--refresh")
    assert text in pip_room.trtreg(*args, code=code.exit_code).stderr
    assert pip_room.installed == {"trtplugin-other": "1.0"}


@pytest.mark.parametrize(
    ("entry_points", "text"),
    [("", "is no TensorRT plugin"), ("[trtreg.plugins]\nx = elsewhere\n", "it has no trtplugin.json for elsewhere")],
)
def test_a_wheel_that_is_no_plugin(pip_room, market, entry_points, text):
    market.add("trtplugin-a", "1.0", "A", entry_points=entry_points)
    code = errors.WheelError.exit_code
    assert text in pip_room.trtreg("install", "trtplugin-a", "--index", market.url, code=code).stderr
    assert pip_room.installed == {}


def test_conflicts_name_both(pip_room, market):
    market.add("trtplugin-a", "1.0", "Same", "A")
    market.add("trtplugin-b", "1.0", "Same", "B")
    code = errors.ConflictingPluginsError.exit_code
    done = pip_room.trtreg("install", "trtplugin-a", "trtplugin-b", "--index", market.url, code=code)
    assert "trtplugin-b 1.0 and trtplugin-a 1.0 both register the op Same 1" in done.stderr
    pip_room.trtreg("install", "trtplugin-a", "--index", market.url)
    done = pip_room.trtreg("install", "trtplugin-b", "--index", market.url, code=code)
    assert "trtplugin-b 1.0 and trtplugin-a 1.0, which is installed, both register the op Same 1" in done.stderr
    assert pip_room.installed == {"trtplugin-a": "1.0"}


def test_an_unknown_name(pip_room, market):
    market.add("trtplugin-dcnv2", "1.0", "A")
    done = pip_room.trtreg("install", "trtplugin-dcvn2", "--index", market.url, code=70)
    assert "No index has a plugin package called 'trtplugin-dcvn2'" in done.stderr
    assert "did you mean trtplugin-dcnv2?" in done.stderr
    assert "expected names of packages, or --for MODEL" in pip_room.trtreg("install", code=4).stderr
    assert "This names no package" in pip_room.trtreg("install", "--index", market.url, "a b", code=4).stderr


# -- environments that refuse ------------------------------------------------------------------------------------------
def test_another_copy_in_the_way(pip_room, market, tmp_path):
    market.add("trtplugin-a", "1.0", "A")
    market.add("trtplugin-a", "1.1", "A")
    pip_room.trtreg("install", "trtplugin-a==1.0", "--index", market.url)
    shutil.copytree(pip_room.packages, tmp_path / "other", ignore=shutil.ignore_patterns("*.pth"))
    pip_room.trtreg("uninstall", "trtplugin-a")
    environ = {"PYTHONPATH": str(tmp_path / "other")}
    done = pip_room.trtreg("install", "trtplugin-a>=1.1", "--index", market.url, code=74, **environ)
    assert f"Another trtplugin-a stands before whatever would be installed: found 1.0 in {tmp_path}" in done.stderr
    assert pip_room.installed == {}
    done = pip_room.trtreg("uninstall", "trtplugin-a", code=74, **environ)
    assert f"trtplugin-a 1.0 is not of this environment: found {tmp_path / 'other'}" in done.stderr
    assert (tmp_path / "other" / "trtplugin_a").is_dir()


def test_nothing_to_install_with(pip_room, market, base, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    for path in base.iterdir():
        if not path.name.startswith("pip"):
            (bare / path.name).symlink_to(path)
    (pip_room.packages / "base.pth").write_text(f"{bare}\n", encoding="utf-8")
    market.add("trtplugin-a", "1.0", "A")
    args = ("install", "trtplugin-a", "--index", market.url)
    done = pip_room.trtreg(*args, code=74, PATH=str(tmp_path))
    assert "Nothing can install packages here: found neither pip in" in done.stderr
    assert "-m ensurepip, or install uv" in done.stderr
    # With uv on PATH it does.
    if Path(sys.executable).with_name("uv").exists():
        assert "with uv" in pip_room.trtreg(*args).stderr
        assert pip_room.installed == {"trtplugin-a": "1.0"}


IN_PROCESS = """
import sys, sysconfig
from trtreg import cli
{patch}
sys.exit(cli.main(sys.argv[1:]))
"""


def test_an_environment_that_the_system_manages(pip_room, market, tmp_path):
    market.add("trtplugin-a", "1.0", "A")
    (tmp_path / "EXTERNALLY-MANAGED").write_text("[externally-managed]\n", encoding="utf-8")
    patch = f"""
sys.base_prefix, get = sys.prefix, sysconfig.get_path
sysconfig.get_path = lambda name: {str(tmp_path)!r} if name == 'stdlib' else get(name)
"""
    args = ("-c", IN_PROCESS.format(patch=patch), "install", "trtplugin-a", "--index", market.url)
    done = pip_room.run(*args)
    assert done.returncode == errors.EnvironmentLockedError.exit_code, done.stderr
    assert "managed by the operating system" in done.stderr
    assert "-m venv .venv" in done.stderr
    assert pip_room.run(*args, PIP_BREAK_SYSTEM_PACKAGES="1").returncode == 0


def test_a_folder_that_cannot_be_written(pip_room, market):
    market.add("trtplugin-a", "1.0", "A")
    patch = """
get = sysconfig.get_path
sysconfig.get_path = lambda name: '/proc/self/fdinfo' if name == 'purelib' else get(name)
"""
    done = pip_room.run("-c", IN_PROCESS.format(patch=patch), "install", "trtplugin-a", "--index", market.url)
    assert done.returncode == errors.EnvironmentLockedError.exit_code, done.stderr
    assert "Packages cannot be installed here: found /proc/self/fdinfo: " in done.stderr
    assert "Downloading" not in done.stderr


# -- for a model ---------------------------------------------------------------------------------------------------
@pytest.fixture
def model(tmp_path):
    onnx = pytest.importorskip("onnx")
    parser = pytest.importorskip("onnx.parser")

    def model(body, name="m.onnx"):
        text = f'<ir_version: 8, opset_import: ["" : 17]> g (float[1,4] x) => (float[p,q] y) {{ {body} }}'
        onnx.save_model(parser.parse_model(text), tmp_path / name)
        return tmp_path / name

    return model


def test_for_a_model(room, market, model):
    market.add("trtplugin-a", "1.0", "MyA", "MyC")
    market.add("trtplugin-a", "2.0", "MyC")
    market.add("trtplugin-b", "1.0", "MyB")
    path = model("a = MyA (x) b = Relu (a) y = MyB (b)")
    environ = {"TRTREG_INDEX": market.url}
    done = room.trtreg("install", "--for", path, **environ)
    assert room.installed == {"trtplugin-a": "1.0", "trtplugin-b": "1.0"}
    assert "(has the op MyA 1)" in done.stdout
    assert "2.0 passed over: it has no op MyA 1" in done.stdout
    assert json.loads(room.trtreg("scan", path, "--json", **environ).stdout)["complete"]
    assert room.trtreg("install", "--for", path, **environ).stdout == "Nothing is needed.\n"


def test_for_a_model_with_several_providers(pip_room, market, model):
    market.add("trtplugin-a", "1.0", "MyA", "Shared")
    market.add("trtplugin-b", "1.0", "Shared")
    market.add("trtplugin-b", "2.0", "Shared", "Newer")
    market.add("trtplugin-c", "1.0", "Newer")
    shared = model("y = Shared (x)")
    run = ("install", "--dry-run", "--json", "--index", market.url, "--for")
    done = pip_room.trtreg(*run, shared, code=errors.AmbiguousProviderError.exit_code)
    assert "2 packages provide the op Shared 1: found trtplugin-a, trtplugin-b" in done.stderr
    assert "--prefer trtplugin-a" in done.stderr
    assert actions(pip_room.trtreg(*run, shared, "--prefer", "trtplugin-b")) == {"trtplugin-b": "install"}
    # What the model needs anyhow, and what is named
    both = model("a = MyA (x) y = Shared (a)", "both.onnx")
    assert actions(pip_room.trtreg(*run, both)) == {"trtplugin-a": "install"}
    # What is installed, in an older version
    pip_room.trtreg("install", "trtplugin-b==1.0", "--index", market.url)
    newer = model("y = Newer (x)", "newer.onnx")
    assert actions(pip_room.trtreg(*run, newer)) == {"trtplugin-b": "upgrade"}


def test_for_a_model_whose_op_nobody_has(pip_room, market, model):
    market.add("trtplugin-a", "1.0", "MyDeformConv")
    market.add("trtplugin-b", "1.0", "Misfit", tensorrt=">=99")
    args = ("install", "--index", market.url, "--for")
    done = pip_room.trtreg(*args, model("y = MyDeformCnv (x)"), code=errors.UnsupportedNodesError.exit_code)
    assert "- MyDeformCnv 1; did you mean MyDeformConv?" in done.stderr
    broken = model('y = Plugin <name = "MyDeformConv", info = "{oops"> (x)')
    done = pip_room.trtreg(*args, broken, code=errors.UnsupportedNodesError.exit_code)
    assert "No package can provide:\n- node 'y' (MyDeformConv):" in done.stderr
    code = errors.NoFittingReleaseError.exit_code
    done = pip_room.trtreg(*args, model("y = Misfit (x)"), code=code)
    assert "- trtplugin-b 1.0: TensorRT version: found rtx 1.7.1" in done.stderr
    assert pip_room.installed == {}


def test_a_plugin_that_requires_another(pip_room, market, pypi):
    """The other one comes from the index of plugins too, and in the version that is required."""
    market.add("trtplugin-a", "1.0", "A", requires=["trtplugin-b<2", "trtreg>=0.1"])
    market.add("trtplugin-a", "1.1", "A", requires=["trtreg>=99"])
    market.add("trtplugin-b", "1.5", "B")
    market.add("trtplugin-b", "2.0", "B")
    done = pip_room.trtreg("install", "trtplugin-a", "--index", market.url)
    assert pip_room.installed == {"trtplugin-a": "1.0", "trtplugin-b": "1.5"}
    assert "1.1 passed over: trtreg: found" in done.stdout
    assert "(required by trtplugin-a 1.0)" in done.stdout


# -- all or nothing ----------------------------------------------------------------------------------------------------
def test_an_interruption_puts_things_back(pip_room, market):
    market.add("trtplugin-a", "1.0", "A")
    pip_room.trtreg("install", "trtplugin-a", "--index", market.url)
    market.add("trtplugin-a", "1.1", "A", requires=["helper"])
    patch = """
from trtreg.packages.installer import Installer
def interrupted(*_):
    raise KeyboardInterrupt
Installer.install_requirements = interrupted
"""
    args = ("install", "--upgrade", "trtplugin-a", "--index", market.url)
    done = pip_room.run("-c", IN_PROCESS.format(patch=patch), *args)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (130, "trtreg: interrupted")
    assert pip_room.installed == {"trtplugin-a": "1.0"}
    assert (pip_room.packages / "trtplugin_a" / "libplugin.so").read_bytes() == b"trtplugin-a 1.0"


def test_what_cannot_be_uninstalled_goes_all_the_same(pip_room, market):
    """As pip cannot uninstall what it has only half installed."""
    market.add("trtplugin-a", "1.0", "A", requires=["nowhere-to-be-had"])
    patch = """
from trtreg.errors import InstallerError
from trtreg.packages.installer import Installer
def broken(*_):
    raise InstallerError("no")
Installer.uninstall = broken
"""
    args = ("install", "trtplugin-a", "--index", market.url)
    done = pip_room.run("-c", IN_PROCESS.format(patch=patch), *args)
    assert done.returncode == errors.InstallerError.exit_code
    assert "All plugins are as before: trtplugin-a is not installed" in done.stderr
    assert (pip_room.installed, pip_room.leftovers) == ({}, set())


def test_files_that_uv_links_from_its_cache_stay_whole(uv_room, market, tmp_path):
    """Putting back must not write into the cache, which other environments share."""
    environ = {"TRTREG_INDEX": market.url, "UV_LINK_MODE": "hardlink"}
    market.add("trtplugin-a", "1.0", "A")
    uv_room.trtreg("install", "trtplugin-a", **environ)
    library = uv_room.packages / "trtplugin_a" / "libplugin.so"
    assert library.stat().st_nlink > 1
    # The same version with other contents, and something that cannot be had.
    market.lines.clear()
    market.add("trtplugin-a", "1.0", "A", library=b"other contents", requires=["nowhere-to-be-had"])
    lock = tmp_path / "pylock.toml"
    uv_room.trtreg("lock", "-o", lock, "--refresh", **environ)
    done = uv_room.trtreg("sync", lock, code=74, **environ)
    assert "Installing trtplugin-a 1.0 with uv" in done.stderr
    assert library.read_bytes() == b"trtplugin-a 1.0"
    links = (uv_room.folder.parent / "uv-cache").rglob("libplugin.so")
    assert sorted(path.read_bytes() for path in links) == [b"other contents", b"trtplugin-a 1.0"]


def test_a_wheel_that_changes_after_it_was_verified(room, market):
    """The installer looks at the hash once more."""
    market.add("trtplugin-a", "1.0", "A")
    patch = """
from trtreg.packages import install
def check(fetched, *_):
    data = fetched[0].path.read_bytes()
    fetched[0].path.write_bytes(data[:-2] + b"\\1\\0?")  # with a comment, it is as good an archive
install.check = check
"""
    done = room.run("-c", IN_PROCESS.format(patch=patch), "install", "trtplugin-a", "--index", market.url)
    assert done.returncode == errors.InstallerError.exit_code
    assert "hash" in done.stderr.lower()
    assert room.installed == {}


def test_from_an_index_that_trtreg_built(room, market, serve, tmp_path):
    """What the publisher writes is what the installer reads."""
    wheels = [market.add("trtplugin-a", version, "A", requires=["trtreg>=0.1"]) for version in ("1.0", "1.1")]
    site = tmp_path / "built"
    room.trtreg("index", "build", *wheels, "-o", site)
    room.trtreg("index", "yank", "trtplugin-a", "1.1", "-o", site, "--reason", "it crashes")
    done = room.trtreg("install", "trtplugin-a", "--index", serve(site))
    assert room.installed == {"trtplugin-a": "1.0"}
    assert "1.1 passed over: withdrawn by its publisher: it crashes" in done.stdout
