"""The index: a tree of static files that pip, uv and trtreg install from. `Publisher` makes and changes one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trtreg.index.audit import Problem, check
    from trtreg.index.site import Publisher, Report

__all__ = ["Problem", "Publisher", "Report", "check"]


def __getattr__(name: str) -> object:
    """Import on demand: a process that only reads wheels needs neither pages nor templates."""
    if name in {"Publisher", "Report"}:
        from trtreg.index import site

        return getattr(site, name)
    if name in {"Problem", "check"}:
        from trtreg.index import audit

        return getattr(audit, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
