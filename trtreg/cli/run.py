"""Start a Python program with the plugins in TensorRT's registry, whatever it does itself.

COMMAND is a script, a console script, an interpreter, or `-m MODULE`. It takes the place of trtreg: signals reach it,
and its exit code is the one you see. The processes that it starts have the plugins too. Without --plugin and --for, all
plugins that fit are loaded, but for the lists of `trtreg autoload`.

For programs that are not written in Python, as trtexec, see `trtreg flags`. One that starts Python comes before trtreg:
  mpirun -n 2 trtreg run -- python infer.py

Examples:
  trtreg run -- python infer.py model.engine
  trtreg run --for model.engine -- infer.py model.engine
  trtreg run --plugin trtplugin-dcnv2 -- polygraphy run model.onnx --trt
  trtreg run -- -m mypackage.serve --port 8000
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trtreg.cli import _terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trtreg.discovery import InstalledPlugin

__all__ = ["configure_parser", "execute"]

_MAGIC = slice(1, 4)  # every plan begins with a letter and "trt"


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.usage = "%(prog)s [-h] [--for FILE] [--plugin NAME] -- COMMAND [ARGUMENT ...]"
    parser.add_argument(
        "--for", dest="models", metavar="FILE", action="append", default=[], help="plugins that a model or engine needs"
    )
    parser.add_argument(
        "--plugin", metavar="NAME", action="append", default=[], help="a package or an op; may be repeated"
    )
    parser.add_argument("command", metavar="COMMAND", nargs=argparse.REMAINDER, help="the program and its arguments")


def execute(arguments: argparse.Namespace) -> int:
    """Become the program."""
    import os
    import sys

    from trtreg.autoload import launch
    from trtreg.errors import ProgramNotFoundError

    words = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not words:
        raise ProgramNotFoundError("There is no command", remedy="name it: trtreg run -- python script.py")
    command = launch.command(words)
    names = None
    if arguments.plugin or arguments.models:
        names = dict.fromkeys(plugin.distribution for plugin in _chosen(arguments))
    environ = launch.environment(names)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(command[0], command, environ)  # noqa: S606 - the user's own command, without a shell
    except OSError as e:
        raise ProgramNotFoundError(f"{command[0]} cannot be started", found=e.strerror) from e


def _chosen(arguments: argparse.Namespace) -> Iterator[InstalledPlugin]:
    from trtreg import discovery, runtime

    installed = discovery.discover()
    for name in arguments.plugin:
        yield from runtime.called(name, installed)
    for file in arguments.models:
        yield from _needed(file, installed)


def _needed(file: str, installed: tuple[InstalledPlugin, ...]) -> tuple[InstalledPlugin, ...]:
    """The plugins that a model or an engine needs; what a model lacks is told, and left to the program."""
    from pathlib import Path

    from trtreg import engine_plugins, scan
    from trtreg.errors import ModelError

    try:
        with Path(file).open("rb") as opened:
            if opened.read(_MAGIC.stop)[_MAGIC] == b"trt":
                opened.seek(0)
                return engine_plugins.plugins_in_plan(opened.read(), installed)
    except OSError as e:
        raise ModelError(f"cannot read {file}", found=e.strerror) from e
    report = scan.scan(file, plugins=installed)
    for op, reason in dict.fromkeys((node.op, node.reason) for node in report.missing):
        _terminal.print_line(f"trtreg: warning: {file}: {op}: {reason}")
    return report.plugins
