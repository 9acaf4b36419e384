"""The two files in site-packages by which Python starts with the hook, and taking them away again.

Python reads `.start` files (https://peps.python.org/pep-0829/) from 3.15 on, and ignores the import lines of `.pth`
files from 3.18 on; earlier ones read `.pth` files only (https://docs.python.org/3/library/site.html).
"""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from trtreg import output
from trtreg.errors import AutoloadHookError, OutputError

__all__ = ["Hook", "disable", "enable", "find"]

Kind = Literal["pth", "start"]

_MODULE: Final = "_trtreg_autoload"
_NOTE: Final = "# Made by `trtreg autoload enable`; `trtreg autoload disable` takes it away.\n"
_LINES: Final[dict[Kind, str]] = {
    "pth": f"{_NOTE}import {_MODULE}; {_MODULE}.install()\n",
    "start": f"{_NOTE}{_MODULE}:install\n",
}
_KINDS: Final[tuple[Kind, ...]] = ("pth", "start")
_FIRST_WITH_START: Final = (3, 15)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hook:
    """The hook of one environment; `folder` is its site-packages, `kind` what its Python reads at the start."""

    folder: Path
    kind: Kind

    @property
    def module(self) -> Path:
        """The module that watches for TensorRT."""
        return self.folder / f"{_MODULE}.py"

    @property
    def starter(self) -> Path:
        """The file that has Python import the module."""
        return self.folder / f"trtreg-autoload.{self.kind}"

    @property
    def is_enabled(self) -> bool:
        """Whether both files are there."""
        return self.module.is_file() and self.starter.is_file()

    @property
    def is_current(self) -> bool:
        """Whether they are those of this version of trtreg."""
        return _text(self.module) == source() and _text(self.starter) == _LINES[self.kind]


def find(folder: Path | None = None, version: tuple[int, int] | None = None) -> Hook:
    """The hook of this environment, whether enabled or not."""
    import sysconfig

    kind: Kind = "start" if (version or sys.version_info[:2]) >= _FIRST_WITH_START else "pth"
    return Hook(folder=folder or Path(sysconfig.get_path("purelib")), kind=kind)


def source() -> str:
    """The text of the module that goes into site-packages."""
    return (Path(__file__).parent / "on_path" / f"{_MODULE}.py").read_text(encoding="utf-8")


def enable() -> Hook:
    """Write the hook into this environment and prove that Python starts with it. Idempotent.

    Raises EnvironmentLockedError where nothing may be installed, and AutoloadHookError where the hook has no effect.
    """
    from trtreg.packages.installer import Installer

    # The rules of pip, whoever installs: a Python of the operating system is not ours to change.
    Installer(name="pip", command=()).check_environment()
    hook = find()
    if not hook.is_current:
        _write(hook)
    if problem := _problem():
        disable()
        raise AutoloadHookError(
            "Python does not start with the hook",
            found=problem,
            expected=f"that Python reads {hook.folder} when it starts",
            remedy="use a virtual environment, or `trtreg run -- COMMAND`",
        )
    return hook


def disable() -> bool:
    """Take the hook away; tells whether there was one. Raises AutoloadHookError where a file cannot be deleted."""
    import importlib.util

    hook = find()
    # What calls the module goes first: at no time does Python start with the one and without the other.
    files = [Hook(folder=hook.folder, kind=kind).starter for kind in _KINDS]
    files += [hook.module, Path(importlib.util.cache_from_source(str(hook.module)))]
    found = [file for file in files if file.is_file()]
    for file in found:
        try:
            file.unlink()
        except OSError as e:  # noqa: PERF203 - a handful of files
            raise AutoloadHookError(
                f"{file} cannot be deleted", found=e.strerror, remedy="delete it as the owner of this environment"
            ) from e
    return bool(found)


def _write(hook: Hook) -> None:
    import py_compile

    try:
        output.write(hook.module, source().encode())
        # Now, for later starts may be those of somebody who cannot write here.
        with suppress(OSError, py_compile.PyCompileError):
            py_compile.compile(str(hook.module))
        output.write(hook.starter, _LINES[hook.kind].encode())
    except OutputError as e:
        raise AutoloadHookError(
            "The hook cannot be written", found=str(e), remedy="use a virtual environment of your own"
        ) from e


def _problem() -> str | None:
    """Why a new Python does not start with the hook."""
    import subprocess

    code = f"import sys; sys.exit('{_MODULE}' not in sys.modules)"
    # Not the caller's PYTHONPATH, in which `trtreg run` may have put the same module.
    done = subprocess.run(  # noqa: S603 - our own Python and code
        [sys.executable, "-I", "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return None if done.returncode == 0 else done.stderr.strip() or f"{sys.executable} ignores it"


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
