"""Make a wheel of a finished plugin library.

The library is examined as by `trtreg add`. What it needs besides glibc, CUDA and TensorRT is taken into the wheel by
auditwheel, which comes with trtreg[build].

Examples:
  trtreg wrap libmy_plugins.so -o dist --name my-plugins --version 1.2
  trtreg wrap libmy_plugins.so -o dist --tensorrt 'full>=10,<11' --summary "Plugins for my model"
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trtreg.cli import _libraries, _terminal

if TYPE_CHECKING:
    import argparse

__all__ = ["configure_parser", "execute"]


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("library", metavar="LIBRARY", help="a shared library")
    parser.add_argument("-o", "--output", metavar="FOLDER", required=True, help="where to put the wheel")
    _libraries.add_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Examine the library, and write the wheel."""
    from trtreg.foreign import describe, wrap

    path = Path(arguments.library)
    made, described = wrap.wrap(
        path,
        Path(arguments.output),
        name=describe.default_name(path) if arguments.name is None else arguments.name,
        version=arguments.version,
        summary=arguments.summary,
        init=arguments.init,
        tensorrt=describe.parse_specifiers(arguments.tensorrt),
    )
    if arguments.json:
        _terminal.print_json(_libraries.as_json(described, "wrap", str(made)))
        return 0
    print(f"{made}: {_terminal.size(made.stat().st_size)}")
    for line in _libraries.lines(described):
        print(line)
    return 0
