"""polygraphy: `--plugins` opens the files with ctypes, which registers static libraries and no others.

Seen with polygraphy 0.53.6: class LoadPlugins of its backend "trt". TensorRT-RTX 1.7.1 ends the process at the first
plugin node unless its library name is mended, which `trtreg run` does: there it starts polygraphy for every library.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from trtreg.tools.flags import Flags, Source
from trtreg.tools.library import Style, with_style

if TYPE_CHECKING:
    from trtreg.tools.library import PluginLibrary

__all__ = ["flags"]

_SOURCES = (
    Source(
        title="polygraphy run --help, TensorRT Plugin Loading",
        url="https://github.com/NVIDIA/TensorRT/blob/release/11.1/tools/Polygraphy/polygraphy/tools/args/backend/trt/loader.py",
    ),
    Source(
        title="polygraphy.backend.trt.LoadPlugins",
        url="https://github.com/NVIDIA/TensorRT/blob/release/11.1/tools/Polygraphy/polygraphy/backend/trt/loader.py",
    ),
)


def flags(libraries: tuple[PluginLibrary, ...], flavour: str) -> Flags:
    """`trtreg run` for what `--plugins` would not register."""
    static = with_style(libraries, Style.STATIC) if flavour != "rtx" else ()
    registered = tuple(library for library in libraries if library not in static)
    # `polygraphy SUBCOMMAND`: the option belongs to the subcommand.
    option = ["--plugins", *(str(library.path) for library in static)] if static else []
    run = ["trtreg", "run", *(word for library in registered for word in ("--plugin", library.package)), "--"]
    environment = {"POLYGRAPHY_USE_TENSORRT_RTX": "1"} if flavour == "rtx" else {}
    words = [*(run if registered else []), "polygraphy", "run", "model.onnx", "--trt", *option]
    start = "".join(f"{name}={value} " for name, value in environment.items())
    notes = ["--plugins belongs after the subcommand, and takes all paths at once"] if static else []
    if registered:
        names = ", ".join(library.package for library in registered)
        notes.append(f"trtreg run registers {names}; polygraphy's own --plugins only opens a library")
    return Flags(
        tool="polygraphy",
        libraries=libraries,
        text=(start + shlex.join(words),) if libraries else (),
        arguments=tuple(option),
        environment=environment,
        options={"launcher": shlex.join(run)} if registered else {},
        notes=tuple(notes),
        sources=_SOURCES,
    )
