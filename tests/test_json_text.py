"""What is read and written without `json` is what `json` reads and writes."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtreg import _json_text

texts = st.text(st.characters())
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=20,
)
any_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=20,
)


def result(function, text):
    try:
        return repr(function(text))
    except (ValueError, RecursionError) as error:
        return f"{type(error)} {error}"


@given(plain)
def test_writing(value):
    assert _json_text.dumps(value) == json.dumps(value, indent=2)


@pytest.mark.parametrize("value", [1.5, (1,), [1, (2,)], {"a": {3}}])
def test_other_values_are_not_written(value):
    with pytest.raises(TypeError):
        _json_text.dumps(value)


@given(any_value, st.sampled_from([None, 1, 2]), st.booleans())
def test_reading(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert repr(_json_text.loads(text)) == repr(json.loads(text))


@given(st.text(' \t\n\r\f\xa0\ufeff{}[]",:01e.-+tnNaI\\u\x00ab') | st.text())
def test_reading_whatever_there_is(text):
    assert result(_json_text.loads, text) == result(json.loads, text)


@given(any_value, st.integers(0, 200), st.sampled_from(["", '"', "}", "\\", "\x00", " ", "NaN", "\x1f"]))
def test_reading_what_is_damaged(value, place, inserted):
    text = json.dumps(value)
    damaged = text[:place] + inserted + text[place + 1 :]
    assert result(_json_text.loads, damaged) == result(json.loads, damaged)


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, '{"a": 1, "a": 2}', "\ufeff1", "NaN", "-Infinity", ""])
def test_reading_what_is_odd(text):
    assert result(_json_text.loads, text) == result(json.loads, text)


@pytest.mark.parametrize(
    "text", ['{"a": }', '{"a" 1}', "[1", '"\x01"', '"\\x"', "", "x", '{"a": NaN}', "1 1", '"\\ud8"']
)
def test_errors_where_nothing_has_imported_json(run_python, text):
    """The C code finds its error in a module that it takes to be there."""
    code = """
import sys
from trtreg import _json_text
assert "json" not in sys.modules
try:
    print(_json_text.loads(sys.argv[1]))
except ValueError as error:
    print(type(error).__name__, error)
"""
    expected = result(json.loads, text).removeprefix("<class 'json.decoder.").replace("'>", "", 1)
    assert run_python(code, text).stdout == f"{expected}\n"


def test_the_usual_is_read_and_written_without_json(run_python):
    code = """
import sys
from trtreg import _json_text
before = {*sys.modules} | {"_json"}
print(_json_text.dumps(_json_text.loads(' {"a": [1, -2, "\\\\u00e9", null, true], "b": {}, "c": []}\\n')), end=" ")
assert _json_text.loads("[1.5e3]") == [1500.0]
print(sorted({*sys.modules} - before))
"""
    value = {"a": [1, -2, "é", None, True], "b": {}, "c": []}
    assert run_python(code).stdout == f"{json.dumps(value, indent=2)} []\n"
    assert math.isclose(_json_text.loads("0.1"), 0.1)
