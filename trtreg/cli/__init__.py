"""The command line: the only part of trtreg that prints or exits."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from trtreg.cli import _terminal
from trtreg.cli._parser import make_parser
from trtreg.errors import TrtregError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main", "make_parser"]

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_BROKEN_PIPE = 141  # 128 + SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    try:
        arguments = make_parser().parse_args(argv)
        code: int = arguments.execute(arguments)
        sys.stdout.flush()
    except TrtregError as e:
        _raise_for_debugging()
        _terminal.print_error(e)
        return e.exit_code
    except BrokenPipeError:
        # The reader has gone, as in `trtreg list | head -1`. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except KeyboardInterrupt:
        _terminal.print_line("trtreg: interrupted")
        return _INTERRUPTED
    except Exception as e:  # noqa: BLE001 - the last resort of the program
        _raise_for_debugging()
        _terminal.print_line(f"trtreg: unforeseen {type(e).__name__}: {e}")
        _terminal.print_line("trtreg: TRTREG_DEBUG=1 shows where; please report it")
        return 1
    return code


def _raise_for_debugging() -> None:
    if os.environ.get("TRTREG_DEBUG") == "1":
        raise  # noqa: PLE0704 - called in except clauses only
