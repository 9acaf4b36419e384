"""`catalogue.json`: one line for each release with a manifest, sorted by project, version and file.

A document of a million lines is written and changed in constant memory: the lines of an unchanged project are copied
as bytes from the catalogue before. The schema is `schema/catalogue.schema.json`.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from trtreg.index.ledger import Row
from trtreg.index.pages import Links

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from trtreg.index.core_metadata import CoreMetadata
    from trtreg.index.ledger import Project
    from trtreg.index.wheels import Name
    from trtreg.manifest import Creator, Field, Manifest
    from trtreg.packages.release import Release

__all__ = ["check", "entry", "lines", "merge", "text"]

_HEAD: Final = '{"schema": 1, "releases": [\n'
_TAIL: Final = "\n]}\n"
_BETWEEN: Final = ",\n"
_CHUNK: Final = 1 << 18
_ANY_URL: Final = "https://index.example/catalogue.json"
_encode = json.encoder.encode_basestring_ascii  # ASCII only: no reader takes another character for the end of a line


def entry(manifest: Manifest, metadata: CoreMetadata) -> str:
    """Make the part of a line that never changes; it is kept in the ledger."""
    library = manifest.library
    data = {
        "summary": manifest.summary or metadata.summary,
        "requires": metadata.requires,
        "tensorrt": dict(sorted(manifest.tensorrt.items())),
        "machine": library.machine,
        "glibc": library.glibc,
        "cuda": library.cuda,
        "sms": library.sms,
        "ptx": library.ptx,
        "ops": [_op(creator) for creator in library.creators],
    }
    return json.dumps(data, separators=(",", ":"), allow_nan=False)[1:]


def check(entry: str, name: Name, requires_python: str) -> None:
    """Read the line as a client will: CatalogueError now, for one bad line makes clients refuse the whole catalogue."""
    from trtreg.packages.release import Release

    line = _line_to_check(name.project, name.file, name.version, entry, requires_python)
    Release.parse(line, _ANY_URL, like=_release_like(name.project, entry, requires_python))


@lru_cache(maxsize=4)  # wheels come sorted by project
def _release_like(project: str, entry: str, requires_python: str) -> Release:
    """Check all but `release.OWN`, which wheels of a project mostly have in common: it is what takes the time."""
    from trtreg.packages.release import Release

    file = f"{project.replace('-', '_')}-0-py3-none-any.whl"
    return Release.parse(_line_to_check(project, file, "0", entry, requires_python), _ANY_URL)


def _line_to_check(project: str, file: str, version: str, entry: str, requires_python: str) -> object:
    row = Row(
        project=project,
        file=file,
        version=version,
        size=0,
        sha256="0" * 64,
        metadata_sha256="",
        requires_python=requires_python,
        uploaded="",
        yanked=None,
        entry=entry,
    )
    return json.loads(_line(row, Links().from_catalogue(row), "active")) | {"uploaded": None}


def lines(project: Project, links: Links) -> list[str]:
    """Make the lines of a project, whose wheels are sorted; a wheel without a manifest has none."""
    return [_line(row, links.from_catalogue(row), project.status) for row in project.wheels if row.entry is not None]


def _line(row: Row, url: str, status: str) -> str:
    provenance = "" if row.provenance_sha256 is None else _encode(Links.provenance_from_catalogue(row))
    offered = f'"provenance":{provenance},' if provenance else ""
    return (
        f'{{"project":"{row.project}","version":"{row.version}","file":"{row.file}","url":{_encode(url)},'
        f'"sha256":"{row.sha256}","size":{row.size},"uploaded":"{row.uploaded}",'
        f'"requires_python":{_encode(row.requires_python) if row.requires_python else "null"},'
        f'"yanked":{"false" if row.yanked is None else _encode(row.yanked)},"status":"{status}",{offered}{row.entry}'
    )


def text(projects: Iterable[Iterable[str]]) -> Iterator[str]:
    """Make a catalogue of the lines of each project, in order, piece by piece."""
    yield _HEAD
    between = ""
    for some in projects:
        joined = _BETWEEN.join(some)
        if joined:
            yield between + joined
            between = _BETWEEN
    yield _TAIL


def merge(old: BinaryIO, out: BinaryIO, changes: Iterable[tuple[str, list[str]]]) -> None:
    """Write the catalogue `old` with new lines of some projects, which come sorted, in place of those it has."""
    body = _Body(old)
    out.write(_HEAD.encode("ascii"))
    between = b""
    at = body.begin
    for project, new in changes:
        start, end = body.find(project, at)
        between = body.copy(out, at, start, between)
        joined = _BETWEEN.join(new)
        if joined:
            out.write(between + joined.encode("ascii"))
            between = _BETWEEN.encode("ascii")
        at = end
    body.copy(out, at, body.end, between)
    out.write(_TAIL.encode("ascii"))


class _Body:
    """The lines of a catalogue as a range of bytes; the offset `end` lies behind the last line."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.begin = len(_HEAD)
        self.end = max(self.begin, file.seek(0, 2) - len(_TAIL))

    def find(self, project: str, begin: int) -> tuple[int, int]:
        """Give the range of the project's lines: at once where they are the next, else by bisection."""
        start = self._bisect(project, begin) if self._project_at(begin) < project else begin
        end = start
        self._file.seek(start)
        while end < self.end and _project(found := self._file.readline()) == project:
            end = min(end + len(found), self.end)
        return start, end

    def _project_at(self, offset: int) -> str:
        if offset >= self.end:
            return ""
        self._file.seek(offset)
        return _project(self._file.readline())

    def copy(self, out: BinaryIO, start: int, end: int, between: bytes) -> bytes:
        """Copy whole lines, and give what has to stand before the next ones."""
        if end < self.end:
            end -= len(_BETWEEN)
        if end <= start:
            return between
        out.write(between)
        self._file.seek(start)
        left = end - start
        while left and (data := self._file.read(min(left, _CHUNK))):
            out.write(data)
            left -= len(data)
        return _BETWEEN.encode("ascii")

    def _bisect(self, project: str, begin: int) -> int:
        """Give the offset of the first line whose project is not before `project`; `end` where there is none."""
        low, high = begin, self.end  # the answer is the start of a line in [low, high], or the end
        while low < high:
            middle = (low + high) // 2
            start = self._line_start(middle, low)
            self._file.seek(start)
            found = self._file.readline()
            if _project(found) < project:
                low = min(start + len(found), self.end)
            else:
                high = start
        return low

    def _line_start(self, offset: int, low: int) -> int:
        """Give the start of the line in which `offset` lies, which is not before `low`."""
        step = 1 << 12
        at = offset
        while at > low:
            begin = max(low, at - step)
            self._file.seek(begin)
            found = self._file.read(at - begin).rfind(b"\n")
            if found >= 0:
                return begin + found + 1
            at = begin
        return low


def _project(found: bytes) -> str:
    return found[12 : found.index(b'"', 12)].decode("ascii")  # behind {"project":"


def _op(creator: Creator) -> dict[str, Any]:
    data: dict[str, Any] = creator.key._asdict()
    limits = {"inputs": creator.inputs, "outputs": creator.outputs}
    data |= {name: pair for name, pair in limits.items() if pair is not None}
    data["fields"] = [_field(field) for field in creator.fields]
    return data


def _field(field: Field) -> list[Any]:
    return [field.name, field.type, field.length, *([field.alias_of] if field.alias_of else [])]
