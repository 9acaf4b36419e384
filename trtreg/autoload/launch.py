"""Starting one program with the hook: what to execute for a command, and with which environment variables."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trtreg.autoload import policy
from trtreg.errors import IsolatedPythonError, NotPythonError, ProgramNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["command", "environment"]

_FOLDER: Final = Path(__file__).parent / "on_path"
_PYTHON: Final = re.compile(r"(?:python|pypy)[\d.]*[a-z]?")
_SOURCES: Final = (".py", ".pyw", ".pyc", ".pyz", ".pyzw")
_HEAD: Final = 4096
# Options of Python that take the next argument as their value: https://docs.python.org/3/using/cmdline.html
_WITH_VALUE: Final = "WX"
# Those that hide PYTHONPATH, or `sitecustomize`, from it.
_HIDING: Final = "IES"
_TOOLS: Final = {
    "trtexec": "trtexec",
    "tensorrt_rtx": "trtexec",
    "tritonserver": "triton",
    "deepstream-app": "deepstream",
}


def command(arguments: Sequence[str]) -> tuple[str, ...]:
    """The program to execute, as an absolute path, and its arguments.

    `arguments` are those of a shell: a script, a console script, an interpreter, or `-m MODULE` for this Python.
    Raises ProgramNotFoundError, NotPythonError, or IsolatedPythonError for a Python that could not be given the hook.
    """
    first, rest = arguments[0], tuple(arguments[1:])
    if first.startswith("-"):
        _refuse_isolated(arguments, "this Python")
        return (sys.executable, *arguments)
    program = _find(first)
    if _PYTHON.fullmatch(program.name):
        _refuse_isolated(rest, str(program))
        return (str(program), *rest)
    if program.is_dir() or (program.suffix in _SOURCES and not os.access(program, os.X_OK)):
        return (sys.executable, *arguments)
    interpreter = _interpreter(program)
    if interpreter is None:
        raise _no_python(first, str(program))
    _refuse_isolated(interpreter[1:], f"{program}, by its first line,")
    return (str(program), *rest) if os.access(program, os.X_OK) else (sys.executable, *arguments)


def environment(names: Iterable[str] | None, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables for the program: the hook, and `names` as the packages to load instead of what the lists say."""
    result = dict(os.environ if environ is None else environ)
    result["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_FOLDER), result.get("PYTHONPATH")]))
    result[policy.SWITCH] = "1"
    if names is not None:
        result[policy.ALLOW] = " ".join(names)
        result[policy.DENY] = ""
    return result


def _find(name: str) -> Path:
    """The file that a shell would take; first the environment's own, which need not be activated."""
    import shutil

    path = Path(name)
    if "/" in name or path.suffix in _SOURCES:
        if path.exists():
            return path.absolute()
    else:
        beside = Path(sys.executable).with_name(name)
        found = str(beside) if os.access(beside, os.X_OK) else shutil.which(name)
        if found:
            return Path(found).absolute()
        if (path / "__main__.py").is_file():
            return path.absolute()
    if path.name in _TOOLS:
        raise _no_python(name, "no Python program, and not found")
    if "/" in name or path.suffix in _SOURCES:
        raise ProgramNotFoundError(f"There is no file {path.absolute()}")
    raise ProgramNotFoundError(
        f"There is no program {name}",
        found=f"nothing of that name in {Path(sys.executable).parent} or PATH",
        remedy=f"install what has it, or for a module: trtreg run -- -m {name}",
    )


def _interpreter(program: Path) -> list[str] | None:
    """The Python of a script and its options, by the first lines; None where it is no Python program."""
    import zipfile

    try:
        with program.open("rb") as file:
            lines = file.read(_HEAD).decode("utf-8", "replace").splitlines()
    except OSError as e:
        raise ProgramNotFoundError(f"{program} cannot be read", found=e.strerror) from e
    if lines and lines[0].startswith("#!"):
        for word in (words := _words(lines[0][2:])):
            if _PYTHON.fullmatch(Path(word).name):
                return words[words.index(word) :]
        # Where the path of Python is too long for a first line, installers write a script for sh and Python at once.
        if len(lines) > 1 and lines[1].startswith("'''exec'") and "python" in lines[1]:
            return ["python"]
        return None
    if program.suffix in _SOURCES or zipfile.is_zipfile(program):
        return ["python"]
    return None


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # a quote without an end
        return line.split()


def _refuse_isolated(arguments: Sequence[str], who: str) -> None:
    """Look through Python's own options, which end at a script, -c or -m."""
    skip = False
    for argument in arguments:
        if skip:
            skip = False
            continue
        if not argument.startswith("-") or argument == "-":
            return
        if argument.startswith("--"):
            skip = argument == "--check-hash-based-pycs"
            continue
        for position, letter in enumerate(argument[1:], 2):
            if letter in _HIDING:
                raise IsolatedPythonError(
                    f"{who} starts with -{letter}, which keeps trtreg's hook out",
                    expected="Python without -I, -E and -S",
                    remedy="leave the option out, or enable autoload (works with -I and -E): trtreg autoload enable",
                )
            if letter in "cm":
                return
            if letter in _WITH_VALUE:
                skip = position == len(argument)
                break


def _no_python(name: str, found: str) -> NotPythonError:
    tool = _TOOLS.get(Path(name).name)
    return NotPythonError(
        f"{name} is no Python program, so `trtreg run` cannot load plugins into it",
        found=found,
        expected="a Python script, console script, module (-m) or interpreter",
        remedy=f"`trtreg flags {tool}` prints the arguments by which {name} loads plugins itself"
        if tool
        else f"put trtreg behind it if it starts Python, as: {name} ... trtreg run -- python script.py",
    )
