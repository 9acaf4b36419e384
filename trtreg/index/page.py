"""The page for people: `index.html` with its own style and script; `documents` makes the data that the script shows.

All of it is files, so that it works from any server, below any path, and from a disk. Everything that comes from a
wheel is escaped, here and in the script.
"""

from __future__ import annotations

import json
import os
from html import escape
from typing import TYPE_CHECKING, Any, Final

from trtreg.index import documents

if TYPE_CHECKING:
    from trtreg.index.page_config import PageConfig
    from trtreg.index.tree import Stage

__all__ = ["is_complete", "stage"]

_STATIC: Final = ("icon.svg", "page.css", "page.js")
_ROW: Final = (
    '<tr role="row"><th role="rowheader" scope="row"><a href="simple/{project}/index.html">{project}</a>'
    ' <span class="version">{version}</span><p>{summary}</p></th><td role="cell">{ops}</td>'
    '<td role="cell">{tensorrt}</td></tr>\n'
)


def is_complete(site: str | os.PathLike[str]) -> bool:
    """Whether the page has its data, in the format of this trtreg, so that changes can be merged into it."""
    try:
        with open(f"{os.fspath(site)}/{documents.PROJECTS}", "rb") as file:
            return file.readline() == documents.PROJECTS_HEAD.encode()
    except FileNotFoundError:
        return False


def stage(stage: Stage, config: PageConfig) -> None:
    """Stage the page, once the list of projects is on the stage or in the site."""
    for name in _STATIC:
        stage.add(f"assets/{name}", [_package_file(f"assets/{name}")])
    total = 0
    shown = []
    with stage.open_newest(documents.PROJECTS) as file:
        for total, line in enumerate(documents.project_lines(file), 1):
            if total <= config.plain_rows:
                shown.append(_row(json.loads(line)))
    more = (
        f'<noscript><p>The first {len(shown)} of {total}. <a href="simple/index.html">All projects</a></p></noscript>'
    )
    text = _package_file("templates/index.html").format(
        title=escape(config.title),
        description=escape(config.description),
        url=escape(config.url),
        limit=config.rows,
        releases=config.releases,
        total=f"{total} plugin{'' if total == 1 else 's'}",
        rows="".join(shown),
        more=f"{more}\n" if total > len(shown) else "",
    )
    stage.add("index.html", [text])


def _row(plugin: dict[str, Any]) -> str:
    ops = [f"{namespace}::{name}" if namespace else name for name, _, namespace in plugin["ops"]]
    return _ROW.format(
        project=plugin["project"],
        version=plugin["version"],
        summary=escape(plugin["summary"]),
        ops="".join([f"<code>{escape(op)}</code> " for op in ops]),
        tensorrt=escape(", ".join([f"{flavour} {some}" for flavour, some in sorted(plugin["tensorrt"].items())])),
    )


def _package_file(name: str) -> str:
    with open(f"{os.path.dirname(__file__)}/{name}", encoding="utf-8") as file:
        return file.read()
