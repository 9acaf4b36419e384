"""Print a completion script for a shell.

Examples:
  trtreg completion bash > ~/.local/share/bash-completion/completions/trtreg
  trtreg completion zsh > ~/.zfunc/_trtreg
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtreg.errors import MissingExtraError

if TYPE_CHECKING:
    import argparse

__all__ = ["configure_parser", "execute"]


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "tcsh"), help="bash, zsh or tcsh")


def execute(arguments: argparse.Namespace) -> int:
    """Print the script."""
    try:
        import shtab
    except ModuleNotFoundError as e:
        raise MissingExtraError(
            "completion needs the package shtab", remedy="run: pip install 'trtreg[completion]'"
        ) from e
    from trtreg.cli._parser import make_parser

    print(shtab.complete(make_parser(), shell=arguments.shell))
    return 0
