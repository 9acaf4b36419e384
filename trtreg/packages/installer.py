"""The installer of this Python environment: uv where it manages the environment, else pip; run without a shell."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from trtreg.errors import EnvironmentLockedError, InstallerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from trtreg.packages.wheels import Fetched

__all__ = ["Installer", "find"]

_LAST_WORDS: Final = 12
# Of the installers' own variables, those that protect an environment, or say where work is done.
_KEPT: Final = frozenset(
    {"PIP_BREAK_SYSTEM_PACKAGES", "PIP_REQUIRE_VIRTUALENV", "UV_BREAK_SYSTEM_PACKAGES", "UV_CACHE_DIR", "UV_LINK_MODE"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Installer:
    """What installs into the environment of this process."""

    name: Literal["uv", "pip"]
    command: tuple[str, ...]

    def check_environment(self) -> None:
        """Raise EnvironmentLockedError if nothing may be installed here."""
        _refuse_managed_by_others(self.name)
        _refuse_read_only()

    def install_wheels(self, wheels: Sequence[Fetched], *, force: bool = False) -> None:
        """Install exactly these files, without any index and without what they require.

        They are named by version and hash, not by path: so no direct_url.json ties them to the cache, and nothing
        else that is called the same can take their place.
        """
        lines = [f"{w.wheel.project}=={w.wheel.version} --hash=sha256:{w.wheel.sha256}" for w in wheels]
        links = [f"--find-links={w.path.parent}" for w in wheels]
        again = ["--reinstall" if self.name == "uv" else "--force-reinstall"] if force else []
        own = ["--no-config", "--offline"] if self.name == "uv" else ["--only-binary=:all:"]
        with _file(lines) as path:
            self._run(
                *("install", "--no-index", *own, *links, "--no-deps", "--require-hashes", *again, "-r", path),
                environ=_without_settings(),
            )

    def install_requirements(self, requirements: Sequence[str], constraints: Sequence[str]) -> None:
        """Install what is required from the user's own indexes; the constraints hold what must not change."""
        with _file(requirements) as path, _file(constraints) as limits:
            self._run("install", "-r", path, "-c", limits)

    def uninstall(self, names: Iterable[str]) -> None:
        """Uninstall; asks nothing."""
        self._run("uninstall", *(["-y"] if self.name == "pip" else []), *names)

    def _run(self, action: str, *arguments: str, environ: dict[str, str] | None = None) -> None:
        import subprocess

        own = ["--python", sys.executable] if self.name == "uv" else ["--disable-pip-version-check", "--no-input"]
        command = [*self.command, action, *own, *arguments]
        try:
            done = subprocess.run(  # noqa: S603 - no shell, and names and versions are normalised
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                env=environ,
            )
        except OSError as e:
            raise InstallerError(f"{self.name} cannot be run", found=f"{command[0]}: {e.strerror or e}") from e
        if done.returncode != 0:
            words = [line.rstrip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
            said = "\n".join(f"  {line}" for line in words[-_LAST_WORDS:])
            raise InstallerError(f"{self.name} {action} ended with code {done.returncode}; its last words:\n{said}")


def find() -> Installer:
    """The installer that manages this environment: what made it, as far as one can tell, else what is there."""
    from importlib.util import find_spec

    pip = Installer(name="pip", command=(sys.executable, "-m", "pip"))
    has_pip = find_spec("pip") is not None
    if has_pip and not _made_by_uv():
        return pip
    uv = _find_uv()
    if uv is not None:
        return Installer(name="uv", command=(uv, "pip"))
    if has_pip:
        return pip
    raise InstallerError(
        "Nothing can install packages here",
        found=f"neither pip in {sys.prefix} nor uv on PATH",
        remedy=f"{sys.executable} -m ensurepip, or install uv",
    )


def _without_settings() -> dict[str, str]:
    """The environment without indexes, constraints and targets of the user: a verified file goes to one place."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_")) or name in _KEPT}
    return {**kept, "PIP_CONFIG_FILE": os.devnull}


def _made_by_uv() -> bool:
    """Whether uv made this virtual environment: it says so in pyvenv.cfg."""
    try:
        text = (Path(sys.prefix) / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return False
    return any(line.partition("=")[0].strip() == "uv" for line in text.splitlines())


def _find_uv() -> str | None:
    import shutil

    beside = Path(sys.executable).with_name("uv")  # an environment need not be activated
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("uv")


def _refuse_managed_by_others(name: str) -> None:
    """Heed https://packaging.python.org/specifications/externally-managed-environments/."""
    import sysconfig

    marker = Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED"
    override = f"{name.upper()}_BREAK_SYSTEM_PACKAGES"
    if sys.prefix != sys.base_prefix or not marker.is_file() or os.environ.get(override, "0") not in {"", "0", "false"}:
        return
    raise EnvironmentLockedError(
        "This Python is managed by the operating system",
        found=str(marker),
        remedy=f"use a virtual environment: {sys.executable} -m venv .venv",
    )


def _refuse_read_only() -> None:
    import sysconfig

    for folder in dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))):
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as e:  # noqa: PERF203 - two folders
            raise EnvironmentLockedError(
                "Packages cannot be installed here",
                found=f"{folder}: {e.strerror or e}",
                remedy="use a virtual environment of your own",
            ) from e


@contextmanager
def _file(lines: Iterable[str]) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="trtreg-") as folder:
        path = Path(folder) / "requirements.txt"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        yield str(path)
