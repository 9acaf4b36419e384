"""What the catalogue of a large index says itself: a line for each project, and the hash of each shard of releases."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from trtreg._json_table import Table, UnexpectedJSONError
from trtreg.errors import CatalogueError
from trtreg.manifest import CreatorKey
from trtreg.packages.release import NAME, PRINTABLE, normalised, shown_summary

__all__ = ["Listed", "shards_of"]

_SHARD: Final = r"[0-9a-f]{2}"
_MOST_OPS: Final = 10_000
_KEY_LENGTH: Final = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A project by its newest release; `older_ops` are of other releases, all of which are in the shard."""

    project: str
    version: str
    summary: str
    files: int
    shard: str
    ops: tuple[CreatorKey, ...]
    older_ops: tuple[CreatorKey, ...]

    @classmethod
    def parse(cls, data: object, path: str) -> Listed:
        """Make it of decoded JSON; CatalogueError names the key path."""
        try:
            table = Table.root(data, path)
            return cls(
                project=normalised(table.string("project", NAME)),
                version=table.string("version", PRINTABLE),
                summary=shown_summary(table.optional_string("summary")),
                files=table.integer("files", minimum=1),
                shard=table.string("shard", _SHARD),
                ops=_keys(table, "ops"),
                older_ops=_keys(table, "older_ops"),
            )
        except UnexpectedJSONError as error:
            raise CatalogueError(error.message, found=error.found, expected=error.expected) from None


def shards_of(document: object) -> dict[str, str]:
    """The SHA-256 of each shard by its name."""
    try:
        table = Table.root(document).table("shards")
        names = table.keys()
        for name in names:
            if re.fullmatch(_SHARD, name) is None:
                raise table.unexpected(name, found="a shard of that name", expected="two hexadecimal digits")
        return {name: table.string(name, r"[0-9a-f]{64}") for name in names}
    except UnexpectedJSONError as error:
        raise CatalogueError(error.message, found=error.found, expected=error.expected) from None


def _keys(table: Table, name: str) -> tuple[CreatorKey, ...]:
    keys = []
    for number, item in enumerate(table.arrays(name)):
        if len(item) != _KEY_LENGTH or not all(isinstance(part, str) for part in item):
            raise table.unexpected(f"{name}[{number}]", found=repr(item)[:100], expected="[name, version, namespace]")
        op = Table.root(dict(zip(CreatorKey._fields, item, strict=True)))
        keys.append(CreatorKey(op.string("name", PRINTABLE), op.string("version", PRINTABLE),
                               op.string("namespace", rf"({PRINTABLE})?")))  # fmt: skip
    if len(keys) > _MOST_OPS:
        raise table.unexpected(name, found=f"{len(keys)} ops", expected=f"at most {_MOST_OPS}")
    return tuple(keys)
