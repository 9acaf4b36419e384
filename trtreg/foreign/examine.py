"""What a finished library registers: it is opened in a process of its own, whose death is a verdict and not ours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trtreg import _library_file, errors, flavour
from trtreg.errors import ExaminationError, LoadError
from trtreg.foreign import linkage, style

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trtreg._elf import ElfFacts
    from trtreg.flavour import InstalledTensorRT
    from trtreg.foreign.style import Style
    from trtreg.manifest import Interface

__all__ = ["Examination", "examine"]

_SECONDS: Final = 120
_WORDS: Final = 400  # of what a dying process said last


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
    facts = _library_file.examine(path, owner=library.name)
    chosen = tensorrt or flavour.select()
    hint = style.interface_hint(path.read_bytes())
    _check_linkage(path, facts, hint, chosen)
    failure: errors.TrtregError | None = None
    for candidate in style.candidates(facts.exports, init):
        try:
            answer = _ask(path, candidate, chosen)
        except (ExaminationError, LoadError) as error:
            # The likeliest style has the better reason.
            failure = failure or error
            continue
        if answer["creators"]:
            interfaces = {creator.pop("interface", None) for creator in answer["creators"]}
            return Examination(
                library=path,
                facts=facts,
                tensorrt=chosen,
                style=candidate,
                interface="v2" if "v2" in interfaces else "v3" if interfaces == {"v3"} else None,
                creators=tuple(answer["creators"]),
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


def _ask(path: Path, candidate: Style, tensorrt: InstalledTensorRT) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="trtreg-") as folder:
        # Not on stdout: a library may print whatever it likes.
        answer = Path(folder) / "answer.json"
        command = [sys.executable, "-m", "trtreg.foreign._child", str(path), candidate.registration]
        environ = {**os.environ, flavour.SETTING: tensorrt.flavour.value, "TRTREG_AUTOLOAD": "0"}
        # The child must find this very trtreg, and all that this process finds.
        own = str(Path(__file__).parents[2])
        environ["PYTHONPATH"] = os.pathsep.join([own, *filter(None, sys.path)])
        try:
            done = subprocess.run(  # noqa: S603 - a list of arguments, no shell
                [*command, candidate.init or "", str(answer)],
                env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                timeout=_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise ExaminationError(
                f"{path} does not come to an end when it is opened", found=f"no answer in {_SECONDS} s"
            ) from None
        try:
            data: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise _death(path, candidate, tensorrt, done.returncode, done.stderr) from None
    if failure := data.get("error"):
        raised = getattr(errors, failure.pop("type"))
        raise raised(failure.pop("message"), **failure)
    return data


def _death(path: Path, candidate: Style, tensorrt: InstalledTensorRT, code: int, words: str) -> ExaminationError:
    end = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
    last = [line for line in words.strip().splitlines() if line][-1:]
    return ExaminationError(
        f"{path} ends the process that opens it with {tensorrt.flavour.module} {tensorrt.version} ({candidate})",
        found=": ".join([end, *last])[:_WORDS],
        remedy="get a build for this TensorRT and machine, or name another function with --init",
    )
