"""A second process for half of a long piece of work: a copy of this one, which starts in a millisecond."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from trtreg.errors import IndexPublishError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["beside", "is_possible"]

_KILL: Final = 9  # as POSIX has it; `signal` takes as long to import as a thousand pages to write


def is_possible() -> bool:
    """Whether this process may be copied: on Linux, and with no thread, whose locks a copy would keep for ever."""
    return sys.platform == "linux" and threading.active_count() == 1


@contextmanager
def beside(task: Callable[[], int]) -> Iterator[Callable[[], int]]:
    """Run a task in a copy of this process while the block runs; what is given waits for it, and gives its result.

    The copy ends with its parent's lock still held: an orphan cannot write where the next publisher does.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        _run(task, reader, writer)
    os.close(writer)
    left = [child]

    def result() -> int:
        with open(reader, "rb", closefd=False) as file:
            said = file.read().decode("ascii", "replace")
        os.waitpid(left.pop(), 0)
        kind, _, value = said.partition(" ")
        if kind == "done":
            return int(value)
        if kind == "failed":
            raise OSError(int(value), os.strerror(int(value)))
        raise IndexPublishError("A process that wrote pages has ended", found=said or "killed", remedy="try again")

    try:
        yield result
    finally:
        os.close(reader)
        for process in left:
            os.kill(process, _KILL)
            os.waitpid(process, 0)


def _run(task: Callable[[], int], reader: int, writer: int) -> None:
    """Do the task and end at once: nothing of the parent is to be cleared away twice."""
    try:
        os.close(reader)
        said = f"done {task()}"
    except OSError as error:
        said = f"failed {error.errno}"
    except BaseException as error:  # noqa: BLE001 - the parent raises it
        said = f"{type(error).__name__}: {error}"
    finally:
        os.write(writer, said.encode("ascii", "replace")[:4000])
        os._exit(0)
