"""DeepStream: nvinfer opens one library, that of `custom-lib-path`; more of them have to be preloaded."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from trtreg.tools.flags import Flags, Source, preload, unloadable
from trtreg.tools.library import Style, with_style

if TYPE_CHECKING:
    from trtreg.tools.library import PluginLibrary

__all__ = ["flags"]

_SOURCES = (
    Source(
        title="DeepStream, using a custom model: IPlugin implementation",
        url="https://docs.nvidia.com/metropolis/deepstream/dev-guide/text/DS_using_custom_model.html",
    ),
    Source(
        title="DeepStream, IPlugin interface: the library is opened with dlopen()",
        url="https://docs.nvidia.com/metropolis/deepstream/5.0DP/dev-guide/DeepStream%20Plugins%20Development%20Guide/deepstream_plugin_iplugin.html",
    ),
)


def flags(libraries: tuple[PluginLibrary, ...], flavour: str) -> Flags:
    """The key for one library; LD_PRELOAD for several, or where the key has the model's own parser."""
    del flavour
    static = with_style(libraries, Style.STATIC)
    environment: dict[str, str] = {}
    options: dict[str, str] = {}
    text: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    if len(static) == 1:
        options = {"custom-lib-path": str(static[0].path)}
        text = ("[property]", f"custom-lib-path={_escaped(str(static[0].path))}")
        instead = "use LD_PRELOAD instead" if static[0].preloadable else "link that library with this one"
        notes = (f"where custom-lib-path holds the model's own parser already, {instead}",)
    elif static:
        environment = {"LD_PRELOAD": preload(static)}
        text = (f"LD_PRELOAD={shlex.quote(environment['LD_PRELOAD'])} deepstream-app -c config.txt",)
        notes = ("custom-lib-path takes one library",)
    return Flags(
        tool="deepstream",
        libraries=libraries,
        text=text,
        environment=environment,
        options=options,
        unloadable=unloadable(
            with_style(libraries, Style.DYNAMIC, Style.INIT),
            "DeepStream only opens the library",
            "use --adapter, which writes a library that registers it",
        ),
        notes=notes,
        sources=_SOURCES,
    )


def _escaped(value: str) -> str:
    r"""Escape as GKeyFile wants it: https://docs.gtk.org/glib/struct.KeyFile.html. A leading space would be lost."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
