"""Times of a plugin and of its peer, in one run: CUDA graphs over rotating inputs beyond the L2 cache, in turns."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, TypeAlias

import torch

from trtreg.testing.device import capture

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Calls: TypeAlias = Sequence[Callable[[], object]]

__all__ = ["measure", "rotation"]

_TURNS = 21
_WARM_UP = 2
_MOST_SETS = 64
_LEAST = 500.0  # microseconds of a graph: what its own start takes, a few, does not count then


def rotation(bytes_of_set: int) -> int:
    """Give the number of sets of inputs and outputs that overflow the L2 cache three times; at least 2, at most 64."""
    cache: int = torch.cuda.get_device_properties(0).L2_cache_size
    return max(2, min(_MOST_SETS, math.ceil(3 * cache / bytes_of_set)))


def measure(*sides: Calls, turns: int = _TURNS) -> list[float]:
    """Give the time of one call of each side in microseconds: the median of `turns`.

    Each side is a list of calls that do the same work on different memory (see :func:`rotation`), put on PyTorch's
    current stream; nothing in a call may synchronise or allocate outside PyTorch's allocator. The sides' graphs, of
    half a millisecond at least, are replayed in turns, so that a change of the clocks reaches all.
    """
    graphs = [_Graph(calls) for calls in sides]
    times: list[list[float]] = [[] for _ in sides]
    for turn in range(turns + _WARM_UP):
        for graph, kept in zip(graphs, times, strict=True):
            taken = graph.time()
            if turn >= _WARM_UP:
                kept.append(taken)
    return [statistics.median(each) for each in times]


class _Graph:
    """Calls in a CUDA graph, as often as it takes to fill the least time."""

    def __init__(self, calls: Calls) -> None:
        self._count = len(calls)
        self._graph = capture(calls)
        times = [self.time() * self._count for _ in range(1 + _WARM_UP)]
        repeats = math.ceil(_LEAST / min(times))
        if repeats > 1:
            self._count *= repeats
            self._graph = capture([*calls] * repeats)

    def time(self) -> float:
        """Replay it and give the microseconds of one call."""
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        self._graph.replay()
        end.record()
        end.synchronize()
        taken: float = start.elapsed_time(end) * 1000 / self._count
        return taken
