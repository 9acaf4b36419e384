"""Upgrade installed plugins to the newest releases that fit this TensorRT, driver and GPU.

Without names it looks for all; those that no index has are left as they are.

Examples:
  trtreg upgrade
  trtreg upgrade trtplugin-dcnv2 --dry-run
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtreg.cli import _installation

if TYPE_CHECKING:
    import argparse

__all__ = ["configure_parser", "execute"]


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("names", metavar="NAME", nargs="*", help="an installed plugin package (default: all)")
    _installation.add_choice_options(parser)
    _installation.add_output_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Plan, fetch, install."""
    from trtreg import discovery, preferences
    from trtreg.packages import resolve
    from trtreg.packages.wheels import Wheel

    target, installed = _installation.facts()
    wanted = [resolve.wish(text) for text in arguments.names]
    for one in wanted:
        discovery.find(one.project, installed)
    with _installation.Indexes(arguments) as indexes:
        if not wanted:
            every = [resolve.wish(plugin.distribution, "installed") for plugin in installed if not plugin.added]
            wanted = [one for one in every if indexes.releases(one.project)]
        plan = resolve.resolve(
            wanted,
            releases=indexes.releases,
            installed=installed,
            target=target,
            upgrade=True,
            pre=arguments.pre,
            similar=indexes.similar_projects,
            preferences=preferences.read(),
        )
        wheels = [Wheel.of(choice.release, indexes.site(choice.release.project)) for choice in plan.choices]
    outcome = _installation.carry_out(_installation.shown(plan), wheels, arguments, target)
    outcome.show(as_json=arguments.json)
    return 0
