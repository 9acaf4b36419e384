"""Finished libraries as others make them: compiled with NVIDIA's genuine headers, and linked against no TensorRT."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pythons import python_of

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def lean() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run code with a TensorRT-lean, in the environment that `make test` makes, with this tree's trtreg."""

    def run(version: str, code: str, *arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
        python = python_of(f"TRTREG_TEST_LEAN_{version.replace('.', '_')}")
        return subprocess.run(
            [python, "-c", code, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


@pytest.fixture
def data_home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "trtreg" / "libraries"
