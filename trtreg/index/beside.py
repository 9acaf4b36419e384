"""A second process for a share of a long piece of work: a copy of this one, which starts in a millisecond."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from math import ceil
from typing import TYPE_CHECKING, Final

from trtreg.errors import IndexPublishError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Shares", "beside", "is_possible"]

_MOST: Final = 256  # shares: the number of each is a byte
_LEAST: Final = 50  # things of a share
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


class Shares:
    """Things to do, in shares with the number of the first: who iterates takes the next that nobody has taken.

    The numbers of all shares lie in a pipe, from which a process and its copies read one after the other.
    """

    def __init__(self, things: Sequence[str]) -> None:
        self._things = things
        self._size = max(_LEAST, ceil(len(things) / _MOST))
        self._numbers, writer = os.pipe()
        os.write(writer, bytes(range(ceil(len(things) / self._size))))
        os.close(writer)

    def __enter__(self) -> Shares:  # noqa: PYI034 - typing has Self since Python 3.11
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self._numbers)

    def __len__(self) -> int:
        """How many things there are, in all shares."""
        return len(self._things)

    def __iter__(self) -> Iterator[tuple[int, Sequence[str]]]:
        while number := os.read(self._numbers, 1):
            begin = number[0] * self._size
            yield begin, self._things[begin : begin + self._size]
