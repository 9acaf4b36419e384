import pytest

from trtreg.errors import ModelError, UnsupportedNodesError


def test_a_model_that_can_be_imported(cli, identity, model):
    code, out, err = cli("scan", model)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"{model}: 2 nodes, 1 for plugins"
    assert out.splitlines()[-1].split() == ["TrtregTestIdentity", "1", "1", "provided", "trtplugin-identity", "1.0"]


def test_what_is_missing_ends_with_a_code(cli, identity, save_model):
    code, out, err = cli("scan", save_model("[a] a = TrtregTestIdentty (x) b = Zzzz (a) c = Zzzz (b) y = Zzzz (c)"))
    assert (code, err) == (UnsupportedNodesError.exit_code, "")
    rows = [line.split()[:3] for line in out.splitlines()]
    assert ["TrtregTestIdentty", "1", "missing"] in rows
    assert ["Zzzz", "3", "missing"] in rows
    assert "- node 'a' (TrtregTestIdentty): no installed plugin has it" in out
    assert "did you mean TrtregTestIdentity?" in out


def test_a_native_name_is_told(cli, save_model):
    code, out, _ = cli("scan", save_model('y = Plugin <name = "ScatterND"> (x)'))
    assert code == 0
    assert "0 for plugins" in out
    assert out.splitlines()[-1].startswith("ScatterND  1      native  TensorRT's parser imports")


def test_a_model_without_plugin_nodes(cli, save_model):
    code, out, _ = cli("scan", save_model("y = Sigmoid (x)"))
    assert (code, len(out.splitlines())) == (0, 1)


@pytest.mark.parametrize("content", [b"", b"no model"])
def test_no_model(cli, tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    assert cli("scan", tmp_path / "m.onnx")[0] == ModelError.exit_code
