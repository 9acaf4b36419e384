"""The site rendered from the ledger: the pages that are due, staged, and renamed into place in a safe order."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from trtreg.index import catalogue, page, page_config, pages, tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from trtreg.index.ledger import Ledger, Project

    OnProgress = Callable[[str, int, int], None]

__all__ = ["bring_up_to_date", "links", "render"]

_TELL_EVERY: Final = 500  # projects


def bring_up_to_date(site: Path, ledger: Ledger, on_progress: OnProgress) -> tuple[int, int]:
    """Make the site show what the ledger says; give how many projects were due and how many files written.

    Broken off anywhere, it is to be called again; called twice, it does nothing the second time.
    """
    whole = _look(site / "catalogue.json") == ledger.setting("catalogue") and page.is_complete(site)
    if not whole:  # the first time, or somebody has been here: what is not known to be right is made again
        ledger.owe_all()
    due = ledger.due_count()
    if whole and not due and not ledger.setting("page_due"):
        return 0, 0
    stage = tree.Stage(site)
    gone: list[str] = []
    new = site / tree.STATE / "catalogue.json"
    new.unlink(missing_ok=True)
    with page.Changes(site, anew=not whole) as shown:
        changes = _stage_projects(ledger, stage, shown, gone, lambda done: on_progress("writing pages", done, due))
        if whole:
            with (site / "catalogue.json").open("rb") as old, new.open("xb") as out:
                catalogue.merge(old, out, changes)
        else:
            tree.write(new, catalogue.text(lines for _, lines in changes))
        names = list(ledger.projects())
        stage.add("simple/index.html", pages.root_html(names))
        stage.add("simple/index.json", pages.root_json(names))
        stage.publish()
        shown.publish(page_config.from_json(ledger.setting("page")))
    tree.replace(new, site / "catalogue.json")
    for project in gone:
        tree.remove_folder(f"{site}/simple/{project}")
    for project, name in ledger.doomed():
        tree.unplace(os.fspath(site), project, name)
    ledger.begin()
    ledger.set("catalogue", _look(site / "catalogue.json"))
    ledger.set("page_due", "")
    ledger.settle()
    ledger.commit()
    return due, stage.count + 1


def links(ledger: Ledger) -> pages.Links:
    """Where the ledger says that things are."""
    return pages.Links(ledger.setting("packages_url"), page_config.from_json(ledger.setting("page")).url)


def render(project: Project, links: pages.Links) -> dict[str, bytes]:
    """Sort the project's wheels and make its pages; none where it has neither wheels nor a status."""
    if not project.wheels and project.status == "active":
        return {}
    pages.sort(project.wheels)
    return {
        "index.html": pages.project_html(project, links).encode("utf-8"),
        "index.json": pages.project_json(project, links).encode("utf-8"),
    }


def _stage_projects(
    ledger: Ledger, stage: tree.Stage, shown: page.Changes, gone: list[str], tell: Callable[[int], None]
) -> Iterator[tuple[str, list[str]]]:
    """Stage the pages that are due, and give each project's lines for the catalogue."""
    where = links(ledger)
    done = 0
    for done, project in enumerate(ledger.due_projects(), 1):
        made = render(project, where)
        if made:
            stage.add_page(f"simple/{project.name}", made)
        else:
            gone.append(project.name)
        lines = catalogue.lines(project, where)
        shown.add(project.name, lines)
        yield project.name, lines
        if not done % _TELL_EVERY:
            tell(done)
    tell(done)


def _look(path: Path) -> str:
    """Tell a file from another by what the file system says of it."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return "none"
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"
