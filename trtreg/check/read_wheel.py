"""The facts of a wheel, or of the package that became of one; whatever cannot be read becomes a problem."""

from __future__ import annotations

import base64
import configparser
import csv
import json
import re
from typing import TYPE_CHECKING, Final

from trtreg import manifest as manifests
from trtreg.check.facts import Problem, WheelFacts
from trtreg.discovery import ENTRY_POINT_GROUP
from trtreg.errors import ManifestError
from trtreg.index import wheels
from trtreg.index.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from trtreg.check.tree import Tree
    from trtreg.manifest import Manifest

__all__ = ["dist_info", "entry_points", "read", "read_manifests", "recorded", "refusal"]

_LIMIT: Final = 4 << 20
_RECORD_LIMIT: Final = 32 << 20
_UNRECORDED: Final = ("RECORD", "RECORD.jws", "RECORD.p7s", "INSTALLER", "REQUESTED", "direct_url.json")


def read(tree: Tree, file: str, *, info: str | None = None) -> WheelFacts:
    """Read the wheel called `file`; with `info`, its folder of metadata, what a wheel has become."""
    problems: list[Problem] = []
    project, version = "", ""
    tags: tuple[str, ...] = ()
    unpacked = info is not None
    if not unpacked:
        try:
            name = wheels.parse_name(file)
            project, version, tags = name.project, name.version, _tags(file)
        except Refusal as error:
            problems.append(Problem(where=file, text=str(error)))
        info = dist_info(tree)
        if info is None:
            problems.append(Problem(where=file, text="it has not exactly one folder *.dist-info"))
    metadata = _headers(tree, f"{info}/METADATA", problems) if info else {}
    declared = _headers(tree, f"{info}/WHEEL", problems).get("tag", ()) if info else ()
    if not unpacked and sorted(declared) != sorted(tags) and tags:
        found = ", ".join(declared) or "no tag"
        problems.append(
            Problem(where=f"{info}/WHEEL", text=f"its tags are {found}, by the file name {', '.join(tags)}")
        )
    return WheelFacts(
        file=file,
        project=project or next(iter(metadata.get("name", ())), ""),
        version=version or next(iter(metadata.get("version", ())), ""),
        tags=declared if unpacked else tags,
        unpacked=unpacked,
        names=tree.names,
        metadata=metadata,
        entry_points=tuple(_entry_points(tree, info, problems)) if info else (),
        problems=tuple(problems),
        record=tuple(_record(tree, info)) if info else (),
    )


def refusal(path: Path) -> str | None:
    """Why the index would not take the wheel."""
    try:
        wheels.read(str(path), wheels.parse_name(path.name))
    except Refusal as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - as the index does: whatever a hostile wheel makes of it
        return f"it cannot be read: {type(error).__name__}: {error}"
    return None


def dist_info(tree: Tree) -> str | None:
    """The folder of the metadata, if there is exactly one."""
    found = {name.partition("/")[0] for name in tree.names if re.match(r"[^/]+\.dist-info/", name)}
    return found.pop() if len(found) == 1 else None


def read_manifests(tree: Tree) -> Iterator[tuple[str, Manifest | Problem]]:
    """Each manifest by its place, or why it is none."""
    for name in tree.names:
        if name.rpartition("/")[2] != manifests.FILE_NAME:
            continue
        try:
            yield name, manifests.parse(json.loads(tree.read(name, _LIMIT)))
        except (Refusal, ManifestError, ValueError, RecursionError) as error:
            yield name, Problem(where=name, text=str(error))


def recorded(record: Path) -> Iterator[str]:
    """The files that an installed package lists, but for those elsewhere, as scripts are."""
    try:
        rows = list(csv.reader(record.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error):
        return
    for row in rows:
        if row and not row[0].startswith("/") and ".." not in row[0].split("/"):
            yield row[0]


def _tags(file: str) -> tuple[str, ...]:
    """All "python-abi-platform" that a file name stands for: https://peps.python.org/pep-0425/."""
    pythons, abis, platforms = (part.split(".") for part in file.removesuffix(".whl").split("-")[-3:])
    return tuple(f"{one}-{abi}-{platform}" for one in pythons for abi in abis for platform in platforms)


def _headers(tree: Tree, name: str, problems: list[Problem]) -> Mapping[str, tuple[str, ...]]:
    from email.parser import HeaderParser

    text = _text(tree, name, problems)
    found: dict[str, list[str]] = {}
    for key, value in HeaderParser().parsestr(text or "").items():
        found.setdefault(key.lower(), []).append(str(value).strip())
    return {key: tuple(values) for key, values in found.items()}


def _text(tree: Tree, name: str, problems: list[Problem], *, optional: bool = False) -> str | None:
    if name not in tree.names:
        if not optional:
            problems.append(Problem(where=name, text="it is not there"))
        return None
    try:
        return tree.read(name, _LIMIT).decode("utf-8")
    except (Refusal, UnicodeDecodeError) as error:
        problems.append(Problem(where=name, text=str(error)))
        return None


def _entry_points(tree: Tree, info: str, problems: list[Problem]) -> Iterator[tuple[str, str]]:
    path = f"{info}/entry_points.txt"
    text = _text(tree, path, problems, optional=True)
    try:
        yield from entry_points(text or "")
    except configparser.Error as error:
        problems.append(Problem(where=path, text=" ".join(str(error).split())))


def entry_points(text: str) -> tuple[tuple[str, str], ...]:
    """The names and packages of our group in an entry_points.txt; raises configparser.Error."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # names are case-sensitive
    parser.read_string(text)
    return tuple(parser[ENTRY_POINT_GROUP].items()) if parser.has_section(ENTRY_POINT_GROUP) else ()


def _record(tree: Tree, info: str) -> Iterator[Problem]:
    path = f"{info}/RECORD"
    if path not in tree.names:
        yield Problem(where=path, text="it is not there")
        return
    try:
        rows = [row for row in csv.reader(tree.read(path, _RECORD_LIMIT).decode("utf-8").splitlines()) if row]
    except (Refusal, UnicodeDecodeError, csv.Error) as error:
        yield Problem(where=path, text=f"it cannot be read: {error}")
        return
    present = {name for name in tree.names if not name.startswith("../")}
    exempt = {f"{info}/{name}" for name in _UNRECORDED}
    listed = set()
    for name, digest, size in ((*row, "", "")[:3] for row in rows):
        listed.add(name)
        if name in exempt or name not in present:
            if name not in exempt and not name.startswith(("../", "/")) and "__pycache__" not in name:
                yield Problem(where=name, text="RECORD lists it, and it is not there")
            continue
        if not digest and "__pycache__" in name:
            continue  # an installer has compiled it
        if text := _difference(tree, name, digest, size):
            yield Problem(where=name, text=text)
    for name in sorted(present - listed - exempt):
        if "__pycache__" not in name:
            yield Problem(where=name, text="RECORD does not list it")


def _difference(tree: Tree, name: str, digest: str, size: str) -> str | None:
    kind, _, expected = digest.partition("=")
    if kind != "sha256":
        return f"RECORD has no sha256 of it, but {digest!r}"
    try:
        found = base64.urlsafe_b64encode(bytes.fromhex(tree.sha256(name))).rstrip(b"=").decode()
    except Refusal as error:
        return str(error)
    if found != expected.rstrip("="):
        return f"its sha256 is {found}, by RECORD {expected}"
    if size and size != str(tree.size(name)):
        return f"it has {tree.size(name)} bytes, by RECORD {size}"
    return None
