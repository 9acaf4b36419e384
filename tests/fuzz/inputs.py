"""Inputs for the readers, drawn by Hypothesis: sound ones that were damaged, and ones of the right form but hostile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

    from .readers import Target

__all__ = ["inputs"]

_DEEP = "@deep@"
_HUGE = "@huge@"
# What no encoder writes: nested deeper than any stack, and more digits than Python turns into a number.
_RAW = {f'"{_DEEP}"': "[" * 100_000, f'"{_HUGE}"': "9" * 5000}

_TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from([
        *("", " ", "\0", "\ud800", "\u202e", "x" * 300, "../../x", "/etc/passwd", "C:\\x", "9" * 5000, "1.0", ">=1.0"),
        *(">=" + "9" * 5000, "==1.*", "~=1", "9.0", "12.0a", "float32", "int64", "char", "file:///etc/passwd", "//[x"),
        *("https://example.org:99999/x.whl", "http://[::1", "a" * 64, "static", "init", "full", "None", "\x1b[31m"),
    ]),
)  # fmt: skip
_VALUES: SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 3),
        st.sampled_from([2**31, 2**63, -(2**63) - 1, 2**64, 10**400, -(10**400), 1e308, float("inf"), float("nan")]),
        _TEXTS,
        st.sampled_from([_DEEP, _HUGE]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_TEXTS, inner, max_size=3)),
    max_leaves=4,
)


def inputs(target: Target) -> SearchStrategy[bytes]:
    """All that is tried on a reader."""
    kinds = [_damaged(target), st.binary(max_size=64)]
    if target.is_json:
        kinds.insert(0, _hostile(target))
    return st.one_of(*kinds)


@st.composite
def _damaged(draw: DrawFn, target: Target) -> bytes:
    """A sound input in which a few bytes were changed, cut out, doubled or replaced by words of the format."""
    data = bytearray(draw(st.sampled_from(target.seeds())))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        length = draw(st.sampled_from([1, 1, 2, 4, 8, 40, 1000]))
        change = draw(st.integers(0, 5))
        if change == 0 and data:
            data[at] = draw(st.integers(0, 255))
        elif change == 1 and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif change == 2:
            del data[at : at + length]
        elif change == 3:
            data[at:at] = data[at : at + length] * draw(st.sampled_from([1, 2, 30]))
        else:
            word = draw(st.sampled_from(target.words)) if target.words else draw(st.binary(min_size=1, max_size=8))
            data[at : at + (len(word) if change == 4 else 0)] = word
    return bytes(data)


@st.composite
def _hostile(draw: DrawFn, target: Target) -> bytes:
    """A document in which a few values were replaced, left out or added, wherever they stand."""
    seeds = [seed for seed in target.seeds() if b"\n" not in seed.strip()]
    document = json.loads(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 3))):
        parent, key = draw(st.sampled_from(_places(document)))
        change = draw(st.integers(0, 9))
        if change == 0:
            del parent[key]
        elif change == 1 and isinstance(parent, dict):
            parent[draw(_TEXTS)] = draw(_VALUES)
        elif change == 1:
            parent.append(draw(_VALUES))
        else:
            parent[key] = draw(_VALUES)
        if not _places(document):
            break
    text = json.dumps(document)
    for mark, raw in _RAW.items():
        text = text.replace(mark, raw)
    return text.encode()


def _places(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        found.append((value, key))
        found += _places(item)
    return found
