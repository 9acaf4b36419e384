"""The manifest `trtplugin.json`: what a plugin package says about its library, parsed once, at the edge.

The JSON schema of the same format is `schema/trtplugin.schema.json`. Keys that this version does not know are ignored:
a newer builder may add some. A change of meaning raises `schema`.
"""

from __future__ import annotations

import trtreg
from trtreg import _json_text, _patterns, _versions
from trtreg._dataclass import dataclass
from trtreg._json_table import Table, UnexpectedJSONError

TYPE_CHECKING = False  # `typing` takes longer to import than `trtreg list` may take
if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike
    from typing import Any, Final, Literal

    from trtreg.creator_key import CreatorKey

    Registration = Literal["dynamic", "static", "init"]
    """How creators come into the registry: TensorRT asks getCreators; the library's static initialisers; a function."""

    Interface = Literal["v2", "v3"]

__all__ = [
    "FILE_NAME",
    "SCHEMA",
    "Creator",
    "CreatorKey",
    "Field",
    "Library",
    "Manifest",
    "Sdk",
    "Signature",
    "parse",
    "read",
    "to_json",
]

FILE_NAME: Final = "trtplugin.json"
SCHEMA: Final = 1

_FLAVOURS: Final = ("full", "lean", "rtx")
_NONE: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """An attribute that a creator reads; `length` 0 means any, `default` None means that the node must have it."""

    name: str
    type: str
    length: int = 0
    default: tuple[int | float, ...] | str | None = None
    alias_of: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """Tensor types that go together: "float32", or "float16:chw32"; tensors beyond the end take the last entry."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Creator:
    """A plugin that the library registers; what is None is not known (libraries not made with our SDK)."""

    name: str
    version: str
    namespace: str = ""
    fields: tuple[Field, ...] = ()
    inputs: tuple[int, int] | None = None
    outputs: tuple[int, int] | None = None
    signatures: tuple[Signature, ...] | None = None

    @property
    def key(self) -> CreatorKey:
        """The key in TensorRT's registry."""
        from trtreg.creator_key import CreatorKey

        return CreatorKey(self.name, self.version, self.namespace)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sdk:
    """The trtreg SDK that made the library."""

    version: str
    face_abi: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Library:
    """Facts that the build derived from the library itself.

    `glibc` is the lowest version that provides all symbols, `cuda` the toolkit's; either is None where the library
    uses none. `sms` are the targets of its machine code, `ptx` those of its PTX. `init` is the function to call where
    `registration` is "init". `interface` is "v2" where any creator is of that interface, None where it is not known.
    """

    file: str
    sha256: str
    size: int
    machine: str
    glibc: str | None = None
    needed: tuple[str, ...] = ()
    cuda: str | None = None
    sms: tuple[str, ...] = ()
    ptx: tuple[str, ...] = ()
    sdk: Sdk | None = None
    registration: Registration = "dynamic"
    init: str | None = None
    interface: Interface | None = None
    creators: tuple[Creator, ...] = ()

    @property
    def keys(self) -> tuple[CreatorKey, ...]:
        """The keys of its creators."""
        return tuple(creator.key for creator in self.creators)


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """All of `trtplugin.json`; `tensorrt` maps each supported flavour (full, lean, rtx) to a version specifier."""

    package: str
    version: str
    library: Library
    summary: str = ""
    tensorrt: Mapping[str, str] = _NONE


def __getattr__(name: str) -> Any:
    if name != "CreatorKey":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from trtreg.creator_key import CreatorKey

    return CreatorKey


def read(path: str | PathLike[str]) -> Manifest:
    """Read the manifest at `path`; ManifestError names the file."""
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib is one more import for `trtreg list`
            data = _json_text.loads(file.read())
    except FileNotFoundError:
        raise trtreg.errors.ManifestError(f"{path} does not exist", remedy="reinstall the plugin package") from None
    except OSError as error:
        raise trtreg.errors.ManifestError(f"{path} cannot be read", found=error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise trtreg.errors.ManifestError(
            f"{path} is not JSON", found=str(error), remedy="reinstall the plugin package"
        ) from error
    try:
        return parse(data)
    except trtreg.errors.ManifestError as error:
        raise trtreg.errors.ManifestError(
            f"{path}: {error.message}", found=error.found, expected=error.expected, remedy=error.remedy
        ) from error


def parse(data: object) -> Manifest:
    """Make a manifest of decoded JSON; ManifestError names the key path, what was found and what was expected."""
    try:
        table = Table.root(data)
        schema = table.integer("schema", minimum=1)
        if schema != SCHEMA:
            raise trtreg.errors.ManifestError(
                "Unexpected value in 'schema'", found=str(schema), expected=str(SCHEMA), remedy="upgrade trtreg"
            )
        return Manifest(
            package=table.string("package", _patterns.PACKAGE),
            version=table.string("version", _patterns.RELEASE),
            summary=table.string("summary", _patterns.ANY, default=""),
            tensorrt=_specifiers(table.table("tensorrt")),
            library=_library(table.table("library")),
        )
    except UnexpectedJSONError as error:
        raise trtreg.errors.ManifestError(error.message, found=error.found, expected=error.expected) from None


def to_json(manifest: Manifest) -> str:
    """Write the manifest as JSON: the same manifest always gives the same text, which ends in a newline."""
    import json

    library = manifest.library
    data = {
        "schema": SCHEMA,
        "package": manifest.package,
        "version": manifest.version,
        "summary": manifest.summary,
        "tensorrt": dict(manifest.tensorrt),
        "library": {
            "file": library.file,
            "sha256": library.sha256,
            "size": library.size,
            "machine": library.machine,
            "glibc": library.glibc,
            "needed": library.needed,
            "cuda": library.cuda,
            "sms": library.sms,
            "ptx": library.ptx,
            "sdk": None if library.sdk is None else {"version": library.sdk.version, "face_abi": library.sdk.face_abi},
            "registration": library.registration,
            "init": library.init,
            "interface": library.interface,
            "creators": [_creator_data(creator) for creator in library.creators],
        },
    }
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _creator_data(creator: Creator) -> dict[str, Any]:
    data: dict[str, Any] = {
        **creator.key._asdict(),
        "fields": [
            _without_none(
                {"name": f.name, "type": f.type, "length": f.length, "default": f.default, "alias_of": f.alias_of}
            )
            for f in creator.fields
        ],
        "inputs": creator.inputs,
        "outputs": creator.outputs,
    }
    if creator.signatures is not None:
        data["signatures"] = [{"inputs": s.inputs, "outputs": s.outputs} for s in creator.signatures]
    return _without_none(data)


def _without_none(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if value is not None}


def _specifiers(table: Table) -> dict[str, str]:
    specifiers = {}
    for flavour in table.keys():  # noqa: SIM118 - a Table is no mapping
        if flavour not in _FLAVOURS:
            raise table.unexpected(flavour, found=flavour, expected=f"one of {', '.join(_FLAVOURS)}")
        specifiers[flavour] = table.string(flavour)
        if not _versions.is_range(specifiers[flavour]):
            expected = "a version specifier such as '>=10.0'"
            found = repr(specifiers[flavour][: _patterns.LONGEST])
            raise table.unexpected(flavour, found=found, expected=expected)
    return specifiers


def _library(table: Table) -> Library:
    sdk = table.optional_table("sdk")
    registration: Any = table.string("registration", _patterns.REGISTRATION, default="dynamic")
    interface: Any = table.optional_string("interface", _patterns.INTERFACE)
    init = table.optional_string("init", _patterns.IDENTIFIER)
    if (registration == "init") != (init is not None):
        expected = "the name of a function where 'registration' is init, and nothing else"
        raise table.unexpected("init", found=repr(init), expected=expected)
    return Library(
        file=table.string("file", _patterns.FILE),
        sha256=table.string("sha256", _patterns.DIGEST),
        size=table.integer("size", minimum=0),
        machine=table.string("machine", _patterns.MACHINE),
        glibc=table.optional_string("glibc", _patterns.VERSION),
        needed=table.strings("needed", _patterns.SONAME),
        cuda=table.optional_string("cuda", _patterns.VERSION),
        sms=table.strings("sms", _patterns.SM),
        ptx=table.strings("ptx", _patterns.SM),
        sdk=None
        if sdk is None
        else Sdk(version=sdk.string("version", _patterns.UNSPACED), face_abi=sdk.integer("face_abi", minimum=1)),
        registration=registration,
        init=init,
        interface=interface,
        creators=tuple(_creator(creator) for creator in table.tables("creators")),
    )


def _creator(table: Table) -> Creator:
    signatures = table.optional_tables("signatures")
    return Creator(
        name=table.string("name", _patterns.SOME),
        version=table.string("version", _patterns.SOME),
        namespace=table.string("namespace", _patterns.ANY, default=""),
        fields=tuple(_field(item) for item in table.optional_tables("fields") or ()),
        inputs=table.optional_range("inputs"),
        outputs=table.optional_range("outputs"),
        signatures=None
        if signatures is None
        else tuple(
            Signature(inputs=s.strings("inputs", _patterns.TENSOR), outputs=s.strings("outputs", _patterns.TENSOR))
            for s in signatures
        ),
    )


def _field(table: Table) -> Field:
    kind = table.string("type", _patterns.WORD)
    default = table.optional_string("default", _patterns.ANY) if kind == "char" else table.optional_numbers("default")
    return Field(
        name=table.string("name", _patterns.SOME),
        type=kind,
        length=table.integer("length", minimum=0, default=0),
        default=default,
        alias_of=table.optional_string("alias_of", _patterns.SOME),
    )
