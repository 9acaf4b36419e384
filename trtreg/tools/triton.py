"""Triton: the TensorRT backend opens the libraries of its setting `plugins`, and calls nothing in them.

Seen in TRITONBACKEND_Initialize of the backend's main branch: OpenLibraryHandle for each path between semicolons.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from trtreg.tools.flags import Flags, Source, joined, preload, unloadable
from trtreg.tools.library import Style, with_style

if TYPE_CHECKING:
    from trtreg.tools.library import PluginLibrary

__all__ = ["flags"]

_SOURCES = (
    Source(
        title="TensorRT backend, command-line options",
        url="https://github.com/triton-inference-server/tensorrt_backend/blob/main/README.md#command-line-options",
    ),
    Source(
        title="TensorRT backend, how it opens plugins",
        url="https://github.com/triton-inference-server/tensorrt_backend/blob/main/src/tensorrt.cc",
    ),
    Source(
        title="Triton, custom operations",
        url="https://github.com/triton-inference-server/server/blob/main/docs/user_guide/custom_operations.md",
    ),
)


def flags(libraries: tuple[PluginLibrary, ...], flavour: str) -> Flags:
    """One `--backend-config` for all static libraries."""
    del flavour
    static = with_style(libraries, Style.STATIC)
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    text: tuple[str, ...] = ()
    if static:
        value = joined(static, ";", forbidden=";", where="--backend-config=tensorrt,plugins")
        arguments = (f"--backend-config=tensorrt,plugins={value}",)
        if all(library.preloadable for library in static):
            environment = {"LD_PRELOAD": preload(static)}
        text = (shlex.join(["tritonserver", "--model-repository=models", *arguments]),)
    return Flags(
        tool="triton",
        libraries=libraries,
        text=text,
        arguments=arguments,
        environment={},
        options=environment,
        unloadable=unloadable(
            with_style(libraries, Style.DYNAMIC, Style.INIT),
            "Triton only opens the library",
            "use --adapter, which writes a library that registers it; or build the engine with the library in it "
            "(trtexec --versionCompatible --dynamicPlugins=LIBRARY --setPluginsToSerialize=LIBRARY), and start "
            "tritonserver with --backend-config=tensorrt,version-compatible=true, which lets engines bring code",
        ),
        notes=("for an older Triton: LD_PRELOAD=" + shlex.quote(environment["LD_PRELOAD"]) + " tritonserver ...",)
        if environment
        else (),
        sources=_SOURCES,
    )
