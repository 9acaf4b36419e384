"""trtexec of TensorRT 10 and 11: `--dynamicPlugins` goes through the registry, `--staticPlugins` opens the file."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from trtreg.tools.flags import Flags, Source, unloadable
from trtreg.tools.library import Style, with_style

if TYPE_CHECKING:
    from trtreg.tools.library import PluginLibrary

__all__ = ["flags"]

_SOURCES = (
    Source(
        title="trtexec, plugin options",
        url="https://github.com/NVIDIA/TensorRT/blob/release/11.1/samples/trtexec/README.md",
    ),
    Source(
        title="trtexec --help, System Options",
        url="https://github.com/NVIDIA/TensorRT/blob/release/11.1/samples/common/sampleOptions.cpp",
    ),
)


def flags(libraries: tuple[PluginLibrary, ...], flavour: str) -> Flags:
    """One option for each library, as each may be given several times."""
    del flavour
    dynamic, static = with_style(libraries, Style.DYNAMIC), with_style(libraries, Style.STATIC)
    arguments = (
        *(f"--dynamicPlugins={library.path}" for library in dynamic),
        *(f"--staticPlugins={library.path}" for library in static),
    )
    embedding = " ".join(shlex.quote(f"--setPluginsToSerialize={library.path}") for library in dynamic)
    return Flags(
        tool="trtexec",
        libraries=libraries,
        text=(shlex.join(["trtexec", *arguments]),) if arguments else (),
        arguments=arguments,
        unloadable=unloadable(
            with_style(libraries, Style.INIT),
            "trtexec calls no function of a library",
            "build and run the engine with trtreg, or preload a library of yours that calls it",
        ),
        notes=(f"to put the libraries into the engine, add --versionCompatible {embedding}",) if embedding else (),
        sources=_SOURCES,
    )
