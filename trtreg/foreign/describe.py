"""The manifest of a finished library: what is in the file, and what it registered when it was examined."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from trtreg import _library_file, manifest
from trtreg.errors import LibraryNameError, PluginBuildError, SettingError
from trtreg.foreign import linkage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from trtreg.foreign.examine import Examination

__all__ = ["default_name", "describe", "normalised", "parse_specifiers"]

_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def describe(
    examination: Examination,
    *,
    name: str,
    version: str,
    summary: str = "",
    tensorrt: Mapping[str, str] | None = None,
    library: Path | None = None,
) -> manifest.Manifest:
    """Make the manifest; `library` is the file if it is no longer the one that was examined.

    `tensorrt` defaults to what the library's own dependencies and interface say. Raises LibraryNameError, SettingError
    or ManifestError for a name, version or specifier that is none.
    """
    _require_name(name)
    _require_version(version)
    path = library or examination.library
    facts = _library_file.examine(path, owner=name)
    with path.open("rb") as file:
        digest = _library_file.sha256(file)
    glibc, sms, ptx = _native(path)
    return manifest.parse(
        {
            "schema": manifest.SCHEMA,
            "package": name,
            "version": version,
            "summary": summary,
            "tensorrt": {**(tensorrt or _specifiers(examination, facts.needed))},
            "library": {
                "file": path.name,
                "sha256": digest,
                "size": path.stat().st_size,
                "machine": facts.machine,
                "glibc": glibc,
                "needed": [*facts.needed],
                "cuda": _cuda(facts.needed),
                "sms": sms,
                "ptx": ptx,
                "sdk": None,
                "registration": examination.style.registration,
                "init": examination.style.init,
                "interface": examination.interface,
                "creators": [dict(creator) for creator in examination.creators],
            },
        }
    )


def default_name(library: Path) -> str:
    """The name of the file without "lib" and its endings: "libfoo_plugins.so.1" is foo-plugins."""
    stem = library.name.partition(".so")[0].removeprefix("lib")
    return normalised(re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")) or "library"


def normalised(name: str) -> str:
    """As https://packaging.python.org/specifications/name-normalization/ has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_specifiers(texts: Sequence[str]) -> dict[str, str] | None:
    """Read what a user gives as "rtx>=1.7,<2" or "full >=10"; None for none."""
    found = {}
    for text in texts:
        match = re.fullmatch(r"\s*(full|lean|rtx)\s*(.*?)\s*", text)
        if match is None:
            raise SettingError(
                "--tensorrt is not understood", found=repr(text), expected="full, lean or rtx with versions: 'rtx>=1.7'"
            )
        found[match[1]] = match[2]
    return found or None


def _specifiers(examination: Examination, needed: Sequence[str]) -> dict[str, str]:
    tried = examination.tensorrt
    registration = examination.style.registration
    return linkage.specifiers(needed, examination.interface, registration, tried.flavour, tried.version)


def _require_name(name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise LibraryNameError(
            "The name of a library is that of a package",
            found=repr(name),
            expected="letters, digits, and '-', '_' or '.' between them",
            remedy="choose another with --name",
        )


def _require_version(version: str) -> None:
    from packaging.version import InvalidVersion, Version

    try:
        Version(version)
    except InvalidVersion:
        raise SettingError("--version is no version", found=repr(version), expected="as 1.2 or 0.1.0") from None


def _native(path: Path) -> tuple[str | None, list[str], list[str]]:
    """The glibc that it asks for, and the GPUs that it has code for; what cannot be read is left open."""
    from trtreg.sdk import elf, fatbin

    floor = elf.glibc_floor(path)
    try:
        code = fatbin.read(path)
    except PluginBuildError:
        # A layout of a newer CUDA: the library may be whole all the same.
        code = fatbin.GpuCode()
    glibc = None if floor is None else f"{floor[0]}.{floor[1]}"
    return glibc, [arch.dotted for arch in code.sms], [arch.dotted for arch in code.ptx]


def _cuda(needed: Sequence[str]) -> str | None:
    """The CUDA that it needs, by the runtime's name; with a static runtime nothing in the file tells."""
    majors: list[Any] = [re.fullmatch(r"libcudart\.so\.(\d+)[\d.]*", name) for name in needed]
    return next((f"{match[1]}.0" for match in majors if match), None)
