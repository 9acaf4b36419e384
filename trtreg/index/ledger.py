"""The publisher's ledger, an SQLite file: the truth that the site is rendered from, and the journal of what is due.

A change of the index is one transaction here. It also notes which projects' pages are due and which files are to go;
the notes are deleted when the site shows the change. After a crash between the two, the next command finds the notes.
"""

from __future__ import annotations

import sqlite3
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from trtreg.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Ledger", "Project", "Row", "Source"]

_FORMAT: Final = 2  # 1 had no provenance
_CACHE: Final = 1024  # KiB of each of SQLite's caches
_ASK_AT_ONCE: Final = 900  # parameters of a query; SQLite takes 999 or more
_SCHEMA: Final = """
CREATE TABLE wheels (
    project TEXT NOT NULL, file TEXT NOT NULL, identity TEXT NOT NULL UNIQUE, version TEXT NOT NULL,
    size INTEGER NOT NULL, sha256 TEXT NOT NULL, metadata_sha256 TEXT NOT NULL, requires_python TEXT NOT NULL,
    uploaded TEXT NOT NULL, yanked TEXT, entry TEXT, provenance_sha256 TEXT,
    PRIMARY KEY (project, file)
) WITHOUT ROWID;
CREATE TABLE projects (name TEXT PRIMARY KEY, status TEXT NOT NULL, reason TEXT NOT NULL) WITHOUT ROWID;
-- What a file looked like when it was last read: as long as it looks the same, it is not read again.
CREATE TABLE sources (
    folder TEXT NOT NULL, file TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
    PRIMARY KEY (folder, file)
) WITHOUT ROWID;
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE due (project TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE doomed (project TEXT NOT NULL, file TEXT NOT NULL, PRIMARY KEY (project, file)) WITHOUT ROWID;
"""
_ROW: Final = (
    "project, file, version, size, sha256, metadata_sha256, requires_python, uploaded, yanked, entry, provenance_sha256"
)
# Each name is looked up behind the one before: to read all rows of an index for their names would take much longer.
# `min(project)` for the first of a range would, too.
_NAMES: Final = (
    "WITH RECURSIVE found (project) AS (SELECT * FROM (SELECT project FROM wheels ORDER BY project LIMIT 1) UNION ALL"
    " SELECT (SELECT project FROM wheels WHERE project > found.project ORDER BY project LIMIT 1) FROM found"
    " WHERE found.project IS NOT NULL)"
    " SELECT project FROM found WHERE project IS NOT NULL UNION SELECT name FROM projects"
)
_MARKS: Final = ",".join(12 * "?")  # of a row and its identity
_MIGRATION: Final = f"""
BEGIN IMMEDIATE;
ALTER TABLE wheels ADD COLUMN provenance_sha256 TEXT;
PRAGMA user_version = {_FORMAT};
COMMIT;
"""


class Row(NamedTuple):
    """A published wheel. `yanked` is the reason, None where it is not; `entry` its part of the catalogue, if any.

    `provenance_sha256` is the hash of its provenance object, None where it has none.
    """

    project: str
    file: str
    version: str
    size: int
    sha256: str
    metadata_sha256: str
    requires_python: str
    uploaded: str
    yanked: str | None
    entry: str | None
    provenance_sha256: str | None = None


class Project(NamedTuple):
    """A project with its wheels by file name, its status and the reason for that."""

    name: str
    wheels: list[Row]
    status: str
    reason: str


class Source(NamedTuple):
    """A file that may be a wheel, as its folder lists it."""

    folder: str
    file: str
    size: int
    mtime_ns: int
    inode: int


class Ledger:
    """The open ledger; what `execute` and its like change is only there after `commit`."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("PRAGMA synchronous = FULL")
            # A row has more than a quarter of 4096 bytes, and would fill two pages. Of a ledger that is there already
            # this changes nothing.
            self._db.execute("PRAGMA page_size = 16384")
            # The default is a number of pages, which were smaller when it was chosen; nothing here is read twice.
            for database in ("main", "temp"):
                self._db.execute(f"PRAGMA {database}.cache_size = {-_CACHE}")
            self._db.execute("PRAGMA temp_store = FILE")
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                self._db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_FORMAT}; COMMIT;")
            elif version == 1:
                self._db.executescript(_MIGRATION)
            elif version != _FORMAT:
                raise LedgerError(
                    f"{path} has another format",
                    found=str(version),
                    expected=str(_FORMAT),
                    remedy="use the trtreg that wrote it, or build into a new folder",
                )
        except sqlite3.DatabaseError as error:
            raise LedgerError(
                f"{path} cannot be read",
                found=str(error),
                remedy="restore it from a backup, or build into a new folder",
            ) from error

    def again(self) -> Ledger:
        """Open it a second time, as a copy of this process has to."""
        return Ledger(self._path)

    def close(self) -> None:
        """Leave; what was not committed never was."""
        self._db.close()

    def begin(self) -> None:
        """Start a transaction."""
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make what was changed since `begin` durable, all at once."""
        self._db.execute("COMMIT")

    def setting(self, name: str) -> str:
        """A setting, empty where it was never set."""
        row = self._db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    def set(self, name: str, value: str) -> None:
        """Keep a setting."""
        self._db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))

    # -- sources ----------------------------------------------------------------------------------

    def note_unknown(self, sources: Iterable[Source]) -> None:
        """Note those of the sources that are not known as they are now."""
        self._db.execute("CREATE TEMP TABLE IF NOT EXISTS unknown (folder, file, size, mtime_ns, inode)")
        self._db.execute("DELETE FROM unknown")
        stream = iter(sources)
        while chunk := list(islice(stream, _ASK_AT_ONCE)):
            for folder, group in groupby(chunk, itemgetter(0)):
                some = list(group)
                files = ",".join("?" * len(some))
                rows = self._db.execute(
                    "SELECT folder, file, size, mtime_ns, inode FROM sources WHERE folder = ?"  # noqa: S608
                    f" AND file IN ({files})",
                    (folder, *[source.file for source in some]),
                )
                known = set(rows)
                changed = [source for source in some if source not in known]
                self._db.executemany("INSERT INTO unknown VALUES (?, ?, ?, ?, ?)", changed)

    def unknown(self, identify: Callable[[Source], str | None]) -> Iterator[tuple[str, Source]]:
        """Give the sources that were noted with what `identify` makes of them, sorted by that; it drops with None."""
        self._db.execute("CREATE TEMP TABLE IF NOT EXISTS named (identity, folder, file, size, mtime_ns, inode)")
        self._db.execute("DELETE FROM named")
        sources = map(Source._make, self._db.execute("SELECT DISTINCT * FROM unknown ORDER BY file, folder"))
        named = ((identity, *source) for source in sources if (identity := identify(source)) is not None)
        self._db.executemany("INSERT INTO named VALUES (?, ?, ?, ?, ?, ?)", named)
        rows = self._db.execute("SELECT * FROM named ORDER BY identity, file, folder")
        return ((row[0], Source._make(row[1:])) for row in rows)

    def unknown_size(self) -> tuple[int, int]:
        """How many sources were noted, and how many bytes they have."""
        count, size = self._db.execute("SELECT count(*), coalesce(sum(size), 0) FROM unknown").fetchone()
        return int(count), int(size)

    def know(self, sources: Iterable[Source]) -> None:
        """Remember how the files look, so that they are not read again."""
        self._db.executemany("INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?, ?)", sources)

    # -- wheels -----------------------------------------------------------------------------------

    def add(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Add wheels: the columns of a Row, and the identity; their projects become due. `added` names them."""
        rows = list(rows)
        self._db.executemany(
            f"INSERT INTO wheels ({_ROW}, identity) VALUES ({_MARKS})",  # noqa: S608
            rows,
        )
        self._db.execute("CREATE TEMP TABLE IF NOT EXISTS added (file)")
        self._db.executemany("INSERT INTO added VALUES (?)", ((row[1],) for row in rows))
        self.owe({row[0] for row in rows})

    def added(self, most: int) -> tuple[list[str], int]:
        """The first file names, sorted, of the wheels that were added since the ledger was opened; and how many."""
        names = self._db.execute("SELECT file FROM added ORDER BY file LIMIT ?", (most,))
        (count,) = self._db.execute("SELECT count(*) FROM added").fetchone()
        return [str(file) for (file,) in names], int(count)

    def published(self, identity: str) -> tuple[str, str] | None:
        """The file name and SHA-256 of the published wheel of this identity."""
        row = self._db.execute("SELECT file, sha256 FROM wheels WHERE identity = ?", (identity,)).fetchone()
        return row and (str(row[0]), str(row[1]))

    def wheels(self, project: str) -> list[Row]:
        """The wheels of a project, by file name."""
        rows = self._db.execute(f"SELECT {_ROW} FROM wheels WHERE project = ? ORDER BY file", (project,))  # noqa: S608
        return [Row._make(row) for row in rows]

    def has_more_than(self, count: int) -> bool:
        """Whether there are more wheels than that; to count them all would take long."""
        return self._db.execute("SELECT 1 FROM wheels LIMIT 1 OFFSET ?", (count,)).fetchone() is not None

    def count(self) -> int:
        """How many wheels there are."""
        (count,) = self._db.execute("SELECT count(*) FROM wheels").fetchone()
        return int(count)

    def yank(self, project: str, files: Iterable[str], reason: str | None) -> None:
        """Set or, with None, clear the reason for which files are withdrawn."""
        rows = [(reason, project, file) for file in files]
        self._db.executemany("UPDATE wheels SET yanked = ? WHERE project = ? AND file = ?", rows)
        self.owe([project])

    def unattested(self, project: str, file: str) -> str | None:
        """The SHA-256 of a published wheel that has no provenance object; None where there is no such wheel."""
        query = "SELECT sha256 FROM wheels WHERE project = ? AND file = ? AND provenance_sha256 IS NULL"
        row = self._db.execute(query, (project, file)).fetchone()
        return row and str(row[0])

    def attest(self, project: str, file: str, provenance_sha256: str) -> None:
        """Note that a wheel has a provenance object now."""
        row = (provenance_sha256, project, file)
        self._db.execute("UPDATE wheels SET provenance_sha256 = ? WHERE project = ? AND file = ?", row)
        self.owe([project])

    def owe_attested(self) -> None:
        """Note that the pages of all projects with a provenance object are due."""
        self._db.execute(
            "INSERT OR IGNORE INTO due SELECT DISTINCT project FROM wheels WHERE provenance_sha256 IS NOT NULL"
        )

    def remove(self, project: str, files: Iterable[str]) -> None:
        """Take files out; they are doomed once no page shows them."""
        rows = [(project, file) for file in files]
        self._db.executemany("DELETE FROM wheels WHERE project = ? AND file = ?", rows)
        self._db.executemany("INSERT OR REPLACE INTO doomed VALUES (?, ?)", rows)
        self._db.executemany("DELETE FROM sources WHERE file = ?", ((file,) for _, file in rows))
        self.owe([project])

    def doomed(self) -> list[tuple[str, str]]:
        """Project and name of the files that are to go and are not published again."""
        # Not EXCEPT, which reads all wheels.
        rows = self._db.execute(
            "SELECT project, file FROM doomed WHERE NOT EXISTS"
            " (SELECT 1 FROM wheels WHERE wheels.project = doomed.project AND wheels.file = doomed.file)"
        )
        return [(str(project), str(file)) for project, file in rows]

    # -- projects ---------------------------------------------------------------------------------

    def projects(self) -> Iterator[str]:
        """The names of all projects that have wheels or a status, sorted."""
        return (str(name) for (name,) in self._db.execute(f"{_NAMES} ORDER BY 1"))

    def status(self, project: str) -> tuple[str, str]:
        """Status and reason of a project."""
        row = self._db.execute("SELECT status, reason FROM projects WHERE name = ?", (project,)).fetchone()
        return (str(row[0]), str(row[1])) if row else ("active", "")

    def set_status(self, project: str, status: str, reason: str) -> None:
        """Set the status of a project."""
        if (status, reason) == ("active", ""):
            self._db.execute("DELETE FROM projects WHERE name = ?", (project,))
        else:
            self._db.execute("INSERT OR REPLACE INTO projects VALUES (?, ?, ?)", (project, status, reason))
        self.owe([project])

    # -- the journal ------------------------------------------------------------------------------

    def owe(self, projects: Iterable[str]) -> None:
        """Note that the pages of projects are due."""
        self._db.executemany("INSERT OR IGNORE INTO due VALUES (?)", ((name,) for name in projects))

    def due(self) -> Iterator[str]:
        """The projects whose pages are due, sorted."""
        return (str(name) for (name,) in self._db.execute("SELECT project FROM due ORDER BY project"))

    def read(self, names: Iterable[str]) -> Iterator[Project]:
        """Projects, whose names come sorted, with all that their pages show."""
        stream = iter(names)
        while some := list(islice(stream, _ASK_AT_ONCE)):
            names_in = f"IN ({','.join('?' * len(some))})"
            statuses = self._db.execute(f"SELECT name, status, reason FROM projects WHERE name {names_in}", some)  # noqa: S608
            marked = {name: (status, reason) for name, status, reason in statuses}
            query = f"SELECT {_ROW} FROM wheels WHERE project {names_in} ORDER BY project, file"  # noqa: S608
            groups = groupby(self._db.execute(query, some), itemgetter(0))
            of, group = next(groups, ("", iter(())))
            for name in some:
                wheels: list[Row] = []
                if of == name:
                    wheels = [*map(Row._make, group)]
                    of, group = next(groups, ("", iter(())))
                yield Project(name, wheels, *marked.get(name, ("active", "")))

    def due_count(self) -> int:
        """How many projects are due."""
        (count,) = self._db.execute("SELECT count(*) FROM due").fetchone()
        return int(count)

    def settle(self) -> None:
        """Note that the site shows everything."""
        self._db.execute("DELETE FROM due")
        self._db.execute("DELETE FROM doomed")
