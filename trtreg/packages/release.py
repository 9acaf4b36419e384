"""A release as a catalogue lists it: one wheel, what it provides and needs, as in `schema/catalogue.schema.json`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, TypeGuard
from urllib.parse import unquote, urljoin, urlsplit

from trtreg._json_table import Table, UnexpectedJSONError
from trtreg.errors import CatalogueError
from trtreg.manifest import Creator, CreatorKey, Field, Library, Manifest
from trtreg.packages.download import allowed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from packaging.version import Version

__all__ = ["NAME", "OWN", "PRINTABLE", "Release", "normalised", "shown_summary"]

OWN: Final = ("version", "file", "url", "sha256", "size", "uploaded", "yanked", "provenance")
"""Keys in which the wheels of a project differ; the others are mostly the same for all of them."""

_FLAVOURS: Final = ("full", "lean", "rtx")
NAME: Final = r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"
_WHEEL: Final = r"[A-Za-z0-9_.+!-]{1,250}\.whl"
# What is shown on terminals: no control characters, none that turns the direction of writing, no half of a pair.
_CONTROLS: Final = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
PRINTABLE: Final = rf"[^{_CONTROLS}]{{1,200}}"
_UNPRINTABLE: Final = re.compile(rf"[{_CONTROLS}]+")
_LARGEST: Final = 1 << 50
# A relative path as nearly all are: to join it takes no care.
_PLAIN: Final = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.+!-]*/)*[A-Za-z0-9_][A-Za-z0-9_.+!-]*")
_MOST_OPS: Final = 1000
_FIELD_LENGTHS: Final = (3, 4)


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """One wheel of a project; `yanked` is False or the reason; `index` is the name of the index that lists it.

    `provenance` is the URL of its attestations, where the index has some.

    A catalogue does not carry the defaults of fields: whether a node must have an attribute is not known from it.
    """

    project: str
    version: str
    file: str
    url: str
    sha256: str
    size: int
    machine: str
    summary: str = ""
    uploaded: str | None = None
    requires_python: str | None = None
    requires: tuple[str, ...] = ()
    yanked: str | Literal[False] = False
    provenance: str | None = None
    status: str = "active"
    tensorrt: Mapping[str, str] = field(default_factory=dict)
    glibc: str | None = None
    cuda: str | None = None
    sms: tuple[str, ...] = ()
    ptx: tuple[str, ...] = ()
    ops: tuple[Creator, ...] = ()
    index: str = ""

    @classmethod
    def parse(
        cls, data: object, base_url: str, *, index: str = "", path: str = "", like: Release | None = None
    ) -> Release:
        """Make a release of decoded JSON; `base_url` is the catalogue's own. CatalogueError names the key path.

        `like` is a release in which all keys are the same but those of OWN: the others are not looked at again.
        """
        try:
            table = Table.root(data, path)
            own = _own(table, base_url)
            found = _parse(table, own, index) if like is None else replace(like, **own)
            if normalised(found.file.partition("-")[0]) != found.project:
                raise table.unexpected("file", found=found.file, expected=f"a wheel of {found.project}")
        except UnexpectedJSONError as error:
            raise CatalogueError(error.message, found=_short(error.found), expected=error.expected) from None
        return found

    @property
    def offered(self) -> bool:
        """Whether it may be chosen by itself: neither withdrawn nor in quarantine."""
        return self.yanked is False and self.status != "quarantined"

    @property
    def order(self) -> Version:
        """The version as it compares."""
        return _version(self.version)

    def provides(self, key: CreatorKey) -> Creator | None:
        """The creator of this key."""
        return next((creator for creator in self.ops if creator.key == key), None)

    def manifest(self) -> Manifest:
        """What compatibility and the checks of a scan read. File, hash and size are those of the wheel."""
        return Manifest(
            package=self.project,
            version=self.version,
            summary=self.summary,
            tensorrt=self.tensorrt,
            library=Library(
                file=self.file,
                sha256=self.sha256,
                size=self.size,
                machine=self.machine,
                glibc=self.glibc,
                cuda=self.cuda,
                sms=self.sms,
                ptx=self.ptx,
                creators=self.ops,
            ),
        )


def normalised(name: str) -> str:
    """The project name as indexes compare it: https://packaging.python.org/specifications/name-normalization/."""
    return re.sub(r"[-_.]+", "-", name).lower()


def shown_summary(text: str | None) -> str:
    """A summary, or no text, as it may be shown on a terminal."""
    return _UNPRINTABLE.sub(" ", text or "").strip()[:500]


def _own(table: Table, base_url: str) -> dict[str, Any]:
    """The values of OWN."""
    version = table.string("version", PRINTABLE)
    try:
        _version(version)
    except ValueError:
        raise table.unexpected("version", found=repr(version), expected="a version as PEP 440 has it") from None
    file = table.string("file", _WHEEL)
    size = table.integer("size", minimum=0)
    if size > _LARGEST:
        raise table.unexpected("size", found="an enormous number", expected=f"at most {_LARGEST}")
    return {
        "version": version,
        "file": file,
        "url": _address(table, "url", base_url, file),
        "sha256": table.string("sha256", r"[0-9a-f]{64}"),
        "size": size,
        "uploaded": table.optional_string("uploaded", r"[0-9TZ:.+-]{1,40}"),
        "yanked": _yanked(table),
        "provenance": _address(table, "provenance", base_url, file) if _has(table, "provenance") else None,
    }


def _has(table: Table, key: str) -> bool:
    return table.value(key, default=None) is not None


def _parse(table: Table, own: dict[str, Any], index: str) -> Release:
    return Release(
        **own,
        project=normalised(table.string("project", NAME)),
        machine=table.string("machine", r"[a-z0-9_]+"),
        summary=shown_summary(table.optional_string("summary")),
        requires_python=table.optional_string("requires_python", PRINTABLE),
        requires=table.strings("requires", rf"[^{_CONTROLS}]{{1,2000}}") if "requires" in table.keys() else (),  # noqa: SIM118
        status=table.string("status", r"[a-z]+", default="active"),
        tensorrt=_specifiers(table.table("tensorrt")),
        glibc=table.optional_string("glibc", r"[0-9]{1,4}\.[0-9]{1,4}"),
        cuda=table.optional_string("cuda", r"[0-9]{1,4}\.[0-9]{1,4}"),
        sms=table.strings("sms", r"[1-9][0-9]{0,3}\.[0-9][af]?"),
        ptx=table.strings("ptx", r"[1-9][0-9]{0,3}\.[0-9][af]?"),
        ops=_ops(table),
        index=index,
    )


def _yanked(table: Table) -> str | Literal[False]:
    value = table.value("yanked", default=False)
    if value is False:
        return False
    if not isinstance(value, str):
        raise table.unexpected("yanked", found=repr(value), expected="false, or the reason as a string")
    return _UNPRINTABLE.sub(" ", value).strip()[:500]


def _address(table: Table, key: str, base_url: str, file: str) -> str:
    """Where the wheel lies, or what belongs to it: relative to the catalogue, or where its index may send a reader."""
    text = table.string(key, r"[!-\[\]-~]{1,2000}")  # ASCII, and no backslash
    name = file if key == "url" else f"{file}.{key}"
    if _PLAIN.fullmatch(text) and text.rpartition("/")[2] == name and "?" not in base_url:
        return f"{base_url.rpartition('/')[0]}/{text}"
    try:
        url = urljoin(base_url, text)
        parts = urlsplit(url)
        inside = allowed(base_url, url) and bool(parts.hostname or parts.scheme == "file")
    except ValueError:
        inside = False
    if not inside:
        expected = f"a URL that an index at {urlsplit(base_url).scheme}: may give"
        raise table.unexpected(key, found=repr(text), expected=expected)
    if key == "url" and unquote(parts.path).rpartition("/")[2] != name:
        raise table.unexpected(key, found=repr(text), expected=f"a URL that ends in {name}")
    return url


def _specifiers(table: Table) -> dict[str, str]:
    """The flavours that this trtreg knows; a newer index may list others."""
    specifiers = {}
    for flavour in _FLAVOURS:
        specifier = table.optional_string(flavour, rf"({PRINTABLE})?")
        if specifier is not None:
            if not _is_specifier(specifier):
                expected = "a version specifier such as '>=10.0'"
                raise table.unexpected(flavour, found=repr(specifier), expected=expected)
            specifiers[flavour] = specifier
    return specifiers


def _ops(table: Table) -> tuple[Creator, ...]:
    ops = tuple(
        Creator(
            name=op.string("name", PRINTABLE),
            version=op.string("version", PRINTABLE),
            namespace=op.string("namespace", rf"({PRINTABLE})?", default=""),
            fields=tuple(_fields(op)),
            inputs=op.optional_range("inputs"),
            outputs=op.optional_range("outputs"),
        )
        for op in table.tables("ops")
    )
    if len(ops) > _MOST_OPS:
        raise table.unexpected("ops", found=f"{len(ops)} ops", expected=f"at most {_MOST_OPS}")
    return ops


def _fields(op: Table) -> Iterator[Field]:
    for i, item in enumerate(op.arrays("fields")):
        field = _field(item)
        if field is None:
            expected = "[name, type, length] or [name, type, length, alias of]"
            raise op.unexpected(f"fields[{i}]", found=repr(item), expected=expected)
        yield field


def _field(item: list[object]) -> Field | None:
    if len(item) not in _FIELD_LENGTHS:
        return None
    name, kind, length, alias = item if len(item) == _FIELD_LENGTHS[1] else (*item, None)
    if not (_is_printable(name) and _is_printable(kind) and (alias is None or _is_printable(alias))):
        return None
    if not isinstance(length, int) or isinstance(length, bool) or length < 0:
        return None
    return Field(name=name, type=kind, length=length, alias_of=alias)


def _is_printable(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and re.fullmatch(PRINTABLE, value) is not None


@lru_cache(maxsize=4096)
def _version(text: str) -> Version:
    from packaging.version import Version

    return Version(text)


@lru_cache(maxsize=1024)
def _is_specifier(text: str) -> bool:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        return False
    return True


def _short(text: Any, most: int = 120) -> str | None:
    return text if text is None or len(text) <= most else f"{text[: most - 1]}…"
