"""Verifying a site: every file is what the ledger says, nothing is missing, and nothing strange is there."""

from __future__ import annotations

import hashlib
import os
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from trtreg.errors import NotPublishedError
from trtreg.index import catalogue, pages, rendering, tree
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
    path = root / tree.STATE / "ledger.sqlite3"
    if not path.exists():
        raise NotPublishedError(f"{root} is no index", remedy="make one: trtreg index build WHEELS -o SITE")
    with tree.locked(root, shared=True):
        ledger = Ledger(path)
        try:
            yield from _check(root, ledger, quick=quick, on_progress=on_progress)
        finally:
            ledger.close()


def _check(root: Path, ledger: Ledger, *, quick: bool, on_progress: OnProgress | None) -> Iterator[Problem]:
    links = rendering.links(ledger)
    if ledger.due_count() or (root / tree.STATE / "placing").exists():
        yield Problem(".", "a command was broken off; the next one finishes it: trtreg index build -o SITE")
    total = ledger.count()
    done = 0
    for project in ledger.all_projects():
        if links.has_metadata:
            yield from _files(root, project.name, project.wheels, quick=quick)
        for name, data in rendering.render(project, links).items():
            yield from _same(root, f"simple/{project.name}/{name}", [data.decode("utf-8")])
        yield from _strange(root, f"simple/{project.name}", {"index.html", "index.json"})
        done += len(project.wheels)
        if on_progress:
            on_progress("checking", done, total)
    yield from _same(root, "simple/index.html", pages.root_html(ledger.projects()))
    yield from _same(root, "simple/index.json", pages.root_json(ledger.projects()))
    yield from _same(root, "catalogue.json", catalogue.text([one] for one in _catalogue(ledger, links)))
    yield from _strange(root, "simple", chain(ledger.projects(), ("index.html", "index.json")))
    if links.has_metadata:
        yield from _strange(root, "files", ledger.projects())


def _catalogue(ledger: Ledger, links: pages.Links) -> Iterator[str]:
    for project in ledger.all_projects():
        pages.sort(project.wheels)
        yield from catalogue.lines(project, links)


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
