"""What other tools must be told so that they load plugin libraries: exact text for each tool, in its own quoting.

Each module that bears a tool's name is a pure function from libraries to `Flags`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from trtreg.tools.flags import Flags, Source
from trtreg.tools.library import PluginLibrary, Style

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["TOOLS", "Flags", "PluginLibrary", "Source", "Style", "flags_for"]

TOOLS: Final = ("trtexec", "polygraphy", "triton", "onnxruntime", "deepstream", "cmake")


def flags_for(tool: str, libraries: Sequence[PluginLibrary], *, flavour: str = "full") -> Flags:
    """What `tool`, one of TOOLS, needs to load the libraries; `flavour` is the TensorRT that it works with.

    Raises ToolFlagsError where the tool's own syntax cannot hold a path. What it cannot load at all is in
    `Flags.unloadable`, with another way.
    """
    flags: Flags = import_module(f"{__name__}.{tool}").flags(tuple(libraries), flavour)
    return flags
