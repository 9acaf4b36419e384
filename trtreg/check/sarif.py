"""Findings as SARIF 2.1.0, which GitHub's code scanning and others show: https://docs.oasis-open.org/sarif/sarif/v2.1.0/."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from trtreg import __version__
from trtreg.check.table import RULES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trtreg.check import Checked
    from trtreg.check.finding import Finding, Rule

__all__ = ["document"]

_SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def document(checked: Sequence[Checked]) -> dict[str, Any]:
    """One run with all rules and all findings; the same findings always give the same document."""
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "trtreg check",
                        "version": __version__,
                        "rules": [_rule(rule) for rule in RULES],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "artifacts": [{"location": {"uri": _uri(one.package.path)}} for one in checked],
                "results": [
                    _result(one, finding, index) for index, one in enumerate(checked) for finding in one.findings
                ],
            }
        ],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": rule.text},
        "fullDescription": {"text": f"{rule.text} {rule.why}"},
        "help": {"text": rule.why},
        "defaultConfiguration": {"level": rule.level},
    }


def _result(checked: Checked, finding: Finding, index: int) -> dict[str, Any]:
    facts = [f"{word} {text}" for word, text in (("found", finding.found), ("expected", finding.expected)) if text]
    text = f"{finding.message}: {', '.join(facts)}" if facts else finding.message
    location: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": _uri(checked.package.path), "index": index},
            "region": {"startLine": 1},  # a wheel has no lines, and GitHub shows no result without one
        }
    }
    if finding.where is not None:
        location["logicalLocations"] = [
            {"fullyQualifiedName": f"{PurePosixPath(checked.package.path).name}/{finding.where}", "kind": "resource"}
        ]
    return {
        "ruleId": finding.rule.id,
        "ruleIndex": RULES.index(finding.rule),
        "level": finding.level,
        "message": {"text": f"{_about(finding)}{text}. Remedy: {finding.remedy}."},
        "locations": [location],
        "partialFingerprints": {"trtregCheck/v1": _fingerprint(checked, finding)},
    }


def _about(finding: Finding) -> str:
    return f"{finding.where}: " if finding.where else ""


def _fingerprint(checked: Checked, finding: Finding) -> str:
    """What stays the same from release to release, so that an alert is recognised."""
    wheel = checked.package.wheel
    name = wheel.project if wheel is not None and wheel.project else PurePosixPath(checked.package.path).name
    words = "\0".join((finding.rule.id, name, finding.where or "", finding.message.partition(":")[0]))
    return hashlib.sha256(words.encode("utf-8", "surrogateescape")).hexdigest()


def _uri(path: str) -> str:
    # Relative ones are below the repository; GitHub goes by that.
    return Path(path).as_uri() if Path(path).is_absolute() else quote(Path(path).as_posix())
