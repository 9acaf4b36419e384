"""What `trtreg add` and `trtreg wrap` have in common: options, and what they say of a library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from trtreg.manifest import Manifest

__all__ = ["add_options", "as_json", "lines"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what the library is to be called and is for."""
    parser.add_argument("--name", help="default: the file's name without lib and .so")
    parser.add_argument("--version", metavar="VERSION", default="0.0.0", help="default: 0.0.0")
    parser.add_argument("--summary", default="", help="one line about it")
    parser.add_argument(
        "--tensorrt",
        metavar="SPEC",
        action="append",
        default=[],
        help="what it is for, as 'full>=10,<11'; repeatable (default: what its dependencies and interface say)",
    )
    parser.add_argument("--init", metavar="FUNCTION", help="the function that registers its plugins")
    parser.add_argument("--json", action="store_true", help="print JSON (schema: trtreg/schema/library.schema.json)")


def lines(described: Manifest) -> Iterator[str]:
    """What was found out."""
    from trtreg.foreign.style import Style

    library = described.library
    style = Style(registration=library.registration, init=library.init)
    wanted = ", ".join(f"{name} {versions}".rstrip() for name, versions in sorted(described.tensorrt.items()))
    yield f"  style     {style}" + (f", {library.interface.upper()} interface" if library.interface else "")
    yield f"  ops       {', '.join(str(creator.key) for creator in library.creators)}"
    yield f"  TensorRT  {wanted}"


def as_json(described: Manifest, action: str, path: str) -> dict[str, Any]:
    """The document; `path` is the wheel, or where the library lies for trtreg."""
    library = described.library
    return {
        "schema": 1,
        "action": action,
        "package": described.package,
        "version": described.version,
        "path": path,
        "registration": library.registration,
        "init": library.init,
        "interface": library.interface,
        "tensorrt": dict(described.tensorrt),
        "needed": [*library.needed],
        "ops": [creator.name for creator in library.creators],
    }
