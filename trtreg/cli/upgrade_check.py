"""Say what another TensorRT would break: installed plugins, models and engines; and what replaces them.

Nothing is installed or loaded. Replacements come from the cached catalogues of the indexes; --refresh asks the indexes.
Ends with an exit code of its own if something breaks.

Examples:
  trtreg upgrade-check --tensorrt 11.4
  trtreg upgrade-check --tensorrt 11.4 model.onnx model.engine
  trtreg upgrade-check --tensorrt 11.4 --flavour lean --version-compatible model.engine
  trtreg upgrade-check --tensorrt 1.8 --flavour rtx --json
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING

from trtreg.cli import _indexes, _terminal
from trtreg.errors import TensorRTNotFoundError, UpgradeBreaksError

if TYPE_CHECKING:
    import argparse
    from contextlib import AbstractContextManager

    from trtreg.flavour import Flavour
    from trtreg.packages.catalogue import Catalogues
    from trtreg.upgrade import Finding, Target

__all__ = ["configure_parser", "execute"]


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("files", metavar="FILE", nargs="*", help="ONNX models and engines")
    parser.add_argument("--tensorrt", metavar="VERSION", required=True, help="the version to upgrade to, as 11.4")
    parser.add_argument(
        "--flavour",
        choices=("full", "rtx", "lean"),
        help="the kind of TensorRT to upgrade to (default: the one in use)",
    )
    parser.add_argument(
        "--version-compatible", action="store_true", help="the engines were built with the flag VERSION_COMPATIBLE"
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON (schema: trtreg/schema/upgrade-check.schema.json)"
    )
    _indexes.add_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Print what was found."""
    from trtreg.upgrade import Target, check

    target = Target(flavour=_flavour(arguments.flavour), version=arguments.tensorrt)
    with _catalogues(arguments) as catalogues:
        found = check(target, arguments.files, version_compatible=arguments.version_compatible, catalogues=catalogues)
    breaks = any(finding.breaks for finding in found)
    if arguments.json:
        _terminal.print_json(
            {
                "schema": 1,
                "tensorrt": {"flavour": target.flavour.value, "version": target.version},
                "breaks": breaks,
                "findings": [{**asdict(finding), "replacements": [*finding.replacements]} for finding in found],
            }
        )
    else:
        _print(found, target)
    return UpgradeBreaksError.exit_code if breaks else 0


def _flavour(wish: str | None) -> Flavour:
    from trtreg import flavour

    if wish:
        return next(one for one in flavour.FLAVOURS if one.value == wish)
    try:
        return flavour.select().flavour
    except TensorRTNotFoundError:
        return flavour.Flavour.FULL


def _catalogues(arguments: argparse.Namespace) -> AbstractContextManager[Catalogues | None]:
    """The cached catalogues; an index is asked for --refresh only."""
    from trtreg.packages import catalogue, settings

    if arguments.refresh:
        return _indexes.open_catalogues(arguments)
    cached = catalogue.cached(settings.read(arguments.index, no_index=arguments.no_index))
    return nullcontext() if cached is None else cached


def _print(found: tuple[Finding, ...], target: Target) -> None:
    for finding in found:
        mark = _terminal.bad("breaks") if finding.breaks else "warns "
        print(f"{mark}  {finding.kind} {finding.subject} {_sentence(finding)}")
        print(f"        {finding.remedy}")
        for replacement in finding.replacements:
            print(f"        in the indexes: {replacement}")
        if finding.source:
            print(_terminal.dim(f"        see {finding.source}"))
    if not any(finding.breaks for finding in found):
        print(_terminal.good(f"Nothing that was looked at breaks with {target.title}."))


def _sentence(finding: Finding) -> str:
    return f"has {finding.text}" if finding.kind == "model" else finding.text
