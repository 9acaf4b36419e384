"""The environments with other TensorRTs, which `make test` makes and names in TRTREG_TEST_*."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

__all__ = ["lean_packages", "python_of"]


def python_of(variable: str) -> str:
    """Give the Python that the variable names; without one, skip the test, or fail where all of them should be."""
    python = os.environ.get(variable)
    if not python:
        reason = f"{variable} names no Python with this TensorRT; `make test` makes one"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return python


def lean_packages(variable: str) -> Path:
    """Give the folder of packages of such an environment, for a path of this Python."""
    code = "import sysconfig; print(sysconfig.get_path('platlib'))"
    done = subprocess.run([python_of(variable), "-c", code], capture_output=True, text=True, check=True)
    found = Path(done.stdout.strip())
    if found.parent.name != f"python{sys.version_info[0]}.{sys.version_info[1]}":
        pytest.skip("it is of another Python")
    return found
