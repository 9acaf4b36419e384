"""What a publisher may choose of the page for people: the table `[page]` of a TOML file."""

from __future__ import annotations

import importlib
import json
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from trtreg._json_table import Table, UnexpectedJSONError
from trtreg.errors import SettingError

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["PageConfig", "from_json", "read", "to_json"]

_KEYS: Final = ("title", "description", "url", "plain-rows", "rows", "releases")


class PageConfig(NamedTuple):
    """The choices.

    `url` is where the site is served, if that is known: install lines in a copy on a disk name it, and the pages of
    installers link to attestations by it.
    """

    title: str = "TensorRT plugins"
    description: str = "A plugin is a wheel: installing it is enough."
    url: str = ""
    plain_rows: int = 200  # projects in the table that is there without script
    rows: int = 50  # projects that are shown at once
    releases: int = 10  # files of a plugin that are shown at once


def read(path: str | PathLike[str]) -> PageConfig:
    """Read the choices; SettingError names the file and the key that is wrong."""
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        with open(path, "rb") as file:
            data = toml.load(file)
    except (OSError, ValueError) as error:
        raise SettingError(f"{path} cannot be read", found=str(error), expected="a TOML file") from error
    try:
        return _parse(Table.root(data))
    except UnexpectedJSONError as error:
        raise SettingError(f"{path}: {error.message}", found=error.found, expected=error.expected) from None


def to_json(config: PageConfig) -> str:
    """Write the choices as the ledger keeps them."""
    return json.dumps({key.replace("_", "-"): value for key, value in config._asdict().items()})


def from_json(text: str) -> PageConfig:
    """Read what `to_json` has written; nothing is the default."""
    return _parse(Table.root({"page": json.loads(text)})) if text else PageConfig()


def _parse(document: Table) -> PageConfig:
    page = document.optional_table("page")
    if page is None:
        return PageConfig()
    for key in page.keys():  # noqa: SIM118 - a Table is no mapping
        if key not in _KEYS:
            raise page.unexpected(key, found="an unknown key", expected=f"one of {', '.join(_KEYS)}")
    return PageConfig(
        title=page.string("title", r"\S.*", default=PageConfig().title),
        description=page.string("description", default=PageConfig().description),
        url=page.string("url", r"(https?://\S+/)?", default=""),
        plain_rows=page.integer("plain-rows", minimum=0, default=PageConfig().plain_rows),
        rows=page.integer("rows", minimum=1, default=PageConfig().rows),
        releases=page.integer("releases", minimum=1, default=PageConfig().releases),
    )
