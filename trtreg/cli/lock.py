"""Write a lock file of plugins: a pylock.toml with the exact wheels and their hashes.

Without names it holds what is installed; with names or --for what `trtreg install` would leave. The file is as PEP 751
has it: `trtreg sync`, uv and other tools install from it. It holds no other packages than plugins.

Examples:
  trtreg lock
  trtreg lock trtplugin-dcnv2 -o pylock.plugins.toml
  trtreg lock --for model.onnx
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtreg.cli import _installation, _terminal
from trtreg.errors import LockFileError

if TYPE_CHECKING:
    import argparse

    from trtreg.packages.resolve import Plan, Wanted

__all__ = ["configure_parser", "execute"]


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("names", metavar="NAME", nargs="*", help="a plugin package, as NAME, NAME==1.2 or 'NAME>=1'")
    _installation.add_model_options(parser)
    parser.add_argument("-o", "--output", metavar="FILE", default="pylock.toml", help="default: pylock.toml")
    parser.add_argument("--upgrade", action="store_true", help="lock newer releases than what is installed")
    parser.add_argument("--json", action="store_true", help="print JSON (schema: trtreg/schema/lock.schema.json)")
    _installation.add_choice_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Plan, and write it down."""
    from trtreg import output, preferences
    from trtreg.packages import admission, lock, resolve
    from trtreg.packages.wheels import Wheel
    from trtreg.trust import policy as policies

    lock.check_name(arguments.output)
    output.check_writable(arguments.output)
    target, installed = _installation.facts()
    with _installation.Indexes(arguments) as indexes:
        wanted = [resolve.wish(text) for text in arguments.names]
        preferred = [*arguments.prefer, *(one.project for one in wanted)]
        reports, more = _installation.of_models(arguments.models, indexes, target, installed, preferred)
        used = [plugin for report in reports for plugin in report.plugins]
        if not wanted and not arguments.models:
            used = [*installed]
        wanted += [*more, *(resolve.wish(plugin.distribution, "installed") for plugin in used if not plugin.added)]
        plan = resolve.resolve(
            wanted,
            releases=indexes.releases,
            installed=installed,
            target=target,
            upgrade=arguments.upgrade,
            pre=arguments.pre,
            similar=indexes.similar_projects,
            preferences=preferences.read(),
        )
        # An installed plugin stands in the lock as the release that it came from.
        pinned = resolve.resolve(
            _pins(plan),
            releases=indexes.releases,
            installed=(),
            target=target,
            similar=indexes.similar_projects,
            preferences=preferences.read(),
        )
        releases = [choice.release for choice in pinned.choices]
        if not releases:
            raise LockFileError("There is nothing to lock", found="no plugin", remedy="name packages, or install some")
        sites = {release.project: site for release in releases if (site := indexes.site(release.project))}
        wheels = [Wheel.of(release, sites.get(release.project)) for release in releases]
        policy = policies.read()
        admission.require(wheels, policy)
        packages = [_installation.chosen(choice) for choice in pinned.choices]
        publishers = _installation.attested(packages, wheels, policy, offline=arguments.offline)
        lock.write(arguments.output, releases, target, sites, publishers)
    if arguments.json:
        _terminal.print_json({"schema": 1, "file": arguments.output, "packages": packages})
        return 0
    for choice, package in zip(pinned.choices, packages, strict=True):
        print(f"{choice.release.project} {choice.release.version} from {choice.release.index}")
        for publisher in package["attested_by"]:
            print(f"  attested by {_installation.attester(publisher)}")
        for note in choice.notes:
            print(f"  note: {note}")
    print(f"wrote {arguments.output}")
    return 0


def _pins(plan: Plan) -> list[Wanted]:
    from trtreg.packages import resolve

    pairs = [(choice.release.project, choice.release.version) for choice in plan.choices]
    pairs += [(kept.project, kept.version) for kept in plan.kept]
    return [resolve.wish(f"{project}=={version}", "locked") for project, version in pairs]
