"""The machine that a benchmark without a GPU runs on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

__all__ = ["describe"]


def describe() -> str:
    """Say how many processors of which kind, and the Python: the head of a table of figures."""
    return f"{os.cpu_count()} x {_processor()}, Python {platform.python_version()}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split()[:2])
    return platform.machine()
