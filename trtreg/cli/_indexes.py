"""The options of every command that reads catalogues, and how their state is shown."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from trtreg.cli import _terminal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from trtreg.packages.catalogue import Catalogues, State
    from trtreg.packages.download import OnProgress

__all__ = ["add_options", "age", "as_json", "describe", "open_catalogues", "progress", "warn"]

_STEPS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add --index, --no-index, --offline and --refresh."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--index",
        metavar="URL",
        action="append",
        default=[],
        help="use this index, a folder or the name of a configured one, and no other; may be given again",
    )
    which.add_argument("--no-index", action="store_true", help="use no index")
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--offline", action="store_true", help="use cached catalogues, of any age")
    when.add_argument("--refresh", action="store_true", help="ask every index, however fresh the cache is")


def open_catalogues(arguments: argparse.Namespace) -> Catalogues:
    """Open what the options and the settings name; a warning for each index that only the cache speaks for."""
    from trtreg.packages import catalogue, settings

    chosen = settings.read(arguments.index, no_index=arguments.no_index)
    with progress("catalogue") as on_progress:
        found = catalogue.open_all(
            chosen, refresh=arguments.refresh, offline=arguments.offline, on_progress=on_progress
        )
    warn(found.states)
    return found


def warn(states: Iterable[State]) -> None:
    """Say which catalogues are not of today because their index failed, and which came unprotected."""
    for state in states:
        if state.problem is not None:
            _terminal.print_line(f"trtreg: warning: {state.problem}")
            _terminal.print_line(f"trtreg: warning: using the catalogue of {age(state.age)} ago")
        if state.index.is_exposed:
            _terminal.print_line(
                f"trtreg: warning: index {state.index.name} is not read through https: anybody on the way can change it"
            )


def describe(states: Iterable[State]) -> str:
    """One line on which catalogues were read, and how old they are."""
    return "; ".join(
        f"{state.index.name}: {state.releases} releases, checked {age(state.age)} ago" + " (stale)" * state.stale
        for state in states
    )


def as_json(states: Iterable[State]) -> list[dict[str, Any]]:
    """The same for programs."""
    return [
        {
            "name": state.index.name,
            "url": state.index.shown,
            "age_seconds": round(state.age, 3),
            "stale": state.stale,
            "releases": state.releases,
            "problem": state.problem,
        }
        for state in states
    ]


def age(seconds: float) -> str:
    """A readable age."""
    for length, unit in _STEPS:
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "0 seconds"


@contextmanager
def progress(title: str) -> Iterator[OnProgress | None]:
    """Give the callback of a download: a bar that shows itself where a download takes long, on a terminal only."""
    tqdm = _tqdm() if sys.stderr.isatty() else None
    if tqdm is None:
        yield None
        return
    bar = tqdm(desc=title, unit="B", unit_scale=True, unit_divisor=1024, file=sys.stderr, leave=False, delay=0.5)

    def on_progress(done: int, total: int | None) -> None:
        if total != bar.total:
            bar.total = total
        if done < bar.n:  # the next file
            bar.reset(total)
        bar.update(done - bar.n)

    try:
        yield on_progress
    finally:
        bar.close()


def _tqdm() -> Any:
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return None
    return tqdm
