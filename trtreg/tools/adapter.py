"""A library that registers others when it is opened, for tools that can do no more than open one.

It is compiled here, from `native/adapter.cpp`, with the paths of the libraries in it: it has to be made anew when they
move. Seen to register in TensorRT-lean 10.16.1 and 11.4.0 and in TensorRT-RTX 1.7.1.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from trtreg import __version__, output
from trtreg.errors import CompileError
from trtreg.tools.library import PluginLibrary, Style, with_style

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

__all__ = ["write"]

_SOURCE = Path(__file__).parent / "native" / "adapter.cpp"


def write(libraries: Sequence[PluginLibrary], path: str | os.PathLike[str]) -> tuple[PluginLibrary, ...]:
    """Write an adapter for all but Style.INIT to `path`, and give it in their place, and the others as they were.

    Nothing is written where there is none. Raises HostCompilerNotFoundError, CompileError or OutputError.
    """
    from trtreg.sdk import toolchain

    dynamic, static = with_style(libraries, Style.DYNAMIC), with_style(libraries, Style.STATIC)
    others = with_style(libraries, Style.INIT)
    if not dynamic and not static:
        return others
    output.check_writable(path)
    compiler = toolchain.find_host_compiler()
    with TemporaryDirectory(prefix="trtreg-adapter-") as folder:
        made = Path(folder, "adapter.so")
        paths = Path(folder, "paths.h")
        paths.write_text(f"#define DYNAMIC {_list(dynamic)}\n#define STATIC {_list(static)}\n", encoding="ascii")
        command = [
            *(str(compiler.path), "-std=c++17", "-O2", "-shared", "-fPIC", "-fvisibility=hidden"),
            *("-include", str(paths), str(_SOURCE), "-static-libstdc++", "-static-libgcc", "-ldl", "-o", str(made)),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell
        if done.returncode != 0:
            raise CompileError(f"{compiler.path} could not compile the adapter", found=done.stderr.strip()[-2000:])
        output.write(path, made.read_bytes())
    adapter = PluginLibrary(
        package="the adapter",
        version=__version__,
        path=Path(path).absolute(),
        style=Style.STATIC,
        preloadable=False,
    )
    return (adapter, *others)


def _list(libraries: Iterable[PluginLibrary]) -> str:
    return "".join(f"{_literal(str(library.path))}, " for library in libraries)


def _literal(text: str) -> str:
    """Write a C string: every byte but a letter or a digit in octal, so that none has a meaning."""
    encoded = text.encode("utf-8", "surrogateescape")
    return '"' + "".join(chr(b) if chr(b).isalnum() and b < 128 else f"\\{b:03o}" for b in encoded) + '"'  # noqa: PLR2004
