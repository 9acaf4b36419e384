"""The quick tests of texts say yes of nothing that the regular expressions do not match."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trtreg import _patterns

ALPHABET = "aAzZ09afx:_-.+!/\0 \n\té²Ⅷ\U0001d7ce"
USUAL = {
    _patterns.ANY: ["", "any\nthing"],
    _patterns.SOME: ["x", "\n"],
    _patterns.WORD: ["float32", "a"],
    _patterns.TENSOR: ["float16", "int8:chw32", "half:a_b"],
    _patterns.MACHINE: ["x86_64", "aarch64"],
    _patterns.PACKAGE: ["trtplugin-a", "A.b_c", "x"],
    _patterns.RELEASE: ["1.0", "2!1.0.post1+cu13"],
    _patterns.UNSPACED: ["0.1.0"],
    _patterns.VERSION: ["13.0", "2.35"],
    _patterns.SM: ["8.6", "9.0a", "12.0f"],
    _patterns.DIGEST: ["0123456789abcdef" * 4],
    _patterns.FILE: ["libtrtplugin_a.so", "lib-a.so.1"],
    _patterns.IDENTIFIER: ["initLibMyPlugins", "_x1"],
    _patterns.SONAME: ["libc.so.6", "libstdc++.so.6"],
    _patterns.REGISTRATION: ["dynamic", "static", "init"],
    _patterns.INTERFACE: ["v2", "v3"],
}


def test_every_pattern_is_tested():
    assert USUAL.keys() == _patterns._USUAL.keys()


@pytest.mark.parametrize(("pattern", "text"), [(pattern, text) for pattern, texts in USUAL.items() for text in texts])
def test_the_usual_is_recognised(pattern, text):
    assert _patterns._USUAL[pattern](text)


@given(
    st.sampled_from([*USUAL]).flatmap(
        lambda pattern: st.tuples(
            st.just(pattern),
            st.text(ALPHABET, max_size=12)
            | st.text()
            | st.from_regex(pattern)
            | st.from_regex(pattern, fullmatch=True),
        )
    )
)
@example((_patterns.FILE, "."))
@example((_patterns.FILE, ".."))
@example((_patterns.FILE, ".\n"))
@example((_patterns.FILE, "..x"))
@example((_patterns.SM, "a"))
@example((_patterns.SM, "09.0"))
@example((_patterns.VERSION, "12345.0"))
@example((_patterns.RELEASE, "1" * 1001))
@example((_patterns.INTERFACE, "v2|v3"))
@example((_patterns.DIGEST, "\n" + "a" * 63))
def test_both_say_the_same(case):
    pattern, text = case
    expected = re.fullmatch(pattern, text) is not None
    assert _patterns.matches(pattern, text) == expected
    assert expected or not _patterns._USUAL[pattern](text)
