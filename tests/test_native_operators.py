import importlib
import json

import pytest

from trtreg import flavour, native_operators


def test_the_file_is_what_the_parser_says():
    """To mend it: python -m trtreg.native_operators."""
    native = native_operators.read()
    installed = next((t for t in flavour.installed() if t.flavour.value == native.flavour), None)
    if installed is None or installed.version != native.version:
        pytest.skip(f"the file is of {native.flavour} {native.version}, here is {installed and installed.version}")
    probed = native_operators.probe(flavour.load(installed), native.flavour)
    assert native_operators.to_json(probed) == native_operators._FILE.read_text(encoding="utf-8")


def test_known_names_stand_in_it():
    operators = native_operators.read().operators
    # The last two are no ONNX operators: they are found in the parser's library only.
    assert {"Conv", "ScatterND", "NonMaxSuppression", "GridSample", "TRT_MoE", "MatMulNBits"} <= operators
    assert not {"DeformConv", "HSwish", "Plugin", "FallbackPluginImporter", "LocalFunctionImporter"} & operators


def test_the_text_is_sorted_and_versioned():
    native = native_operators.NativeOperators(source="s", flavour="rtx", version="1", operators=frozenset({"B", "A"}))
    text = native_operators.to_json(native)
    assert text.endswith("\n")
    assert json.loads(text) == {
        "schema": 1,
        "source": "s",
        "tensorrt": {"flavour": "rtx", "version": "1"},
        "operators": ["A", "B"],
    }


def test_reading_is_not_done_at_import():
    native_operators.read.cache_clear()
    module = importlib.reload(native_operators)
    assert module.read.cache_info().currsize == 0
