"""Progress of a build: TensorRT's monitor, turned into one callback with plain events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal, TypeAlias

from trtreg.errors import BuildCancelledError

__all__ = ["OnProgress", "ProgressEvent", "Reporter"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgressEvent:
    """A phase starts, has done `step` of its `steps`, or is finished; `parent` is the phase around it."""

    kind: Literal["start", "step", "finish"]
    phase: str
    parent: str | None
    step: int
    steps: int


OnProgress: TypeAlias = Callable[[ProgressEvent], "bool | None"]
"""Called from TensorRT's threads too, one call at a time. Returning False cancels the build; so does an exception."""


class Reporter:
    """Passes events on, and remembers that the callback wants to stop, for TensorRT swallows its exceptions."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress
        self._lock = Lock()
        self._open: dict[str, tuple[str | None, int]] = {}
        self._failure: BaseException | None = None

    @property
    def go_on(self) -> bool:
        """Whether nothing has asked to stop."""
        return self._failure is None

    def start(self, phase: str, parent: str | None = None, steps: int = 1) -> None:
        """Report that a phase starts."""
        with self._lock:
            self._open[phase] = (parent, steps)
            self._report("start", phase, 0)

    def step(self, phase: str, done: int) -> None:
        """Report that `done` steps of the phase are done."""
        with self._lock:
            self._report("step", phase, done)

    def finish(self, phase: str) -> None:
        """Report that a phase is finished."""
        with self._lock:
            self._report("finish", phase, self._open.get(phase, (None, 1))[1])
            self._open.pop(phase, None)

    def check(self) -> None:
        """Raise what the callback raised, or BuildCancelledError if it returned False."""
        if self._failure is not None:
            raise self._failure

    def monitor(self, trt: Any) -> Any:
        """Make the object that TensorRT calls; it has to outlive the build."""
        reporter = self

        class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.IProgressMonitor.__init__(self)  # pybind11 wants its own constructor called by name

            # Ctrl-C arrives in whatever Python code runs next, which during a build is these methods.
            def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
                with reporter.keeping_failure():
                    reporter.start(phase_name, parent_phase, num_steps)

            def step_complete(self, phase_name: str, step: int) -> bool:
                with reporter.keeping_failure():
                    reporter.step(phase_name, step + 1)
                return reporter.go_on

            def phase_finish(self, phase_name: str) -> None:
                with reporter.keeping_failure():
                    reporter.finish(phase_name)

        return Monitor()

    @contextmanager
    def keeping_failure(self) -> Iterator[None]:
        """Let nothing out, and remember the first that wanted to: check() raises it."""
        try:
            yield
        except BaseException as e:  # noqa: BLE001 - Ctrl-C has to stop the build too
            self._failure = self._failure or e

    def _report(self, kind: Literal["start", "step", "finish"], phase: str, step: int) -> None:
        if self._on_progress is None or self._failure is not None:
            return
        parent, steps = self._open.get(phase, (None, 1))
        event = ProgressEvent(kind=kind, phase=phase, parent=parent, step=step, steps=steps)
        with self.keeping_failure():
            if self._on_progress(event) is False:
                raise BuildCancelledError("the build was cancelled", found=f"phase '{phase}'")
