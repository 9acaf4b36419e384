"""Publish an index: static files from which pip, uv and trtreg install.

Examples:
  trtreg index build build/wheels -o site        add the wheels that are new
  trtreg index build -o site                     finish what a crash has broken off
  trtreg index yank trtplugin-dcnv2 0.1.0 -o site --reason "wrong results on SM 7.5"
  trtreg index unyank trtplugin-dcnv2 0.1.0 -o site
  trtreg index remove trtplugin-dcnv2 0.1.0 -o site
  trtreg index status trtplugin-dcnv2 deprecated -o site --reason "see trtplugin-dcnv4"
  trtreg index check site
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from trtreg.cli import _terminal
from trtreg.errors import IndexDamagedError, WheelsRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trtreg.index.audit import Problem
    from trtreg.index.site import OnProgress, Publisher, Report

__all__ = ["configure_parser", "execute"]

_STATUSES = ("active", "archived", "quarantined", "deprecated")
_SHOWN = 10


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    build = _add(actions, "build", _build, "add the wheels that are new, and write the pages that change")
    build.add_argument("wheels", nargs="*", metavar="WHEELS", help="wheels, or folders of them")
    build.add_argument(
        "--packages-url",
        metavar="URL",
        help="leave the wheels where they are, and link to URL/FILE; without core metadata. Kept for later builds",
    )
    build.add_argument("--config", metavar="FILE", help="TOML with the page's title and sizes. Kept for later builds")
    build.add_argument(
        "--trusted-root",
        metavar="FILE",
        help="verify attestations by these keys instead of the public Sigstore's",
    )
    build.add_argument("--anew", action="store_true", help="make every page anew, as after a failed check")
    check = _add(actions, "check", _check, "verify every file of the site")
    check.add_argument("--quick", action="store_true", help="compare the sizes of wheels, not their hashes")
    yank = _add_release(actions, "yank", _yank, "withdraw a release: installed only where asked for exactly")
    yank.add_argument("--reason", default="", help="shown by installers")
    _add_release(actions, "unyank", _unyank, "take a withdrawal back")
    _add_release(actions, "remove", _remove, "delete a release from the site")
    status = _add(actions, "status", _status, "mark a project (PEP 792)", "NAME")
    status.add_argument("status", choices=_STATUSES)
    status.add_argument("--reason", default="", help="shown on the project's pages")


def execute(arguments: argparse.Namespace) -> int:
    """Run the subcommand."""
    action: Callable[[argparse.Namespace], int] = arguments.action
    return action(arguments)


def _add(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    action: Callable[[argparse.Namespace], int],
    help_text: str,
    *positionals: str,
) -> argparse.ArgumentParser:
    lines = [line for line in (__doc__ or "").splitlines() if f" index {name} " in line]
    parser = actions.add_parser(
        name,
        help=help_text,
        description=f"{help_text[0].upper()}{help_text[1:]}.",
        epilog="\n".join(["Examples:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for positional in positionals:
        parser.add_argument(positional.lower(), metavar=positional)
    if name == "check":
        parser.add_argument("site", metavar="SITE", help="the folder of the index")
    else:
        parser.add_argument(
            "-o", "--output", dest="site", metavar="SITE", required=True, help="the folder of the index"
        )
    parser.add_argument("--json", action="store_true", help="print JSON (schema: trtreg/schema/index.schema.json)")
    parser.add_argument("-q", "--quiet", action="store_true", help="show no progress")
    parser.set_defaults(action=action, action_name=name)
    return parser


def _add_release(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    action: Callable[[argparse.Namespace], int],
    help_text: str,
) -> argparse.ArgumentParser:
    parser = _add(actions, name, action, help_text, "NAME")
    parser.add_argument("version", metavar="VERSION", help="a version, or the file name of one of its wheels")
    return parser


def _build(arguments: argparse.Namespace) -> int:
    report = _publisher(arguments).build(
        arguments.wheels,
        packages_url=arguments.packages_url,
        anew=arguments.anew,
        processes=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
    )
    return _print(arguments, report)


def _yank(arguments: argparse.Namespace) -> int:
    return _print(arguments, _publisher(arguments).yank(arguments.name, arguments.version, arguments.reason))


def _unyank(arguments: argparse.Namespace) -> int:
    return _print(arguments, _publisher(arguments).unyank(arguments.name, arguments.version))


def _remove(arguments: argparse.Namespace) -> int:
    code = _print(arguments, _publisher(arguments).remove(arguments.name, arguments.version))
    _terminal.print_line("If the wheels still lie in a folder that you build from, the next build adds them again.")
    return code


def _status(arguments: argparse.Namespace) -> int:
    return _print(arguments, _publisher(arguments).set_status(arguments.name, arguments.status, arguments.reason))


def _check(arguments: argparse.Namespace) -> int:
    from trtreg.index import Report, check

    problems = [*check(arguments.site, quick=arguments.quick, on_progress=_on_progress(arguments))]
    return _print(arguments, Report(), problems)


def _publisher(arguments: argparse.Namespace) -> Publisher:
    from trtreg.index import Publisher, page_config

    config = page_config.read(arguments.config) if getattr(arguments, "config", None) else None
    trusted_root = getattr(arguments, "trusted_root", None)
    return Publisher(arguments.site, config=config, trusted_root=trusted_root, on_progress=_on_progress(arguments))


def _on_progress(arguments: argparse.Namespace) -> OnProgress | None:
    """Count on one line of a terminal; elsewhere the summary at the end is enough."""
    if arguments.quiet or not sys.stderr.isatty():
        return None

    def on_progress(phase: str, done: int, total: int) -> None:
        end = "\n" if done == total else ""
        print(f"\r{phase}: {done} of {total}", end=end, file=sys.stderr, flush=True)

    return on_progress


def _print(arguments: argparse.Namespace, report: Report, problems: Sequence[Problem] = ()) -> int:
    if arguments.json:
        _terminal.print_json(
            {
                "schema": 1,
                "command": arguments.action_name,
                "site": os.path.abspath(arguments.site),  # noqa: PTH100 - a link to the site stays one
                "added": report.added,
                "added_count": report.added_count,
                "removed": report.removed,
                "attested": report.attested,
                "unchanged": report.unchanged,
                "refused": [one._asdict() for one in report.refused],
                "projects": report.projects,
                "written": report.written,
                "recovered": report.recovered,
                "problems": [one._asdict() for one in problems],
            }
        )
    else:
        _print_text(arguments, report, problems)
    if problems:
        raise IndexDamagedError(
            f"{arguments.site} is not what its ledger says",
            found=f"{len(problems)} problem{'s' if len(problems) > 1 else ''}",
            remedy="pages are made again by `trtreg index build --anew -o SITE`; a wheel has to be removed and added",
        )
    if report.refused:
        several = len(report.refused) > 1
        raise WheelsRefusedError(
            f"{len(report.refused)} {'wheels were' if several else 'wheel was'} refused; the rest is published",
            remedy="each is named above with its reason; a refused wheel that should not be published can be deleted",
        )
    return 0


def _print_text(arguments: argparse.Namespace, report: Report, problems: Sequence[Problem]) -> None:
    if report.recovered:
        _terminal.print_line("An earlier command had been broken off; what it had begun was finished or undone first.")
    for sign, files, count in (
        ("+", report.added, report.added_count),
        ("-", report.removed, len(report.removed)),
    ):
        for file in files[:_SHOWN]:
            print(f"{sign} {file}")
        if count > _SHOWN:
            print(f"{sign} and {count - _SHOWN} more")
    if report.attested:
        print(f"Attestations verified and offered: {len(report.attested)}")
    for path, reason in report.refused:
        _terminal.print_line(f"{_plain(path)} is refused: {_plain(reason)}")
    for path, problem in problems:
        print(f"{_plain(path)} {problem}")
    if arguments.action_name != "check":
        _terminal.print_line(
            f"{arguments.site}: {report.projects} projects changed, {report.written} files written"
            + (f", {report.unchanged} wheels as before" if report.unchanged else "")
        )
    elif not problems:
        print(f"{arguments.site} is as its ledger says.")


def _plain(text: str) -> str:
    """Show hostile names without their control characters."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
