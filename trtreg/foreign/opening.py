"""Opening a library that registers its creators itself, so that it finds the registry of the TensorRT that is meant.

Such a library calls `getPluginRegistry` and most often names no library that has it. Python loads TensorRT with local
symbols, so a plain dlopen fails, or ends the process at the first call where symbols are bound late. To make TensorRT's
symbols global helps, but for good, for the whole process, and for one TensorRT only.

So the library is opened as a dependency of an empty one, made in memory, that depends on the resident TensorRT first:
the dynamic linker looks up symbols among all dependencies of what is opened (dlopen(3), RTLD_LOCAL). Nothing becomes
global, and each TensorRT of a process gets its own plugins.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtreg import _elf, _library_file, flavour
from trtreg.errors import NotAPluginError
from trtreg.foreign import linkage, native_logger

if TYPE_CHECKING:
    from trtreg.flavour import InstalledTensorRT

__all__ = ["open_library"]


def open_library(library: Path, tensorrt: InstalledTensorRT, init: str | None = None) -> ctypes.CDLL:
    """Open the library, all symbols bound, and call `init(logger, "")` if it is named; gives a handle to the library.

    Raises LoadError with the dynamic linker's words, MissingDependencyError, or NotAPluginError where there is no
    function `init`. What the function answers counts for nothing: the creators do, and the caller looks at them.
    """
    from trtreg import _rtx_library_name

    flavour.load(tensorrt)
    needed = [str(path) for path in (_resident(tensorrt), *_siblings(library), library) if path is not None]
    try:
        name = f"libtrtreg-{library.stem}-{os.urandom(4).hex()}.so"
        _rtx_library_name.open_image(_rtx_library_name.alias_library(name, needed, os.uname().machine))
        # Only a handle: it is open already.
        handle = ctypes.CDLL(str(library), mode=os.RTLD_NOW | os.RTLD_LOCAL)
    except OSError as error:
        raise _library_file.explain_refusal(library, (), owner=library.name, words=str(error)) from error
    if init is not None:
        _call(handle, library, init, tensorrt)
    return handle


def _resident(tensorrt: InstalledTensorRT) -> Path | None:
    """The file of the TensorRT library that this process has loaded; None where it has another name."""
    name = linkage.core_library(tensorrt.flavour)
    with Path("/proc/self/maps").open(encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            columns = line.rstrip("\n").split(maxsplit=5)
            path = columns[5] if len(columns) > 5 else ""  # noqa: PLR2004 - the path's column
            # Only real files: the mend for RTX's name lives in memory.
            if Path(path).name.startswith(f"{name}.") and Path(path).is_file():
                return Path(path)
    return None


def _siblings(library: Path) -> list[Path]:
    """What the dynamic linker would not find although it is there, under its own or a longer name.

    It lies beside the library, or is CUDA's and came with NVIDIA's packages, as PyTorch has them.
    """
    from trtreg import _dependencies

    folders = [library.resolve().parent]
    for entry in filter(None, sys.path):
        folders += sorted(Path(entry).glob("nvidia/*/lib"))
    found = []
    for name in _dependencies.find_obstacles(library).missing:
        if linkage.is_tensorrt(name):
            continue  # the resident one, or none: a second TensorRT in the process is a second registry
        for path in (path for folder in folders for path in sorted(folder.glob(f"{name}*"))):
            try:
                soname = _elf.read(path).soname
            except (OSError, _elf.BadElfError):
                continue
            if soname == name:
                found.append(path)
                break
    return found


def _call(handle: ctypes.CDLL, library: Path, init: str, tensorrt: InstalledTensorRT) -> None:
    """As NVIDIA's initLibNvInferPlugins is called: bool init(void* logger, char const* libNamespace)."""
    function: Any = getattr(handle, init, None)
    if function is None:
        raise NotAPluginError(f"{library} exports no function {init}")
    function.argtypes, function.restype = (ctypes.c_void_p, ctypes.c_char_p), ctypes.c_bool
    # Its answer is no proof: some are declared void, some say false when they are called again.
    function(native_logger.pointer(tensorrt), b"")
