"""Opening a library in a process of its own, whose end is an answer like any other.

This protects from faults, not from attacks: the library's code runs with all rights of the user.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from trtreg import errors, flavour
from trtreg.errors import TrialError

if TYPE_CHECKING:
    from trtreg.flavour import InstalledTensorRT
    from trtreg.foreign.style import Style
    from trtreg.manifest import CreatorKey
    from trtreg.trust.integrity import OpenedLibrary

__all__ = ["Death", "Task", "ask"]

_FILE_MIB: Final = 16  # the most that it may write to a file: its last words are one
_TAIL: Final = 8192
_TICK: Final = 0.005
_BLOCK: Final = 65_536
_MOST: Final = 64 << 20  # bytes of an answer
_WORDS: Final = 400  # of what a dying process said last
# What kills a process from outside, as the kernel does when memory runs out, says nothing of the library.
_OUTSIDE: Final = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What is to be opened, and how; `beside` are its dependencies that lie beside it.

    `replaced` are the creators that it may bring although TensorRT has such ones. `seconds` and `memory_mib` are the
    limits, the latter beyond what the process has with TensorRT.
    """

    library: OpenedLibrary
    tensorrt: InstalledTensorRT
    style: Style
    owner: str
    beside: tuple[Path, ...] = ()
    replaced: tuple[CreatorKey, ...] = ()
    seconds: int
    memory_mib: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Death:
    """How the process ended before it had an answer, and what it said last; or what the library does wrong."""

    end: str
    words: str

    def __str__(self) -> str:
        return f"{self.end}: {self.words}" if self.words else self.end


def ask(task: Task) -> list[dict[str, Any]] | Death:
    """The creators that the library registers, as in a manifest's JSON, or how it ended the process.

    Raises:
        TrialError: no such process can be had, or it was ended from outside.
        LoadError: the library cannot be opened, as MissingDependencyError names the libraries that are not there.
    """
    with _sink(task) as said:
        code, answer = _run(task, said)
        started, _, text = answer.partition(b"\n")
        words = _last_words(said)
        if started != b"opening":
            raise _no_trial(task, f"it ended before the library was opened, {_end(code, task.seconds)}: {words}")
        try:
            data: dict[str, Any] = json.loads(text)
        except ValueError:
            if code is not None and -code in _OUTSIDE:
                raise TrialError(
                    f"The trial of {task.library.path} was ended from outside, so it is not loaded",
                    found=_end(code, task.seconds),
                    remedy="see that memory suffices, and try again",
                ) from None
            return Death(end=_end(code, task.seconds), words=words)
    if fault := data.get("fault"):
        return Death(end=fault, words="")
    if failure := data.get("error"):
        raise getattr(errors, failure.pop("type"))(failure.pop("message"), **failure)
    creators: list[dict[str, Any]] = data["creators"]
    return creators


def _run(task: Task, said: BinaryIO) -> tuple[int | None, bytes]:
    """Run the process; gives its exit code, or None where it took too long, and its answer."""
    library = task.library
    # Not a file: the process may have a limit on the size of files.
    try:
        source, sink = os.pipe()
    except OSError as error:
        raise _no_trial(task, str(error)) from error
    os.set_blocking(source, False)
    described = {
        "library": str(library.path),
        "loadable": str(library.loadable),
        "owner": task.owner,
        "registration": task.style.registration,
        "init": task.style.init,
        "beside": [*map(str, task.beside)],
        "replaced": [[key.name, key.version, key.namespace] for key in task.replaced],
        "memory_mib": task.memory_mib,
        "file_mib": _FILE_MIB,
        "answer": sink,
        "parent": os.getpid(),
    }
    passed = (sink, *(() if library.descriptor is None else (library.descriptor,)))
    answer = bytearray()
    try:
        process = _start(task, described, passed, said)
        try:
            ended = _wait(process.pid, task.seconds, source, answer)
        finally:
            # With all that it has started, and also where we are interrupted. Not waited for before: its number is
            # still its own.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        _drain(source, answer)
    finally:
        os.close(source)
        os.close(sink)
    return code if ended else None, bytes(answer)


def _start(task: Task, described: dict[str, Any], passed: tuple[int, ...], said: BinaryIO) -> subprocess.Popen[bytes]:
    command = [_python(task), str(Path(__file__).with_name("_child.py")), json.dumps(described)]
    try:
        return subprocess.Popen(  # noqa: S603 - a list of arguments, no shell
            command, env=_environment(task.tensorrt), pass_fds=passed,
            stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise _no_trial(task, str(error)) from error


def _wait(process: int, seconds: float, source: int, answer: bytearray) -> bool:
    """Whether it ends within the time; leaves its exit code where it is, and takes its answer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None:
                return True
        except ChildProcessError:  # somebody waits for all children, or for none
            return True
        _drain(source, answer)
        time.sleep(_TICK)
    return False


def _drain(source: int, answer: bytearray) -> None:
    """Take what is there; not until the end, which a process that the library has started may keep open."""
    with suppress(BlockingIOError):
        while (block := os.read(source, _BLOCK)) and len(answer) < _MOST:
            answer += block


def _sink(task: Task) -> BinaryIO:
    """A file without a name."""
    try:
        return os.fdopen(os.memfd_create("trtreg", os.MFD_CLOEXEC), "w+b")
    except OSError:
        pass
    try:
        return cast("BinaryIO", tempfile.TemporaryFile())
    except OSError as error:
        raise _no_trial(task, str(error)) from error


def _environment(tensorrt: InstalledTensorRT) -> dict[str, str]:
    environ = {**os.environ, flavour.SETTING: tensorrt.flavour.value, "TRTREG_AUTOLOAD": "0"}
    # Its report of a crash would hide the library's last words.
    environ.pop("PYTHONFAULTHANDLER", None)
    # The child must find this very trtreg, and all that this process finds.
    folders = [str(Path(__file__).parents[2]), *map(os.path.abspath, filter(None, sys.path))]
    environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(folders))
    return environ


def _python(task: Task) -> str:
    """This Python as a program; in a program that has Python inside, or is made of it, sys.executable is not that."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not getattr(sys, "frozen", False):
        folders = (Path(sys.exec_prefix) / "bin", Path(sys.base_exec_prefix) / "bin")
        for path in (Path(sys.executable or "/"), *(folder / f"python{version}" for folder in folders)):
            if path.name.startswith(("python", "pypy")) and os.access(path, os.X_OK):
                return str(path)
    raise _no_trial(task, "this program has Python inside, and no Python beside it")


def _no_trial(task: Task, found: str) -> TrialError:
    return TrialError(
        f"{task.library.path} cannot be tried in a process of its own",
        found=found[:_WORDS],
        expected="such a process, for a library that is new here",
        remedy='allow this program to start one, or turn trials off with trial = "off" in a policy file',
    )


def _end(code: int | None, seconds: int) -> str:
    if code is None:
        return f"no end within {seconds} s"
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _last_words(file: BinaryIO) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - _TAIL, 0))
    lines = file.read().decode("utf-8", "replace").splitlines()
    # Printable only: nobody's terminal shall obey them.
    clean = ("".join(letter for letter in line if letter.isprintable()).strip() for line in lines)
    return next((line for line in reversed([*clean]) if line), "")[:_WORDS]
