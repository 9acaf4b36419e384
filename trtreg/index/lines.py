"""Documents of one line for each thing, sorted by project, that are written and changed in constant memory.

A document is a head, which is one line, then the lines with commas between them, then the tail. Its lines begin with
`{"project":"NAME"`, and are changed by copying the bytes of all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import BinaryIO

__all__ = ["Writer", "body", "by_project", "copy", "joined", "merge", "project_of"]

_BETWEEN: Final = b",\n"
_CHUNK: Final = 1 << 18
_BUFFER: Final = 1 << 13  # there are hundreds at a time


def joined(lines: Sequence[str]) -> bytes:
    """Put lines together as they stand in a document."""
    return ",\n".join(lines).encode("ascii")


class Writer:
    """A document, or a part of one, that grows line by line; it begins with the head."""

    def __init__(self, path: str, head: str = "") -> None:
        self.path = path
        self._file = open(path, "xb", _BUFFER)  # noqa: SIM115 - closed by `finish`
        self._file.write(head.encode("ascii"))
        self._between = b""

    def add(self, some: bytes) -> None:
        """Write more lines, one or some that are `joined`."""
        self._file.write(self._between + some)
        self._between = _BETWEEN

    def finish(self, tail: str = "") -> None:
        """Write the tail, and close the file."""
        self._file.write(tail.encode("ascii"))
        self._file.close()

    def close(self) -> None:
        """Close the file as it is."""
        self._file.close()


def project_of(line: bytes) -> str:
    """The project of a line."""
    return line[12 : line.index(b'"', 12)].decode("ascii")  # behind {"project":"


def by_project(part: BinaryIO) -> Iterator[tuple[str, list[str]]]:
    """Read a part project by project."""
    name, found = "", list[str]()
    for line in part:
        project = project_of(line)
        if found and project != name:
            yield name, found
            found = []
        name = project
        found.append(line.decode("ascii").rstrip(",\n"))
    if found:
        yield name, found


def body(file: BinaryIO, tail: str) -> tuple[int, int]:
    """Give the offset of a document's first line behind the head, and that of the end of its last line."""
    file.seek(0)
    begin = len(file.readline())
    return begin, max(begin, file.seek(0, 2) - len(tail))


def copy(source: BinaryIO, write: Callable[[bytes], object], length: int) -> None:
    """Copy so many bytes, or all that follow where there are less."""
    while length and (data := source.read(min(length, _CHUNK))):
        write(data)
        length -= len(data)


def merge(old: BinaryIO, out: BinaryIO, head: str, tail: str, changes: Iterable[tuple[str, Sequence[str]]]) -> None:
    """Write the document `old` with new lines of some projects, which come sorted, in place of those it has."""
    found = _Body(old, tail)
    out.write(head.encode("ascii"))
    between = b""
    at = found.begin
    for project, new in changes:
        start, end = found.find(project, at)
        between = found.copy(out, at, start, between)
        if new:
            out.write(between + joined(new))
            between = _BETWEEN
        at = end
    found.copy(out, at, found.end, between)
    out.write(tail.encode("ascii"))


class _Body:
    """The lines of a document as a range of bytes; the offset `end` lies behind the last line."""

    def __init__(self, file: BinaryIO, tail: str) -> None:
        self._file = file
        self.begin, self.end = body(file, tail)

    def find(self, project: str, begin: int) -> tuple[int, int]:
        """Give the range of the project's lines: at once where they are the next, else by bisection."""
        start = self._bisect(project, begin) if self._project_at(begin) < project else begin
        end = start
        self._file.seek(start)
        while end < self.end and project_of(found := self._file.readline()) == project:
            end = min(end + len(found), self.end)
        return start, end

    def _project_at(self, offset: int) -> str:
        if offset >= self.end:
            return ""
        self._file.seek(offset)
        return project_of(self._file.readline())

    def copy(self, out: BinaryIO, start: int, end: int, between: bytes) -> bytes:
        """Copy whole lines, and give what has to stand before the next ones."""
        if end < self.end:
            end -= len(_BETWEEN)
        if end <= start:
            return between
        out.write(between)
        self._file.seek(start)
        copy(self._file, out.write, end - start)
        return _BETWEEN

    def _bisect(self, project: str, begin: int) -> int:
        """Give the offset of the first line whose project is not before `project`; `end` where there is none."""
        low, high = begin, self.end  # the answer is the start of a line in [low, high], or the end
        while low < high:
            middle = (low + high) // 2
            start = self._line_start(middle, low)
            self._file.seek(start)
            found = self._file.readline()
            if project_of(found) < project:
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
