"""The command line: the only part of trtreg that prints or exits."""

import atexit
import gc
import os
import sys

import trtreg

TYPE_CHECKING = False  # `typing` takes longer to import than `trtreg list` may take
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_BROKEN_PIPE = 141  # 128 + SIGPIPE


def main(argv: "Sequence[str] | None" = None) -> int:
    """Run one command and give its exit code."""
    try:
        code = _run_own(sys.argv[1:]) if argv is None else _run(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone, as in `trtreg list | head -1`. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except KeyboardInterrupt:
        print("trtreg: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except Exception as e:
        if os.environ.get("TRTREG_DEBUG") == "1":
            raise
        return _explain(e)
    return code


def _run_own(words: list[str]) -> int:
    """Run the command of this process; what can be done sooner than the parser of arguments is imported, is."""
    if words == ["--version"]:
        print(f"trtreg {trtreg.__version__}")
    elif words in (["list"], ["list", "--json"]):
        from trtreg.cli import _list_cache

        gc.disable()  # the process ends before there is anything to collect
        as_json = len(words) > 1
        if not _list_cache.give(as_json=as_json):
            from trtreg.cli import list as command

            command.answer(as_json=as_json, keeping=True)
    else:
        return _run(words)
    sys.stdout.flush()
    # Where nobody waits for the end of this process, taking Python apart would take as long as all of that.
    if "threading" not in sys.modules and not atexit._ncallbacks():  # noqa: SLF001
        os._exit(0)
    return 0


def _run(words: "Sequence[str]") -> int:
    from trtreg.cli import _parser

    arguments = _parser.make_parser(words[0] if words else None).parse_args(words)
    code: int = arguments.execute(arguments)
    return code


def _explain(error: Exception) -> int:
    from trtreg.cli import _terminal
    from trtreg.errors import TrtregError

    if isinstance(error, TrtregError):
        _terminal.print_error(error)
        return error.exit_code
    # The last resort of the program.
    _terminal.print_line(f"trtreg: unforeseen {type(error).__name__}: {error}")
    _terminal.print_line("trtreg: TRTREG_DEBUG=1 shows where; please report it")
    return 1
