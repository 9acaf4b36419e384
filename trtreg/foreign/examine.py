"""What a finished library registers: it is opened in a process of its own, whose death is a verdict and not ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from trtreg import _dependencies, _library_file, errors, flavour
from trtreg.errors import ExaminationError, LoadError
from trtreg.foreign import linkage, style
from trtreg.trust import child, integrity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from trtreg._elf import ElfFacts
    from trtreg.flavour import InstalledTensorRT
    from trtreg.foreign.style import Style
    from trtreg.manifest import Interface
    from trtreg.trust.integrity import OpenedLibrary

__all__ = ["Examination", "examine"]

_SECONDS: Final = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class Examination:
    """What the library is, and what it registered in `tensorrt`; `creators` are as in a manifest's JSON."""

    library: Path
    facts: ElfFacts
    tensorrt: InstalledTensorRT
    style: Style
    interface: Interface | None
    creators: tuple[Mapping[str, Any], ...]


def examine(library: Path, *, init: str | None = None, tensorrt: InstalledTensorRT | None = None) -> Examination:
    """Find out how the library registers, and what, with the TensorRT at hand (default: the selected one).

    Nothing of the library runs in this process.

    Raises:
        NotAPluginError: it is no shared library, or has not the function `init`.
        WrongTensorRTError: it is for another TensorRT; it was not opened.
        LoadError: it cannot be opened, as MissingDependencyError names the libraries that are not there.
        ExaminationError: it registers nothing, or the process that tried it died.
    """
    path = library.resolve()
    chosen = tensorrt or flavour.select()
    opened = integrity.open_library(path)
    with opened.file() as file:
        facts = _library_file.read(path, file, owner=library.name)
        file.seek(0)
        hint = style.interface_hint(file.read())
    _check_linkage(path, facts, hint, chosen)
    beside = _dependencies.find_beside(path, facts.search)
    failure: errors.TrtregError | None = None
    for candidate in style.candidates(facts.exports, init):
        try:
            creators = _ask(opened, beside, candidate, chosen)
        except (ExaminationError, LoadError) as error:
            # The likeliest style has the better reason.
            failure = failure or error
            continue
        if creators:
            interfaces = {creator.pop("interface", None) for creator in creators}
            return Examination(
                library=path,
                facts=facts,
                tensorrt=chosen,
                style=candidate,
                interface="v2" if "v2" in interfaces else "v3" if interfaces == {"v3"} else None,
                creators=tuple(creators),
            )
    raise failure or ExaminationError(
        f"{library} registers no plugin in {chosen.flavour.module} {chosen.version}",
        found="no new creator in its registry",
        expected="getCreators, a function init...Plugins, or creators that register when the library is opened",
        remedy="name the function that registers them with --init, if it has one",
    )


def _check_linkage(path: Path, facts: ElfFacts, hint: Interface | None, tensorrt: InstalledTensorRT) -> None:
    found = linkage.conflict(facts.needed, hint, tensorrt.flavour, tensorrt.version)
    if found:
        raise errors.WrongTensorRTError(
            f"{path} is for another TensorRT than the one in use; it was not opened",
            found=f"{found.here} ({tensorrt.flavour.module} {tensorrt.version})",
            expected=found.wanted,
            remedy="use that TensorRT, with TRTREG_TENSORRT if several are installed, or get a build for this one",
        )


def _ask(
    opened: OpenedLibrary, beside: tuple[Path, ...], candidate: Style, tensorrt: InstalledTensorRT
) -> list[dict[str, Any]]:
    path = opened.path
    task = child.Task(
        library=opened, tensorrt=tensorrt, style=candidate, owner=path.name, beside=beside, seconds=_SECONDS
    )
    answer = child.ask(task)
    if isinstance(answer, child.Death):
        raise ExaminationError(
            f"{path} ends the process that opens it with {tensorrt.flavour.module} {tensorrt.version} ({candidate})",
            found=str(answer),
            remedy="get a build for this TensorRT and machine, or name another function with --init",
        )
    return answer
