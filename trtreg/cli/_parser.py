"""The argument parser: its commands, and the exit codes in its epilog, made from the error classes."""

from __future__ import annotations

import argparse
from importlib import import_module

from trtreg import __version__, errors

__all__ = ["exit_codes", "make_parser"]

_COMMANDS = (
    "list",
    "info",
    "search",
    "scan",
    "install",
    "upgrade",
    "uninstall",
    "lock",
    "sync",
    "add",
    "wrap",
    "onnx2trt",
    "autoload",
    "run",
    "flags",
    "upgrade-check",
    "check",
    "quarantine",
    "index",
    "doctor",
    "completion",
)
_FIRST_CODES = {
    0: "Success.",
    1: "An unforeseen error.",
    2: "Wrong usage of the command line.",
}
_LAST_CODES = {
    130: "Interrupted (Ctrl-C).",
    141: "The reader of the output has gone.",
}


def make_parser(word: str | None = None) -> argparse.ArgumentParser:
    """Make the parser of the command line; `execute` of the result runs the chosen command.

    With the first word of a command line it may be a parser of that command alone, which is sooner made.
    """
    names = (word,) if word in _COMMANDS else _COMMANDS
    codes = "" if word in _COMMANDS else "\n".join(f"  {code:3}  {meaning}" for code, meaning in exit_codes().items())
    parser = argparse.ArgumentParser(
        prog="trtreg",
        description="The package manager for TensorRT plugins.",
        epilog=f"exit codes:\n{codes}\n\nTRTREG_DEBUG=1 shows tracebacks. NO_COLOR=1 turns colour off.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"trtreg {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in names:
        command = import_module(f"trtreg.cli.{name.replace('-', '_')}")
        first, _, rest = (command.__doc__ or "").partition("\n")
        subparser = subparsers.add_parser(
            name,
            help=first.rstrip("."),
            description=first,
            epilog=rest.strip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.configure_parser(subparser)
        subparser.set_defaults(execute=command.execute)
    return parser


def exit_codes() -> dict[int, str]:
    """Every exit code and its meaning."""
    import inspect

    classes = [getattr(errors, name) for name in errors.__all__ if name != "TrtregError"]
    raised = {c.exit_code: (inspect.getdoc(c) or "").partition("\n")[0] for c in classes}
    return {**_FIRST_CODES, **dict(sorted(raised.items())), **_LAST_CODES}
