"""trtreg: the package manager for TensorRT plugins.

The names here are imported when they are first used: `import trtreg` imports no TensorRT, ONNX, NumPy or PyTorch.
"""

TYPE_CHECKING = False  # `typing` takes longer to import than all the rest
if TYPE_CHECKING:
    from typing import Any

    from trtreg import errors as errors
    from trtreg.convert import onnx2trt
    from trtreg.discovery import InstalledPlugin, discover
    from trtreg.engine import Engine, save_trt_engine
    from trtreg.errors import TrtregError
    from trtreg.progress import ProgressEvent
    from trtreg.runtime import is_tensorrt_plugin_loaded, load_tensorrt_plugin, load_trt_engine
    from trtreg.scan import ScanReport
    from trtreg.torch_runtime import TRTWrapper

__all__ = [
    "Engine",
    "InstalledPlugin",
    "ProgressEvent",
    "ScanReport",
    "TRTWrapper",
    "TrtregError",
    "__version__",
    "discover",
    "is_tensorrt_plugin_loaded",
    "load_tensorrt_plugin",
    "load_trt_engine",
    "onnx2trt",
    "save_trt_engine",
]

__version__ = "0.1.0"

# No name here is also a module's: importing that module would put it in the name's place.
_MODULES = {
    "Engine": "engine",
    "InstalledPlugin": "discovery",
    "ProgressEvent": "progress",
    "ScanReport": "scan",
    "TRTWrapper": "torch_runtime",
    "TrtregError": "errors",
    "discover": "discovery",
    "is_tensorrt_plugin_loaded": "runtime",
    "load_tensorrt_plugin": "runtime",
    "load_trt_engine": "runtime",
    "onnx2trt": "convert",
    "save_trt_engine": "engine",
}


def __getattr__(name: str) -> "Any":
    # A module: those that `trtreg list` imports reach it by this, as most runs of that meet no error.
    if name == "errors":
        import trtreg.errors

        return trtreg.errors
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
