"""Check plugin wheels and libraries before they are published, and tell everything at once.

Every derived field of the manifest is derived anew and compared. The library is looked at as a file, then loaded into
each TensorRT of this environment by a process of its own. --against and --sm judge for machines that are not here.
Ends with an exit code of its own if there is an error; docs/publisher/check.md lists the rules.

Examples:
  trtreg check dist/
  trtreg check libmy_plugins.so
  trtreg check dist/*.whl --against tensorrt==11.4 --against glibc==2.28 --against python==3.10 --sm 8.6 --sm 12.0
  trtreg check dist/ --strict --sarif check.sarif
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

from trtreg.cli import _terminal
from trtreg.errors import CheckFailedError, SettingError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from trtreg.check import Checked
    from trtreg.check.finding import Finding

__all__ = ["configure_parser", "execute"]


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "paths", metavar="PATH", nargs="+", help="a wheel, a library, or a folder of wheels or of a package"
    )
    parser.add_argument(
        "--against",
        metavar="WHAT==VERSION",
        action="append",
        default=[],
        help="a machine that is not here: tensorrt, tensorrt-rtx, tensorrt-lean, python, glibc, driver or machine; "
        "repeatable",
    )
    parser.add_argument("--sm", action="append", default=[], help="a GPU's compute capability, as 12.0; repeatable")
    parser.add_argument("--init", metavar="FUNCTION", help="what registers the plugins of a library without a manifest")
    parser.add_argument("--ignore", metavar="RULE", action="append", default=[], help="leave a rule out; repeatable")
    parser.add_argument("--strict", action="store_true", help="fail for warnings too")
    parser.add_argument("--no-load", action="store_true", help="run nothing, not even in another process")
    parser.add_argument("--sarif", metavar="FILE", help="write SARIF 2.1.0, for GitHub's code scanning")
    parser.add_argument("--json", action="store_true", help="print JSON (schema: trtreg/schema/check.schema.json)")


def execute(arguments: argparse.Namespace) -> int:
    """Print what was found."""
    from trtreg import check
    from trtreg.check import target

    _require_rules(arguments.ignore)
    targets = target.parse(arguments.against, arguments.sm)
    checked = []
    for one in check.check(
        arguments.paths,
        targets=targets,
        load=not arguments.no_load,
        init=arguments.init,
        ignore=arguments.ignore,
    ):
        checked.append(one)
        if not arguments.json:
            _print(one)
    if arguments.sarif:
        _write_sarif(arguments.sarif, checked)
    failing = sum(one.count("error") + (one.count("warning") if arguments.strict else 0) for one in checked)
    if arguments.json:
        _terminal.print_json(_as_json(checked, arguments, passed=failing == 0))
    else:
        _print_sum(checked, passed=failing == 0)
    return CheckFailedError.exit_code if failing else 0


def _require_rules(ids: Sequence[str]) -> None:
    from trtreg.check.table import RULES

    known = {rule.id for rule in RULES}
    for unknown in (one for one in ids if one not in known):
        raise SettingError("--ignore names no rule", found=unknown, expected="an id, as TRT008")


def _print(one: Checked) -> None:
    verdict = _terminal.bad("fails") if one.count("error") else _terminal.good("passes")
    tried = ", ".join(
        f"{load.flavour.module} {load.version}"
        for plugin in one.package.plugins
        for load in plugin.loads
        if load.status == "loaded"
    )
    print(f"{_plain(one.package.path)}: {verdict}" + (_terminal.dim(f" (loaded into {tried})") if tried else ""))
    for finding in one.findings:
        mark = f"{finding.level:7}"
        if finding.level != "warning":
            mark = _terminal.bad(mark) if finding.level == "error" else _terminal.dim(mark)
        about = f"{finding.where}: " if finding.where else ""
        print(f"  {mark} {finding.rule.id} {_plain(about + finding.message)}")
        for word, text in (("found", finding.found), ("expected", finding.expected)):
            if text:
                print(f"          {word} {_plain(text)}")
        print(f"          remedy: {_plain(finding.remedy)}")
    sys.stdout.flush()


def _plain(text: str) -> str:
    """One line, without what a terminal would take as a command: much of it was written by whoever made the wheel."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+", " ", text)


def _print_sum(checked: Sequence[Checked], *, passed: bool) -> None:
    from trtreg.check.finding import LEVELS

    sums = [(level, sum(one.count(level) for one in checked)) for level in LEVELS]
    counts = ", ".join(f"{count} {level}{'s' * (count != 1)}" for level, count in sums)
    verdict = _terminal.good("passed") if passed else _terminal.bad("failed")
    print(f"{len(checked)} checked, {verdict}: {counts}")


def _write_sarif(path: str, checked: Sequence[Checked]) -> None:
    import json
    from pathlib import Path

    from trtreg import output
    from trtreg.check import sarif

    output.write(Path(path), json.dumps(sarif.document(checked), indent=2).encode())


def _as_json(checked: Sequence[Checked], arguments: argparse.Namespace, *, passed: bool) -> dict[str, Any]:
    return {
        "schema": 1,
        "passed": passed,
        "strict": arguments.strict,
        "against": [*arguments.against],
        "sms": [*arguments.sm],
        "checked": [_one(one) for one in checked],
    }


def _one(one: Checked) -> dict[str, Any]:
    return {
        "path": one.package.path,
        "kind": one.package.kind,
        "package": one.package.wheel.project or None if one.package.wheel else None,
        "version": one.package.wheel.version or None if one.package.wheel else None,
        "libraries": [
            {
                "file": plugin.library.path,
                "sha256": plugin.library.sha256,
                "loads": [
                    {
                        "flavour": load.flavour.value,
                        "version": load.version,
                        "status": load.status,
                        "reason": load.reason,
                    }
                    for load in plugin.loads
                ],
            }
            for plugin in one.package.plugins
            if plugin.library is not None
        ],
        "findings": [_finding(finding) for finding in one.findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule.id,
        "name": finding.rule.name,
        "level": finding.level,
        "where": finding.where,
        "message": finding.message,
        "found": finding.found,
        "expected": finding.expected,
        "remedy": finding.remedy,
    }
