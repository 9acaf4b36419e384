"""The last answer of `trtreg list`, given again for as long as nothing that it depends on has changed.

An answer depends on the metadata on the path, on the manifests and libraries of plugins, on TensorRT, on the driver and
on trtreg itself. The identities of all those files are kept beside it, and compared before it is given again. So a
file that is changed in place is noticed, whatever that does to the folder around it, unless it was changed in the very
tick of the clock in which it was read: an answer from a file as young as that is not kept.

Where only a folder of the path has changed, as by any `pip install`, the metadata is read again, and the rest of the
answer is kept if the plugins are the same. What can be told in no such way is not kept at all: metadata that only
importlib.metadata can read, plugins that only the import system can find, a MIG device, a driver without /proc.

Answers lie in `$XDG_CACHE_HOME/trtreg/list/`, a file for each environment. Whatever others could have written there, or
is damaged, counts as not there. What is loaded is never decided here. This module imports nothing that Python has not
imported by itself: imports take most of the time of a command.
"""

import marshal
import os
import sys
import time
from _imp import source_hash  # of importlib.util, whose import takes longer

import trtreg
from trtreg import _identity

TYPE_CHECKING = False  # `typing` takes longer to import than `trtreg list` may take
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["FORMAT", "file_name", "folder_name", "give", "key", "read_driver", "require_own", "show"]

FORMAT = 1

_HEADERS = ("PACKAGE", "VERSION", "OPS", "LIBRARY", "FITS")
_LONGEST = 1 << 24  # bytes
_BELIEVED = 3600  # seconds, where there is a driver: a GPU that falls off the bus tells nobody


def show(rows: "Sequence[tuple[str, ...]]", document: str, *, as_json: bool) -> None:
    """Print the answer: the document, or the table of the rows."""
    if as_json:
        print(document)
        return
    from trtreg.cli import _terminal

    if rows:
        _terminal.print_table(_HEADERS, rows)
    else:
        _terminal.print_line("No plugins are installed. Installing one is enough, as: trtreg install trtplugin-dcnv2")


def give(*, as_json: bool) -> bool:
    """Print the last answer, if it still holds; tells whether it did."""
    try:
        known = key()
        kept = _read(known) if known else None
        if kept is None:
            return False
        folders, _, watched, loaded, made, rows, document = kept
        if loaded != read_driver() or (loaded[1] and not 0 <= time.time() - made < _BELIEVED):
            return False
        if any([_identity.identity(path) != before for path, before in watched]):  # noqa: C419 - faster
            return False
        if not _identity.are_as_they_were(folders):
            from trtreg.cli import _list_answer

            if not _list_answer.renew(kept):
                return False
    except (OSError, ValueError, EOFError, TypeError):  # also whatever is wrong with a kept answer
        return False
    show(rows, document, as_json=as_json)
    return True


def key() -> "tuple[Any, ...] | None":
    """What the environment is known by; None for one whose answers cannot be kept."""
    if any(not path.startswith("/") for path in sys.path) or any(name.startswith("tensorrt") for name in sys.modules):
        return None
    finders = [getattr(finder, "__qualname__", type(finder).__qualname__) for finder in sys.meta_path]
    variables = ("TRTREG_TENSORRT", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "LD_PRELOAD", "XDG_DATA_HOME", "HOME")
    values = [os.environ.get(name) for name in variables]
    return (FORMAT, trtreg.__version__, sys.version, sys.prefix, [*sys.path], finders, values)


def read_driver() -> "tuple[str | None, str | None, list[str]]":
    """What changes when another driver is loaded, or another GPU is there."""
    gpus: list[str] = []
    version = _text("/proc/driver/nvidia/version")
    if version is not None:
        gpus = sorted(os.listdir("/proc/driver/nvidia/gpus"))  # noqa: PTH208
    return _text("/proc/sys/kernel/random/boot_id"), version, gpus


def _text(path: str) -> "str | None":
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        return os.read(descriptor, 4096).decode("utf-8", "replace")
    finally:
        os.close(descriptor)


def folder_name() -> str:
    """As `trtreg.packages.settings.cache_folder` has it."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (given if given.startswith("/") else os.path.expanduser("~/.cache")) + "/trtreg/list"  # noqa: PTH111


def file_name(known: "tuple[Any, ...]") -> str:
    """Of the answer for an environment."""
    return source_hash(FORMAT, marshal.dumps(known, 2)).hex()


def _read(known: "tuple[Any, ...]") -> "Any":
    """What is kept for the key, or None; OSError where there is nothing that can be trusted."""
    folder = os.open(folder_name(), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        require_own(folder)
        descriptor = os.open(file_name(known), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        require_own(descriptor)
        data = os.read(descriptor, _LONGEST)
    finally:
        os.close(descriptor)
    if data[:8] != source_hash(FORMAT, data[8:]):
        return None
    # Whole, and written by this user: numbers and texts, as in the `.pyc` files beside.
    found, kept = marshal.loads(data[8:])  # noqa: S302
    return kept if found == known else None


def require_own(descriptor: int) -> None:
    """Raise PermissionError where somebody else could have written."""
    facts = os.fstat(descriptor)
    if facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
        raise PermissionError
