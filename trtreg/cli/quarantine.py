"""Show the libraries that are not loaded because their trial ended badly, or have them tried again.

A library that is new here is opened in a process of its own before it is loaded: one that crashes, hangs or ends that
process is put in quarantine, by its hash. `clear` forgets the verdicts: the next load tries the libraries again.

NAME is a package, the path of a library, or the beginning of its SHA-256. Without one, all are meant.

Examples:
  trtreg quarantine list
  trtreg quarantine list --all --json
  trtreg quarantine clear trtplugin-dcnv2
  trtreg quarantine clear
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from trtreg.cli import _terminal

if TYPE_CHECKING:
    import argparse

    from trtreg.trust.verdicts import Verdict

__all__ = ["configure_parser", "execute"]


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("action", choices=("list", "clear"), help="what to do")
    parser.add_argument("name", metavar="NAME", nargs="*", help="which; default: all")
    parser.add_argument("--all", action="store_true", help="with the libraries whose trial went well")
    parser.add_argument("--json", action="store_true", help="print JSON (schema: trtreg/schema/quarantine.schema.json)")


def execute(arguments: argparse.Namespace) -> int:
    """Print the verdicts, or forget them."""
    from trtreg.trust import trial, verdicts

    found = trial.select(verdicts.read_all() if arguments.all else trial.quarantined(), arguments.name)
    if arguments.action == "clear":
        _clear(found)
    if arguments.json:
        _terminal.print_json(
            {"schema": 1, "action": arguments.action, "libraries": [_as_json(verdict) for verdict in found]}
        )
    elif not found:
        _terminal.print_line("Nothing is in quarantine." if not arguments.name else "None of these is in quarantine.")
    elif arguments.action == "clear":
        for verdict in found:
            print(f"{verdict.package} is tried again with {verdict.flavour} {verdict.tensorrt} when it is next loaded")
    else:
        _print(found)
    return 0


def _clear(found: tuple[Verdict, ...]) -> None:
    from trtreg.errors import OutputError
    from trtreg.trust import verdicts

    try:
        verdicts.clear(found)
    except OSError as error:
        raise OutputError(
            f"cannot change {verdicts.folder()}",
            found=error.strerror or str(error),
            remedy="make the folder writable for this user",
        ) from error


def _print(found: tuple[Verdict, ...]) -> None:
    _terminal.print_table(
        ("PACKAGE", "SHA256", "TENSORRT", "TRIED", "VERDICT"),
        [
            (
                verdict.package,
                verdict.sha256[:12],
                f"{verdict.flavour} {verdict.tensorrt}",
                f"{_time(verdict):%Y-%m-%d}, {verdict.seconds:.1f} s",
                verdict.reason or "passed",
            )
            for verdict in found
        ],
    )


def _as_json(verdict: Verdict) -> dict[str, Any]:
    data = asdict(verdict)
    del data["version"]
    return {**data, "init": verdict.init or None, "passed": verdict.passed, "reason": verdict.reason or None,
            "time": f"{_time(verdict):%Y-%m-%dT%H:%M:%SZ}"}  # fmt: skip


def _time(verdict: Verdict) -> datetime:
    return datetime.fromtimestamp(verdict.time, timezone.utc)
