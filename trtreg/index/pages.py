"""The pages that installers read, as text: pure functions of the ledger's rows.

https://packaging.python.org/specifications/simple-repository-api/ with PEP 503, 592, 629, 658, 691, 700, 714, 740 and
792.
The pages are plain enough for format strings; everything that comes from a wheel is escaped.
"""

from __future__ import annotations

import json
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from packaging.version import Version

    from trtreg.index.ledger import Project, Row

__all__ = ["Links", "project_pages", "root_html", "root_json", "sort", "version_of"]

_API: Final = "1.4"
_QUARANTINED: Final = "quarantined"
_encode = json.encoder.encode_basestring_ascii


class Links:
    """Where the wheels are: beside the pages, with their metadata, or at a URL where nothing but wheels is known."""

    def __init__(self, packages_url: str = "", site_url: str = "") -> None:
        self._url = packages_url and escape(packages_url.rstrip("/") + "/")
        self.has_metadata = not packages_url
        # Of all links that pages have only these must be whole, and lead to a secure origin: PEP 740.
        self._site = escape(site_url.rstrip("/") + "/") if site_url.startswith("https://") else ""

    def from_page(self, row: Row) -> str:
        """The link from a project's page."""
        return f"{self._url}{_quote(row.file)}" if self._url else f"../../files/{row.project}/{_quote(row.file)}"

    def from_catalogue(self, row: Row) -> str:
        """The link from the catalogue."""
        return f"{self._url}{_quote(row.file)}" if self._url else f"files/{row.project}/{_quote(row.file)}"

    def provenance(self, row: Row) -> str:
        """The whole URL of a wheel's provenance object; empty where it has none, or the site's URL is not known."""
        if row.provenance_sha256 is None or not self._site:
            return ""
        return f"{self._site}files/{row.project}/{_quote(row.file)}.provenance"

    @staticmethod
    def provenance_from_catalogue(row: Row) -> str:
        """The link to it from the catalogue."""
        return f"files/{row.project}/{_quote(row.file)}.provenance"


def sort(rows: list[Row]) -> None:
    """Order the wheels of a project by version, then by file name."""
    rows.sort(key=lambda row: (version_of(row.version), row.file))


def project_pages(project: Project, links: Links) -> tuple[str, str]:
    """Make the HTML and the JSON page of a project, whose wheels are sorted. A project in quarantine offers no file."""
    name, rows, status, reason = project
    marks = why = ""
    if status != "active":
        marks = f'<meta name="pypi:project-status" content="{status}">\n'
    if reason:
        why = f',"reason":{_encode(reason)}'
        if status != "active":
            marks += f'<meta name="pypi:project-status-reason" content="{escape(reason)}">\n'
    offered = rows if status != _QUARANTINED else ()
    shown = [_file(row, links) for row in offered]
    versions = ",".join([f'"{version}"' for version in dict.fromkeys([row.version for row in offered])])
    html = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="pypi:repository-version" content="{_API}">\n{marks}<title>Links for {name}</title>\n'
        f"</head>\n<body>\n<h1>Links for {name}</h1>\n{''.join([anchor for anchor, _ in shown])}</body>\n</html>\n"
    )
    files = ",\n".join([file for _, file in shown])
    return html, (
        f'{{"meta":{{"api-version":"{_API}"}},"name":"{name}","project-status":{{"status":"{status}"{why}}},'
        f'"versions":[{versions}],"files":[\n{files}\n]}}\n'
    )


def root_html(projects: Iterable[str]) -> Iterable[str]:
    """Make the HTML list of all projects, piece by piece."""
    yield (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="pypi:repository-version" content="{_API}">\n<title>Simple index</title>\n</head>\n<body>\n'
    )
    for project in projects:
        yield f'<a href="{project}/">{project}</a><br>\n'
    yield "</body>\n</html>\n"


def root_json(projects: Iterable[str]) -> Iterable[str]:
    """Make the JSON list of all projects, piece by piece."""
    yield f'{{"meta":{{"api-version":"{_API}"}},"projects":[\n'
    between = ""
    for project in projects:
        yield f'{between}{{"name":"{project}"}}'
        between = ",\n"
    yield "\n]}\n"


def _file(row: Row, links: Links) -> tuple[str, str]:
    """Make the anchor and the JSON of a wheel."""
    url = links.from_page(row)
    marks = more = ""
    if row.requires_python:
        marks, more = _python(row.requires_python)
    if links.has_metadata:
        marks += f' data-core-metadata="sha256={row.metadata_sha256}"'
        more += f'"core-metadata":{{"sha256":"{row.metadata_sha256}"}},'
    if row.provenance_sha256 is not None and (whole := links.provenance(row)):
        marks += f' data-provenance="{whole}"'
        more += f'"provenance":{_encode(whole)},'
    yanked = "false"
    if row.yanked is not None:
        marks += f' data-yanked="{escape(row.yanked)}"'
        yanked = _encode(row.yanked) if row.yanked else "true"
    return f'<a href="{url}#sha256={row.sha256}"{marks}>{row.file}</a><br>\n', (
        f'{{"filename":"{row.file}","url":{_encode(url)},"hashes":{{"sha256":"{row.sha256}"}},{more}'
        f'"size":{row.size},"upload-time":"{row.uploaded}","yanked":{yanked}}}'
    )


def _quote(file: str) -> str:
    """Quote a wheel's name; of what the convention allows, only these two may mean something else in a URL."""
    return file.replace("+", "%2B").replace("!", "%21")


@lru_cache(maxsize=1024)
def _python(requires: str) -> tuple[str, str]:
    return f' data-requires-python="{escape(requires)}"', f'"requires-python":{_encode(requires)},'


@lru_cache(maxsize=8192)
def version_of(text: str) -> Version:
    """A version as it compares; most projects have the same ones."""
    from packaging.version import Version

    return Version(text)
