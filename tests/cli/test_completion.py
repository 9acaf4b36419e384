import sys

import pytest

from trtreg.errors import MissingExtraError


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_a_script_that_knows_the_commands(cli, shell):
    pytest.importorskip("shtab")
    code, out, _ = cli("completion", shell)
    assert code == 0
    assert "onnx2trt" in out


def test_without_shtab(cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    code, _, err = cli("completion", "bash")
    assert code == MissingExtraError.exit_code
    assert "pip install 'trtreg[completion]'" in err
