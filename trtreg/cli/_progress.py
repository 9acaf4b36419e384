"""Progress of a build on stderr: a bar on a terminal, elsewhere a line per phase."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from trtreg.cli import _terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trtreg.progress import OnProgress, ProgressEvent

__all__ = ["Phases", "shown"]

_DEPTH = 2  # of the phases that get a line: deeper ones come by the thousand in a big network


class Phases:
    """The phases that are open, outermost first, and how much of the outermost is done."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[int, int]] = {}
        self._best = 0.0

    def take(self, event: ProgressEvent) -> None:
        """Follow one event."""
        if event.kind == "start" and event.parent is None:
            self._best = 0.0
        if event.kind == "finish":
            self._open.pop(event.phase, None)
            self._best = self._best if self._open else 1.0
        else:
            self._open[event.phase] = (event.step, max(event.steps, 1))

    @property
    def depth(self) -> int:
        """How many phases are open."""
        return len(self._open)

    @property
    def title(self) -> str:
        """The outermost phase and the innermost."""
        names = [*self._open]
        return " > ".join(names[:1] + names[1:][-1:])

    @property
    def fraction(self) -> float:
        """Between 0 and 1, and never less than before: an inner phase is a part of its parent's current step."""
        share, total = 1.0, 0.0
        for step, steps in self._open.values():
            total += share * step / steps
            share /= steps
        self._best = max(self._best, min(total, 1.0))
        return self._best


@contextmanager
def shown(*, quiet: bool) -> Iterator[OnProgress | None]:
    """Give the callback for `onnx2trt`, or None where nothing is to be shown."""
    if quiet:
        yield None
        return
    tqdm = _tqdm() if sys.stderr.isatty() else None
    if tqdm is None:
        yield _print_phases()
        return
    bar = tqdm(total=100, file=sys.stderr, leave=False, bar_format="{desc} {bar:30} {n:3.0f} % {elapsed}")
    try:
        yield _move(bar)
    finally:
        bar.close()


def _print_phases() -> OnProgress:
    phases = Phases()

    def on_progress(event: ProgressEvent) -> None:
        phases.take(event)
        if event.kind == "start" and phases.depth <= _DEPTH:
            _terminal.print_line(f"{'  ' * (phases.depth - 1)}{event.phase}")

    return on_progress


def _move(bar: Any) -> OnProgress:
    phases = Phases()

    def on_progress(event: ProgressEvent) -> None:
        phases.take(event)
        bar.set_description_str(phases.title, refresh=False)
        bar.n = 100 * phases.fraction
        bar.update(0)

    return on_progress


def _tqdm() -> Any:
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return None
    return tqdm
