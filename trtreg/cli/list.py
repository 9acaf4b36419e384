"""List the installed plugins, and whether they fit this machine.

Examples:
  trtreg list
  trtreg list --json
"""

from __future__ import annotations

import sys

from trtreg.cli import _list_answer, _list_cache

TYPE_CHECKING = False  # `typing` takes longer to import than `trtreg list` may take
if TYPE_CHECKING:
    import argparse

__all__ = ["configure_parser", "execute"]


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--json", action="store_true", help="print JSON (schema: trtreg/schema/list.schema.json)")


def execute(arguments: argparse.Namespace) -> int:
    """Print a table of plugins."""
    return answer(as_json=arguments.json)


def answer(*, as_json: bool, keeping: bool = False) -> int:
    """Do so, and with `keeping` keep the answer for the next time: a program may have changed what no file tells."""
    from trtreg import _json_text, discovery, environment
    from trtreg.cli import _plugins

    begun = _list_answer.begin()
    here = environment.read(scan=begun[1])
    judged = [_plugins.judge(plugin, here) for plugin in discovery.scanned(begun[1])]
    document = _json_text.dumps({"schema": 1, "plugins": [_plugins.as_json(one) for one in judged]})
    rows = [
        (
            one.plugin.distribution,
            one.plugin.version,
            ", ".join(one.ops) or "-",
            one.plugin.manifest.library.file if one.plugin.manifest else "-",
            one.verdict if one.fits else f"no: {one.verdict}",
        )
        for one in judged
    ]
    _list_cache.show(rows, document, as_json=as_json)
    if keeping:
        sys.stdout.flush()
        installed = [one.plugin for one in judged]
        _list_answer.keep(begun, installed, rows, document, has_driver=here.driver is not None)
    return 0
