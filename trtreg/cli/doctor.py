"""Examine this machine: TensorRT, driver, GPUs, compiler and plugins, with a remedy for each problem.

Ends with an exit code of its own if there is a problem.

Examples:
  trtreg doctor
  TRTREG_TENSORRT=lean trtreg doctor
  trtreg doctor --json
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtreg.cli import _terminal
from trtreg.errors import ProblemsFoundError

if TYPE_CHECKING:
    import argparse

    from trtreg.cli._examination import Examination

__all__ = ["configure_parser", "execute"]


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--json", action="store_true", help="print JSON (schema: trtreg/schema/doctor.schema.json)")


def execute(arguments: argparse.Namespace) -> int:
    """Print what was found, and what to mend."""
    from trtreg.cli import _examination

    found = _examination.examine()
    if arguments.json:
        _terminal.print_json(_examination.as_json(found))
    else:
        _print(found)
    return ProblemsFoundError.exit_code if found.problems else 0


def _print(found: Examination) -> None:
    width = max(len(fact.name) for fact in found.facts)
    for fact in found.facts:
        print(f"{fact.name:{width}}  {fact.value}")
    print()
    for problem in found.problems:
        print(f"{_terminal.bad('problem')}: {problem.text}")
        if problem.remedy:
            print(f"  remedy: {problem.remedy}")
    if not found.problems:
        print(_terminal.good("No problems found."))
