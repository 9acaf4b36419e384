"""The command line, run in this process, with plugin packages that a test installs."""

import pytest

from trtreg.manifest import CreatorKey

IDENTITY = CreatorKey("TrtregTestIdentity", "1")


@pytest.fixture
def identity(identity_library, install, monkeypatch, site):
    """Install a package with a plugin that works."""
    plugin = install(identity_library, [IDENTITY], "trtplugin-identity")
    monkeypatch.syspath_prepend(site)
    return plugin


@pytest.fixture
def misfit(install, monkeypatch, site):
    """Install a package that fits no machine, for two reasons."""
    monkeypatch.syspath_prepend(site)
    return install(b"", [CreatorKey("TrtregTestMisfit", "1")], "trtplugin-misfit", machine="mips", glibc="9.9")


@pytest.fixture
def broken(install, monkeypatch, site):
    """Install a package whose manifest is no JSON."""
    plugin = install(b"", [], "trtplugin-broken")
    (plugin.root / "trtplugin.json").write_text("{", encoding="utf-8")
    monkeypatch.syspath_prepend(site)
    return plugin


@pytest.fixture
def save_model(tmp_path):
    """Write a model of one line of nodes from x to y."""
    onnx = pytest.importorskip("onnx")
    parser = pytest.importorskip("onnx.parser")

    def save_model(body, x="float[1,4] x", name="m.onnx"):
        text = f'<ir_version: 8, opset_import: ["" : 17]> g ({x}) => (float[p,q] y) {{ {body} }}'
        path = tmp_path / name
        onnx.save_model(parser.parse_model(text), path)
        return path

    return save_model


@pytest.fixture
def model(save_model):
    return save_model("a = Relu (x) [mine] y = TrtregTestIdentity (a)")
