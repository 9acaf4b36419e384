"""Comparing versions by https://packaging.python.org/specifications/version-specifiers/, of which plain ones are usual.

Plain are numbers with dots between them, and comparisons with such by one of six operators. All else is left to
`packaging`, whose import takes twice as long as the start of Python.
"""

from trtreg._patterns import LONGEST

TYPE_CHECKING = False  # `typing` takes longer to import than `trtreg list` may take
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["are_equal", "is_in", "is_range"]

_OPERATORS: "dict[str, Callable[[Any, Any], bool]]" = {  # in the order in which they are looked for
    "==": tuple.__eq__,
    "!=": tuple.__ne__,
    "<=": tuple.__le__,
    ">=": tuple.__ge__,
    "<": tuple.__lt__,
    ">": tuple.__gt__,
}


def is_range(specifiers: str) -> bool:
    """Whether a text is a set of specifiers such as ">=10.0,<11"."""
    if len(specifiers) > LONGEST:
        return False
    if _plain_range(specifiers) is not None:
        return True
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        SpecifierSet(specifiers)
    except InvalidSpecifier:
        return False
    return True


def is_in(version: str, specifiers: str) -> bool:
    """Whether the version is one of those, pre-releases among them; one that is no version is not."""
    release, bounds = _plain(version), _plain_range(specifiers)
    if release is not None and bounds is not None:
        return all(compare(release, bound) for compare, bound in bounds)
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion

    try:
        return SpecifierSet(specifiers).contains(version, prereleases=True)
    except InvalidVersion:
        return False


def are_equal(one: str, other: str) -> bool:
    """Whether two texts are the same version; one that is none is not."""
    releases = _plain(one), _plain(other)
    if None not in releases:
        return releases[0] == releases[1]
    from packaging.version import InvalidVersion, Version

    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return False


def _plain(version: str) -> "tuple[int, ...] | None":
    """The numbers of a plain version, but for zeros at the end, which mean nothing."""
    parts = version.strip(" ").split(".")
    if len(version) > LONGEST or not (version.isascii() and all(part.isdigit() for part in parts)):
        return None
    numbers = [int(part) for part in parts]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _plain_range(specifiers: str) -> "list[tuple[Callable[[Any, Any], bool], tuple[int, ...]]] | None":
    """The comparisons of a plain set; None for any other."""
    found = []
    for text in specifiers.split(","):
        operator = next((sign for sign in _OPERATORS if text.strip(" ").startswith(sign)), None)
        bound = None if operator is None else _plain(text.strip(" ")[len(operator) :])
        if operator is None or bound is None:
            return None
        found.append((_OPERATORS[operator], bound))
    return found
