import pytest

from trtreg.errors import BuildCancelledError
from trtreg.progress import Reporter


def test_events_carry_parents_and_steps():
    events = []
    reporter = Reporter(events.append)
    reporter.start("a", None, 2)
    reporter.start("b", "a", 3)
    reporter.step("b", 1)
    reporter.finish("b")
    reporter.finish("a")
    assert [(e.kind, e.phase, e.parent, e.step, e.steps) for e in events] == [
        ("start", "a", None, 0, 2),
        ("start", "b", "a", 0, 3),
        ("step", "b", "a", 1, 3),
        ("finish", "b", "a", 3, 3),
        ("finish", "a", None, 2, 2),
    ]
    reporter.check()


@pytest.mark.parametrize("answer", [None, True, 0])
def test_only_false_itself_cancels(answer):
    reporter = Reporter(lambda event: answer)
    reporter.start("a")
    assert reporter.go_on
    reporter.check()


def test_false_cancels_and_ends_the_calls():
    calls = []

    def on_progress(event):
        calls.append(event)
        return False

    reporter = Reporter(on_progress)
    reporter.start("a")
    reporter.step("a", 1)
    assert len(calls) == 1
    assert not reporter.go_on
    with pytest.raises(BuildCancelledError, match="phase 'a'"):
        reporter.check()


class Trt:
    """Stands for TensorRT's module."""

    class IProgressMonitor:
        def __init__(self):
            self.is_made = True


@pytest.mark.parametrize("method", ["phase_start", "step_complete", "phase_finish"])
def test_an_interrupt_outside_the_callback_stops_the_build_too(method, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    reporter = Reporter(None)
    monitor = reporter.monitor(Trt)
    assert monitor.is_made
    assert monitor.step_complete("a", 0) is True
    monkeypatch.setattr(Reporter, "_report", interrupt)
    getattr(monitor, method)(*{"phase_start": ("a", None, 1), "step_complete": ("a", 0)}.get(method, ("a",)))
    assert monitor.step_complete("a", 0) is False
    with pytest.raises(KeyboardInterrupt):
        reporter.check()


def test_without_a_callback_nothing_happens():
    reporter = Reporter(None)
    reporter.start("a")
    reporter.finish("a")
    reporter.check()
