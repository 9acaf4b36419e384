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
from typing import TYPE_CHECKING, Any, Final

from trtreg import _elf, _library_file, flavour
from trtreg.errors import LoadError, NotAPluginError
from trtreg.foreign import linkage, native_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trtreg.flavour import InstalledTensorRT

__all__ = ["open_library", "open_neighbours"]

# Opened for the life of the process.
_neighbours: Final[set[Path]] = set()


def open_library(
    library: Path,
    tensorrt: InstalledTensorRT,
    init: str | None = None,
    *,
    loadable: Path | None = None,
    beside: Sequence[Path] = (),
) -> ctypes.CDLL:
    """Open the library, all symbols bound, and call `init(logger, "")` if it is named; gives a handle to the library.

    `loadable` is what is opened in the library's place, its own bytes in memory; `beside` see `open_neighbours`.

    Raises LoadError with the dynamic linker's words, MissingDependencyError, or NotAPluginError where there is no
    function `init`. What the function answers counts for nothing: the creators do, and the caller looks at them.
    """
    flavour.load(tensorrt)
    file = loadable or library
    needed = [_resident(tensorrt), *beside, *_siblings(library), file]
    _open_together(library, [path for path in needed if path is not None], file)
    try:
        # Only a handle: it is open already.
        handle = ctypes.CDLL(str(file), mode=os.RTLD_NOW | os.RTLD_LOCAL)
    except OSError as error:
        raise _refusal(library, file, error) from error
    if init is not None:
        _call(handle, library, init, tensorrt)
    return handle


def open_neighbours(library: Path, beside: Sequence[Path]) -> None:
    """Open what the library finds through its own folder: one that is opened from memory has none. Idempotent.

    The dynamic linker then takes them by the names that they give themselves. Raises LoadError with its words.
    """
    fresh = [path for path in beside if path not in _neighbours]
    if fresh:
        _open_together(library, fresh, library)
        _neighbours.update(fresh)


def _open_together(library: Path, needed: Sequence[Path], file: Path) -> None:
    from trtreg import _rtx_library_name

    name = f"libtrtreg-{library.stem}-{os.urandom(4).hex()}.so"
    try:
        _rtx_library_name.open_image(_rtx_library_name.alias_library(name, [*map(str, needed)], os.uname().machine))
    except OSError as error:
        raise _refusal(library, file, error) from error


def _refusal(library: Path, file: Path, error: OSError) -> LoadError:
    return _library_file.explain_refusal(library, (), owner=library.name, words=str(error), loadable=file)


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
