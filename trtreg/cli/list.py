"""List the installed plugins, and whether they fit this machine.

Examples:
  trtreg list
  trtreg list --json
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtreg.cli import _terminal

if TYPE_CHECKING:
    import argparse

__all__ = ["configure_parser", "execute"]


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--json", action="store_true", help="print JSON (schema: trtreg/schema/list.schema.json)")


def execute(arguments: argparse.Namespace) -> int:
    """Print a table of plugins."""
    from trtreg.cli import _plugins

    judged = _plugins.judge_all()
    if arguments.json:
        _terminal.print_json({"schema": 1, "plugins": [_plugins.as_json(one) for one in judged]})
        return 0
    if not judged:
        _terminal.print_line("No plugins are installed. Installing one is enough, as: trtreg install trtplugin-dcnv2")
        return 0
    _terminal.print_table(
        ("PACKAGE", "VERSION", "OPS", "LIBRARY", "FITS"),
        [
            (
                one.plugin.distribution,
                one.plugin.version,
                ", ".join(one.ops) or "-",
                one.plugin.library_path.name if one.plugin.library_path else "-",
                one.verdict if one.fits else f"no: {one.verdict}",
            )
            for one in judged
        ],
    )
    return 0
