"""Uninstall plugins; what is no plugin is refused.

Examples:
  trtreg uninstall trtplugin-dcnv2
  trtreg uninstall trtplugin-dcnv2 --dry-run
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtreg.cli import _installation

if TYPE_CHECKING:
    import argparse

__all__ = ["configure_parser", "execute"]


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("names", metavar="NAME", nargs="+", help="an installed plugin package")
    _installation.add_output_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Uninstall."""
    from trtreg import discovery
    from trtreg.packages import install, installer

    plugins = {plugin.distribution: plugin for plugin in map(discovery.find, arguments.names)}
    found = installer.find()
    if not arguments.dry_run:
        install.uninstall([*plugins], found)
    actions = [_installation.action("uninstall", name, plugin.version) for name, plugin in sorted(plugins.items())]
    outcome = _installation.Outcome(actions=actions, dry_run=arguments.dry_run, installer=found.name)
    outcome.show(as_json=arguments.json)
    return 0
