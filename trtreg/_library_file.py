"""What can be known of a plugin library before it is opened: the dynamic linker ends the process on a damaged one."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from trtreg.errors import (
    CreatorsMissingError,
    LoadError,
    MissingDependencyError,
    NotAPluginError,
    WrongArchitectureError,
    WrongTensorRTError,
)
from trtreg.manifest import CreatorKey

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from trtreg._elf import ElfFacts
    from trtreg.flavour import InstalledTensorRT, Message
    from trtreg.manifest import Library
    from trtreg.trust.integrity import OpenedLibrary

__all__ = ["check", "check_linkage", "creators_missing", "examine", "explain_refusal", "read", "sha256"]

# The symbols of a library take longer to read than all the rest of loading it.
_known: Final[dict[str, ElfFacts]] = {}


def check(opened: OpenedLibrary, library: Library, tensorrt: InstalledTensorRT, *, owner: str, remedy: str) -> ElfFacts:
    """Check the bytes against the manifest, and that TensorRT can open them; raises the LoadError that fits.

    `owner` is the package's name, `remedy` how to get the right file. Their hash has been compared before.
    """
    path = opened.path
    facts = _known.get(opened.sha256)
    if facts is None:
        with opened.file() as file:
            facts = _known[opened.sha256] = read(path, file, owner=owner, remedy=remedy)
    from trtreg.foreign import style

    if library.registration == "dynamic" and not any(name in facts.exports for name in style.ENTRY_POINTS):
        raise NotAPluginError(
            f"{path} is no TensorRT plugin library",
            found="no exported function getCreators",
            expected='extern "C" getCreators(int32_t&), as the SDK of trtreg makes it',
            remedy=f"ask the author of {owner}, or build it with the SDK",
        )
    if library.init is not None and library.init not in facts.exports:
        raise NotAPluginError(f"{path} exports no function {library.init}", remedy=remedy)
    check_linkage(path, facts.needed, library, tensorrt, owner=owner)
    return facts


def examine(path: Path, *, owner: str, remedy: str | None = None) -> ElfFacts:
    """Read what the dynamic linker would see; raises the LoadError that fits."""
    try:
        with path.open("rb") as file:
            return read(path, file, owner=owner, remedy=remedy)
    except OSError as error:
        raise LoadError(f"{path} cannot be read", found=error.strerror or str(error), remedy=remedy) from error


def read(path: Path, file: BinaryIO, *, owner: str, remedy: str | None = None) -> ElfFacts:
    """Read what the dynamic linker would see of an open file; raises the LoadError that fits."""
    from trtreg import _elf

    try:
        facts = _elf.read(file)
    except _elf.BadElfError as error:
        raise NotAPluginError(f"{path} is no shared library", found=str(error), remedy=remedy) from error
    here = os.uname().machine
    if facts.machine != here:
        raise WrongArchitectureError(
            f"{path} is for another machine",
            found=facts.machine,
            expected=here,
            remedy=f"install the wheel of {owner} for {here}",
        )
    if not facts.is_shared:
        raise NotAPluginError(f"{path} is no shared library", found="a program or an object file", remedy=remedy)
    return facts


def check_linkage(
    path: Path, needed: Iterable[str], library: Library | None, tensorrt: InstalledTensorRT, *, owner: str
) -> None:
    """Refuse a library of another TensorRT: to open it would bring a second one into the process."""
    from trtreg.foreign import linkage

    interface = library.interface if library else None
    found = linkage.conflict(needed, interface, tensorrt.flavour, tensorrt.version)
    if found:
        raise WrongTensorRTError(
            f"{path} is for another TensorRT than the one in use; it was not opened",
            found=f"{found.here} ({tensorrt.flavour.module} {tensorrt.version})",
            expected=found.wanted,
            remedy=f"use that TensorRT, with TRTREG_TENSORRT if several are installed, or get a build of {owner} "
            f"for {tensorrt.flavour.module} {tensorrt.version}",
        )


def explain_refusal(
    path: Path, messages: Iterable[Message], *, owner: str, words: str | None = None, loadable: Path | None = None
) -> LoadError:
    """Why TensorRT or the dynamic linker did not take the library, from what they said and what it needs.

    `loadable` is what they opened in its place, and what they call it.
    """
    from trtreg import _dependencies

    obstacles = _dependencies.find_obstacles(path)
    if obstacles.missing:
        return MissingDependencyError(
            f"{path} needs libraries that are not on this machine",
            found=f"no {', '.join(obstacles.missing)}",
            remedy=f"install what has them and put it on the loader's path, or ask the author of {owner}",
        )
    said = [*obstacles.complaints, *(one.text for one in messages if one.severity in {"error", "internal_error"})]
    if words is None and "getCreators" not in examine(path, owner=owner).exports:
        said.append("it has no getCreators, but getPluginCreators, which TensorRT 10 does not ask for any more")
    if words is not None:
        # The linker's trace does not know the TensorRT of this process, so its complaints are not the cause.
        said = [words, *said[len(obstacles.complaints) :]]
    if loadable is not None:
        said = [re.sub(rf"{re.escape(str(loadable))}\b", lambda _: str(path), text) for text in said]
    return LoadError(
        f"TensorRT did not take {path}",
        found="; ".join(said) or "no reason given, and nothing amiss in the library",
        remedy=f"ask the author of {owner}" if said else "try again in a new process",
    )


def creators_missing(path: Path, absent: Iterable[CreatorKey], found: str, *, remedy: str) -> CreatorsMissingError:
    """That the library has not registered what its manifest declares; `found` is what it has."""
    return CreatorsMissingError(
        f"{path} was loaded without the creators that its manifest declares: {CreatorKey.listed(absent)}",
        found=found or "no new creator",
        remedy=remedy,
    )


def sha256(file: Any) -> str:
    """The hash of an open file, from where it stands."""
    from hashlib import sha256

    digest = sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
