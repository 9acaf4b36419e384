"""What another TensorRT would break: installed plugins, models, engines; and what replaces them."""

from __future__ import annotations

from trtreg.upgrade.check import check
from trtreg.upgrade.finding import Finding, Target

__all__ = ["Finding", "Target", "check"]
