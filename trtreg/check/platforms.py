"""What a platform tag promises, by auditwheel's own table: https://peps.python.org/pep-0600/."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from trtreg.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["floor", "policy"]

_LEGACY: Final = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}


def floor(tags: Iterable[str]) -> tuple[int, int] | None:
    """The oldest glibc that one of the tags (python-abi-platform) promises; None where none names a glibc."""
    found = []
    for tag in tags:
        platform = tag.rpartition("-")[2]
        match = re.match(r"manylinux_(\d+)_(\d+)_", platform)
        if match:
            found.append((int(match[1]), int(match[2])))
        elif (legacy := platform.partition("_")[0]) in _LEGACY:
            found.append(_LEGACY[legacy])
    return min(found, default=None)


def policy(glibc: tuple[int, int] | None, machine: str) -> tuple[frozenset[str], dict[str, frozenset[str]]]:
    """The libraries of every Linux with this glibc, and the versions of their symbols by prefix.

    Without a glibc it is the newest that auditwheel knows. Raises MissingExtraError.
    """
    fitting = [entry for entry in _table() if glibc is None or _number(entry) <= glibc]
    best = max(fitting, key=_number, default=None)
    if best is None:
        return frozenset(), {}
    versions = best["symbol_versions"].get(machine, {})
    return frozenset(best["lib_whitelist"]), {prefix: frozenset(some) for prefix, some in versions.items()}


def _table() -> list[dict[str, Any]]:
    from importlib.resources import files

    try:
        # Its table and not its functions, whose arguments change from release to release.
        text = files("auditwheel.policy").joinpath("manylinux-policy.json").read_text(encoding="utf-8")
    except (ImportError, OSError) as error:
        raise MissingExtraError(
            "auditwheel knows which libraries every Linux has, and is not installed",
            found=str(error),
            remedy="pip install 'trtreg[check]'",
        ) from error
    return [entry for entry in json.loads(text) if _number(entry) > (0, 0)]


def _number(entry: dict[str, Any]) -> tuple[int, int]:
    match = re.fullmatch(r"manylinux_(\d+)_(\d+)", entry["name"])
    return (int(match[1]), int(match[2])) if match else (0, 0)
