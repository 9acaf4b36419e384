"""The site rendered from the ledger: the pages that are due, staged, and renamed into place in a safe order."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from trtreg.index import beside, catalogue, documents, page, page_config, pages, tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from trtreg.index.ledger import Ledger, Project

    OnProgress = Callable[[str, int, int], None]

__all__ = ["bring_up_to_date", "forget", "links", "render"]

_TELL_EVERY: Final = 500  # projects
_WORTH_WHILE: Final = 1000  # projects from which on a second process pays


def bring_up_to_date(site: Path, ledger: Ledger, on_progress: OnProgress, processes: int = 1) -> tuple[int, int]:
    """Make the site show what the ledger says; give how many projects were due and how many files written.

    Broken off anywhere, it is to be called again; called twice, it does nothing the second time.
    """
    sharded = ledger.has_more_than(catalogue.LARGEST)
    shown = f"{sharded} {_look(site / 'catalogue.json')}"
    whole = shown == ledger.setting("catalogue") and page.is_complete(site)
    if whole and not ledger.due_count() and not ledger.setting("page_due"):
        return 0, 0
    names = list(ledger.projects())
    if not whole:  # the first time, or somebody has been here: what is not known to be right is made again
        ledger.begin()
        ledger.owe(names)
        ledger.commit()
    due = ledger.due_count()
    with tree.Stage(site) as stage:
        rendering = _Rendering(stage, ledger, on_progress, anew=not whole, sharded=sharded)
        gone = rendering.run(due, processes if due >= _WORTH_WHILE else 1)
        stage.add("simple/index.html", pages.root_html(names))
        stage.add("simple/index.json", pages.root_json(names))
        page.stage(stage, page_config.from_json(ledger.setting("page")))
        stage.publish()
    for project in set(ledger.due()) - set(names):
        tree.remove_folder(f"{site}/simple/{project}")
    for target in gone:
        tree.remove(os.fspath(site), target)
    for project, name in ledger.doomed():
        tree.unplace(os.fspath(site), project, name)
    ledger.begin()
    ledger.set("catalogue", f"{sharded} {_look(site / 'catalogue.json')}")
    ledger.set("page_due", "")
    ledger.settle()
    ledger.commit()
    return due, stage.count


def forget(ledger: Ledger) -> None:
    """Note that nothing that the site shows is known to be right."""
    ledger.set("catalogue", "")


def links(ledger: Ledger) -> pages.Links:
    """Where the ledger says that things are."""
    return pages.Links(ledger.setting("packages_url"), page_config.from_json(ledger.setting("page")).url)


def render(project: Project, links: pages.Links) -> dict[str, bytes]:
    """Sort the project's wheels and make its pages; none where it has neither wheels nor a status."""
    if not project.wheels and project.status == "active":
        return {}
    pages.sort(project.wheels)
    html, json = pages.project_pages(project, links)
    return {"index.html": html.encode("utf-8"), "index.json": json.encode("utf-8")}


class _Rendering:
    """The pages and lines of the projects that are due, on their way to the stage."""

    def __init__(
        self, stage: tree.Stage, ledger: Ledger, on_progress: OnProgress, *, anew: bool, sharded: bool
    ) -> None:
        self.stage = stage
        self._ledger = ledger
        self._links = links(ledger)
        self._tell = on_progress
        self._anew = anew
        self._sharded = sharded

    def run(self, due: int, processes: int) -> list[str]:
        """Stage all pages and documents; give the documents that are to go."""
        with self._collected() as collected:
            if processes < 2 or not self._anew or not beside.is_possible():  # noqa: PLR2004
                self._add(collected, self._ledger.due_projects(), due)
                return collected.stage()
            middle = self._ledger.middle_due()
            others = self.stage.own_folder("others")
            with beside.beside(lambda: self._add_others(middle, others)) as result:
                self._add(collected, self._ledger.due_projects(end=middle), due // 2)
                self.stage.count += result()
            return collected.stage(others)

    def _collected(self, folder: str | None = None) -> documents.Collected:
        return documents.Collected(self.stage, anew=self._anew, sharded=self._sharded, folder=folder)

    def _add(self, collected: documents.Collected, due: Iterable[Project], count: int) -> None:
        done = 0
        for done, project in enumerate(due, 1):
            made = render(project, self._links)
            if made:
                self.stage.add_page(project.name, made)
            collected.add(project.name, catalogue.lines(project, self._links))
            if not done % _TELL_EVERY:
                self._tell("writing pages", done, count)
        self._tell("writing pages", done, count)

    def _add_others(self, begin: str, folder: str) -> int:
        """In the other process: do the projects from one on; give how many files were staged."""
        before = self.stage.count
        parent = os.getppid()

        def tell(*_: object) -> None:
            if os.getppid() != parent:  # killed: nobody waits for this
                os._exit(1)

        self._tell = tell
        self._ledger = self._ledger.again()
        with self._collected(folder) as collected:
            self._add(collected, self._ledger.due_projects(begin), 0)
        return self.stage.count - before


def _look(path: Path) -> str:
    """Tell a file from another by what the file system says of it."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return "none"
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"
