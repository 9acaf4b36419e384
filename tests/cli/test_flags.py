import json
import shlex
from importlib.resources import files

import jsonschema
import pytest

from trtreg import errors
from trtreg.tools import TOOLS


def schema():
    return json.loads(files("trtreg").joinpath("schema/flags.schema.json").read_text(encoding="utf-8"))


def test_the_text_alone_is_on_stdout(cli, identity, misfit):
    code, out, err = cli("flags", "trtexec")
    assert code == 0
    # The environment of the tests has plugins of its own.
    words = shlex.split(out)
    assert words[0] == "trtexec"
    assert f"--dynamicPlugins={identity.library_path}" in words
    assert all(word.startswith("--dynamicPlugins=") for word in words[1:])
    assert "trtplugin-misfit is left out" in err


def test_what_a_model_needs(cli, identity, misfit, model, save_model):
    code, out, err = cli("flags", "trtexec", "--for", model)
    assert (code, "misfit" in out + err) == (0, False)
    assert str(identity.library_path) in out
    code, out, err = cli("flags", "trtexec", "--for", save_model("y = Nobody (x)", name="other.onnx"))
    assert code == errors.UnsupportedNodesError.exit_code
    assert "Nobody" in err
    code, out, err = cli("flags", "trtexec", "--for", save_model("a = Relu (x) y = Relu (a)", name="plain.onnx"))
    assert (code, out) == (0, "")
    assert "no plugin is needed" in err


def test_a_tool_that_cannot_load_a_plugin_ends_with_its_own_code(cli, identity):
    code, out, err = cli("flags", "triton", "--verbose")
    assert (code, out) == (errors.ToolFlagsError.exit_code, "")
    assert "loadLibrary" in err
    assert "instead, use --adapter" in err
    assert "https://github.com/triton-inference-server/" in err


def test_an_adapter_makes_a_tool_load_it(cli, identity, tmp_path):
    path = tmp_path / "adapter.so"
    code, out, err = cli("flags", "triton", "--plugin", "trtplugin-identity", "--adapter", path)
    assert (code, err) == (0, "")
    assert shlex.split(out)[-1] == f"--backend-config=tensorrt,plugins={path}"
    assert path.read_bytes()[:4] == b"\x7fELF"


def test_an_adapter_is_only_for_tools_that_need_one(cli, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        cli("flags", "trtexec", "--adapter", tmp_path / "adapter.so")
    assert caught.value.code == 2
    assert "needs none" in capsys.readouterr().err


def test_a_broken_plugin_is_refused_by_name(cli, broken):
    code, _, err = cli("flags", "trtexec", "--plugin", "trtplugin-broken")
    assert code == errors.ToolFlagsError.exit_code
    assert "trtplugin-broken" in err


def test_an_unknown_tool_is_wrong_usage(cli, capsys):
    with pytest.raises(SystemExit) as caught:
        cli("flags", "caffe")
    assert caught.value.code == 2
    assert "trtexec" in capsys.readouterr().err


@pytest.mark.parametrize("tool", TOOLS)
def test_json(cli, identity, misfit, tool):
    code, out, _ = cli("flags", tool, "--plugin", "trtplugin-identity", "--format", "json")
    document = json.loads(out)
    jsonschema.validate(document, schema(), cls=jsonschema.Draft202012Validator)
    assert document["schema"] == 1
    assert [plugin["package"] for plugin in document["plugins"]] == ["trtplugin-identity"]
    assert document["plugins"][0]["registration"] == "dynamic"
    assert code == (errors.ToolFlagsError.exit_code if document["unloadable"] else 0)
    assert cli("flags", tool, "--plugin", "trtplugin-identity", "--json")[1] == out


def test_the_schema_allows_nothing_else():
    found = schema()
    jsonschema.Draft202012Validator.check_schema(found)
    assert found["additionalProperties"] is False
    assert set(found["required"]) == set(found["properties"])
