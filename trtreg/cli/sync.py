"""Install exactly the plugins of a lock file, verified by their hashes.

What is installed and the same is kept; other plugins are left alone, unless --prune removes them.

Examples:
  trtreg sync pylock.toml
  trtreg sync pylock.toml --prune --dry-run
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from trtreg.cli import _installation, _terminal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from trtreg.discovery import InstalledPlugin
    from trtreg.packages.wheels import Fetched

__all__ = ["configure_parser", "execute"]


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("file", metavar="FILE", nargs="?", default="pylock.toml", help="default: pylock.toml")
    parser.add_argument("--prune", action="store_true", help="uninstall plugins that the lock does not have")
    parser.add_argument("--offline", action="store_true", help="use cached wheels only")
    _installation.add_output_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Fetch every wheel, compare with what is installed, install what differs."""
    from trtreg.packages import admission, install, installer, lock
    from trtreg.trust import policy as policies

    wanted = lock.read(arguments.file)
    policy = policies.read()
    admission.require(wanted, policy)
    target, plugins = _installation.facts()
    publishers = _installation.attested((), wanted, policy, offline=arguments.offline)
    fetched = _installation.fetch(wanted, offline=arguments.offline)
    locked = {wheel.project for wheel in wanted}
    others = (
        sorted({p.distribution for p in plugins if _normalised(p) not in locked and not p.added})
        if arguments.prune
        else []
    )
    admission.require_libraries(fetched, policy)
    install.check(fetched, target.environment, plugins, others)
    actions, differing = _compare(fetched, plugins)
    for action in actions:
        action["attested_by"] = [asdict(publisher) for publisher in publishers.get(action["file"], ())]
    actions += [
        _installation.action("uninstall", plugin.distribution, plugin.version)
        for plugin in plugins
        if plugin.distribution in others
    ]
    found = installer.find()
    further: tuple[str, ...] = ()
    if differing or others:
        found.check_environment()
        if not arguments.dry_run:
            further = install.apply(differing, found, remove=others, on_step=_terminal.print_line)
    outcome = _installation.Outcome(
        actions=actions, dry_run=arguments.dry_run, installer=found.name, requirements=[*further]
    )
    outcome.show(as_json=arguments.json)
    return 0


def _compare(
    fetched: Sequence[Fetched], plugins: Sequence[InstalledPlugin]
) -> tuple[list[dict[str, Any]], list[Fetched]]:
    """The actions, and the wheels to install: all but those whose library is installed already, byte by byte."""
    from packaging.version import Version

    actions, differing = [], []
    for one in fetched:
        wheel = one.wheel
        there = [plugin for plugin in plugins if _normalised(plugin) == wheel.project]
        version = there[0].version if there else None
        kind = "install"
        if version is not None:
            old, new = Version(version), Version(wheel.version)
            kind = "upgrade" if old < new else "downgrade" if old > new else "reinstall"
        if kind == "reinstall" and _is_same(one, there):
            kind = "keep"
        else:
            differing.append(one)
        actions.append(_installation.action(kind, wheel.project, wheel.version, wheel=wheel, replaces=version))
    return actions, differing


def _is_same(fetched: Fetched, plugins: Sequence[InstalledPlugin]) -> bool:
    from trtreg.packages.wheels import sha256

    for plugin in plugins:
        path = plugin.library_path
        if plugin.problem is not None or plugin.manifest not in fetched.manifests or path is None:
            return False
        if sha256(path) != plugin.manifest.library.sha256:
            return False
    return len(plugins) == len(fetched.manifests)


def _normalised(plugin: InstalledPlugin) -> str:
    from trtreg.packages.release import normalised

    return normalised(plugin.distribution)
