"""Plain versions are compared as `packaging` compares them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from trtreg import _versions

plain = st.lists(st.integers(0, 3), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
versions = (
    plain
    | st.builds(
        "{}{}".format, plain, st.sampled_from(["rc1", ".post1", "+cu13", ".dev0", "a", ".*", " ", "\n", ".", "٣"])
    )
    | st.sampled_from(["", "v1", "1!0", "01.1", "x", "²", " 1", "1 0"])
)
specifiers = st.builds(
    "{}{}{}".format, st.sampled_from([">=", "<=", "==", "!=", "<", ">", "~=", "===", "=", "", " >= ", ">= ="]),
    st.sampled_from(["", " "]), versions,
)  # fmt: skip
ranges = st.lists(specifiers, max_size=3).map(",".join)


def is_range(text):
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        return False
    return True


@given(ranges)
@example(">=1,,<2")
@example(",")
def test_ranges(text):
    assert _versions.is_range(text) == is_range(text)


@given(versions, ranges.filter(is_range))
@example("1.0", ">=1,<1.0.1")
@example("1", "==1.0.0")
@example("10.0.0.1", ">10")
@example("1", "")
def test_whether_a_version_is_in_a_range(version, text):
    try:
        expected = SpecifierSet(text).contains(version, prereleases=True)
    except InvalidVersion:
        expected = False
    assert _versions.is_in(version, text) == expected


@given(versions, versions)
def test_whether_two_are_equal(one, other):
    try:
        expected = Version(one) == Version(other)
    except InvalidVersion:
        expected = False
    assert _versions.are_equal(one, other) == expected


def test_what_is_too_long_is_no_range():
    assert _versions.is_range(f">={'1' * 998}")
    assert not _versions.is_range(f">={'1' * 999}")


@pytest.mark.parametrize("text", [">=10.0", ">=10,<12", "==1.7", "!= 1.7 , >1"])
def test_plain_ones_are_compared_without_packaging(run_python, text):
    code = """
import sys
from trtreg import _versions
before = {*sys.modules}
print(_versions.is_range(sys.argv[1]), _versions.is_in("10.13.0.35", sys.argv[1]), _versions.are_equal("1.0", "1"))
print(sorted({*sys.modules} - before))
"""
    assert run_python(code, text).stdout == f"True {SpecifierSet(text).contains('10.13.0.35')} True\n[]\n"
