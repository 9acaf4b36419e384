"""The plugins' faces under the sanitizers: building the fuzzer for a package, and running it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtreg.sdk import cache, project, toolchain
from trtreg.sdk.compile import INCLUDE_DIR
from trtreg.testing import host

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NATIVE", "PACKAGES", "ROOT", "Outcome", "build_driver", "build_libfuzzer", "host_library", "run_driver"]

ROOT = Path(__file__).resolve().parents[2]
NATIVE = Path(__file__).parent / "native"
PACKAGES = {path.parent.name: path.parent for path in sorted((ROOT / "plugin-packages").glob("*/native"))}

SANITIZERS = {
    # Fibers leave their stacks unseen by what looks for leaks; what is allocated by a plugin is freed or kept by it.
    "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=2048",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}
_FLAGS = (
    *("-std=c++17", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    *("-Wall", "-Wextra", "-Werror"),
)
_UNUSED = 86400.0  # seconds
_SOURCES = ("plugin_face.cpp", "driver.cpp")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run did, or what the sanitizers said at its end."""

    counts: dict[str, Any] | None
    words: str


def _includes(tools: toolchain.Toolchain) -> list[str]:
    return [f"-I{INCLUDE_DIR}", *(word for path in tools.nvcc.include_dirs for word in ("-isystem", str(path)))]


def build_driver(folder: Path) -> Path:
    """Compile the fuzzer with g++: it opens the library that it is to ask. What was compiled is kept in `folder`."""
    tools = toolchain.find()
    sources = [NATIVE / name for name in _SOURCES]
    headers = [NATIVE / "plugin_face.h", *sorted((INCLUDE_DIR / "trtreg").iterdir())]
    key = cache.key([tools.cxx.version, _FLAGS], [(path.name, cache.digest(path)) for path in (*sources, *headers)])
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / f"driver-{key}"
    with cache.locked(folder):
        if not program.exists():
            for old in folder.glob("driver-*"):
                if time.time() - old.stat().st_mtime > _UNUSED:  # another process may be about to run it
                    old.unlink()
            made = program.with_name("new")
            _run([str(tools.cxx.path), *_FLAGS, *_includes(tools), *map(str, sources), "-ldl", "-o", str(made)])
            made.rename(program)
    return program


def host_library(package: Path) -> Path:
    """The package's library, compiled for the CPU with the sanitizers: the one that its own tests use."""
    return host._build(project.read(package))[1]


def build_libfuzzer(package: Path, program: Path, compiler: str) -> None:
    """Compile package, host and fuzzer into one program with clang: coverage leads libFuzzer through all of it."""
    tools = toolchain.find()
    plugin = project.read(package)
    sources = [host.NATIVE_DIR / "on_host.cpp", *(plugin.root / path for path in plugin.sources), NATIVE / _SOURCES[0]]
    # Kernels' fibers change stacks under the sanitizer's feet: no stack of theirs outlives a call.
    flags = [*_FLAGS[:3], "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all", "-DTRTREG_FUZZ_LINKED"]
    flags += ["-Wno-unknown-pragmas", "-fsanitize-address-use-after-return=never", *plugin.cxx_flags]
    includes = [*_includes(tools), *(f"-I{plugin.root / path}" for path in plugin.include_dirs), f"-I{host.NATIVE_DIR}"]
    words = ["-include", str(host.NATIVE_DIR / "on_host.h"), "-x", "c++", *map(str, sources), "-x", "none"]
    _run([compiler, *flags, *includes, *words, "-rdynamic", "-ldl", "-o", str(program)])


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(
        command, text=True, errors="replace", check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}\n{done.stdout[-8000:]}")


def run_driver(program: Path, library: Path, last: Path, *arguments: object, timeout: float = 300) -> Outcome:
    """Run the fuzzer on a library; `last` gets the input that it was at when it ended."""
    done = subprocess.run(
        [program, *map(str, arguments)],
        env={**os.environ, **SANITIZERS, "TRTREG_FUZZ_LIBRARY": str(library), "TRTREG_FUZZ_LAST": str(last)},
        text=True,
        errors="replace",
        check=False,
        capture_output=True,
        timeout=timeout,
    )
    if done.returncode:
        return Outcome(counts=None, words=f"exit code {done.returncode}\n{done.stderr}")
    return Outcome(counts=json.loads(done.stdout) if done.stdout.strip() else {}, words=done.stderr)
