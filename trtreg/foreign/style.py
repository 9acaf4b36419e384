"""How a library brings its creators into TensorRT's registry, told from the functions that it exports. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trtreg.errors import NotAPluginError

if TYPE_CHECKING:
    from collections.abc import Collection

    from trtreg.manifest import Interface, Registration

__all__ = ["ENTRY_POINTS", "Style", "candidates", "interface_hint"]

ENTRY_POINTS: Final = ("getCreators", "getPluginCreators")
"""What IPluginRegistry::loadLibrary looks for; the second is TensorRT 8's and 9's name."""

# NVIDIA's own initLibNvInferPlugins(logger, namespace) is the model that others follow, as initLibMMCVInferPlugins.
_USUAL: Final = re.compile(r"initLib\w*Plugins?")
_LIKELY: Final = re.compile(r"init\w*Plugins?(_?[vV]\d+)?")

# The names that the compiler gives to the type information of NVIDIA's classes (Itanium C++ ABI, section 2.9.5).
_V2_CREATOR: Final = (b"8nvinfer114IPluginCreatorE", b"8nvinfer15v_1_014IPluginCreatorE")
_V3_CREATOR: Final = b"19IPluginCreatorV3OneE"


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """A way to register; `init` names the function to call where `registration` is "init"."""

    registration: Registration
    init: str | None = None

    def __str__(self) -> str:
        words = {
            "dynamic": "TensorRT asks its getCreators",
            "static": "registers itself when it is opened",
            "init": f"registers in its function {self.init}",
        }
        return words[self.registration]


def candidates(exports: Collection[str], init: str | None = None) -> tuple[Style, ...]:
    """The styles that the exported functions allow, the likeliest first; `init` is the function that the user names.

    Raises NotAPluginError where there is no such function, or where several could be meant.
    """
    if init is not None:
        if init not in exports:
            likely = sorted(name for name in exports if "init" in name.lower() and not name.startswith("_"))
            raise NotAPluginError(
                f"The library exports no function {init}",
                found=", ".join(likely[:5]) or "no function with 'init' in its name",
            )
        return (Style(registration="init", init=init),)
    static = Style(registration="static")
    if any(name in exports for name in ENTRY_POINTS):
        return (Style(registration="dynamic"), static)
    for pattern in (_USUAL, _LIKELY):
        found = sorted(name for name in exports if pattern.fullmatch(name))
        if len(found) > 1:
            raise NotAPluginError(
                "The library exports several functions that may register its creators",
                found=", ".join(found),
                remedy="name the one to call with --init",
            )
        if found:
            return (Style(registration="init", init=found[0]), static)
    return (static,)


def interface_hint(content: bytes) -> Interface | None:
    """The interface of the creators by the type information in the library; None where it was compiled without."""
    if any(name in content for name in _V2_CREATOR):
        return "v2"
    return "v3" if _V3_CREATOR in content else None
