"""The page for people: `index.html` with its own style and script, and the data that the script shows.

All of it is files, so that it works from any server, below any path, and from a disk, where a page may load scripts but
not fetch JSON. `assets/plugins.js` has one line for each project; `assets/releases/XX.js` has the catalogue's own lines
of the projects whose name's SHA-256 begins with XX. So one new wheel changes a fixed number of files.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import ExitStack, contextmanager, suppress
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from trtreg.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from trtreg.index.page_config import PageConfig

__all__ = ["is_complete", "write"]

_RELEASES: Final = 200  # files of one project that its view can show: the newest
# The functions that the script offers. Another format of the data has to get other names: see `is_complete`.
_HEADS: Final = {"plugins": b"trtregPlugins([\n", "releases": b"trtregReleases([\n"}
_TAIL: Final = b"]);\n"
_STATIC: Final = ("icon.svg", "page.css", "page.js")


def is_complete(site: Path) -> bool:
    """Whether the page has its data, in the format of this trtreg, so that changes can be merged into it."""
    try:
        with (site / "assets" / "plugins.js").open("rb") as file:
            return file.readline() == _HEADS["plugins"]
    except FileNotFoundError:
        return False


def write(site: Path, config: PageConfig, changes: Iterable[tuple[str, Sequence[str]]]) -> None:
    """Bring the page up to date.

    `changes` has, sorted by name, each project that changed with all lines that the catalogue now has of it, in the
    catalogue's order; no lines take the project out. Where `is_complete` says no, it has to have all projects. Every
    file appears whole or not at all, `index.html` last; to do it again with the same changes does no harm.
    """
    assets = site / "assets"
    (assets / "releases").mkdir(parents=True, exist_ok=True)
    rows = _write_releases(assets / "releases", changes)
    _merge(assets / "plugins.js", "plugins", {project for project, _ in rows}, rows)
    for name in _STATIC:
        _replace(assets / name, [_package_file(f"assets/{name}")])
    _replace(site / "index.html", _render(config, assets / "plugins.js"))


def _write_releases(folder: Path, changes: Iterable[tuple[str, Sequence[str]]]) -> list[tuple[str, bytes]]:
    """Write the catalogue's lines of each project, and give the projects with the lines of `plugins.js`."""
    rows: list[tuple[str, bytes]] = []
    changed: dict[str, set[str]] = {}
    with ExitStack() as stack:
        parts: dict[str, BinaryIO] = {}
        for project, lines in changes:
            shard = hashlib.sha256(project.encode()).hexdigest()[:2]
            if shard not in parts:
                part = folder / f".{shard}.part"
                stack.callback(part.unlink)
                parts[shard] = stack.enter_context(part.open("w+b"))
                changed[shard] = set()
            changed[shard].add(project)
            parts[shard].writelines(f"{line},\n".encode() for line in lines[-_RELEASES:])
            rows.append((project, _row(lines, shard) if lines else b""))
        for shard, part_file in parts.items():
            part_file.seek(0)
            _merge(folder / f"{shard}.js", "releases", changed[shard], ((_project(line), line) for line in part_file))
    return rows


def _merge(path: Path, kind: str, changed: set[str], lines: Iterable[tuple[str, bytes]]) -> None:
    """Write `lines` in place of those that the file has of the projects that changed."""
    with ExitStack() as stack:
        kept: Iterator[tuple[str, bytes]] = iter(())
        if path.is_file():
            body = islice(stack.enter_context(path.open("rb")), 1, None)
            named = ((_project(line), line) for line in body if line != _TAIL)
            kept = (one for one in named if one[0] not in changed)
        merged = (line for _, line in merge(kept, lines, key=itemgetter(0)))
        _replace(path, (piece for pieces in ([_HEADS[kind]], merged, [_TAIL]) for piece in pieces))


def _project(line: bytes) -> str:
    return line[12 : line.index(b'"', 12)].decode("ascii")  # behind {"project":"


def _row(lines: Sequence[str], shard: str) -> bytes:
    """Sum a project up as the list shows it: by the newest release that an installer would take."""
    newest = _newest(lines)
    sums = {
        "project": newest[0]["project"],
        "version": newest[0]["version"],
        "summary": newest[0]["summary"],
        "status": newest[0]["status"],
        "yanked": newest[0]["yanked"],
        "files": len(lines),
        "shard": shard,
        "ops": sorted({(op["name"], op["version"], op["namespace"]) for one in newest for op in one["ops"]}),
        "tensorrt": newest[0]["tensorrt"],
        "machines": sorted({one["machine"] for one in newest}),
        "cuda": newest[0]["cuda"],
        "sms": newest[0]["sms"],
        "ptx": newest[0]["ptx"],
    }
    return json.dumps(sums, separators=(",", ":")).encode("ascii") + b",\n"


def _newest(lines: Sequence[str]) -> list[dict[str, Any]]:
    """The files of the newest version that is neither withdrawn nor a pre-release, else of the newest of all."""
    from packaging.version import Version

    chosen: list[dict[str, Any]] = []
    for line in reversed(lines):
        release = json.loads(line)
        if chosen:
            if release["version"] != chosen[0]["version"]:
                break
            chosen.append(release)
        elif release["yanked"] is False and not Version(release["version"]).is_prerelease:
            chosen = [release]
    return chosen or [json.loads(lines[-1])]


def _render(config: PageConfig, plugins: Path) -> Iterator[bytes]:
    """Make `index.html`, with a plain table of the first projects for readers without script."""
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "an index is published with Jinja2, which is not installed", remedy="pip install 'trtreg[index]'"
        ) from error
    environment = Environment(
        loader=PackageLoader("trtreg.index"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    total = 0
    shown = []
    with plugins.open("rb") as file:
        for total, line in enumerate((line for line in islice(file, 1, None) if line != _TAIL), 1):
            if total <= config.plain_rows:
                shown.append(json.loads(line.removesuffix(b",\n")))
    template = environment.get_template("index.html")
    yield template.render(config=config, plugins=shown, total=total).encode()


def _package_file(name: str) -> bytes:
    from importlib.resources import files

    return files("trtreg.index").joinpath(name).read_bytes()


def _replace(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file anew under its name, all at once; one that stays the same keeps its time."""
    with _temporary(path) as temporary:
        with temporary.open("wb") as file:
            file.writelines(pieces)
        if not (path.is_file() and _same(temporary, path)):
            temporary.replace(path)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _same(one: Path, other: Path) -> bool:
    import filecmp

    return one.stat().st_size == other.stat().st_size and filecmp.cmp(one, other, shallow=False)
