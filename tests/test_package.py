import re
from importlib import import_module
from pathlib import Path

import pytest

import trtreg

HEAVY = ("tensorrt", "tensorrt_rtx", "tensorrt_lean", "onnx", "numpy", "torch", "google.protobuf")


def test_every_name_can_be_had():
    for name in trtreg.__all__:
        assert getattr(trtreg, name) is not None
    assert set(trtreg._MODULES) == set(trtreg.__all__) - {"__version__"}
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        trtreg.nope  # noqa: B018


def test_no_name_is_hidden_by_a_module():
    modules = {path.stem for path in Path(trtreg.__file__).parent.glob("*.py")}
    assert not modules & set(trtreg.__all__)


def test_the_version_is_pyprojects():
    text = (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r'^version = "(.*)"$', text, re.MULTILINE)[1] == trtreg.__version__


def test_the_errors_can_be_had_before_they_are_imported(run_python):
    code = """
import sys, trtreg
before = "trtreg.errors" in sys.modules
print(before, trtreg.errors.TrtregError is trtreg.TrtregError)
"""
    assert run_python(code).stdout == "False True\n"


# What only commands that read indexes need.
OF_INDEXES = ("requests", "urllib3", "sqlite3", "ssl", "http.client", "tomllib", "tomli")


def test_list_is_light(run_python):
    code = f"""
import sys, trtreg.cli
trtreg.cli.main(["list", "--json"])
print([name for name in {(*HEAVY, *OF_INDEXES)} if name in sys.modules], file=sys.stderr)
"""
    assert run_python(code).stderr == "[]\n"


def test_importing_is_light(run_python):
    code = f"import sys, trtreg; print([name for name in {HEAVY} if name in sys.modules])"
    assert run_python(code).stdout == "[]\n"


@pytest.mark.parametrize("path", sorted(Path(trtreg.__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_public_modules_say_what_is_public(path):
    if path.stem == "__main__":
        return
    module = import_module(f"trtreg.{path.stem}" if path.stem != "__init__" else "trtreg")
    assert all(hasattr(module, name) for name in module.__all__)
