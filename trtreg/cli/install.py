"""Install the newest plugins that fit this TensorRT, driver and GPU, by name or for a model.

Wheels are fetched from the configured indexes, verified, and installed by uv where it manages this environment, else by
pip. What they require besides comes from the installer's own indexes. Newer releases that do not fit are explained.

Examples:
  trtreg install trtplugin-dcnv2
  trtreg install 'trtplugin-dcnv2>=0.1' --dry-run
  trtreg install --for model.onnx
  trtreg install --for model.onnx --prefer trtplugin-dcnv2 --index https://plugins.example.com/trt/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtreg.cli import _installation
from trtreg.errors import SettingError

if TYPE_CHECKING:
    import argparse

__all__ = ["configure_parser", "execute"]


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("names", metavar="NAME", nargs="*", help="a plugin package, as NAME, NAME==1.2 or 'NAME>=1'")
    _installation.add_model_options(parser)
    parser.add_argument("--upgrade", action="store_true", help="replace what is installed if there is something newer")
    _installation.add_choice_options(parser)
    _installation.add_output_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Plan, fetch, install."""
    from trtreg import preferences
    from trtreg.packages import resolve
    from trtreg.packages.wheels import Wheel

    if not arguments.names and not arguments.models:
        raise SettingError("Nothing is asked for", expected="names of packages, or --for MODEL")
    wanted = [resolve.wish(text) for text in arguments.names]
    target, installed = _installation.facts()
    with _installation.Indexes(arguments) as indexes:
        preferred = [*arguments.prefer, *(one.project for one in wanted)]
        _, more = _installation.of_models(arguments.models, indexes, target, installed, preferred)
        plan = resolve.resolve(
            [*wanted, *more],
            releases=indexes.releases,
            installed=installed,
            target=target,
            upgrade=arguments.upgrade,
            pre=arguments.pre,
            similar=indexes.similar_projects,
            preferences=preferences.read(),
        )
        wheels = [Wheel.of(choice.release, indexes.site(choice.release.project)) for choice in plan.choices]
    outcome = _installation.carry_out(_installation.shown(plan), wheels, arguments, target)
    outcome.show(as_json=arguments.json)
    return 0
