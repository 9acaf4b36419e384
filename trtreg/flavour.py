"""The TensorRT of this process: which flavours are installed, which one is used, its module and its logger."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from trtreg import _metadata_scan
from trtreg.errors import SettingError, TensorRTNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

__all__ = ["SETTING", "Flavour", "InstalledTensorRT", "Message", "capture", "installed", "load", "logger", "select"]

SETTING: Final = "TRTREG_TENSORRT"

_log = logging.getLogger("trtreg.tensorrt")
_lock: Final = RLock()
_loaded: Final[dict[Flavour, ModuleType]] = {}
_loggers: Final[dict[Flavour, Any]] = {}
_captures: Final[list[list[Message]]] = []
_captures_lock: Final = Lock()

# A fork copies locks as they are: one that another thread holds at that moment would stay locked in the child.
for _held in (_captures_lock, _lock):
    os.register_at_fork(before=_held.acquire, after_in_parent=_held.release, after_in_child=_held.release)


class Flavour(Enum):
    """A kind of TensorRT, in the order in which trtreg prefers them."""

    FULL = "full"
    RTX = "rtx"
    LEAN = "lean"

    @property
    def module(self) -> str:
        """The name of the Python module."""
        return "tensorrt" if self is Flavour.FULL else f"tensorrt_{self.value}"

    @property
    def extra(self) -> str:
        """The extra of trtreg that installs it."""
        return "tensorrt" if self is Flavour.FULL else self.value


@dataclass(frozen=True, kw_only=True, slots=True)
class InstalledTensorRT:
    """A TensorRT whose Python module can be found; `distribution` is None where no package metadata tells of it."""

    flavour: Flavour
    version: str
    distribution: str | None


class Message(NamedTuple):
    """What TensorRT said; the severity is TensorRT's own name of it in lower case, as "error"."""

    severity: str
    text: str


def installed() -> tuple[InstalledTensorRT, ...]:
    """The TensorRTs of this environment in the order of preference, found without importing any."""
    found = (_installed(flavour) for flavour in Flavour)
    return tuple(tensorrt for tensorrt in found if tensorrt)


def select() -> InstalledTensorRT:
    """The TensorRT to use: the one that TRTREG_TENSORRT names; else one that is already imported; else the first."""
    candidates = installed()
    wish = os.environ.get(SETTING)
    if wish:
        names = {flavour.value: flavour for flavour in Flavour}
        if wish not in names:
            raise SettingError(
                f"Unknown TensorRT flavour in {SETTING}", found=wish, expected=f"one of {', '.join(names)}"
            )
        for tensorrt in candidates:
            if tensorrt.flavour is names[wish]:
                return tensorrt
        raise TensorRTNotFoundError(
            f"{SETTING}={wish}, but {names[wish].module} is not installed",
            found=_names(candidates),
            remedy=f"pip install 'trtreg[{names[wish].extra}]' or unset {SETTING}",
        )
    if not candidates:
        raise TensorRTNotFoundError(
            "no TensorRT is installed",
            expected=f"one of {', '.join(flavour.module for flavour in Flavour)}",
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


@contextmanager
def capture() -> Iterator[list[Message]]:
    """Collect what TensorRT says through `logger()`, from any thread, for as long as the context is open."""
    messages: list[Message] = []
    with _captures_lock:
        _captures.append(messages)
    try:
        yield messages
    finally:
        with _captures_lock:
            # By identity: two captures may hold equal messages.
            _captures[:] = [other for other in _captures if other is not messages]


def _names(candidates: tuple[InstalledTensorRT, ...]) -> str:
    return ", ".join(f"{tensorrt.flavour.module} {tensorrt.version}" for tensorrt in candidates) or "no TensorRT"


def _installed(flavour: Flavour) -> InstalledTensorRT | None:
    from importlib.util import find_spec

    try:
        spec = find_spec(flavour.module)
    except (ImportError, ValueError):
        return None
    # A folder without a module in it, as an uninstall may leave, has a spec but no origin.
    if spec is None or spec.origin is None:
        return None
    # The first is the usual one; those of a CUDA generation also install by themselves.
    for name in (flavour.module, f"{flavour.module}_cu13", f"{flavour.module}_cu12"):
        if found := _metadata(name):
            return InstalledTensorRT(flavour=flavour, version=found[1], distribution=found[0])
    version = _version_in_source(spec.origin, flavour)
    return InstalledTensorRT(flavour=flavour, version=version, distribution=None) if version else None


def _metadata(distribution: str) -> tuple[str, str] | None:
    try:
        return _metadata_scan.name_and_version(distribution, sys.path)
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
        raise TensorRTNotFoundError(
            f"{tensorrt.flavour.module} {tensorrt.version} is installed but cannot be imported",
            found=str(error),
            remedy=f"pip install --force-reinstall 'trtreg[{tensorrt.flavour.extra}]'",
        ) from error


def _mend(kind: Flavour) -> None:
    if kind is Flavour.RTX:
        from trtreg import _rtx_library_name

        _rtx_library_name.provide()


def _make_logger(module: ModuleType) -> Any:
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
                    messages.append(Message(severity.name.lower(), text))
            _log.log(levels.get(severity, logging.ERROR), "%s", text)

    return Logger()
