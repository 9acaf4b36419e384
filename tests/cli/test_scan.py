import pytest
from catalogues import op, release, serve

from trtreg.errors import CatalogueError, IndexSettingError, ModelError, PreferenceError, UnsupportedNodesError
from trtreg.manifest import Creator, CreatorKey, Field, Sdk


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
    assert "- nodes 'b', 'c', 'y' (Zzzz): no installed plugin has it" in out


def test_many_nodes_are_told_in_one_line(cli, save_model):
    nodes = " ".join(f"[n{i}] y{i} = Zzzz (x)" for i in range(9))
    _, out, _ = cli("scan", save_model(f"{nodes} y = Add (y0, y1)"))
    (line,) = [line for line in out.splitlines() if "no installed plugin" in line]
    assert line.startswith("- nodes 'n0', 'n1', 'n2' and 6 more (Zzzz): no installed plugin has it")


def test_a_native_name_is_told(cli, save_model):
    code, out, _ = cli("scan", save_model('y = Plugin <name = "ScatterND"> (x)'))
    assert code == 0
    assert "0 for plugins" in out
    assert out.splitlines()[-1].startswith("ScatterND  1      native  TensorRT's parser imports")


def test_a_model_without_plugin_nodes(cli, save_model):
    code, out, _ = cli("scan", save_model("y = Sigmoid (x)"))
    assert (code, len(out.splitlines())) == (0, 1)


class TestConflicts:
    @pytest.fixture(autouse=True)
    def rivals(self, install, monkeypatch, site):
        monkeypatch.syspath_prepend(site)
        for name, other in (("a", "Aaa"), ("b", "Bbb")):
            install(b"", [CreatorKey("Both", "1"), CreatorKey(other, "1")], f"trtplugin-{name}")

    def test_packages_that_cannot_be_loaded_together(self, cli, save_model):
        code, out, _ = cli("scan", save_model("a = Aaa (x) y = Bbb (a)"))
        assert code == UnsupportedNodesError.exit_code
        assert "\nConflicts:\n- trtplugin-a 1.0 (" in out
        assert "both have Both 1: TensorRT takes a library whole or not at all, and trtplugin-a is needed for" in out

    def test_a_choice_between_packages_is_told_with_how_to_make_it(self, cli, save_model, monkeypatch):
        code, out, _ = cli("scan", save_model("y = Both (x)"))
        assert code == 0
        assert "\nIn several packages:\n- trtplugin-a 1.0 (" in out
        assert "nothing says which, so trtplugin-a is taken; say who is to have it:" in out
        monkeypatch.setenv("TRTREG_PREFER", "Both=trtplugin-b")
        _, out, _ = cli("scan", save_model("y = Both (x)"))
        assert "Both 1  1      provided  trtplugin-b 1.0" in out
        assert "both have Both 1: TRTREG_PREFER prefers trtplugin-b for Both 1\n" in out

    def test_an_op_that_is_left_to_tensorrt(self, cli, save_model, monkeypatch):
        monkeypatch.setenv("TRTREG_PREFER", "Both=tensorrt")
        code, out, _ = cli("scan", save_model("y = Both (x)"))
        assert code == 0
        assert "native  TRTREG_PREFER prefers tensorrt for Both 1: it is left to TensorRT's own plugin" in out

    def test_a_preference_that_means_nothing(self, cli, save_model, monkeypatch):
        monkeypatch.setenv("TRTREG_PREFER", "Both")
        code, _, err = cli("scan", save_model("y = Both (x)"))
        assert code == PreferenceError.exit_code
        assert "TRTREG_PREFER is malformed" in err


@pytest.mark.parametrize("content", [b"", b"no model"])
def test_no_model(cli, tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    assert cli("scan", tmp_path / "m.onnx")[0] == ModelError.exit_code


class TestIndexes:
    @pytest.fixture(autouse=True)
    def own_cache(self, monkeypatch, tmp_path):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    @pytest.fixture
    def server(self, monkeypatch):
        with serve() as server:
            server.publish(release("trtplugin-zzzz", ops=["Zzzz"]))
            monkeypatch.setenv("TRTREG_INDEX", server.site)
            yield server

    @pytest.fixture
    def lacking(self, identity, save_model):
        return save_model("a = TrtregTestIdentity (x) y = Zzzz (a)")

    def test_the_package_that_has_a_missing_op_is_named(self, cli, server, lacking):
        code, out, err = cli("scan", lacking)
        assert (code, err) == (UnsupportedNodesError.exit_code, "")
        assert "Zzzz                  1      missing   index: trtplugin-zzzz 1.0" in out
        assert "has it: `trtreg install trtplugin-zzzz`" in out
        assert f"Install what the model lacks: trtreg install --for {lacking}" in out
        assert out.splitlines()[-1].endswith(": 1 releases, checked 0 seconds ago")

    def test_no_index_is_asked_where_nothing_is_missing(self, cli, server, identity, model):
        assert cli("scan", model)[0] == 0
        assert server.log == []

    def test_no_index_is_asked_where_none_is_wanted(self, cli, server, lacking):
        code, out, _ = cli("scan", lacking, "--no-index")
        assert code == UnsupportedNodesError.exit_code
        assert "trtplugin-zzzz" not in out
        assert server.log == []

    def test_offline(self, cli, server, lacking):
        _, out, err = cli("scan", lacking, "--offline")
        assert "is not in the cache" in err
        cli("scan", lacking)
        _, out, err = cli("scan", lacking, "--offline")
        assert "trtplugin-zzzz" in out
        assert err == ""
        assert len(server.log) == 1

    def test_a_configured_index_that_fails_is_left_out(self, cli, server, lacking):
        server.answer(b"<html>")
        code, out, err = cli("scan", lacking)
        assert code == UnsupportedNodesError.exit_code
        assert "TrtregTestIdentity 1  1      provided" in out
        assert "warning: index" in err
        assert "the indexes are left out" in err

    def test_an_index_that_was_asked_for_and_fails_is_an_error(self, cli, server, lacking):
        server.answer(b"<html>")
        code, out, _ = cli("scan", lacking, "--index", server.site)
        assert (code, out) == (CatalogueError.exit_code, "")

    def test_a_setting_without_meaning_is_an_error(self, cli, lacking, monkeypatch):
        monkeypatch.setenv("TRTREG_INDEX", "nonsense")
        assert cli("scan", lacking)[0] == IndexSettingError.exit_code

    def test_attributes(self, cli, server, lacking, save_model):
        server.publish(release("trtplugin-zzzz", ops=[op("Zzzz", fields=[["stride", "int32", 2]])]))
        _, out, _ = cli("scan", save_model('[n] y = Zzzz <strid = 1, stride = "x"> (x)'))
        assert "- warning: node 'n' (Zzzz): attribute 'strid' is unknown to the plugin" in out
        assert "- node 'n' (Zzzz): attribute 'stride' is the string 'x'" in out

    def test_the_report_of_a_conversion_names_the_package_from_the_cache_only(self, cli, server, lacking, tmp_path):
        pytest.importorskip("tensorrt_rtx")
        command = ("onnx2trt", lacking, "-o", tmp_path / "x.engine", "-q")
        code, _, err = cli(*command)
        assert code == UnsupportedNodesError.exit_code
        assert "trtplugin-zzzz" not in err
        assert server.log == []
        cli("search", "zzzz")
        assert len(server.log) == 1
        assert "`trtreg install trtplugin-zzzz`" in cli(*command)[2]
        assert len(server.log) == 1


def test_an_attribute_that_the_plugin_would_refuse_ends_with_a_code(cli, install, monkeypatch, site, save_model):
    creator = Creator(name="Axed", version="1", fields=(Field(name="axis", type="int32", length=1),))
    install(b"", [], "trtplugin-axed", creators=(creator,), sdk=Sdk(version="1", face_abi=1))
    monkeypatch.syspath_prepend(site)
    code, out, _ = cli("scan", save_model("[n] y = Axed (x)"))
    assert code == UnsupportedNodesError.exit_code
    assert "provided  trtplugin-axed" in out
    assert "- node 'n' (Axed): attribute 'axis' (int32) is missing" in out
    assert cli("scan", save_model("[n] y = Axed <axis = 1> (x)"))[0] == 0
