"""A C++ logger for functions of libraries, which forwards to trtreg's logger of the TensorRT.

The logger of TensorRT's Python module is a C++ object too, but where it begins as nvinfer1::ILogger differs: behind
another base in TensorRT-RTX 1.7's. So this is one of our own, laid out as the Itanium C++ ABI has it: a pointer to a
table of log(severity, text) and two destructors.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Final

from trtreg import flavour

if TYPE_CHECKING:
    from trtreg.flavour import Flavour, InstalledTensorRT

__all__ = ["pointer"]

_Log: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p)
_Destroy: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Table(ctypes.Structure):
    _fields_ = (
        ("offset_to_top", ctypes.c_ssize_t),
        ("type_information", ctypes.c_void_p),
        ("log", _Log),
        ("destroy", _Destroy),
        ("destroy_and_free", _Destroy),
    )


class _Logger(ctypes.Structure):
    _fields_ = (("table", ctypes.c_void_p),)


# A library keeps its pointer for as long as it likes.
_loggers: Final[dict[Flavour, tuple[_Logger, _Table]]] = {}


def pointer(tensorrt: InstalledTensorRT) -> int:
    """The address of an nvinfer1::ILogger that lives as long as the process."""
    if tensorrt.flavour not in _loggers:
        _loggers[tensorrt.flavour] = _make(flavour.logger(tensorrt), flavour.load(tensorrt))
    return ctypes.addressof(_loggers[tensorrt.flavour][0])


def _make(forward: Any, module: Any) -> tuple[_Logger, _Table]:
    severities = {int(severity): severity for severity in module.ILogger.Severity.__members__.values()}

    def log(_self: int | None, severity: int, text: bytes | None) -> None:
        known = severities.get(severity, module.ILogger.Severity.ERROR)
        forward.log(known, (text or b"").decode("utf-8", "replace"))

    def destroy(_self: int | None) -> None:
        """Nothing: it is not the library's."""

    table = _Table(0, None, _Log(log), _Destroy(destroy), _Destroy(destroy))
    return _Logger(ctypes.addressof(table) + _Table.log.offset), table
