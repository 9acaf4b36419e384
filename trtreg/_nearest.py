"""Names that look like one that is not known. Imported where a name is wrong, and not before."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

__all__ = ["key_meant", "nearest", "nearest_ops", "remedy"]

_KEY = 0.5
_NAME = 0.6
_OP = 0.75


def nearest(name: str, known: Iterable[str], *, most: int = 3) -> tuple[str, ...]:
    """Give those of `known` that look like `name`, the nearest first."""
    return tuple(get_close_matches(name, list(known), n=most, cutoff=_NAME))


def nearest_ops(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Give the nearest names of ops, whatever their case: short names, which have to be nearer than others."""
    folded = {op.lower(): op for op in sorted(known, reverse=True)}
    return tuple(folded[match] for match in get_close_matches(name.lower(), folded, n=3, cutoff=_OP))


def key_meant(key: str, known: Iterable[str], *, prefix: str = "") -> str | None:
    """Give the remedy for an unknown key of a file; `prefix` is the path to it."""
    near = get_close_matches(key, list(known), n=1, cutoff=_KEY)
    return f"did you mean '{prefix}{near[0]}'?" if near else None


def remedy(near: Collection[str], *, otherwise: str = "see `trtreg list`") -> str:
    """Ask whether one of the names that are near was meant; where there is none, say something else."""
    return f"did you mean {' or '.join(near)}?" if near else otherwise
