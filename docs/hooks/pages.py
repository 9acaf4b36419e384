"""MkDocs hook: pages that are made of other files of the repository, and links that lead to them.

Links in every page are those of the repository, so that they work in a checkout too. Here they are turned to the page
that is made of the file, or to a copy of it.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import reference
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parents[2]
_PAGES: Final = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "index/README.md": "publisher/serving.md",
    **{
        file.relative_to(ROOT).as_posix(): f"operators/{file.parent.name}.md"
        for file in sorted(ROOT.glob("plugin-packages/*/README.md"))
    },
    **{
        file.relative_to(ROOT).as_posix(): f"measurements/{file.name.replace('index', 'publishing')}"
        for file in sorted(ROOT.glob("benchmarks/results/*.md"))
    },
}
"""The page that is made of a file; README.md is told again, shorter, by docs/index.md."""

_LINK: Final = re.compile(r"(?<!!)\[([^\]\n]*(?:\n[^\]\n]*)?)\]\(([^()\s]+)\)")
_CODE: Final = re.compile(
    r"^(?P<fence>```+|~~~+).*?^(?P=fence)[^\n]*$|(`+)(?!`).+?(?<!`)\2(?!`)", re.DOTALL | re.MULTILINE
)
_MADE: Final = re.compile(r"^<!-- made: (\w+) -->$", re.MULTILINE)
_FILE: Final = re.compile(r"^<!-- file: (\S+) -->$", re.MULTILINE)
_LANGUAGES: Final = {".cu": "cpp", ".py": "python", ".toml": "toml"}


def on_config(config: MkDocsConfig) -> None:
    """Put the pages that are made of several files into the navigation."""
    for section in config.nav or ():
        for title, entries in section.items() if isinstance(section, dict) else ():
            if title in {"Operators", "Measurements"}:
                entries += [page for page in _PAGES.values() if page.startswith(f"{title.lower()}/")]


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages, and a copy of each file that a page links to."""
    for source, page in _PAGES.items():
        if page not in files.src_uris:
            content = (ROOT / source).read_text(encoding="utf-8")
            if page.startswith("operators/"):
                content += _speed(PurePosixPath(page).stem)
            files.append(File.generated(config, page, content=content))
    copied = {
        target
        for file in files.documentation_pages()
        for target in _targets(file.content_string, _source(file.src_uri))
        if _page(target) is None and (ROOT / target).is_file()
    }
    for target in sorted(copied | {f"trtreg/schema/{schema.name}" for schema in reference.schemas()}):
        files.append(File.generated(config, _copy(target), abs_src_path=str(ROOT / target)))


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Write what is made of the code, and turn the links."""
    markdown = _MADE.sub(lambda match: reference.MAKERS[match[1]](), markdown)
    markdown = _FILE.sub(lambda match: _shown(ROOT / match[1]), markdown)
    here = PurePosixPath(page.file.src_uri)
    source = _source(page.file.src_uri)

    def turn(match: re.Match[str]) -> str:
        text, target = match.groups()
        path, hash_sign, anchor = target.partition("#")
        if not path or ":" in path:
            return match[0]
        there = _normal(source.parent, path)
        to = _page(there) or (_copy(there) if (ROOT / there).is_file() else None)
        if to is None:  # a folder, or nothing at all, which MkDocs shall tell of
            return text if (ROOT / there).is_dir() else match[0]
        return f"[{text}]({os.path.relpath(to, here.parent)}{hash_sign}{anchor})"

    return _outside_code(markdown, turn)


def _speed(package: str) -> str:
    """What was measured of a package's operators."""
    measured = json.loads((ROOT / "benchmarks" / "results" / "operators.json").read_text(encoding="utf-8"))
    rows = [row for row in measured["rows"] if row["package"] == package]
    if not rows:
        return ""
    machine = measured["machine"]
    lines = [
        "\n## Measured speed\n",
        f"On an {machine['gpu']}, driver {machine['driver']}, {machine['date']}, by `{machine['command']}`; times in",
        "microseconds, and the share of what the memory or the tensor cores could do at best:",
        "[how it was measured](../../benchmarks/results/operators.md).\n",
        "| op | size | type | time | share | peer | its time | times faster |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = [row[key] for key in ("op", "size", "type", "us", "share", "peer", "peer us", "x peer")]
        lines.append(f"| {' | '.join('' if cell is None else str(cell) for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _shown(file: Path) -> str:
    return f"```{_LANGUAGES[file.suffix]}\n{file.read_text(encoding='utf-8').rstrip()}\n```"


def _outside_code(markdown: str, turn: Any) -> str:
    parts, last = [], 0
    for code in _CODE.finditer(markdown):
        # A link's text may be code: only what stands alone is left as it is.
        if code.group("fence"):
            parts += [_LINK.sub(turn, markdown[last : code.start()]), code[0]]
            last = code.end()
    return "".join([*parts, _LINK.sub(turn, markdown[last:])])


def _targets(markdown: str, source: PurePosixPath) -> Iterator[str]:
    for match in _LINK.finditer(markdown):
        path = match[2].partition("#")[0]
        if path and ":" not in path:
            yield _normal(source.parent, path)


def _source(page: str) -> PurePosixPath:
    """The file of the repository that a page is made of."""
    made = {page: source for source, page in _PAGES.items() if page != "index.md"}
    return PurePosixPath(made.get(page, f"docs/{page}"))


def _page(path: str) -> str | None:
    return _PAGES.get(path) or (path[len("docs/") :] if path.startswith("docs/") and path.endswith(".md") else None)


def _copy(path: str) -> str:
    """Where the copy of a file goes: with an ending that browsers show instead of saving it."""
    shown = path.lstrip(".")  # MkDocs leaves hidden files out
    return f"files/{shown}" if path.endswith((".json", ".txt")) else f"files/{shown}.txt"


def _normal(folder: PurePosixPath, path: str) -> str:
    return os.path.normpath(folder / path)
