"""Printing: tables, colour where a terminal shows it, JSON documents, errors."""

import os
import sys

TYPE_CHECKING = False  # `typing` takes longer to import than `trtreg list` may take
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from trtreg.errors import TrtregError

__all__ = ["bad", "dim", "good", "print_error", "print_json", "print_line", "print_table", "size"]

_KIB = 1024


def good(text: str) -> str:
    """Mark text as good news."""
    return _coloured(text, 32)


def bad(text: str) -> str:
    """Mark text as bad news."""
    return _coloured(text, 31)


def dim(text: str) -> str:
    """Mark text as beside the point."""
    return _coloured(text, 2)


def print_table(headers: "Sequence[str]", rows: "Iterable[Sequence[str]]") -> None:
    """Print rows in columns as wide as their contents; the last column is cut at a terminal's edge."""
    lines = [tuple(headers), *(tuple(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    edge = _columns() if sys.stdout.isatty() else None
    for number, line in enumerate(lines):
        cells = [cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=False)]
        start = "  ".join(cells) + "  " if cells else ""
        last = line[-1]
        if edge and len(start) < edge < len(start) + len(last):
            last = last[: max(edge - len(start) - 1, 1)] + "…"
        text = (start + last).rstrip()
        print(dim(text) if number == 0 else text)


def print_json(document: "Mapping[str, object]") -> None:
    """Print a document for programs."""
    import json

    json.dump(document, sys.stdout, indent=2)  # piece by piece: a list of 100,000 files need not be one string
    print()


def print_line(text: str) -> None:
    """Print a line for the user beside the output proper."""
    print(text, file=sys.stderr)


def print_error(error: "TrtregError") -> None:
    """Print one line for the error, what belongs to it, and what to do."""
    text = str(error)
    if error.remedy:
        text = text.replace(f"; {error.remedy}", "", 1)
    print_line(f"trtreg: error: {text}")
    if error.remedy:
        print_line(f"trtreg: remedy: {error.remedy}")


def size(count: int) -> str:
    """Readable number of bytes."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if count >= _KIB**power:
            return f"{count / _KIB**power:.1f} {unit}"
    return f"{count} B"


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def _coloured(text: str, code: int) -> str:
    # https://no-color.org
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty():
        return text
    return f"\x1b[{code}m{text}\x1b[0m"
