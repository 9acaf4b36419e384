"""The site rendered from the ledger: the pages that are due, staged, and renamed into place in a safe order."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

from trtreg.index import beside, catalogue, documents, page, page_config, pages, tree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trtreg.index.ledger import Ledger, Project

    OnProgress = Callable[[str, int, int], None]

__all__ = ["bring_up_to_date", "forget", "links", "render"]

_TELL_EVERY: Final = 500  # projects
_WORTH_WHILE: Final = 1000  # projects from which on a second process pays


def bring_up_to_date(site: str, ledger: Ledger, on_progress: OnProgress, processes: int = 1) -> tuple[int, int]:
    """Make the site show what the ledger says; give how many projects were due and how many files written.

    Broken off anywhere, it is to be called again; called twice, it does nothing the second time.
    """
    sharded = ledger.has_more_than(catalogue.LARGEST)
    shown = f"{sharded} {_look(f'{site}/catalogue.json')}"
    whole = shown == ledger.setting("catalogue") and page.is_complete(site)
    if whole and not ledger.due_count() and not ledger.setting("page_due"):
        return 0, 0
    names = list(ledger.projects())
    due = list(ledger.due())
    if not whole:  # the first time, or somebody has been here: what is not known to be right is made again
        forget(ledger)  # also by the next command, should this one be broken off
        due = sorted({*names, *due})
    together = processes > 1 and len(due) >= _WORTH_WHILE and beside.is_possible()
    with tree.Stage(site) as stage, beside.Shares(due) as shares:
        made = _Pages(stage, ledger, shares, on_progress)
        with beside.beside(made.make_beside) if together else nullcontext(lambda: 0) as others:
            with documents.Collected(stage, anew=not whole, sharded=sharded) as collected:
                gone = _stage_lists(ledger, collected, due, on_progress)
            stage.add("simple/index.html", pages.root_html(names))
            stage.add("simple/index.json", pages.root_json(names))
            page.stage(stage, page_config.from_json(ledger.setting("page")))
            made.make()
            stage.count += others()
        on_progress("writing pages", len(due), len(due))
        stage.publish()
    for project in set(due).difference(names):
        tree.remove_folder(f"{site}/simple/{project}")
    for target in gone:
        tree.remove(site, target)
    for project, name in ledger.doomed():
        tree.unplace(site, project, name)
    ledger.begin()
    ledger.set("catalogue", f"{sharded} {_look(f'{site}/catalogue.json')}")
    ledger.set("page_due", "")
    ledger.settle()
    ledger.commit()
    return len(due), stage.count


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


def _stage_lists(
    ledger: Ledger, collected: documents.Collected, due: Sequence[str], on_progress: OnProgress
) -> list[str]:
    """Stage the documents that list releases and projects; give those that are to go."""
    where = links(ledger)
    for done, project in enumerate(ledger.read(due)):
        if not done % _TELL_EVERY:
            on_progress("writing lists", done, len(due))
        pages.sort(project.wheels)
        collected.add(project.name, catalogue.lines(project, where))
    on_progress("writing lists", len(due), len(due))
    return collected.stage()


class _Pages:
    """The pages of the projects that are due, on their way to the stage, by one process or two.

    The first makes the lists meanwhile, and then helps: so both have the same to do, whatever takes how long.
    """

    def __init__(self, stage: tree.Stage, ledger: Ledger, shares: beside.Shares, on_progress: OnProgress) -> None:
        self._stage = stage
        self._ledger = ledger
        self._links = links(ledger)
        self._shares = shares
        self._tell = on_progress

    def make(self) -> None:
        """Stage the pages of which no other process has begun to do that."""
        for begin, names in self._shares:
            self._tell("writing pages", begin, len(self._shares))
            for project in self._ledger.read(names):
                made = render(project, self._links)
                if made:
                    self._stage.add_page(project.name, made)

    def make_beside(self) -> int:
        """Do that in the other process; give how many files were staged."""
        before = self._stage.count
        parent = os.getppid()

        def tell(*_: object) -> None:
            if os.getppid() != parent:  # killed: nobody waits for this
                os._exit(1)

        self._tell = tell
        self._ledger = self._ledger.again()
        self.make()
        return self._stage.count - before


def _look(path: str) -> str:
    """Tell a file from another by what the file system says of it."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return "none"
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"
