"""Publishing: changes of the ledger, and the site rendered from it.

A change goes like this: wheels are put in their place, where no page shows them yet; the ledger takes the change and
notes what is due, in one transaction; the pages that are due are made in `.trtreg/stage/` and renamed into place, the
root, the page for people and the catalogue last; files that were removed go; the notes are deleted. Whatever is broken
off before the transaction never was; what comes after it is done by the next command.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final

from trtreg.errors import IndexPublishError, NotPublishedError
from trtreg.index import attested, intake, page_config, pages, rendering, tree
from trtreg.index.ledger import Ledger, Row
from trtreg.index.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from trtreg.index.intake import Accepted, Refused
    from trtreg.index.ledger import Source
    from trtreg.index.page_config import PageConfig
    from trtreg.index.wheels import Facts

    OnProgress = Callable[[str, int, int], None]

__all__ = ["LISTED", "STATUSES", "Publisher", "Report"]

LISTED: Final = 10_000

STATUSES: Final = ("active", "archived", "quarantined", "deprecated")
_CLOSED: Final = ("archived", "quarantined")
_PLACING: Final = "placing"  # is there as long as files are being put below files/ that the ledger does not know
_ADD_AT_ONCE: Final = 500


class Report:
    """What a command did: files that were added and removed, projects that changed, files of the site rewritten.

    `added` has the first `LISTED` names: the list of a million would take more memory than all the rest. `attested` are
    the files of which attestations are offered now, and were not before.
    """

    def __init__(self) -> None:
        self.added: list[str] = []
        self.added_count = 0
        self.removed: list[str] = []
        self.refused: list[Refused] = []
        self.attested: list[str] = []
        self.unchanged = 0
        self.projects = 0
        self.written = 0
        self.recovered = False


class Publisher:
    """The one publisher of a site; every method leaves the site as the ledger says."""

    def __init__(
        self,
        site: str | os.PathLike[str],
        *,
        config: PageConfig | None = None,
        trusted_root: str | os.PathLike[str] | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._site = os.path.abspath(site)
        self._state = f"{self._site}/{tree.STATE}"
        self._config = config
        self._notary = attested.Notary(trusted_root)
        self._progress = on_progress or (lambda _phase, _done, _total: None)

    def build(
        self,
        wheels: Sequence[str | os.PathLike[str]] = (),
        *,
        packages_url: str | None = None,
        anew: bool = False,
        processes: int = 1,
    ) -> Report:
        """Add the wheels, or those in the folders, that are new. Nothing is ever taken away by this.

        An attestation beside a wheel (WHEEL.publish.attestation) is verified and offered with it, also one that comes
        later; a new wheel beside one that does not verify is refused. `trusted_root` holds the keys that it must come
        from, where those are not the public Sigstore's.

        With `packages_url` wheels stay where they are and links lead there; it is kept for later builds. `anew` renders
        every page again. With `processes` above 1, many wheels are read by several processes.
        """
        report = Report()
        with self._open(report, create=True) as ledger:
            scan = intake.Scan([os.fspath(path) for path in wheels])
            ledger.note_unknown(scan.sources())
            count, size = ledger.unknown_size()
            report.unchanged = scan.total - len(scan.refused) - count
            ledger.begin()
            if self._set_url(ledger, packages_url) or anew:
                rendering.forget(ledger)
            self._keep_config(ledger)
            if count:
                self._take(ledger, intake.judged(scan.groups(ledger), count, size, processes), count, report)
            self._attest(ledger, sorted(scan.attested), report)
            report.refused += scan.refused
            ledger.commit()
            self._placed()
            self._render(ledger, report, processes)
        report.refused.sort()
        return report

    def yank(self, name: str, version: str, reason: str = "") -> Report:
        """Withdraw a release, or one wheel given by its file name: installed only where asked for exactly."""
        _check_text(reason)
        return self._change(
            name, lambda ledger, project: ledger.yank(project, _files(ledger, project, version), reason)
        )

    def unyank(self, name: str, version: str) -> Report:
        """Take a withdrawal back."""
        return self._change(name, lambda ledger, project: ledger.yank(project, _files(ledger, project, version), None))

    def remove(self, name: str, version: str) -> Report:
        """Delete a release, or one wheel given by its file name, from the site."""
        removed: list[str] = []

        def change(ledger: Ledger, project: str) -> None:
            removed.extend(_files(ledger, project, version))
            ledger.remove(project, removed)

        report = self._change(name, change)
        report.removed = removed
        return report

    def set_status(self, name: str, status: str, reason: str = "") -> Report:
        """Mark a project as active, archived, quarantined or deprecated (PEP 792)."""
        if status not in STATUSES:
            raise IndexPublishError("There is no such status", found=status, expected=f"one of {', '.join(STATUSES)}")
        _check_text(reason)
        return self._change(name, lambda ledger, project: ledger.set_status(project, status, reason))

    def _change(self, name: str, change: Callable[[Ledger, str], None]) -> Report:
        report = Report()
        with self._open(report, create=False) as ledger:
            ledger.begin()
            project = _project(ledger, name)
            change(ledger, project)
            ledger.commit()
            self._render(ledger, report)
        return report

    @contextmanager
    def _open(self, report: Report, *, create: bool) -> Iterator[Ledger]:
        path = f"{self._state}/ledger.sqlite3"
        if not os.path.exists(path):
            if not create:
                raise NotPublishedError(
                    f"{self._site} is no index", remedy="make one: trtreg index build WHEELS -o SITE"
                )
            self._check_new()
        try:
            with tree.locked(self._site):
                ledger = Ledger(path)
                try:
                    self._recover(ledger, report)
                    yield ledger
                finally:
                    ledger.close()
        except OSError as error:
            raise IndexPublishError(
                f"{self._site} could not be written",
                found=str(error),
                remedy="mend that and give any `trtreg index` command again: it finishes what was begun",
            ) from error

    def _check_new(self) -> None:
        if os.path.isdir(self._site):
            strange = sorted(name for name in os.listdir(self._site) if name != tree.STATE)
            if strange:
                raise IndexPublishError(
                    f"{self._site} is no index, and is not empty",
                    found=", ".join(strange[:5]),
                    remedy="give a new or an empty folder: the tree is trtreg's own",
                )

    def _recover(self, ledger: Ledger, report: Report) -> None:
        """Finish what an earlier command has begun: delete files that it put there, publish what it committed."""
        if os.path.exists(f"{self._state}/{_PLACING}"):
            report.recovered = True
            names = (
                (project, [name for row in ledger.wheels(project) for name in tree.belonging(row)])
                for project in ledger.projects()
            )
            tree.sweep(self._site, names)
            self._placed()
        if ledger.due_count():
            report.recovered = True
            self._render(ledger, Report())

    def _placing(self) -> None:
        with open(f"{self._state}/{_PLACING}", "wb"):
            pass

    def _placed(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(f"{self._state}/{_PLACING}")

    def _render(self, ledger: Ledger, report: Report, processes: int = 1) -> None:
        done = rendering.bring_up_to_date(self._site, ledger, self._progress, processes)
        report.projects, report.written = done

    def _keep_config(self, ledger: Ledger) -> None:
        if self._config and (kept := page_config.to_json(self._config)) != ledger.setting("page"):
            before = page_config.from_json(ledger.setting("page"))
            ledger.set("page", kept)
            ledger.set("page_due", "yes")
            if before.url != self._config.url:  # of which links to provenance objects are made
                ledger.owe_attested()

    def _set_url(self, ledger: Ledger, packages_url: str | None) -> bool:
        before = ledger.setting("packages_url")
        if packages_url is None or packages_url == before:
            return False
        if ledger.count() and not (before and packages_url):
            raise IndexPublishError(
                "An index that holds its wheels cannot turn to a packages URL, nor back",
                found=before or "wheels in files/",
                expected=packages_url or "wheels in files/",
                remedy="build into a new folder",
            )
        ledger.set("packages_url", packages_url)
        return True

    def _take(self, ledger: Ledger, judged: Iterable[Accepted], count: int, report: Report) -> None:
        hosted = not ledger.setting("packages_url")
        if hosted:
            self._placing()
        rows: list[tuple[str | int | None, ...]] = []
        known: list[Source] = []
        for done, one in enumerate(judged, 1):
            report.refused += one.refused
            facts = one.facts
            if facts is None:
                known += one.same
                report.unchanged += len(one.same)
            else:
                path = os.path.join(one.same[0].folder, one.same[0].file)
                try:
                    self._check_open(ledger, facts)
                    provenance = None
                    if hosted:
                        provenance = self._notary.provenance(path, facts.name.file, facts.sha256)
                        tree.place(self._site, path, facts, provenance)
                except Refusal as refusal:
                    report.refused.append(intake.Refused(path, str(refusal)))
                else:
                    rows.append(_row(facts, provenance))
                    known += one.same
                    report.attested += [facts.name.file] if provenance is not None else []
            if len(known) >= _ADD_AT_ONCE:
                ledger.add(rows)
                ledger.know(known)
                rows, known = [], []
                self._progress("reading wheels", done, count)
        ledger.add(rows)
        ledger.know(known)
        report.added, report.added_count = ledger.added(LISTED)
        self._progress("reading wheels", count, count)

    def _attest(self, ledger: Ledger, paths: Sequence[str], report: Report) -> None:
        """Take the attestations that have come after their wheels."""
        if not paths or ledger.setting("packages_url"):
            return
        from trtreg.index.wheels import parse_name

        for path in paths:
            try:
                name = parse_name(os.path.basename(path))
                published = ledger.unattested(name.project, name.file)
                made = published and self._notary.provenance(path, name.file, published)
            except Refusal as refusal:
                report.refused.append(intake.Refused(path + intake.SUFFIX, str(refusal)))
                continue
            if made:
                self._placing()
                tree.place_provenance(self._site, name.project, name.file, made)
                ledger.attest(name.project, name.file, _sha256(made))
                report.attested.append(name.file)

    @staticmethod
    def _check_open(ledger: Ledger, facts: Facts) -> None:
        status, _ = ledger.status(facts.name.project)
        if status in _CLOSED:
            raise Refusal(f"its project is {status}; first: trtreg index status {facts.name.project} active -o SITE")


def _row(facts: Facts, provenance: bytes | None) -> tuple[str | int | None, ...]:
    uploaded = datetime.fromtimestamp(facts.mtime_ns // 10**9, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    row = Row(
        project=facts.name.project,
        file=facts.name.file,
        version=facts.name.version,
        size=facts.size,
        sha256=facts.sha256,
        metadata_sha256=_sha256(facts.metadata),
        requires_python=facts.requires_python,
        uploaded=uploaded,
        yanked=None,
        entry=facts.entry,
        provenance_sha256=None if provenance is None else _sha256(provenance),
    )
    return (*row, facts.name.identity)


def _sha256(data: bytes) -> str:
    from hashlib import sha256  # where nothing is new, its import is time for nothing

    return sha256(data).hexdigest()


def _project(ledger: Ledger, name: str) -> str:
    import re

    project = re.sub(r"[-_.]+", "-", name).lower()
    if not ledger.wheels(project) and ledger.status(project) == ("active", ""):
        from trtreg._nearest import nearest

        near = nearest(project, ledger.projects())
        raise NotPublishedError(
            f"The index has no project called '{name}'", found=f"near it: {', '.join(near)}" if near else None
        )
    return project


def _files(ledger: Ledger, project: str, version: str) -> list[str]:
    """Name the wheels of a version, or the one of a file name."""
    from packaging.utils import canonicalize_version

    rows = ledger.wheels(project)
    wanted = canonicalize_version(version)
    files = [row.file for row in rows if row.file == version or canonicalize_version(row.version) == wanted]
    if not files:
        pages.sort(rows)
        versions = dict.fromkeys(row.version for row in rows)
        raise NotPublishedError(f"The index has no {project} {version}", found=", ".join(versions) or "no release")
    return files


def _check_text(reason: str) -> None:
    if not reason.isprintable():
        raise IndexPublishError("A reason is one line of text", found=repr(reason))
