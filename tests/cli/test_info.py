import pytest

from trtreg import environment, save_trt_engine
from trtreg.engine import Engine, UsedPlugin
from trtreg.errors import EngineBuildError, EngineLockError, UnknownPluginError
from trtreg.manifest import Creator, CreatorKey, Field, Signature
from trtreg.model import ModelDigest

FIELDS = (
    Field(name="stride", type="int32", length=2, default=(1, 1)),
    Field(name="group", type="int32", length=1, alias_of="groups"),
    Field(name="mode", type="char", length=0, default="zeros"),
    Field(name="must", type="float32", length=1),
)
RICH = Creator(
    name="TrtregTestRich",
    version="2",
    namespace="space",
    fields=FIELDS,
    inputs=(4, 5),
    outputs=(1, 1),
    signatures=(Signature(inputs=("float16:chw32",), outputs=("float16",)),),
)


@pytest.fixture
def rich(install, monkeypatch, site):
    monkeypatch.syspath_prepend(site)
    return install(b"12345", name="trtplugin-rich", creators=(RICH,), sms=("8.6", "9.0"), ptx=("9.0",), cuda="13.0")


@pytest.mark.parametrize("name", ["trtplugin-rich", "TrtPlugin_Rich", "TrtregTestRich"])
def test_a_plugin_by_package_and_by_op(cli, rich, name):
    code, out, _ = cli("info", name)
    assert code == 0
    lines = [line.strip() for line in out.splitlines()]
    assert lines[0] == "trtplugin-rich 1.0"
    assert "TensorRT  full >=10, lean >=10, rtx >=1.7" in lines
    assert "GPU code  sm 8.6, 9.0 and PTX 9.0, CUDA 13.0" in lines
    assert any(line.startswith("fits      yes") for line in lines)
    assert "op space::TrtregTestRich 2  (4 to 5 in, 1 out)" in lines
    assert [" ".join(line.split()) for line in lines[-5:]] == [
        "stride int32[2] = 1, 1",
        "group int32, another name of groups",
        "mode char[] = zeros",
        "must float32, required",
        "float16:chw32 -> float16",
    ]


def test_every_reason_has_a_line(cli, misfit):
    code, out, _ = cli("info", "TrtregTestMisfit")
    assert code == 0
    assert "fits      no\n    - machine: found" in out
    assert "\n    - glibc: found" in out


def test_a_broken_plugin(cli, broken):
    code, out, _ = cli("info", "trtplugin-broken")
    assert code == 0
    assert "fits      no, broken: " in out


def test_an_unknown_name(cli, identity):
    code, out, err = cli("info", "trtplugin-identty")
    assert (code, out) == (UnknownPluginError.exit_code, "")
    assert "trtreg: remedy: did you mean trtplugin-identity" in err


def save(path, plugin, **changes):
    """Save an engine that was built here with a plugin."""
    here = environment.read()
    used = UsedPlugin(
        package=plugin.distribution,
        version=plugin.version,
        sha256=plugin.manifest.library.sha256,
        creators=(CreatorKey("TrtregTestIdentity", "1"),),
    )
    fields = {
        "plan": b"TrtregTestIdentity",
        "flavour": here.flavour.value,
        "tensorrt_version": here.tensorrt_version,
        "creators": used.creators,
        "plugins": (used,),
        "layers": (),
        "inputs": (),
        "outputs": (),
        "targets": ("8.6",),
        "model": ModelDigest(sha256="ab" * 32, external_data=True),
    }
    save_trt_engine(Engine(**{**fields, **changes}), path)
    return path


def test_an_engine(cli, identity, tmp_path):
    here = environment.read()
    code, out, _ = cli("info", save(tmp_path / "m.engine", identity))
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == f"{tmp_path / 'm.engine'}: 18 B"
    assert lines[2:] == [
        f"TensorRT {here.flavour.value} {here.tensorrt_version}, for 8.6",
        f"model sha256 {'ab' * 32}, with weights in other files",
        "plugin trtplugin-identity 1.0 (TrtregTestIdentity 1)",
        f"sha256 {identity.manifest.library.sha256}",
        "here as it was built",
        "would load trtplugin-identity",
    ]


def test_what_does_not_go_with_an_engine(cli, misfit, identity, tmp_path):
    path = save(tmp_path / "m.engine", identity, tensorrt_version="99.1", flavour="lean")
    _, out, _ = cli("info", path)
    assert "here      no: TensorRT: was lean 99.1, is " in out
    path = save(tmp_path / "m.engine", identity, tensorrt_version="99.1")
    _, out, _ = cli("info", path)
    assert "here      differs: TensorRT: was " in out
    path.write_bytes(b"another with TrtregTestIdentity")
    _, out, _ = cli("info", path)
    assert "lock      of another engine" in out
    assert "here      no: engine: was sha256 " in out
    assert "TensorRT " not in out
    assert "would load trtplugin-identity" in out


def test_an_engine_without_a_lock(cli, identity, tmp_path, identity_library):
    (tmp_path / "plain").write_bytes(b"plan of TrtregTestIdentity")
    code, out, _ = cli("info", tmp_path / "plain")
    assert code == 0
    assert "  lock      none\n  would load trtplugin-identity\n" in out
    (tmp_path / "fat").write_bytes(b"TrtregTestIdentity" + identity_library.read_bytes())
    _, out, _ = cli("info", tmp_path / "fat")
    assert "carries   trtplugin-identity: " in out
    assert "would load no plugin" in out


def test_a_file_here_is_an_engine_and_a_folder_is_not(cli, identity, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "TrtregTestIdentity").mkdir()
    assert cli("info", "TrtregTestIdentity")[1].startswith("trtplugin-identity 1.0\n")
    (tmp_path / "model").write_bytes(b"plan")
    assert cli("info", "model")[1].startswith("model: 4 B\n")


def test_an_engine_that_is_not_there(cli):
    code, _, err = cli("info", "absent.engine")
    assert (code, "cannot read the engine absent.engine" in err) == (EngineBuildError.exit_code, True)


def test_a_damaged_lock(cli, tmp_path):
    (tmp_path / "m.engine").write_bytes(b"plan")
    (tmp_path / "m.engine.lock.json").write_text("{", encoding="utf-8")
    code, out, err = cli("info", tmp_path / "m.engine")
    assert (code, out) == (EngineLockError.exit_code, "")
    assert "trtreg: remedy: build the engine again, or delete the lock" in err
