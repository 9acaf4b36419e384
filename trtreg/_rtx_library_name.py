"""A mend for TensorRT-RTX: its ONNX parser opens "libtensorrt_rtx.so", a name that its wheel does not ship.

The wheel ships `libtensorrt_rtx.so.1` only. The lookup fails at the first plugin node, and the process aborts. The
dynamic linker compares a name that it is asked for with the SONAMEs of what is already loaded. So this module loads an
empty library with the missing SONAME whose only dependency is the real library, which is resident: symbols looked up in
it are found in the real one. It lives in memory: no file of the wheel is touched, and no environment variable needed.
"""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trtreg.errors import TensorRTUnusableError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NAME", "alias_library", "open_image", "provide"]

NAME: Final = "libtensorrt_rtx.so"

_MACHINES: Final = {"x86_64": 62, "aarch64": 183}  # EM_X86_64, EM_AARCH64
# Kept for the life of the process: closing the descriptor would let another file take its path, by which the dynamic
# linker also knows the library.
_kept: Final[list[object]] = []
_descriptors: Final[list[int]] = []


def provide() -> None:
    """Make the name resolvable in this process, unless it is. To be called after `import tensorrt_rtx`; idempotent."""
    if _is_resident():
        return
    real = _mapped_library()
    if real is None or real.with_name(NAME).exists():
        return  # not the PyPI wheel's layout: a name beside the parser is found by its own search path
    try:
        open_image(alias_library(NAME, _soname(real), os.uname().machine))
    except (OSError, KeyError, ValueError) as error:
        problem = str(error)
    else:
        problem = "" if _is_resident() else "the name is still unknown to the dynamic linker"
    if problem:
        raise TensorRTUnusableError(
            f"This TensorRT-RTX lacks {NAME}: its ONNX parser would abort the process at the first plugin node",
            found=problem,
            remedy=f"link {NAME} to {real} in a folder of yours and start Python with that folder in LD_LIBRARY_PATH",
        )


def alias_library(soname: str, needed: str | Sequence[str], machine: str) -> bytes:
    """An ELF shared object without code or data that is called `soname` and depends on `needed`, in that order.

    Layout: https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html, chapters 4 and 5.
    """
    names = [needed] if isinstance(needed, str) else [*needed]
    strings, offsets = b"\0", []
    for name in (soname, *names):
        offsets.append(len(strings))
        strings += os.fsencode(name) + b"\0"
    programs, entries = 3, 7 + len(names)
    dynamic = 64 + 56 * programs
    hashes = dynamic + 16 * entries
    symbols = hashes + 16
    text = symbols + 24
    size = text + len(strings)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",  # 64 bits, little endian, version 1
        *(3, _MACHINES[machine], 1),  # ET_DYN
        *(0, 64, 0),  # no entry point; the program headers follow; no sections
        *(0, 64, 56, programs, 64, 0, 0),
    )
    # Writable, because older dynamic linkers relocate the dynamic section in place; aligned for pages of 64 KiB.
    load = struct.pack("<IIQQQQQQ", 1, 6, 0, 0, 0, size, size, 0x10000)
    where = struct.pack("<IIQQQQQQ", 2, 6, dynamic, dynamic, dynamic, 16 * entries, 16 * entries, 8)
    stack = struct.pack("<IIQQQQQQ", 0x6474E551, 6, 0, 0, 0, 0, 0, 16)  # PT_GNU_STACK: not executable
    tags = (
        *(number for offset in offsets[1:] for number in (1, offset)),  # DT_NEEDED
        *(14, offsets[0]),  # DT_SONAME
        *(4, hashes),
        *(5, text),  # DT_STRTAB
        *(6, symbols),  # DT_SYMTAB
        *(10, len(strings)),
        *(11, 24),  # DT_SYMENT
        *(0, 0),
    )
    table = struct.pack("<IIII", 1, 1, 0, 0)  # one bucket and one chain, both of the empty symbol 0
    return header + load + where + stack + struct.pack(f"<{2 * entries}Q", *tags) + table + bytes(24) + strings


def open_image(image: bytes) -> None:
    """Open a library that is in memory only, for the life of the process; OSError if the dynamic linker refuses."""
    try:
        descriptor = os.memfd_create(NAME, os.MFD_CLOEXEC)
    except OSError:  # forbidden in some sandboxes
        _open_file(image)
        return
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(image)
    if not Path(f"/proc/self/fd/{descriptor}").exists():  # no /proc
        os.close(descriptor)
        _open_file(image)
        return
    _descriptors.append(descriptor)
    _kept.append(ctypes.CDLL(f"/proc/self/fd/{descriptor}"))


def _is_resident(name: str = NAME) -> bool:
    try:
        ctypes.CDLL(name, mode=os.RTLD_NOLOAD | os.RTLD_NOW)
    except OSError:
        return False
    return True


def _mapped_library() -> Path | None:
    """The file of the real library that this process has loaded."""
    with Path("/proc/self/maps").open(encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            columns = line.rstrip("\n").split(maxsplit=5)
            if len(columns) > 5 and Path(columns[5]).name.startswith(f"{NAME}."):  # noqa: PLR2004 - the path's column
                return Path(columns[5])
    return None


def _soname(library: Path) -> str:
    """The name by which others depend on it."""
    # One that the dynamic linker knows: its file's, or with fewer numbers at the end. To ask takes no time; reading the
    # file takes as long as importing what reads it.
    stem, *numbers = library.name.removeprefix(f"{NAME}.").split(".")
    for count in range(len(numbers) + 1):
        name = ".".join((NAME, stem, *numbers[:count]))
        if _is_resident(name):
            return name
    from trtreg import _elf

    return _elf.soname(library) or library.name


def _open_file(image: bytes) -> None:
    from tempfile import NamedTemporaryFile

    with NamedTemporaryFile(prefix="trtreg-", suffix=".so") as file:
        file.write(image)
        file.flush()
        _kept.append(ctypes.CDLL(file.name))
