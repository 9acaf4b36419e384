"""What a library says and does when it is opened: always in a child process, whose end is a fact and not ours."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from trtreg import flavour as flavours
from trtreg import manifest as manifests
from trtreg.check.facts import Load
from trtreg.errors import TrtregError, WrongTensorRTError
from trtreg.foreign import examine
from trtreg.sdk import derive as deriving

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trtreg.check.facts import LibraryFacts
    from trtreg.flavour import InstalledTensorRT
    from trtreg.manifest import Manifest

__all__ = ["derive", "load_everywhere", "obstacle"]


def obstacle(library: LibraryFacts) -> str | None:
    """Why the library cannot be opened on this machine at all."""
    here = os.uname().machine
    if library.damage is not None or not library.is_shared:
        return "it is no sound shared library"
    return f"it is for {library.machine}, and this machine is {here}" if library.machine != here else None


def derive(file: Path, companions: Sequence[Path]) -> tuple[dict[str, Any], str | None]:
    """What a library made with our SDK says of itself, as in `library` of a manifest; or why it says nothing."""
    folders = sorted({path.parent for path in companions})
    try:
        made = deriving.derive(
            file, file=file.name, package="check", version="0", summary="", tensorrt={}, library_dirs=folders
        )
    except TrtregError as error:
        return {}, _words(error, file)
    said = json.loads(manifests.to_json(made))["library"]
    keys = ("cuda", "sdk", "registration", "init", "interface", "creators")
    return {key: said[key] for key in keys}, None


def load_everywhere(
    file: Path, library: LibraryFacts, manifest: Manifest | None, init: str | None = None
) -> tuple[Load, ...]:
    """Load the library into each TensorRT of this environment, one child process for each.

    `init` is the function that registers its creators, where there is no manifest to name it.
    """
    function = manifest.library.init if manifest else init
    return tuple(_load(file, library, manifest, function, tensorrt) for tensorrt in flavours.installed())


def _load(
    file: Path, library: LibraryFacts, manifest: Manifest | None, init: str | None, tensorrt: InstalledTensorRT
) -> Load:
    if reason := obstacle(library) or _not_meant(manifest, tensorrt):
        return Load(flavour=tensorrt.flavour, version=tensorrt.version, status="skipped", reason=reason)
    try:
        found = examine.examine(file, init=init, tensorrt=tensorrt)
    except TrtregError as error:
        # A library of which nothing says that it is for this TensorRT need not go into it.
        is_fault = manifest is not None or not isinstance(error, WrongTensorRTError)
        return Load(
            flavour=tensorrt.flavour,
            version=tensorrt.version,
            status="failed" if is_fault else "skipped",
            reason=_words(error, file),
            remedy=error.remedy,
        )
    return Load(
        flavour=tensorrt.flavour,
        version=tensorrt.version,
        status="loaded",
        registration=found.style.registration,
        init=found.style.init,
        interface=found.interface,
        creators=found.creators,
    )


def _not_meant(manifest: Manifest | None, tensorrt: InstalledTensorRT) -> str | None:
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion

    if manifest is None:
        return None
    versions = manifest.tensorrt.get(tensorrt.flavour.value)
    try:
        if versions is not None and SpecifierSet(versions).contains(tensorrt.version, prereleases=True):
            return None
    except InvalidVersion:
        pass
    return "its manifest does not say that it is for this TensorRT"


def _words(error: TrtregError, file: Path) -> str:
    """The error without its remedy, which findings have apart, and without the folder, which may be gone by then."""
    text = str(error)
    for folder in (file.resolve().parent, file.parent):
        text = text.replace(f"{folder}/", "")
    return text.removesuffix(f"; {error.remedy}") if error.remedy else text
