import inspect

import pytest

from trtreg import errors


def _classes():
    return [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, Exception)]


def test_every_class_has_its_own_exit_code():
    codes = [c.exit_code for c in _classes()]
    assert len(set(codes)) == len(codes)
    assert all(2 < code < 126 for code in codes)


def test_every_class_is_exported_and_derives_from_the_root():
    assert {c.__name__ for c in _classes()} == set(errors.__all__)
    assert all(issubclass(c, errors.TrtregError) for c in _classes())
    assert all("exit_code" in vars(c) for c in _classes())


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({}, "m"),
        ({"found": "X"}, "m: found X"),
        ({"expected": "Y"}, "m: expected Y"),
        ({"found": "X", "expected": "Y"}, "m: found X, expected Y"),
        ({"remedy": "do Z"}, "m; do Z"),
        ({"found": "X", "expected": "Y", "remedy": "do Z"}, "m: found X, expected Y; do Z"),
    ],
)
def test_the_text_joins_what_is_known(parts, text):
    error = errors.LoadError("m", **parts)
    assert str(error) == text
    assert (error.found, error.expected, error.remedy) == tuple(parts.get(k) for k in ("found", "expected", "remedy"))


def test_an_incompatible_plugin_lists_every_reason():
    error = errors.IncompatiblePluginError("no", reasons=["one", "two"])
    assert str(error).splitlines() == ["no", "- one", "- two"]
