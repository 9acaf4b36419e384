import pytest

from trtreg.errors import UnknownPluginError
from trtreg.manifest import Creator, Field, Signature

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
