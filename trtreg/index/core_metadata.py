"""The few fields of METADATA that an index needs: https://packaging.python.org/specifications/core-metadata/."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from trtreg.index.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CoreMetadata", "parse"]

_HEADER: Final = re.compile(r"([A-Za-z][A-Za-z0-9-]*):[ \t]*(.*)")
_SINGLE: Final = ("metadata-version", "name", "version", "summary", "requires-python")
_NAME: Final = re.compile(r"[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]")


@dataclass(frozen=True, kw_only=True, slots=True)
class CoreMetadata:
    """Name and version as written; requirements as written."""

    name: str
    version: str
    summary: str
    requires_python: str
    requires: tuple[str, ...]


def parse(data: bytes) -> CoreMetadata:
    """Read METADATA; Refusal says what is wrong."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal(f"METADATA is not UTF-8: {error}") from error
    fields: dict[str, list[str]] = {}
    for name, value in _fast(text) or _slow(text):
        fields.setdefault(name.lower(), []).append(value.strip())
    for name in _SINGLE:
        if len(fields.get(name, ())) > 1:
            raise Refusal(f"METADATA has the field {name} more than once")
    for name in ("metadata-version", "name", "version"):
        if name not in fields:
            raise Refusal(f"METADATA has no field {name}")
    if _NAME.fullmatch(fields["name"][0]) is None:
        raise Refusal(f"METADATA has the name {fields['name'][0]!r}, which is no name of a project")
    requires_python = fields.get("requires-python", [""])[0]
    _check_specifier(requires_python)
    for requirement in fields.get("requires-dist", ()):
        _check_requirement(requirement)
    return CoreMetadata(
        name=fields["name"][0],
        version=fields["version"][0],
        summary=" ".join(fields.get("summary", [""])[0].split()),
        requires_python=requires_python,
        requires=tuple(fields.get("requires-dist", ())),
    )


def _fast(text: str) -> list[tuple[str, str]] | None:
    """Read plain headers, which nearly all are; None where only a whole parser of mail knows."""
    end = text.find("\n\n")
    head = text if end < 0 else text[:end]
    if "\r" in head:
        return None
    found: list[tuple[str, str]] = []
    for line in head.split("\n"):
        if line[:1] in {" ", "\t"} and found:
            name, value = found[-1]
            found[-1] = name, f"{value}\n{line}"
            continue
        match = _HEADER.fullmatch(line)
        if match is None:
            if line or not found:
                return None
            break
        found.append((match[1], match[2]))
    return found


def _slow(text: str) -> Iterable[tuple[str, str]]:
    from email.parser import HeaderParser

    return [(name, str(value)) for name, value in HeaderParser().parsestr(text).items()]


@lru_cache(maxsize=1024)
def _check_specifier(text: str) -> None:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        raise Refusal(f"METADATA has the Requires-Python {text!r}, which is no version specifier") from None


@lru_cache(maxsize=1024)
def _check_requirement(text: str) -> None:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        Requirement(text)
    except InvalidRequirement:
        raise Refusal(f"METADATA has the Requires-Dist {text!r}, which is no requirement") from None
