"""The bill of materials in a plugin's wheel: `.dist-info/sboms/trtreg.cdx.json`, CycloneDX 1.6 (PEP 770).

It lists what the metadata of a Python package cannot: what is linked into the library, by which compilers, and which
libraries were taken into the wheel. The same build makes the same bytes, so there is no time in it.
https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from trtreg.sdk import cache

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from trtreg.manifest import Manifest
    from trtreg.sdk.project import Project
    from trtreg.sdk.toolchain import Toolchain
    from trtreg.sdk.wheel import Wheel

__all__ = ["FILE", "Part", "linked", "own_tool", "tools_of", "with_sbom"]

FILE: Final = "sboms/trtreg.cdx.json"
"""Its place in the folder of the metadata."""

_APACHE: Final = {"license": {"id": "Apache-2.0"}}
_CUDA: Final = {"license": {"name": "NVIDIA CUDA Toolkit End User License Agreement"}}
_GCC: Final = {"expression": "GPL-3.0-or-later WITH GCC-exception-3.1"}
_SHARED: Final = re.compile(r"[^/]*\.so(\.[0-9]+)*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Something inside the library, or a tool that made it; `sha256` where it was one file."""

    name: str
    version: str | None = None
    sha256: str | None = None
    description: str | None = None
    license: Mapping[str, Any] | None = None
    purl: str | None = None


def linked(plugin: Project, tools: Toolchain, manifest: Manifest) -> tuple[Part, ...]:
    """What a build links into a library statically."""
    compiler = _number(tools.cxx.version)
    sdk = manifest.library.sdk.version if manifest.library.sdk else None
    archives = [
        path
        for folder in plugin.library_dirs
        for name in plugin.libraries
        # A shared library beside it is the one that the linker takes.
        if (path := folder / f"lib{name}.a").is_file() and not path.with_suffix(".so").is_file()
    ]
    return (
        Part(
            name="cudart_static",
            version=manifest.library.cuda,
            sha256=cache.digest(tools.nvcc.cudart),
            description=f"The CUDA runtime, from the toolkit of nvcc {tools.nvcc.version}",
            license=_CUDA,
        ),
        Part(name="libstdc++", version=compiler, description="Linked statically", license=_GCC),
        Part(name="libgcc", version=compiler, description="Linked statically", license=_GCC),
        Part(
            name="trtreg-sdk",
            version=sdk,
            description="Headers, compiled into the library",
            license=_APACHE,
            purl=f"pkg:pypi/trtreg@{sdk}" if sdk else None,
        ),
        *(
            Part(name=path.name, sha256=cache.digest(path), description="A static library of the project")
            for path in sorted(set(archives), key=lambda path: path.name)
        ),
    )


def own_tool() -> Part:
    """What makes the wheel: trtreg itself."""
    from trtreg import __version__

    return Part(name="trtreg", version=__version__, license=_APACHE, purl=f"pkg:pypi/trtreg@{__version__}")


def tools_of(tools: Toolchain) -> tuple[Part, ...]:
    """What made the library."""
    name = tools.cxx.version.partition(" ")[0]
    return (
        own_tool(),
        Part(name="nvcc", version=tools.nvcc.version),
        Part(name=name, version=_number(tools.cxx.version), description=tools.cxx.version),
    )


def with_sbom(made: Wheel, manifest: Manifest, *, parts: Sequence[Part] | None, tools: Sequence[Part]) -> Wheel:
    """Add the bill of materials to a finished wheel; `parts` is None where nobody knows what the library contains."""
    document = _document(made, manifest, parts, tools)
    text = json.dumps(document, indent=2) + "\n"
    return made.with_files({f"{made.dist_info}/{FILE}": text.encode("ascii")})


def _document(made: Wheel, manifest: Manifest, parts: Sequence[Part] | None, tools: Sequence[Part]) -> dict[str, Any]:
    library = manifest.library
    package = f"pkg:pypi/{_normalised(manifest.package)}@{_quoted(manifest.version)}"
    inside = [_component("library", part) for part in parts or ()]
    taken_in = [_taken_in(name, made.files[name]) for name in sorted(_others(made, library.file))]
    main = _drop_none({
        "type": "file", "bom-ref": f"file:{library.file}", "name": library.file, "hashes": _hashes(library.sha256),
        "description": "The plugin library", "properties": _properties(manifest),
    })  # fmt: skip
    contents = [part["bom-ref"] for part in (*inside, *taken_in)]
    # It names the build by what came out of it, where others take a random number.
    serial = uuid.uuid5(uuid.NAMESPACE_URL, f"{package}#{library.sha256}")
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": [_component("application", part, prefix="tool:") for part in tools]},
            "component": _drop_none({
                "type": "library", "bom-ref": package, "name": manifest.package, "version": manifest.version,
                "description": manifest.summary or None, "licenses": _licence(made), "purl": package,
            }),
        },
        "components": [main, *inside, *taken_in],
        "dependencies": [
            {"ref": package, "dependsOn": [main["bom-ref"]]},
            {"ref": main["bom-ref"], "dependsOn": contents} if contents else {"ref": main["bom-ref"]},
        ],
        # A library that others finished says nothing of what it is made of; nor does a static library.
        "compositions": [
            {"aggregate": "incomplete" if parts is not None else "unknown", "assemblies": [main["bom-ref"]]}
        ],
    }  # fmt: skip


def _component(kind: str, part: Part, prefix: str = "part:") -> dict[str, Any]:
    return _drop_none({
        "type": kind, "bom-ref": f"{prefix}{part.name}", "name": part.name, "version": part.version,
        "description": part.description, "hashes": _hashes(part.sha256),
        "licenses": [part.license] if part.license else None, "purl": part.purl,
    })  # fmt: skip


def _taken_in(path: str, data: bytes) -> dict[str, Any]:
    return {
        "type": "library", "bom-ref": f"file:{path}", "name": path.rpartition("/")[2],
        "description": "Taken into the wheel, for the library needs it",
        "hashes": _hashes(hashlib.sha256(data).hexdigest()),
        "properties": [{"name": "trtreg:path", "value": path}],
    }  # fmt: skip


def _others(made: Wheel, own: str) -> Iterable[str]:
    """The shared libraries in the wheel besides the plugin's own."""
    names = ((path, path.rpartition("/")[2]) for path in made.files)
    return (path for path, name in names if _SHARED.fullmatch(name) and name != own)


def _properties(manifest: Manifest) -> list[dict[str, str]]:
    library = manifest.library
    one = [("machine", library.machine), ("glibc", library.glibc), ("cuda", library.cuda)]
    many = [("sm", library.sms), ("ptx", library.ptx), ("needed", library.needed),
            ("creator", [str(creator.key) for creator in library.creators])]  # fmt: skip
    pairs = [
        *((key, value) for key, value in one if value),
        *((key, value) for key, values in many for value in values),
    ]
    return [{"name": f"trtreg:{key}", "value": value} for key, value in pairs]


def _licence(made: Wheel) -> list[dict[str, Any]] | None:
    metadata = made.metadata
    if expression := metadata.get("License-Expression"):
        return [{"expression": expression}]
    return [{"license": {"name": name}}] if (name := metadata.get("License")) else None


def _hashes(sha256: str | None) -> list[dict[str, str]] | None:
    return None if sha256 is None else [{"alg": "SHA-256", "content": sha256}]


def _number(version: str) -> str | None:
    """Give the version in a compiler's account of itself, such as 'g++ (Debian 12.2.0-14) 12.2.0 x86_64-linux-gnu'."""
    found = re.findall(r"(?<![\w.-])\d+\.\d+(?:\.\d+)*(?![\w.-])", version)
    return found[-1] if found else None


def _drop_none(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if value is not None}


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _quoted(text: str) -> str:
    """Quote for a package URL, in which '+' and '!' mean something."""
    from urllib.parse import quote

    return quote(text, safe="")
