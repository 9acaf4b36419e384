"""ONNX Runtime: the TensorRT execution providers open the libraries of an option, and call nothing in them.

Seen in CreateTensorRTCustomOpDomainList of both providers: LoadDynamicLibrary for each path between semicolons; then
each creator of the registry becomes an op of the domain "trt.plugins".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtreg.tools.flags import Flags, Source, joined, unloadable
from trtreg.tools.library import Style, with_style

if TYPE_CHECKING:
    from trtreg.tools.library import PluginLibrary

__all__ = ["flags"]

_CODE = "https://github.com/microsoft/onnxruntime/blob/main/onnxruntime/"
_PROVIDERS = {
    "full": ("TensorrtExecutionProvider", "trt_extra_plugin_lib_paths"),
    "rtx": ("NvTensorRTRTXExecutionProvider", "nv_extra_plugin_lib_paths"),
}
_SOURCES = {
    "full": (
        Source(
            title="TensorRT execution provider",
            url="https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html",
        ),
        Source(
            title="how it opens plugins",
            url=f"{_CODE}core/providers/tensorrt/tensorrt_execution_provider_custom_ops.cc",
        ),
    ),
    "rtx": (
        Source(
            title="TensorRT-RTX execution provider, names of its options",
            url="https://github.com/microsoft/onnxruntime/blob/main/include/onnxruntime/core/providers/"
            "nv_tensorrt_rtx/nv_provider_options.h",
        ),
        Source(
            title="how it opens plugins",
            url=f"{_CODE}core/providers/nv_tensorrt_rtx/nv_execution_provider_custom_ops.cc",
        ),
    ),
}
_NOTES = (
    "the model's nodes must be of the domain 'trt.plugins'; only the first session of a process reads the option",
    "the providers list creators with getPluginCreatorList, which has V2 ones only; see whether yours still does",
)


def flags(libraries: tuple[PluginLibrary, ...], flavour: str) -> Flags:
    """The provider's option as a Python literal; there is no provider for TensorRT-lean, which gets that for full."""
    known = "rtx" if flavour == "rtx" else "full"
    provider, option = _PROVIDERS[known]
    static = with_style(libraries, Style.STATIC)
    value = joined(static, ";", forbidden=";", where=option)
    return Flags(
        tool="onnxruntime",
        libraries=libraries,
        text=(f"providers = [({provider!r}, {{{option!r}: {value!r}}})]",) if static else (),
        options={"provider": provider, option: value} if static else {},
        unloadable=unloadable(
            with_style(libraries, Style.DYNAMIC, Style.INIT),
            "ONNX Runtime only opens the library",
            "use --adapter, which writes a library that registers it; or call trtreg.load_tensorrt_plugin() before the "
            "session is made, in a process whose TensorRT is the one that the provider uses",
        ),
        notes=_NOTES if libraries else (),
        sources=_SOURCES[known],
    )
