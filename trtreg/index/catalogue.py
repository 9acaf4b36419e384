"""The catalogue: one line for each release with a manifest, sorted by project, version and file.

Up to `LARGEST` wheels all lines are in `catalogue.json`. A larger index has a catalogue of the same form for each shard
of its projects, `catalogue/XX.json`, and `catalogue.json` has a line for each project and the hash of each shard: so a
reader fetches what it asks for, and a new wheel rewrites one shard. The schema is `schema/catalogue.schema.json`.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from trtreg.index.ledger import Row
from trtreg.index.pages import Links

if TYPE_CHECKING:
    from trtreg.index.core_metadata import CoreMetadata
    from trtreg.index.ledger import Project
    from trtreg.index.wheels import Name
    from trtreg.manifest import Creator, Field, Manifest
    from trtreg.packages.release import Release

__all__ = ["HEAD", "LARGEST", "TAIL", "check", "entry", "lines", "root_head", "shards_of"]

LARGEST: Final = 20_000
"""Wheels of an index whose catalogue is one file, of about 1 kB for each."""

HEAD: Final = '{"schema": 1, "releases": [\n'
TAIL: Final = "\n]}\n"
_ANY_URL: Final = "https://index.example/catalogue.json"
_encode = json.encoder.encode_basestring_ascii  # ASCII only: no reader takes another character for the end of a line


def entry(manifest: Manifest, metadata: CoreMetadata) -> str:
    """Make the part of a line that never changes; it is kept in the ledger."""
    library = manifest.library
    data = {
        "summary": manifest.summary or metadata.summary,
        "requires": metadata.requires,
        "tensorrt": dict(sorted(manifest.tensorrt.items())),
        "machine": library.machine,
        "glibc": library.glibc,
        "cuda": library.cuda,
        "sms": library.sms,
        "ptx": library.ptx,
        "ops": [_op(creator) for creator in library.creators],
    }
    return json.dumps(data, separators=(",", ":"), allow_nan=False)[1:]


def check(entry: str, name: Name, requires_python: str) -> None:
    """Read the line as a client will: CatalogueError now, for one bad line makes clients refuse the whole catalogue."""
    from trtreg.packages.release import Release

    line = _line_to_check(name.project, name.file, name.version, entry, requires_python)
    Release.parse(line, _ANY_URL, like=_release_like(name.project, entry, requires_python))


@lru_cache(maxsize=4)  # wheels come sorted by project
def _release_like(project: str, entry: str, requires_python: str) -> Release:
    """Check all but `release.OWN`, which wheels of a project mostly have in common: it is what takes the time."""
    from trtreg.packages.release import Release

    file = f"{project.replace('-', '_')}-0-py3-none-any.whl"
    return Release.parse(_line_to_check(project, file, "0", entry, requires_python), _ANY_URL)


def _line_to_check(project: str, file: str, version: str, entry: str, requires_python: str) -> object:
    row = Row(
        project=project,
        file=file,
        version=version,
        size=0,
        sha256="0" * 64,
        metadata_sha256="",
        requires_python=requires_python,
        uploaded="",
        yanked=None,
        entry=entry,
    )
    return json.loads(_line(row, Links().from_catalogue(row), "active")) | {"uploaded": None}


def root_head(shards: dict[str, str]) -> str:
    """Make the head of a catalogue in shards, of the SHA-256 of each; a line for each project follows."""
    listed = ", ".join(f'"{shard}": "{sha256}"' for shard, sha256 in sorted(shards.items()))
    return f'{{"schema": 2, "shards": {{{listed}}}, "projects": [\n'


def shards_of(head: bytes) -> dict[str, str]:
    """Read the hashes of the shards from such a head."""
    shards: dict[str, str] = json.loads(head + b"]}")["shards"]
    return shards


def lines(project: Project, links: Links) -> list[str]:
    """Make the lines of a project, whose wheels are sorted; a wheel without a manifest has none."""
    return [_line(row, links.from_catalogue(row), project.status) for row in project.wheels if row.entry is not None]


def _line(row: Row, url: str, status: str) -> str:
    provenance = "" if row.provenance_sha256 is None else _encode(Links.provenance_from_catalogue(row))
    offered = f'"provenance":{provenance},' if provenance else ""
    return (
        f'{{"project":"{row.project}","version":"{row.version}","file":"{row.file}","url":{_encode(url)},'
        f'"sha256":"{row.sha256}","size":{row.size},"uploaded":"{row.uploaded}",'
        f'"requires_python":{_encode(row.requires_python) if row.requires_python else "null"},'
        f'"yanked":{"false" if row.yanked is None else _encode(row.yanked)},"status":"{status}",{offered}{row.entry}'
    )


def _op(creator: Creator) -> dict[str, Any]:
    data: dict[str, Any] = creator.key._asdict()
    limits = {"inputs": creator.inputs, "outputs": creator.outputs}
    data |= {name: pair for name, pair in limits.items() if pair is not None}
    data["fields"] = [_field(field) for field in creator.fields]
    return data


def _field(field: Field) -> list[Any]:
    return [field.name, field.type, field.length, *([field.alias_of] if field.alias_of else [])]
