"""The page for people: `index.html` with its own style and script, and the data that the script shows.

All of it is files, so that it works from any server, below any path, and from a disk, where a page may load scripts but
not fetch JSON. `assets/plugins.js` has one line for each project; `assets/releases/XX.js` has the catalogue's own lines
of the projects whose name's SHA-256 begins with XX. So one new wheel changes a fixed number of files.
"""

from __future__ import annotations

import hashlib
import json
import os
from heapq import merge
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trtreg.errors import MissingExtraError
from trtreg.index.pages import version_of
from trtreg.index.tree import STATE, remove_folder, same_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import BinaryIO

    from trtreg.index.page_config import PageConfig

__all__ = ["Changes", "is_complete", "write"]

_RELEASES: Final = 200  # files of one project that its view can show: the newest
# The functions that the script offers. Another format of the data has to get other names: see `is_complete`.
_HEADS: Final = {"plugins": b"trtregPlugins([\n", "releases": b"trtregReleases([\n"}
_TAIL: Final = b"]);\n"
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode
_STATIC: Final = ("icon.svg", "page.css", "page.js")


def is_complete(site: Path) -> bool:
    """Whether the page has its data, in the format of this trtreg, so that changes can be merged into it."""
    try:
        with (site / "assets" / "plugins.js").open("rb") as file:
            return file.readline() == _HEADS["plugins"]
    except FileNotFoundError:
        return False


def write(site: Path, config: PageConfig, changes: Iterable[tuple[str, Sequence[str]]]) -> None:
    """Bring the page up to date at once; `changes` are the arguments of `Changes.add`."""
    with Changes(site, anew=not is_complete(site)) as shown:
        for project, lines in changes:
            shown.add(project, lines)
        shown.publish(config)


class Changes:
    """The page's new data: collected beside the site while projects come by, then put in place.

    With `anew`, all projects have to come, and what is there is not looked at; it has to be so where `is_complete` says
    no. Every file appears whole or not at all, `index.html` last; the same changes again do no harm.
    """

    def __init__(self, site: Path, *, anew: bool) -> None:
        self._site = site
        self._anew = anew
        self._folder = site / STATE / "page"
        self._parts: dict[str, BinaryIO] = {}  # new lines by shard, each a file from its head on
        self._rows: list[tuple[str, bytes]] = []  # project and its line of `plugins.js`; none where it is to go

    def __enter__(self) -> Changes:  # noqa: PYI034 - typing has Self since Python 3.11
        remove_folder(os.fspath(self._folder))
        self._folder.mkdir(parents=True)
        return self

    def __exit__(self, *_error: object) -> None:
        for part in self._parts.values():
            part.close()
        remove_folder(os.fspath(self._folder))

    def add(self, project: str, lines: Sequence[str]) -> None:
        """Take a project that changed, with all lines that the catalogue now has of it, in the catalogue's order.

        Projects come sorted by name; no lines take the project out.
        """
        shard = hashlib.sha256(project.encode()).hexdigest()[:2]
        part = self._parts.get(shard)
        if part is None:
            part = self._parts[shard] = (self._folder / f"{shard}.part").open("w+b")
            part.write(_HEADS["releases"])
        if lines:
            part.write(",\n".join([*lines[-_RELEASES:], ""]).encode("ascii"))
        self._rows.append((project, _row(lines, shard) if lines else b""))

    def publish(self, config: PageConfig) -> None:
        """Put the data in place, and the page."""
        assets = self._site / "assets"
        (assets / "releases").mkdir(parents=True, exist_ok=True)
        changed = {project for project, _ in self._rows}
        for shard, part in self._parts.items():
            self._publish_shard(part, assets / "releases" / f"{shard}.js", changed)
        self._write(assets / "plugins.js", self._merged("plugins", assets / "plugins.js", changed, self._rows))
        for name in _STATIC:
            self._write(assets / name, [_package_file(f"assets/{name}")])
        self._write(self._site / "index.html", _render(config, assets / "plugins.js"))

    def _publish_shard(self, part: BinaryIO, target: Path, changed: set[str]) -> None:
        if self._anew or not target.is_file():
            part.write(_TAIL)
            part.close()
            _replace(Path(part.name), target)
            return
        part.seek(0)
        new = ((_project(line), line) for line in islice(part, 1, None))
        self._write(target, self._merged("releases", target, changed, new))

    def _merged(self, kind: str, old: Path, changed: set[str], new: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
        """Give a file with the new lines in place of those that it has of the projects that changed."""
        yield _HEADS[kind]
        if self._anew or not old.is_file():
            yield from (line for _, line in new)
        else:
            with old.open("rb") as file:
                named = ((_project(line), line) for line in islice(file, 1, None) if line != _TAIL)
                kept = (one for one in named if one[0] not in changed)
                yield from (line for _, line in merge(kept, new, key=itemgetter(0)))
        yield _TAIL

    def _write(self, target: Path, pieces: Iterable[bytes]) -> None:
        new = self._folder / target.name
        with new.open("wb") as file:
            file.writelines(pieces)
        _replace(new, target)


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
    return _encode(sums).encode("ascii") + b",\n"


def _newest(lines: Sequence[str]) -> list[dict[str, Any]]:
    """The files of the newest version that is neither withdrawn nor a pre-release, else of the newest of all."""
    chosen: list[dict[str, Any]] = []
    same = ""
    for line in reversed(lines):
        if chosen and not line.startswith(same):
            break
        release = json.loads(line)
        if chosen:
            chosen.append(release)
        elif release["yanked"] is False and not version_of(release["version"]).is_prerelease:
            chosen = [release]
            same = line[: line.index(',"file":') + 1]  # {"project":"...","version":"...",
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


def _replace(new: Path, target: Path) -> None:
    """Put a new file under its name, all at once; one that stays the same keeps its time."""
    if not same_bytes(os.fspath(new), os.fspath(target)):
        new.replace(target)
