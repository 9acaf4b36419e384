"""The documents that list releases and projects, made of the lines of the projects that changed.

Lines are collected while projects come by, in a file for each shard and one for the list of projects. Where everything
is made anew these files are the documents; else they are merged into those of the site. The page for people loads
documents of JavaScript, because a page on a disk may load scripts but not fetch JSON; the catalogue of a large index
has the same lines between other heads and tails.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Final

from trtreg.index import catalogue, lines, projects

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from trtreg.index.tree import Stage

__all__ = ["PROJECTS", "PROJECTS_HEAD", "Collected", "project_lines"]

PROJECTS: Final = "assets/plugins.js"
# The functions that the page's script offers. Another format of the data has to get other names: `page.is_complete`.
PROJECTS_HEAD: Final = "trtregList([\n"
_RELEASES_HEAD: Final = "trtregFiles([\n"
_TAIL: Final = "\n]);\n"
_LIST: Final = "projects"
_WHOLE: Final = "catalogue"


class Collected:
    """The lines of projects that come by, sorted by name; `add` them, then `stage` the documents.

    With `anew` all projects have to come, and nothing of the site is looked at.
    """

    def __init__(self, stage: Stage, *, anew: bool, sharded: bool) -> None:
        self._stage = stage
        self._anew = anew
        self._sharded = sharded
        self._folder = stage.own_folder("lines")
        self._writers: dict[str, lines.Writer] = {}
        if self._anew:
            for name in (_LIST,) if sharded else (_LIST, _WHOLE):
                self._writer(name)

    def add(self, project: str, found: Sequence[str]) -> None:
        """Take a project with all lines that the catalogue now has of it; without one, it goes."""
        if found:
            of_list = lines.joined([projects.line(project, found)])
            some = lines.joined(found)
        elif self._anew:
            return
        else:  # a project that is to go has to be known when documents are merged
            of_list = some = lines.joined([_gone(project)])
        self._writer(_LIST).add(of_list)
        self._writer(projects.shard_of(project)).add(some)
        if not self._sharded:
            self._writer(_WHOLE).add(some)

    def __enter__(self) -> Collected:  # noqa: PYI034 - typing has Self since Python 3.11
        return self

    def __exit__(self, *_error: object) -> None:
        for writer in self._writers.values():
            writer.close()

    def stage(self) -> list[str]:
        """Put the new documents on the stage; give the paths of those that the site no longer needs."""
        for name, writer in self._writers.items():
            if self._anew:
                writer.finish(_document(name)[2])
            else:
                writer.close()
                self._merge(name)
        shards = sorted(name for name in self._writers if name not in {_LIST, _WHOLE})
        gone = self._stage_shards(shards)
        if self._anew:
            gone += self._stage.others("assets/releases", {f"{shard}.js" for shard in shards})
            gone += self._stage.others("catalogue", {f"{shard}.json" for shard in shards if self._sharded})
        of_shards = [*[_document(shard)[0] for shard in shards], *(map(_shard, shards) if self._sharded else ())]
        for target in (*of_shards, PROJECTS, "catalogue.json"):
            self._stage.settle(target)
        return gone

    def _stage_shards(self, shards: Sequence[str]) -> list[str]:
        """Make the catalogue of the shards that changed; give the paths of those that have nothing left."""
        gone: list[str] = []
        hashes = self._hashes()
        for shard in shards:
            target = _document(shard)[0]
            if not self._anew and self._is_empty(target):
                self._stage.drop(target)
                gone += [target, _shard(shard)]
                hashes.pop(shard, None)
            elif self._sharded:
                hashes[shard] = self._wrap(target, _shard(shard), catalogue.HEAD)
        if self._sharded and self._writers:
            self._wrap(PROJECTS, "catalogue.json", catalogue.root_head(hashes))
        return gone

    def _writer(self, name: str) -> lines.Writer:
        if name not in self._writers:
            target, head, _ = _document(name)
            part = (f"{self._folder}/{name}", "")
            self._writers[name] = lines.Writer(*((self._stage.path(target), head) if self._anew else part))
        return self._writers[name]

    def _merge(self, name: str) -> None:
        target, head, tail = _document(name)
        with (
            self._stage.open_old(target) or BytesIO((head + tail).encode()) as old,
            open(self._stage.path(target), "xb") as new,
            open(self._writers[name].path, "rb") as part,
        ):
            changes = ((project, [] if some == [_gone(project)] else some) for project, some in lines.by_project(part))
            lines.merge(old, new, head, tail, changes)

    def _hashes(self) -> dict[str, str]:
        if self._anew or not self._sharded:
            return {}
        with self._stage.open_old("catalogue.json") or BytesIO() as file:
            return catalogue.shards_of(file.readline())

    def _is_empty(self, target: str) -> bool:
        with open(self._stage.path(target), "rb") as file:
            begin, end = lines.body(file, _TAIL)
        return begin == end

    def _wrap(self, source: str, target: str, head: str) -> str:
        """Write the lines of a document between another head and tail; give the SHA-256 of that."""
        from hashlib import sha256

        digest = sha256()
        with open(self._stage.path(source), "rb") as old, open(self._stage.path(target), "xb") as new:

            def write(data: bytes) -> None:
                digest.update(data)
                new.write(data)

            begin, end = lines.body(old, _TAIL)
            old.seek(begin)
            write(head.encode("ascii"))
            lines.copy(old, write, end - begin)
            write(catalogue.TAIL.encode("ascii"))
        return digest.hexdigest()


def _document(name: str) -> tuple[str, str, str]:
    """Give path, head and tail of the document of which a collected file has the lines."""
    if name == _LIST:
        return PROJECTS, PROJECTS_HEAD, _TAIL
    if name == _WHOLE:
        return "catalogue.json", catalogue.HEAD, catalogue.TAIL
    return f"assets/releases/{name}.js", _RELEASES_HEAD, _TAIL


def _shard(name: str) -> str:
    return f"catalogue/{name}.json"


def _gone(project: str) -> str:
    return f'{{"project":"{project}"}}'


def project_lines(file: BinaryIO) -> Iterator[bytes]:
    """Read the list of projects, line by line."""
    file.readline()
    return (line.rstrip(b",\n") for line in file if line.startswith(b"{"))
