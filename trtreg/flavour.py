"""The TensorRT of this process: which flavours are installed, which one is used, its module and its logger."""

from __future__ import annotations

import os
import sys
from _thread import RLock, allocate_lock  # of threading, whose import takes longer

import trtreg
from trtreg import _metadata_scan
from trtreg._dataclass import dataclass

TYPE_CHECKING = False  # `typing` takes longer to import than `trtreg list` may take
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, ClassVar, Final

    from trtreg._metadata_scan import Scan

__all__ = [
    "FLAVOURS",
    "SETTING",
    "Flavour",
    "InstalledTensorRT",
    "Message",
    "capture",
    "installed",
    "load",
    "logger",
    "select",
]

SETTING: Final = "TRTREG_TENSORRT"

_lock: Final = RLock()
_loaded: Final[dict[Flavour, ModuleType]] = {}
_loggers: Final[dict[Flavour, Any]] = {}
_captures: Final[list[list[Message]]] = []
_captures_lock: Final = allocate_lock()

# A fork copies locks as they are: one that another thread holds at that moment would stay locked in the child.
for _held in (_captures_lock, _lock):
    os.register_at_fork(before=_held.acquire, after_in_parent=_held.release, after_in_child=_held.release)


class Flavour:
    """A kind of TensorRT: one of the three of `FLAVOURS`, to be compared with `is`."""

    # No Enum: to import that takes a third of the start of Python, and `trtreg list` may take no more than that again.
    __slots__ = ("value",)

    FULL: ClassVar[Flavour]
    RTX: ClassVar[Flavour]
    LEAN: ClassVar[Flavour]

    def __init__(self, value: str) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Flavour.{self.value.upper()}"

    def __reduce__(self) -> str:
        return repr(self)  # a copy is itself

    @property
    def module(self) -> str:
        """The name of the Python module."""
        return "tensorrt" if self is Flavour.FULL else f"tensorrt_{self.value}"

    @property
    def extra(self) -> str:
        """The extra of trtreg that installs it."""
        return "tensorrt" if self is Flavour.FULL else self.value


Flavour.FULL, Flavour.RTX, Flavour.LEAN = map(Flavour, ("full", "rtx", "lean"))
FLAVOURS: Final = (Flavour.FULL, Flavour.RTX, Flavour.LEAN)
"""In the order in which trtreg prefers them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InstalledTensorRT:
    """A TensorRT whose Python module can be found; `distribution` is None where no package metadata tells of it."""

    flavour: Flavour
    version: str
    distribution: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """What TensorRT said; the severity is TensorRT's own name of it in lower case, as "error"."""

    severity: str
    text: str


def installed(scan: Scan | None = None) -> tuple[InstalledTensorRT, ...]:
    """The TensorRTs of this environment in the order of preference, found without importing any.

    With a scan of `sys.path` its folders are not listed again.
    """
    found = (_installed(flavour, scan) for flavour in FLAVOURS)
    return tuple(tensorrt for tensorrt in found if tensorrt)


def select(scan: Scan | None = None) -> InstalledTensorRT:
    """The TensorRT to use: the one that TRTREG_TENSORRT names; else one that is already imported; else the first."""
    candidates = installed(scan)
    wish = os.environ.get(SETTING)
    if wish:
        names = {flavour.value: flavour for flavour in FLAVOURS}
        if wish not in names:
            raise trtreg.errors.SettingError(
                f"Unknown TensorRT flavour in {SETTING}", found=wish, expected=f"one of {', '.join(names)}"
            )
        for tensorrt in candidates:
            if tensorrt.flavour is names[wish]:
                return tensorrt
        raise trtreg.errors.TensorRTNotFoundError(
            f"{SETTING}={wish}, but {names[wish].module} is not installed",
            found=_names(candidates),
            remedy=f"pip install 'trtreg[{names[wish].extra}]' or unset {SETTING}",
        )
    if not candidates:
        raise trtreg.errors.TensorRTNotFoundError(
            "no TensorRT is installed",
            expected=f"one of {', '.join(flavour.module for flavour in FLAVOURS)}",
            remedy="pip install 'trtreg[rtx]' (builds engines without a GPU), or 'trtreg[tensorrt]'",
        )
    # Plugins go into the registry of one TensorRT: it has to be the one that the program already works with.
    imported = (tensorrt for tensorrt in candidates if tensorrt.flavour.module in sys.modules)
    return next(imported, candidates[0])


def load(tensorrt: InstalledTensorRT | None = None) -> ModuleType:
    """Import TensorRT (default: the selected one) and mend what is known to be broken in it. Idempotent."""
    chosen = tensorrt or select()
    if chosen.flavour not in _loaded:
        # Before our lock is taken: autoload comes back here while its thread holds Python's lock of this import.
        module = _import(chosen)
        with _lock:
            if chosen.flavour not in _loaded:
                _mend(chosen.flavour)
                _loaded[chosen.flavour] = module
    return _loaded[chosen.flavour]


def logger(tensorrt: InstalledTensorRT | None = None) -> Any:
    """The logger to give to TensorRT, which keeps it: it forwards to the Python logger "trtreg.tensorrt"."""
    chosen = tensorrt or select()
    module = load(chosen)
    with _lock:
        if chosen.flavour not in _loggers:
            _loggers[chosen.flavour] = _make_logger(module)
        return _loggers[chosen.flavour]


class capture:  # noqa: N801 - what it is called for is the context
    """Collect what TensorRT says through `logger()`, from any thread, for as long as the context is open."""

    def __init__(self) -> None:
        self._messages: list[Message] = []

    def __enter__(self) -> list[Message]:
        with _captures_lock:
            _captures.append(self._messages)
        return self._messages

    def __exit__(self, *_: object) -> None:
        with _captures_lock:
            # By identity: two captures may hold equal messages.
            _captures[:] = [other for other in _captures if other is not self._messages]


def _names(candidates: tuple[InstalledTensorRT, ...]) -> str:
    return ", ".join(f"{tensorrt.flavour.module} {tensorrt.version}" for tensorrt in candidates) or "no TensorRT"


def _installed(flavour: Flavour, scan: Scan | None) -> InstalledTensorRT | None:
    origin = _origin(flavour.module)
    if origin is None:
        return None
    # The first is the usual one; those of a CUDA generation also install by themselves.
    for name in (flavour.module, f"{flavour.module}_cu13", f"{flavour.module}_cu12"):
        if found := _metadata(name, scan):
            return InstalledTensorRT(flavour=flavour, version=found[1], distribution=found[0])
    version = _version_in_source(origin, flavour)
    return InstalledTensorRT(flavour=flavour, version=version, distribution=None) if version else None


def _origin(module: str) -> str | None:
    """Where a module would be imported from, as importlib.util finds it, whose import takes longer than all of this."""
    if module in sys.modules:
        spec = getattr(sys.modules[module], "__spec__", None)
    else:
        try:
            specs = (finder.find_spec(module, None) for finder in sys.meta_path if hasattr(finder, "find_spec"))
            spec = next((found for found in specs if found), None)
        except (ImportError, ValueError):
            return None
    # A folder without a module in it, as an uninstall may leave, has a spec but no origin.
    return spec.origin if spec else None


def _metadata(distribution: str, scan: Scan | None) -> tuple[str, str] | None:
    try:
        return _metadata_scan.name_and_version(distribution, sys.path, scan)
    except _metadata_scan.UnusualError:
        from importlib.metadata import PackageNotFoundError, metadata

        try:
            found = metadata(distribution)
        except PackageNotFoundError:
            return None
        return found["Name"], found["Version"]


def _version_in_source(origin: str, flavour: Flavour) -> str | None:
    """The version of a TensorRT that was unpacked and not installed, as its module states it."""
    import re
    from pathlib import Path

    for file in (Path(origin), Path(origin).parent.parent / f"{flavour.module}_bindings" / "__init__.py"):
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if stated := re.search(r"^__version__ = [\"']([^\"']+)[\"']", text, re.MULTILINE):
            return stated[1]
    return None


def _import(tensorrt: InstalledTensorRT) -> ModuleType:
    from importlib import import_module

    try:
        return import_module(tensorrt.flavour.module)
    except (ImportError, OSError) as error:
        raise trtreg.errors.TensorRTNotFoundError(
            f"{tensorrt.flavour.module} {tensorrt.version} is installed but cannot be imported",
            found=str(error),
            remedy=f"pip install --force-reinstall 'trtreg[{tensorrt.flavour.extra}]'",
        ) from error


def _mend(kind: Flavour) -> None:
    if kind is Flavour.RTX:
        from trtreg import _rtx_library_name

        _rtx_library_name.provide()


def _make_logger(module: ModuleType) -> Any:
    import logging

    forward = logging.getLogger("trtreg.tensorrt").log
    severities = module.ILogger.Severity
    levels = {
        severities.INTERNAL_ERROR: logging.CRITICAL,
        severities.ERROR: logging.ERROR,
        severities.WARNING: logging.WARNING,
        severities.INFO: logging.INFO,
        severities.VERBOSE: logging.DEBUG,
    }

    class Logger(module.ILogger):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            # Not super(): pybind11 wants its own constructor called by name.
            module.ILogger.__init__(self)

        def log(self, severity: Any, text: str) -> None:
            """Forward one message; TensorRT calls this from its own threads too."""
            with _captures_lock:
                for messages in _captures:
                    messages.append(Message(severity=severity.name.lower(), text=text))
            forward(levels.get(severity, logging.ERROR), "%s", text)

    return Logger()
