"""A catalogue as an SQLite file: built once from catalogue.json, line by line, then only read.

That of a large index lists its projects and the hashes of its shards, each of which is a catalogue with the releases of
some projects: a store of its own.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from weakref import finalize

from trtreg.errors import CatalogueError
from trtreg.packages._catalogue_listed import Listed, shards_of
from trtreg.packages.release import OWN, Release

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["FORMAT", "Store", "build"]

FORMAT: Final = 3  # of the SQLite file: part of its name, so that versions of trtreg do not quarrel about it
_RELEASES: Final = 1  # the schema of a catalogue.json that has the releases,
_SHARDS: Final = 2  # and of one that has the projects, and names shards
_LONGEST_LINE: Final = 1 << 20
_LARGEST_DOCUMENT: Final = 1 << 24
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False)
_TABLES: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE project (id INTEGER PRIMARY KEY, name TEXT UNIQUE, summary TEXT, version TEXT, ops TEXT, shard TEXT);
CREATE TABLE shard (name TEXT PRIMARY KEY, sha256 TEXT) WITHOUT ROWID;
CREATE TABLE facts (id INTEGER PRIMARY KEY, text TEXT);
CREATE TABLE release (project INTEGER, position INTEGER, facts INTEGER, own TEXT, PRIMARY KEY (project, position))
    WITHOUT ROWID;
CREATE TABLE op (name TEXT, version TEXT, namespace TEXT, project INTEGER,
    PRIMARY KEY (name, version, namespace, project)) WITHOUT ROWID;
CREATE VIRTUAL TABLE words USING fts5 (name, ops, summary, content = '', tokenize = 'unicode61 remove_diacritics 2');
BEGIN;
"""


def build(source: BinaryIO, path: Path, *, base_url: str, meta: Mapping[str, str | None]) -> None:
    """Write the store of a catalogue.json to `path`; CatalogueError says what is wrong with the catalogue."""
    with _explained(), closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(_TABLES)
        builder = _Builder(connection, base_url)
        shards, items = _read(source)
        if shards is None:
            for number, item in enumerate(items):
                builder.add(item, f"releases[{number}]")
        else:
            builder.add_shards(shards)
            for number, item in enumerate(items):
                builder.add_listed(Listed.parse(item, f"projects[{number}]"))
        builder.finish({**meta, "base_url": base_url})


class Store:
    """A store that is open for reading."""

    def __init__(self, path: Path) -> None:
        with _explained():
            # It is replaced, never changed: no locks are needed, nor a journal.
            self._connection = sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)
            self.close = finalize(self, self._connection.close)  # gives the file back
            try:
                self.meta: dict[str, Any] = dict(self._connection.execute("SELECT key, value FROM meta"))
            except ValueError as e:  # text that is not UTF-8
                raise sqlite3.DatabaseError(str(e)) from e
        if "releases" not in self.meta:
            self.close()
            raise CatalogueError(f"{path} is damaged", remedy="delete it")

    def has(self, project: str) -> bool:
        """Whether the catalogue lists the project, by its normalised name."""
        return bool(self._rows("SELECT 1 FROM project WHERE name = ?", project))

    def shard(self, project: str) -> tuple[str, str] | None:
        """Name and SHA-256 of the shard that has the project's releases; None where this store has them."""
        rows = self._rows(
            "SELECT shard.name, sha256 FROM project JOIN shard ON shard.name = project.shard WHERE project.name = ?",
            project,
        )
        return rows[0] if rows else None

    def releases(self, project: str, index: str) -> list[Release]:
        """All releases of the project that this store has."""
        rows = self._rows(
            "SELECT facts.text, own FROM project JOIN release ON release.project = project.id"
            " JOIN facts ON facts.id = release.facts WHERE project.name = ? ORDER BY position",
            project,
        )
        base = self.meta["base_url"]
        return [Release.parse({**json.loads(facts), **json.loads(own)}, base, index=index) for facts, own in rows]

    def providers(self, name: str, version: str | None, namespace: str | None) -> list[str]:
        """The projects with an op of this name; None for any version or namespace."""
        rows = self._rows(
            "SELECT DISTINCT project.name FROM op JOIN project ON project.id = op.project WHERE op.name = ?1"
            " AND (?2 IS NULL OR op.version = ?2) AND (?3 IS NULL OR op.namespace = ?3) ORDER BY project.name",
            *(name, version, namespace),
        )
        return [row[0] for row in rows]

    def search(self, words: Sequence[str], limit: int) -> list[tuple[str, str, str, list[str], float]]:
        """Projects in which every word begins some word: (name, summary, newest version, ops, rank), best first."""
        query = " AND ".join(f'"{part}"*' for word in words for part in re.findall(r"\w+", word.lower()))
        if not query:
            return []
        rows = self._rows(
            "SELECT project.name, project.summary, project.version, project.ops, bm25(words, 8, 4, 1) AS rank"
            " FROM words JOIN project ON project.id = words.rowid WHERE words MATCH ?"
            " ORDER BY rank, project.name LIMIT ?",
            *(query, limit),
        )
        return [(name, summary, version, json.loads(ops), rank) for name, summary, version, ops, rank in rows]

    def project(self, name: str) -> tuple[str, str, list[str]] | None:
        """Summary, newest version and ops of a project."""
        rows = self._rows("SELECT summary, version, ops FROM project WHERE name = ?", name)
        return (rows[0][0], rows[0][1], json.loads(rows[0][2])) if rows else None

    def project_names(self) -> list[str]:
        """Every project."""
        return [row[0] for row in self._rows("SELECT name FROM project")]

    def op_names(self) -> list[str]:
        """Every op."""
        return [row[0] for row in self._rows("SELECT DISTINCT name FROM op")]

    def _rows(self, query: str, *values: str | int | None) -> list[Any]:
        with _explained():
            return self._connection.execute(query, values).fetchall()


class _Builder:
    """Takes releases in the catalogue's order, and remembers no more than one project of them."""

    def __init__(self, connection: sqlite3.Connection, base_url: str) -> None:
        self._connection = connection
        self._base_url = base_url
        self._name = ""
        self._projects = self._count = self._facts_count = 0
        self._facts: dict[str, tuple[int, Release]] = {}
        self._files: set[str] = set()
        self._newest: Release | None = None

    def add(self, item: object, path: str) -> None:
        own, text = _split(item)
        # What all wheels of a project have in common is looked at, and kept, once.
        number, like = self._facts.get(text, (0, None))
        release = Release.parse(item, self._base_url, path=path, like=like)
        if release.project != self._name:
            self._finish_project()
            self._start_project(release.project, path)
        if release.file in self._files:
            raise CatalogueError(f"Unexpected value in '{path}.file'", found=f"{release.file} twice", expected="once")
        self._files.add(release.file)
        if self._newest is None or _rank(release) >= _rank(self._newest):
            self._newest = release
        if like is None:
            number = self._add_facts(text, release)
        row = (self._projects, len(self._files), number, own)
        self._connection.execute("INSERT INTO release VALUES (?, ?, ?, ?)", row)
        self._count += 1

    def _add_facts(self, text: str, release: Release) -> int:
        self._facts_count += 1
        self._facts[text] = (self._facts_count, release)
        self._connection.execute("INSERT INTO facts VALUES (?, ?)", (self._facts_count, text))
        rows = [(*creator.key, self._projects) for creator in release.ops]
        self._connection.executemany("INSERT OR IGNORE INTO op VALUES (?, ?, ?, ?)", rows)
        return self._facts_count

    def add_shards(self, shards: Mapping[str, str]) -> None:
        self._connection.executemany("INSERT INTO shard VALUES (?, ?)", shards.items())

    def add_listed(self, listed: Listed) -> None:
        self._start_project(listed.project, "projects")
        rows = [(*key, self._projects) for key in (*listed.ops, *listed.older_ops)]
        self._connection.executemany("INSERT OR IGNORE INTO op VALUES (?, ?, ?, ?)", rows)
        ops = list(dict.fromkeys(name for name, _, _ in listed.ops))
        self._describe(listed.summary, listed.version, ops, listed.shard)
        self._count += listed.files

    def finish(self, meta: Mapping[str, str | None]) -> None:
        self._finish_project()
        facts = {**meta, "releases": self._count, "projects": self._projects, "built": time.time()}
        self._connection.executemany("INSERT INTO meta VALUES (?, ?)", facts.items())
        self._connection.execute("COMMIT")

    def _start_project(self, name: str, path: str) -> None:
        self._name, self._newest = name, None
        self._projects += 1
        self._facts.clear()
        self._files.clear()
        try:
            self._connection.execute("INSERT INTO project (id, name) VALUES (?, ?)", (self._projects, name))
        except sqlite3.IntegrityError:
            expected = "the releases of a project one after the other"
            raise CatalogueError(f"Unexpected value in '{path}.project'", found=f"{name} again", expected=expected
                                 ) from None  # fmt: skip

    def _finish_project(self) -> None:
        newest = self._newest
        if newest is None:
            return
        self._describe(newest.summary, newest.version, list(dict.fromkeys(creator.name for creator in newest.ops)))

    def _describe(self, summary: str, version: str, ops: Sequence[str], shard: str | None = None) -> None:
        row = (summary, version, json.dumps(ops), shard, self._projects)
        self._connection.execute("UPDATE project SET summary = ?, version = ?, ops = ?, shard = ? WHERE id = ?", row)
        words = (_searchable(self._name), " ".join(map(_searchable, ops)), summary)
        self._connection.execute("INSERT INTO words (rowid, name, ops, summary) VALUES (?, ?, ?, ?)",
                                 (self._projects, *words))  # fmt: skip


def _split(item: object) -> tuple[str, str]:
    """The keys of OWN as JSON, and the others."""
    if not isinstance(item, dict):
        return "", ""
    own = {key: item.pop(key) for key in OWN if key in item}
    try:
        texts = _ENCODER.encode(own), _ENCODER.encode(item)
    except RecursionError:
        raise _not_json("it is nested too deeply") from None
    item.update(own)
    return texts


def _rank(release: Release) -> tuple[bool, bool, Any]:
    return release.offered, not release.order.is_prerelease, release.order


def _searchable(name: str) -> str:
    """Every rest of the name that begins a part of it: "deformconv2d" and "conv2d" find ModulatedDeformConv2d."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_a-zA-Z]+", name)
    return " ".join(dict.fromkeys([name, *("".join(parts[i:]) for i in range(len(parts)))]))


def _read(source: BinaryIO) -> tuple[dict[str, str] | None, Iterator[object]]:
    """The shards of a catalogue.json, if any, and its items, one line at a time; a small one may have any form."""
    first = source.readline(_LONGEST_LINE)
    head: object = None
    if first.rstrip().endswith(b"["):
        with suppress(CatalogueError):
            head = _decoded(first.rstrip() + b"]}", "the first line")
    if not (isinstance(head, dict) and [] in (head.get("releases"), head.get("projects"))):
        rest = source.read(_LARGEST_DOCUMENT)
        whole = _decoded(first + rest, "it")
        shards = _shards(whole)
        return shards, iter(_items(whole, "releases" if shards is None else "projects"))
    return _shards(head), _lines(source)


def _lines(source: BinaryIO) -> Iterator[object]:
    expects = True
    for number in range(2, 1 << 40):
        line = source.readline(_LONGEST_LINE)
        if not line:
            raise _not_json("it ends before its end")
        if len(line) == _LONGEST_LINE:
            raise _not_json(f"line {number} is longer than {_LONGEST_LINE} bytes")
        text = line.strip()
        if text.startswith(b"]"):
            _decoded(b'{"x":[' + text + source.read(_LONGEST_LINE), "the end")
            return
        if not expects:
            raise _not_json(f"line {number - 1} lacks a comma at its end")
        expects = text.endswith(b",")
        yield _decoded(text[:-1] if expects else text, f"line {number}")


def _decoded(text: bytes, what: str) -> object:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as e:
        raise _not_json(f"{what}: {e}") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _not_json(found: str) -> CatalogueError:
    remedy = "check the URL of the index, or tell who runs it"
    return CatalogueError("the catalogue is not JSON", found=found, remedy=remedy)


def _shards(document: object) -> dict[str, str] | None:
    """The SHA-256 of each shard by its name; None where the catalogue has all releases."""
    if not isinstance(document, dict) or "schema" not in document:
        raise CatalogueError("the catalogue has no key 'schema'", remedy="check the URL of the index")
    schema = document["schema"]
    if isinstance(schema, bool) or schema not in {_RELEASES, _SHARDS}:
        expected = f"{_RELEASES} or {_SHARDS}"
        raise CatalogueError("Unexpected value in 'schema'", found=repr(schema), expected=expected,
                             remedy="upgrade trtreg")  # fmt: skip
    return None if schema == _RELEASES else shards_of(document)


def _items(document: Any, key: str) -> list[object]:
    items = document.get(key)
    if not isinstance(items, list):
        raise CatalogueError(f"Unexpected value in '{key}'", expected="an array")
    return items


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as e:
        if "fts5" in str(e):
            remedy = "use a Python whose SQLite has FTS5"
            raise CatalogueError("this Python cannot search catalogues", found=str(e), remedy=remedy) from e
        remedy = "if it stays so, delete the folder of cached catalogues"
        raise CatalogueError("the cached catalogue cannot be used", found=str(e), remedy=remedy) from e
