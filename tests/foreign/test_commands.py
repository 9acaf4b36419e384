"""`trtreg add` and `trtreg wrap`: what a user types, and what is then installed."""

import json
import subprocess
import sys
import zipfile
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from trtreg import discovery, loader
from trtreg.errors import HashMismatchError, ManifestError
from trtreg.manifest import CreatorKey

KEY = CreatorKey("TrtregForeignCommand", "1")


@pytest.fixture
def library(compile_creators, tmp_path):
    path = tmp_path / "libmy_ops.so"
    path.write_bytes(compile_creators([KEY]).read_bytes())
    return path


def check(text):
    document = json.loads(text)
    schema = json.loads(files("trtreg").joinpath("schema/library.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)
    assert set(schema["required"]) == set(schema["properties"])
    return document


def test_add_list_load_remove(cli, data_home, library):
    code, out, err = cli("add", library, "--version", "1.2")
    assert (code, err) == (0, "")
    assert out.startswith(f"my-ops 1.2 added from {library}\n  style     TensorRT asks its getCreators, V3 interface\n")
    assert (data_home / "my-ops" / "libmy_ops.so").is_symlink()
    assert "my-ops" in cli("list")[1]
    assert loader.load(discovery.find("my_ops")).library == library
    code, out, _ = cli("add", "--remove", "my_ops")
    assert (code, out) == (0, "my-ops is forgotten\n")
    assert discovery.added() == ()
    assert list(data_home.iterdir()) == []
    assert library.exists()
    code, _, err = cli("add", "--remove", "my_ops")
    assert code == 88
    assert "No added library is called 'my_ops'" in err


def test_json(cli, data_home, library, tmp_path):
    added = check(cli("add", library, "--json")[1])
    assert (added["action"], added["package"], added["ops"]) == ("add", "my-ops", [KEY.name])
    assert check(cli("add", "--remove", "my-ops", "--json")[1])["action"] == "remove"
    wrapped = check(cli("wrap", library, "-o", tmp_path / "dist", "--json")[1])
    assert Path(wrapped["path"]).is_file()


def test_a_library_that_was_rebuilt_is_refused_until_it_is_added_again(cli, data_home, library, compile_creators):
    cli("add", library)
    library.write_bytes(compile_creators([KEY], "-O1").read_bytes())
    with pytest.raises(HashMismatchError, match=rf"trtreg add {library} --name my-ops"):
        loader.load(discovery.find("my-ops"))
    assert cli("add", library)[0] == 0
    loader.load(discovery.find("my-ops"))


def test_a_library_that_has_gone_is_a_plugin_with_a_problem(cli, data_home, library):
    cli("add", library)
    library.unlink()
    (plugin,) = discovery.added()
    assert isinstance(plugin.problem, ManifestError)
    assert "trtreg add --remove my-ops" in str(plugin.problem)
    assert "broken" in cli("list")[1]


def test_a_copy_stays_what_it_is(cli, data_home, library):
    cli("add", library, "--copy")
    library.unlink()
    assert loader.load(discovery.find("my-ops")).creators == (KEY,)


def test_names_that_are_taken(cli, data_home, library, tmp_path, install, site, monkeypatch):
    cli("add", library)
    other = tmp_path / "other.so"
    other.write_bytes(library.read_bytes())
    code, _, err = cli("add", other, "--name", "my.ops")
    assert code == 88
    assert str(library) in err
    install(library, [KEY], "trtplugin-real")
    monkeypatch.syspath_prepend(str(site))
    code, _, err = cli("add", library, "--name", "trtplugin_real")
    assert code == 88
    assert "A package is called" in err
    assert cli("add", library, "--name", "../x")[0] == 88


def test_other_commands_leave_added_libraries_alone(cli, data_home, library):
    from trtreg.packages import _site

    cli("add", library)
    assert _site.plugin_versions().get("my-ops") is None
    code, _, err = cli("uninstall", "my-ops")
    assert code == 11
    assert "trtreg add --remove my-ops" in err


def test_wrong_options(cli, data_home, library):
    assert cli("add", library, "--tensorrt", "10")[0] == 4
    assert cli("add", library, "--tensorrt", "rtx>=banana")[0] == 10
    assert cli("add", library, "--version", "x y")[0] == 4
    assert cli("add", library, "--init", "nobody")[0] == 22
    assert discovery.added() == ()


def test_a_wrapped_library_is_a_plugin_package(cli, library, tmp_path):
    code, out, err = cli("wrap", library, "-o", tmp_path / "dist", "--version", "2.0", "--summary", "mine")
    assert (code, err) == (0, "")
    (wheel,) = (tmp_path / "dist").iterdir()
    assert wheel.name.startswith("my_ops-2.0-py3-none-manylinux_2_")
    assert out.startswith(str(wheel))
    target = tmp_path / "target"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    subprocess.run(pip, check=True)
    (plugin,) = discovery.discover([str(target)])
    assert (plugin.distribution, plugin.version, plugin.problem, plugin.added) == ("my-ops", "2.0", None, False)
    assert loader.load(plugin).creators == (KEY,)
    assert (target / "my_ops-2.0.dist-info" / "sboms" / "trtreg.cdx.json").is_file()


def test_a_wheel_is_the_same_each_time_and_takes_neighbours_in(cli, compile_library, compile_creators, tmp_path):
    export = 'extern "C" __attribute__((visibility("default"))) '
    leaf = tmp_path / "libtrtreg-neighbour.so.1"
    leaf.write_bytes(compile_library(export + "int leaf() { return 1; }", f"-Wl,-soname,{leaf.name}").read_bytes())
    library = tmp_path / "libwith_neighbour.so"
    flags = ("-DNEEDS=leaf", str(leaf), "-Wl,-rpath,$ORIGIN")
    library.write_bytes(compile_creators([CreatorKey("TrtregForeignNeighbour", "1")], *flags).read_bytes())
    digests = []
    for folder in ("a", "b"):
        code, _, err = cli("wrap", library, "-o", tmp_path / folder)
        assert code == 0, err
        (wheel,) = (tmp_path / folder).iterdir()
        digests.append(wheel.read_bytes())
    assert digests[0] == digests[1]
    with zipfile.ZipFile(wheel) as archive:
        assert any("libtrtreg-neighbour" in name for name in archive.namelist())
        manifest = json.loads(archive.read("with_neighbour/trtplugin.json"))
        archive.extractall(tmp_path / "site")
    assert not any(name == leaf.name for name in manifest["library"]["needed"]), "auditwheel gave it another name"
    leaf.unlink()
    (plugin,) = discovery.discover([str(tmp_path / "site")])
    loader.load(plugin)


def test_discovery_without_added_libraries_asks_for_one_folder(data_home):
    assert discovery.added() == ()
    assert not data_home.exists()
