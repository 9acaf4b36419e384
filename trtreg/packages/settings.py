"""Which indexes plugins come from, in order: a configuration file, TRTREG_INDEX, or the command line.

`$XDG_CONFIG_HOME/trtreg/config.toml` (default `~/.config`) holds them as

    [[index]]
    name = "company"
    url = "https://plugins.example.com/trt/"

TRTREG_INDEX, URLs separated by spaces, replaces the file's; `--index` replaces both. The order matters: the first
index that has a project owns its name, and no release of that name is taken from an index further down. So a package
of the same name in a public index never gets in the way of a private one that stands before it. The file's
`[autoload]` is for `trtreg.autoload.policy`, `[prefer]` for `trtreg.preferences`.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from trtreg.errors import IndexSettingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Index", "Settings", "cache_folder", "config_file", "load", "public", "read"]

_SCHEMES: Final = ("https", "http", "file")
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_EXAMPLE: Final = "a URL such as https://plugins.example.com/trt/"


@dataclass(frozen=True, kw_only=True, slots=True)
class Index:
    """An index of plugins; `url` is the root of its site and ends in a slash. It may hold a password: see `shown`."""

    name: str
    url: str

    @property
    def catalogue_url(self) -> str:
        """Where its catalogue lies."""
        return f"{self.url}catalogue.json"

    @property
    def shown(self) -> str:
        """The URL as it may be shown to anybody."""
        return public(self.url)

    @property
    def is_exposed(self) -> bool:
        """Whether it is read over a network without protection."""
        parts = urlsplit(self.url)
        return parts.scheme == "http" and parts.hostname not in _LOOPBACK


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The indexes in their order; `origin` says where they are configured."""

    indexes: tuple[Index, ...] = ()
    origin: str = "nowhere"


def read(indexes: Sequence[str] = (), *, no_index: bool = False, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings; `indexes` are URLs, folders or names of configured indexes, and go before the others."""
    environ = os.environ if environ is None else environ
    if no_index:
        return Settings(origin="--no-index")
    if indexes:
        return _listed(indexes, "--index", environ)
    # Set to nothing, it says that there shall be none.
    if (listed := environ.get("TRTREG_INDEX")) is not None:
        return _listed(listed.split(), "TRTREG_INDEX", environ)
    return _configured(environ)


def config_file(environ: Mapping[str, str] | None = None) -> Path:
    """Where the configuration file lies, or would."""
    return _folder(os.environ if environ is None else environ, "XDG_CONFIG_HOME", ".config") / "config.toml"


def cache_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Where trtreg keeps what it can get again."""
    return _folder(os.environ if environ is None else environ, "XDG_CACHE_HOME", ".cache")


def public(url: str) -> str:
    """The URL without name and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _folder(environ: Mapping[str, str], variable: str, default: str) -> Path:
    """The specification wants absolute paths, and others ignored: https://specifications.freedesktop.org/basedir/."""
    given = environ.get(variable, "")
    root = Path(given) if given.startswith("/") else Path(environ.get("HOME") or Path.home()) / default
    return root / "trtreg"


def _listed(values: Iterable[str], origin: str, environ: Mapping[str, str]) -> Settings:
    named = {}
    if any(re.fullmatch(_NAME, value) and not Path(value).is_dir() for value in values):
        named = {index.name: index for index in _configured(environ).indexes}
    indexes = []
    for value in values:
        index = named.get(value)
        if index is None:
            url = _url(value if "://" in value else _from_folder(value, origin, named), origin)
            # Of a folder, the path with its first slash; of a server, host and path.
            name = re.sub(r"^(file://|https?://)", "", public(url)).rstrip("/")
            index = Index(name=unquote(name) or url, url=url)
        if index not in indexes:
            indexes.append(index)
    return Settings(indexes=tuple(indexes), origin=origin)


def _from_folder(value: str, origin: str, named: Iterable[str]) -> str:
    if not Path(value).is_dir():
        configured = f", a configured index ({', '.join(named)})" if named else ""
        raise IndexSettingError(f"{origin} names no index", found=repr(value), expected=f"{_EXAMPLE}{configured}")
    return Path(value).resolve().as_uri()


def _url(value: str, where: str) -> str:
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError as e:
        raise IndexSettingError(f"{where} holds no URL", found=f"{value!r} ({e})", expected=_EXAMPLE) from None
    complete = parts.path if parts.scheme == "file" else parts.hostname
    if parts.scheme not in _SCHEMES or not complete or re.search(r"[\s\x00-\x1f\x7f]", value):
        raise IndexSettingError(f"{where} holds no URL of an index", found=repr(public(value)), expected=_EXAMPLE)
    if parts.query or parts.fragment:
        found = repr(public(value))
        raise IndexSettingError(f"{where} holds a URL with a query or a fragment", found=found, expected=_EXAMPLE)
    path = re.sub(r"(/catalogue\.json)?/*$", "/", parts.path, count=1)
    return urlunsplit(parts._replace(path=path))


def _configured(environ: Mapping[str, str]) -> Settings:
    file = config_file(environ)
    data = load(file)
    _check_keys(data, ("index", "autoload", "prefer"), file, "")
    tables = data.get("index", [])
    if not isinstance(tables, list):
        raise _wrong(file, "index", tables, "an array of tables: [[index]]")
    indexes: dict[str, Index] = {}
    for i, table in enumerate(tables):
        index = _index(table, file, f"index[{i}]")
        if index.name in indexes:
            raise _wrong(file, f"index[{i}].name", index.name, "a name that no other index has")
        indexes[index.name] = index
    return Settings(indexes=tuple(indexes.values()), origin=str(file))


def load(file: Path) -> dict[str, Any]:
    """Read the configuration file; {} where there is none."""
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as e:
        raise IndexSettingError(f"{file} cannot be read", found=str(e)) from e
    # Only where there is a file: most commands have none to read.
    import importlib

    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        data: dict[str, Any] = toml.loads(text)
    except (ValueError, RecursionError) as e:
        raise IndexSettingError(f"{file} is not TOML", found=str(e), remedy="mend the file") from None
    return data


def _index(table: object, file: Path, path: str) -> Index:
    if not isinstance(table, dict):
        raise _wrong(file, path, table, "a table with name and url")
    _check_keys(table, ("name", "url"), file, f"{path}.")
    for key in ("name", "url"):
        if key not in table:
            raise IndexSettingError(f"{file}: missing required key '{path}.{key}'")
        if not isinstance(table[key], str):
            raise _wrong(file, f"{path}.{key}", table[key], "a string")
    if re.fullmatch(_NAME, table["name"]) is None:
        raise _wrong(file, f"{path}.name", table["name"], "letters, digits, '.', '_' and '-'")
    return Index(name=table["name"], url=_url(table["url"], f"{file}: '{path}.url'"))


def _check_keys(table: Mapping[str, object], known: Sequence[str], file: Path, prefix: str) -> None:
    for key in table:
        if key not in known:
            from trtreg._nearest import key_meant

            raise IndexSettingError(
                f"{file}: unknown key '{prefix}{key}'",
                expected=" or ".join(known),
                remedy=key_meant(key, known, prefix=prefix),
            )


def _wrong(file: Path, path: str, found: object, expected: str) -> IndexSettingError:
    kind = {str: "", dict: "table ", list: "array ", bool: "boolean ", int: "integer "}.get(type(found), "")
    return IndexSettingError(f"{file}: unexpected value in '{path}'", found=f"{kind}{found!r}", expected=expected)
