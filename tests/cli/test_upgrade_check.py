import json
from importlib.resources import files

import jsonschema
import pytest
from catalogues import catalogue, op, release

from trtreg import errors

BREAKS = errors.UpgradeBreaksError.exit_code


def schema():
    return json.loads(files("trtreg").joinpath("schema/upgrade-check.schema.json").read_text(encoding="utf-8"))


@pytest.fixture
def old(install, monkeypatch, site):
    """Install a plugin that needs TensorRT 10's library."""
    from trtreg.manifest import CreatorKey

    monkeypatch.syspath_prepend(site)
    return install(b"", [CreatorKey("Foo", "1")], "trtplugin-old", needed=("libnvinfer.so.10",))


def test_nothing_breaks(cli, identity):
    code, out, err = cli("upgrade-check", "--tensorrt", "10.16", "--flavour", "full")
    assert (code, err) == (0, "")
    assert out == "Nothing that was looked at breaks with tensorrt 10.16.\n"


def test_what_breaks_is_told_with_its_remedy(cli, old, save_model, tmp_path):
    (tmp_path / "e").write_bytes(b"vtrt" + bytes(20) + bytes([1, 7, 1, 116]))
    model = save_model("y = Clip_TRT (x)")
    code, out, _ = cli("upgrade-check", "--tensorrt", "11.4", "--flavour", "full", model, tmp_path / "e")
    assert code == BREAKS
    assert "breaks  plugin trtplugin-old needs libnvinfer.so.10, which tensorrt 11.4 does not have\n" in out
    assert f"breaks  model {model} has 1 node of the op Clip_TRT 1, which TensorRT 11.0 has removed\n" in out
    assert f"breaks  engine {tmp_path / 'e'} is an engine of TensorRT-RTX" in out
    assert "use ONNX Clip" in out
    assert "see https://github.com/NVIDIA/TensorRT/" in out


def test_json(cli, old, save_model):
    model = save_model("a = Clip_TRT (x) y = EfficientNMS_TRT (a)")
    code, out, _ = cli("upgrade-check", "--tensorrt", "11.4", "--flavour", "full", "--json", model)
    document = json.loads(out)
    jsonschema.validate(document, schema(), cls=jsonschema.Draft202012Validator)
    assert (code, document["breaks"]) == (BREAKS, True)
    assert document["tensorrt"] == {"flavour": "full", "version": "11.4"}
    assert {(f["kind"], f["code"]) for f in document["findings"]} >= {
        ("plugin", "library"),
        ("model", "removed"),
        ("model", "deprecated"),
    }


def test_the_cache_is_enough_and_refresh_asks(cli, save_model, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "catalogue.json").write_bytes(catalogue(release("clipper", ops=[op("Clip_TRT")])))
    command = ("upgrade-check", "--tensorrt", "11.4", "--flavour", "full", save_model("y = Clip_TRT (x)"))
    _, out, _ = cli(*command, "--index", tmp_path)
    assert "clipper" not in out
    _, out, _ = cli(*command, "--index", tmp_path, "--refresh")
    assert "in the indexes: clipper 1.0 (index" in out
    (tmp_path / "catalogue.json").unlink()
    _, out, _ = cli(*command, "--index", tmp_path)
    assert "in the indexes: clipper 1.0 (index" in out


def test_a_version_without_meaning(cli):
    code, _, err = cli("upgrade-check", "--tensorrt", "eleven")
    assert code == errors.SettingError.exit_code
    assert "eleven" in err


def test_the_schema_allows_nothing_else():
    found = schema()
    jsonschema.Draft202012Validator.check_schema(found)
    assert found["additionalProperties"] is False
    assert set(found["required"]) == set(found["properties"])
