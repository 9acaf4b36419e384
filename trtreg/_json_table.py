"""Reading decoded JSON with key paths: what was found, what was expected, and where."""

from __future__ import annotations

import sys

from trtreg import _patterns

TYPE_CHECKING = False  # `typing` takes longer to import than `trtreg list` may take
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final, TypeVar

    _T = TypeVar("_T")

__all__ = ["Table", "UnexpectedJSONError"]

_NAMES: Final = {dict: "object", list: "array", str: "str", int: "int", float: "float"}


class UnexpectedJSONError(ValueError):
    """A key is missing, or its value is not what the format says."""

    def __init__(self, message: str, *, found: str | None = None, expected: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.found = found
        self.expected = expected


class Table:
    """A JSON object and its key path; each getter gives a value of a known type or raises UnexpectedJSONError."""

    __slots__ = ("_data", "_path")

    def __init__(self, data: Mapping[str, object], path: str) -> None:
        self._data = data
        self._path = path

    @classmethod
    def root(cls, data: object, path: str = "") -> Table:
        """Begin at the top, or at what stands at `path` of a larger document."""
        if not isinstance(data, dict):
            raise _wrong_type(data, "object", f"'{path}'" if path else "the document")
        return cls(data, path)

    def keys(self) -> tuple[str, ...]:
        """The keys that are there."""
        return tuple(self._data)

    def unexpected(self, key: str, *, found: str, expected: str) -> UnexpectedJSONError:
        """Make the error for a value that the caller judges."""
        return UnexpectedJSONError(f"Unexpected value in {self._at(key)}", found=found, expected=expected)

    def value(self, key: str, *, default: object) -> object:
        """Whatever is there, or the default: for the caller to judge."""
        return self._data.get(key, default)

    def string(self, key: str, pattern: str | None = None, *, default: str | None = None) -> str:
        """A string that matches the whole pattern."""
        if default is not None and key not in self._data:
            return default
        return self._string(self._required(key), pattern, key)

    def optional_string(self, key: str, pattern: str | None = None) -> str | None:
        """The same, or None where the key is absent or null."""
        return None if self._data.get(key) is None else self.string(key, pattern)

    def integer(self, key: str, *, minimum: int, default: int | None = None) -> int:
        """An integer."""
        if default is not None and key not in self._data:
            return default
        return self._integer(key, self._required(key), minimum)

    def table(self, key: str) -> Table:
        """A nested object."""
        return Table(self._checked(self._required(key), dict, key), self._join(key))

    def optional_table(self, key: str) -> Table | None:
        """The same, or None where the key is absent or null."""
        return None if self._data.get(key) is None else self.table(key)

    def tables(self, key: str) -> tuple[Table, ...]:
        """An array of objects."""
        items = enumerate(self._checked(self._required(key), list, key))
        return tuple([Table(self._checked(item, dict, key, i), self._join(key, i)) for i, item in items])

    def optional_tables(self, key: str) -> tuple[Table, ...] | None:
        """The same, or None where the key is absent."""
        return self.tables(key) if key in self._data else None

    def arrays(self, key: str) -> tuple[list[object], ...]:
        """An array of arrays, empty where the key is absent."""
        items = enumerate(self._checked(self._data.get(key, []), list, key))
        return tuple([self._checked(item, list, key, i) for i, item in items])

    def strings(self, key: str, pattern: str) -> tuple[str, ...]:
        """An array of strings that match the whole pattern."""
        items = enumerate(self._checked(self._required(key), list, key))
        return tuple([self._string(item, pattern, key, i) for i, item in items])

    def optional_numbers(self, key: str) -> tuple[int | float, ...] | None:
        """An array of finite numbers, or None where the key is absent."""
        if key not in self._data:
            return None
        numbers = []
        for i, item in enumerate(self._checked(self._data[key], list, key)):
            if isinstance(item, bool) or not isinstance(item, int | float):
                raise _wrong_type(item, "number", self._at(key, i))
            if not abs(item) <= sys.float_info.max:  # not true of NaN either
                raise self.unexpected(f"{key}[{i}]", found=str(item)[:40], expected="a finite number")
            numbers.append(item)
        return tuple(numbers)

    def optional_range(self, key: str) -> tuple[int, int] | None:
        """A pair of counts, lowest and highest, or None where the key is absent."""
        if key not in self._data:
            return None
        pair = [self._integer(key, item, 0) for item in self._checked(self._data[key], list, key)]
        if len(pair) != 2 or pair[0] > pair[1]:  # noqa: PLR2004 - a pair
            raise self.unexpected(key, found=str(pair), expected="[lowest, highest]")
        return pair[0], pair[1]

    def _string(self, value: object, pattern: str | None, key: str, index: int | None = None) -> str:
        text = self._checked(value, str, key, index)
        # JSON can spell half of a surrogate pair, which no file and no terminal takes. Without a pattern all is taken.
        if pattern is not None and not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
            where = self._at(key, index)
            raise UnexpectedJSONError(f"Unexpected value in {where}", found=ascii(text), expected="Unicode characters")
        if pattern is not None and not _patterns.matches(pattern, text):
            where = self._at(key, index)
            raise UnexpectedJSONError(
                f"Unexpected value in {where}", found=repr(text), expected=f"{key} like {pattern}"
            )
        return text

    def _integer(self, key: str, value: object, minimum: int) -> int:
        if isinstance(value, bool):  # a bool is an int to Python, not to JSON
            raise _wrong_type(value, "int", self._at(key))
        number = self._checked(value, int, key)
        if number < minimum:
            raise self.unexpected(key, found=str(number), expected=f"{minimum} or more")
        return number

    def _required(self, key: str) -> object:
        try:
            return self._data[key]
        except KeyError:
            raise UnexpectedJSONError(f"Missing required key {self._at(key)}") from None

    def _checked(self, value: object, expected: type[_T], key: str, index: int | None = None) -> _T:
        if not isinstance(value, expected):
            raise _wrong_type(value, _NAMES[expected], self._at(key, index))
        return value

    def _join(self, key: str, index: int | None = None) -> str:
        place = key if index is None else f"{key}[{index}]"
        return f"{self._path}.{place}" if self._path else place

    def _at(self, key: str, index: int | None = None) -> str:
        return f"'{self._join(key, index)}'"


def _wrong_type(value: object, expected: str, where: str) -> UnexpectedJSONError:
    found = "null" if value is None else _NAMES.get(type(value), type(value).__name__)
    return UnexpectedJSONError(f"Unexpected type {found} (expected {expected}) in {where}")
