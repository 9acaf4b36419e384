"""Verifying a site: every file is what the ledger says, nothing is missing, and nothing strange is there."""

from __future__ import annotations

import hashlib
import os
import tempfile
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from trtreg.errors import NotPublishedError
from trtreg.index import catalogue, pages, projects, rendering, tree
from trtreg.index.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from trtreg.index.ledger import Row

    OnProgress = Callable[[str, int, int], None]

__all__ = ["Problem", "check"]

_CHUNK: Final = 1 << 20


class Problem(NamedTuple):
    """A file of the site, as a path relative to it, and what is wrong with it."""

    path: str
    problem: str


def check(
    site: str | os.PathLike[str], *, quick: bool = False, on_progress: OnProgress | None = None
) -> Iterator[Problem]:
    """Compare the site with its ledger; `quick` looks at the sizes of wheels only. Nothing is changed."""
    root = Path(os.path.abspath(site))
    path = f"{root}/{tree.STATE}/ledger.sqlite3"
    if not os.path.exists(path):
        raise NotPublishedError(f"{root} is no index", remedy="make one: trtreg index build WHEELS -o SITE")
    with tree.locked(os.fspath(root), shared=True):
        ledger = Ledger(path)
        try:
            yield from _check(root, ledger, quick=quick, on_progress=on_progress)
        finally:
            ledger.close()


def _check(root: Path, ledger: Ledger, *, quick: bool, on_progress: OnProgress | None) -> Iterator[Problem]:
    links = rendering.links(ledger)
    if ledger.due_count() or not ledger.setting("catalogue") or (root / tree.STATE / "placing").exists():
        yield Problem(".", "a command was broken off; the next one finishes it: trtreg index build -o SITE")
    total = ledger.count()
    done = 0
    expected = _Catalogue(sharded=ledger.has_more_than(catalogue.LARGEST))
    for project in ledger.read(ledger.projects()):
        if links.has_metadata:
            yield from _files(root, project.name, project.wheels, quick=quick)
        for name, data in rendering.render(project, links).items():
            yield from _same(root, f"simple/{project.name}/{name}", [data.decode("utf-8")])
        yield from _strange(root, f"simple/{project.name}", {"index.html", "index.json"})
        expected.add(project.name, catalogue.lines(project, links))
        done += len(project.wheels)
        if on_progress:
            on_progress("checking", done, total)
    yield from _same(root, "simple/index.html", pages.root_html(ledger.projects()))
    yield from _same(root, "simple/index.json", pages.root_json(ledger.projects()))
    for target, sha256 in expected.files():
        yield from _file(root, target, sha256, None)
    yield from _strange(root, "catalogue", expected.shards)
    yield from _strange(root, "simple", chain(ledger.projects(), ("index.html", "index.json")))
    if links.has_metadata:
        yield from _strange(root, "files", ledger.projects())


class _Catalogue:
    """What the files of the catalogue should hash to; nothing of them is kept."""

    def __init__(self, *, sharded: bool) -> None:
        self._sharded = sharded
        self._shards: dict[str, _Document] = {}
        self._rows = tempfile.SpooledTemporaryFile(1 << 20)  # noqa: SIM115 - the head comes first, and is known last
        self._whole = _Document(catalogue.HEAD)

    @property
    def shards(self) -> set[str]:
        """The names of the files in the folder of shards."""
        return {f"{shard}.json" for shard in self._shards}

    def add(self, project: str, lines: list[str]) -> None:
        """Take the lines of the next project."""
        if lines and self._sharded:
            self._shards.setdefault(projects.shard_of(project), _Document(catalogue.HEAD)).add(lines)
            self._rows.write(projects.line(project, lines).encode("ascii") + b"\n")
        elif lines:
            self._whole.add(lines)

    def files(self) -> Iterator[tuple[str, str]]:
        """Give path and SHA-256 of each file."""
        if self._sharded:
            hashes = {shard: document.sha256() for shard, document in sorted(self._shards.items())}
            yield from ((f"catalogue/{shard}.json", sha256) for shard, sha256 in hashes.items())
            self._whole = _Document(catalogue.root_head(hashes))
            self._rows.seek(0)
            for line in self._rows:
                self._whole.add([line.decode("ascii").rstrip("\n")])
        self._rows.close()
        yield "catalogue.json", self._whole.sha256()


class _Document:
    """The hash of a document that is never written."""

    def __init__(self, head: str) -> None:
        self._digest = hashlib.sha256(head.encode("ascii"))
        self._between = ""

    def add(self, lines: list[str]) -> None:
        self._digest.update((self._between + ",\n".join(lines)).encode("ascii"))
        self._between = ",\n"

    def sha256(self) -> str:
        self._digest.update(catalogue.TAIL.encode("ascii"))
        return self._digest.hexdigest()


def _files(root: Path, project: str, rows: list[Row], *, quick: bool) -> Iterator[Problem]:
    for row in rows:
        target = f"files/{project}/{row.file}"
        yield from _file(root, target, row.sha256, None if not quick else row.size)
        yield from _file(root, f"{target}.metadata", row.metadata_sha256, None)
        if row.provenance_sha256 is not None:
            yield from _file(root, f"{target}.provenance", row.provenance_sha256, None)
    yield from _strange(root, f"files/{project}", chain.from_iterable(map(tree.belonging, rows)))


def _file(root: Path, target: str, sha256: str, size: int | None) -> Iterator[Problem]:
    try:
        with (root / target).open("rb") as file:
            if size is not None:
                found = os.fstat(file.fileno()).st_size
                if found != size:
                    yield Problem(target, f"has {found} bytes instead of {size}")
                return
            digest = hashlib.sha256()
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except FileNotFoundError:
        yield Problem(target, "is missing")
    except OSError as error:
        yield Problem(target, f"cannot be read: {error.strerror}")
    else:
        if digest.hexdigest() != sha256:
            yield Problem(target, f"has SHA-256 {digest.hexdigest()} instead of {sha256}")


def _same(root: Path, target: str, pieces: Iterable[str]) -> Iterator[Problem]:
    stream = iter(pieces)
    try:
        with (root / target).open("rb") as file:
            while some := "".join(islice(stream, 1000)).encode("utf-8"):
                if file.read(len(some)) != some:
                    yield Problem(target, "is not what the ledger says")
                    return
            if file.read(1):
                yield Problem(target, "is longer than the ledger says")
    except FileNotFoundError:
        yield Problem(target, "is missing")
    except OSError as error:
        yield Problem(target, f"cannot be read: {error.strerror}")


def _strange(root: Path, folder: str, known: Iterable[str]) -> Iterator[Problem]:
    try:
        found = set(os.listdir(root / folder))
    except FileNotFoundError:
        return
    found.difference_update(known)
    for name in sorted(found):
        yield Problem(f"{folder}/{name}", "is not the index's own")
