"""The compilers: which nvcc and which host C++ compiler a build uses, and what they are."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trtreg.errors import HostCompilerNotFoundError, NvccNotFoundError, UnknownArchError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trtreg.sdk.arch import Targets

__all__ = [
    "NVCC_REQUIREMENTS",
    "HostCompiler",
    "Nvcc",
    "Toolchain",
    "find",
    "find_host_compiler",
    "find_nvcc",
    "missing_requirements",
]

# PTX of a newer 13.x cannot be compiled by a driver of an older 13.x, so the oldest serves the most machines.
NVCC_REQUIREMENTS = tuple(
    f"nvidia-{name}==13.0.*" for name in ("cuda-nvcc", "cuda-crt", "cuda-cccl", "cuda-runtime", "nvvm")
)


@dataclass(frozen=True, kw_only=True, slots=True)
class HostCompiler:
    """The C++ compiler for host code; `version` is its own one-line account of itself."""

    path: Path
    version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Nvcc:
    """A CUDA compiler that has all that a plugin needs: headers and the static runtime."""

    path: Path
    origin: str
    version: str  # "13.0.88"
    include_dirs: tuple[Path, ...]
    cudart: Path

    def check(self, targets: Targets) -> None:
        """Raise UnknownArchError if this nvcc cannot compile for one of the targets."""
        for listing, archs, prefix in (("gpu-code", targets.sms, "sm_"), ("gpu-arch", targets.ptx, "compute_")):
            known = set(re.findall(rf"{prefix}(\d+)", _output([self.path, f"--list-{listing}"])))
            # The list leaves out the variants: sm_90a goes wherever sm_90 does.
            unknown = [arch for arch in archs if str(arch.number) not in known]
            if unknown:
                raise UnknownArchError(
                    f"nvcc {self.version} ({self.path}) does not know every GPU architecture that was asked for",
                    found=", ".join(f"{prefix}{arch.plain}" for arch in unknown),
                    expected=", ".join(f"{prefix}{number}" for number in sorted(known, key=int)),
                    remedy="set TRTREG_CUDA_ARCHS (or archs in [tool.trtreg]) to architectures that it knows, or use "
                    "another CUDA: with CUDA_HOME unset and no nvcc on PATH, the build takes nvcc 13.0 from PyPI",
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class Toolchain:
    """The two compilers of one build."""

    nvcc: Nvcc
    cxx: HostCompiler


def find(environ: Mapping[str, str] = os.environ) -> Toolchain:
    """Find both compilers; raise HostCompilerNotFoundError or NvccNotFoundError."""
    cxx = find_host_compiler(environ)
    return Toolchain(nvcc=find_nvcc(cxx, environ), cxx=cxx)


def find_host_compiler(environ: Mapping[str, str] = os.environ) -> HostCompiler:
    """Find the compiler that CXX names, or g++ on PATH."""
    name = environ.get("CXX") or "g++"
    found = shutil.which(name, path=environ.get("PATH"))
    if found is None:
        raise HostCompilerNotFoundError(
            "there is no host C++ compiler",
            found=f"no {name!r}" + (" (from CXX)" if environ.get("CXX") else "") + " on PATH",
            expected="g++",
            remedy="install it (Debian, Ubuntu: apt install g++; Fedora, RHEL: dnf install gcc-c++)",
        )
    path = Path(found)
    try:
        version = _output([path, "--version"]).partition("\n")[0] + " " + _output([path, "-dumpmachine"]).strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise HostCompilerNotFoundError("the host C++ compiler does not run", found=f"{path}: {error}") from None
    return HostCompiler(path=path, version=version)


def find_nvcc(cxx: HostCompiler, environ: Mapping[str, str] = os.environ) -> Nvcc:
    """Find nvcc in CUDA_HOME, on PATH or among the installed wheels.

    Raises:
        NvccNotFoundError: CUDA_HOME is set and holds none, or no place has one; the message says why for each.
    """
    found = _search(cxx, environ)
    if isinstance(found, Nvcc):
        return found
    raise NvccNotFoundError(
        "there is no CUDA compiler",
        found="; ".join(found),
        expected="nvcc",
        remedy="set CUDA_HOME, put nvcc on PATH, build with build isolation (which gets nvcc from PyPI), or run: "
        f"pip install {' '.join(repr(requirement) for requirement in NVCC_REQUIREMENTS)}",
    )


def missing_requirements(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Give the packages that a build needs: nvcc's, if neither the machine nor the environment has a usable one.

    Raises:
        HostCompilerNotFoundError: no package could help.
        NvccNotFoundError: CUDA_HOME is set and holds no nvcc.
    """
    found = _search(find_host_compiler(environ), environ)
    return () if isinstance(found, Nvcc) else NVCC_REQUIREMENTS


def _search(cxx: HostCompiler, environ: Mapping[str, str]) -> Nvcc | list[str]:
    """Find nvcc, or say for each place why it gives none."""
    home = environ.get("CUDA_HOME")
    if home:
        try:
            return _examine(Path(home) / "bin" / "nvcc", "CUDA_HOME", cxx)
        except _UnusableError as error:
            raise NvccNotFoundError(
                "CUDA_HOME does not hold a usable CUDA toolkit",
                found=f"CUDA_HOME={home}: {error}",
                expected="bin/nvcc with its headers and libcudart_static.a",
                remedy="correct CUDA_HOME or unset it",
            ) from None
    reasons = ["CUDA_HOME: not set"]
    on_path = shutil.which("nvcc", path=environ.get("PATH"))
    for origin, path in (("PATH", Path(on_path) if on_path else None), ("PyPI", _wheel_nvcc())):
        try:
            if path is not None:
                return _examine(path, origin, cxx)
            reasons.append(f"{origin}: no nvcc")
        except _UnusableError as error:  # noqa: PERF203 - two turns
            reasons.append(f"{origin}: {error}")
    return reasons


def _wheel_nvcc() -> Path | None:
    """Locate nvcc of the wheel nvidia-cuda-nvcc, wherever its version puts it."""
    try:
        files = importlib.metadata.files("nvidia-cuda-nvcc") or ()
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in files if file.parts[-2:] == ("bin", "nvcc")), None)


class _UnusableError(Exception):
    """Why an nvcc is of no use."""


def _examine(path: Path, origin: str, cxx: HostCompiler) -> Nvcc:
    """Ask an nvcc what it is and where its parts are; raise _UnusableError if it is of no use."""
    if not path.is_file():
        raise _UnusableError(f"{path} does not exist")
    if not os.access(path, os.X_OK):
        raise _UnusableError(f"{path} is not executable")
    try:
        version = re.search(r"release [\d.]+, V([\d.]+)", _output([path, "--version"]))
        # nvcc on PATH may be a wrapper or a link, so where its parts are is its own to say.
        plan = _output([path, "--dryrun", "-ccbin", cxx.path, "-c", "-x", "cu", os.devnull, "-o", os.devnull])
    except (OSError, subprocess.CalledProcessError) as error:
        words = (getattr(error, "output", None) or str(error)).strip()
        raise _UnusableError(f"{path} does not run: {words}") from None
    settings = dict(re.findall(r"^#\$ (TOP|INCLUDES|SYSTEM_INCLUDES|LIBRARIES)=(.*)$", plan, re.MULTILINE))
    if version is None or "TOP" not in settings:
        raise _UnusableError(f"{path} does not answer as nvcc does")
    top = Path(settings["TOP"])
    includes = [
        Path(os.path.normpath(word.removeprefix("-I")))
        for word in shlex.split(settings.get("INCLUDES", "") + " " + settings.get("SYSTEM_INCLUDES", ""))
        if word != "-isystem"
    ]
    if not any((folder / "cuda_runtime.h").is_file() for folder in includes):
        raise _UnusableError(f"{path} comes without the CUDA headers (cuda_runtime.h)")
    if not any((folder / "crt" / "host_config.h").is_file() for folder in includes):
        raise _UnusableError(f"{path} comes without the compiler's own headers (crt/host_config.h)")
    if shutil.which("cicc", path=top / "nvvm" / "bin") is None:
        raise _UnusableError(f"{path} comes without cicc (nvvm/bin/cicc)")
    library_dirs = [Path(word.removeprefix("-L")) for word in shlex.split(settings.get("LIBRARIES", ""))]
    cudart = _static_cudart([*library_dirs, top / "lib64", top / "lib"], cxx)
    if cudart is None:
        raise _UnusableError(f"{path} comes without libcudart_static.a")
    return Nvcc(path=path, origin=origin, version=version[1], include_dirs=tuple(includes), cudart=cudart)


def _static_cudart(folders: list[Path], cxx: HostCompiler) -> Path | None:
    name = "libcudart_static.a"
    # A distribution's CUDA puts it among the system's libraries, which the host compiler knows.
    system = Path(_output([cxx.path, f"-print-file-name={name}"]).strip())
    candidates = [*(folder / name for folder in folders), system]
    return next((Path(os.path.normpath(path)) for path in candidates if path.is_absolute() and path.is_file()), None)


def _output(command: list[str | Path]) -> str:
    # The C locale keeps the words that are looked for in English.
    environ = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(  # noqa: S603 - a list of arguments, no shell
        command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environ
    ).stdout
