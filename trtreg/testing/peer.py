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


def rotation(bytes_of_set: int) -> int:
    """Give the number of sets of inputs and outputs that overflow the L2 cache three times; at least 2, at most 64."""
    cache: int = torch.cuda.get_device_properties(0).L2_cache_size
    return max(2, min(_MOST_SETS, math.ceil(3 * cache / bytes_of_set)))


def measure(*sides: Calls, turns: int = _TURNS) -> list[float]:
    """Give the time of one call of each side in microseconds: the median of `turns`.

    Each side is a list of calls that do the same work on different memory (see :func:`rotation`), put on PyTorch's
    current stream; nothing in a call may synchronise or allocate outside PyTorch's allocator. The sides' graphs are
    replayed in turns, so that a change of the clocks reaches all.
    """
    graphs = [capture(calls) for calls in sides]
    times: list[list[float]] = [[] for _ in sides]
    for turn in range(turns + _WARM_UP):
        for graph, calls, kept in zip(graphs, sides, times, strict=True):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            graph.replay()
            end.record()
            end.synchronize()
            if turn >= _WARM_UP:
                kept.append(start.elapsed_time(end) * 1000 / len(calls))
    return [statistics.median(each) for each in times]
