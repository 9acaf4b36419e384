"""What tells a file from another, and from itself before a change; and whether folders of metadata are what they were.

`trtreg list` imports this before all else, so it imports nothing that Python has not imported by itself, not even
`__future__`.
"""

import os

TYPE_CHECKING = False  # `typing` takes longer to import than `trtreg list` may take
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    Identity: TypeAlias = tuple[int, int, int, int]
    """Inode, size, and the times of the last change of content and of anything, in nanoseconds."""

    Folder: TypeAlias = tuple[str, "Identity | None", list[str], list[str], list[int], list[str]]
    """What was seen in a folder of the path: see `trtreg._metadata_scan`."""

__all__ = ["are_as_they_were", "identity", "of"]


def of(facts: os.stat_result) -> "Identity":
    """The identity of which these are the facts."""
    return facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def identity(path: str) -> "Identity | None":
    """The identity of a file or folder; None where there is none."""
    try:
        return of(os.stat(path))  # noqa: PTH116 - pathlib takes longer to import than `trtreg list` may take
    except (FileNotFoundError, NotADirectoryError):
        return None


def are_as_they_were(folders: "Iterable[Folder]") -> bool:
    """Whether the folders, and all files in them that were looked at, are what they were."""
    stat, access, existing = os.stat, os.access, os.F_OK
    for path, known, without, having, identities, _ in folders:
        if identity(path) != known:
            return False
        if not (without or having):
            continue
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            now: list[int] = []
            for name in having:
                facts = stat(name, dir_fd=folder)
                now += (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
            if now != identities or any([access(name, existing, dir_fd=folder) for name in without]):  # noqa: C419
                return False
        finally:
            os.close(folder)
    return True
