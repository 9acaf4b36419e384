"""Finished libraries as others make them: compiled with NVIDIA's genuine headers, and linked against no TensorRT."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trtreg import flavour, loader
from trtreg.manifest import CreatorKey

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
#: TensorRT 10.14's headers, in a wheel that happens to carry them; the same cache as of tests/sdk/test_abi_layout.py.
CARRIER = "kernel-lens==2.0.1"
CACHE = ROOT / "build" / "tensorrt-headers"


@pytest.fixture(scope="session")
def headers() -> Path:
    if root := os.environ.get("TENSORRT_ROOT"):
        return Path(root) / "include"
    include = CACHE / "kernel_lens" / "include" / "tensorrt"
    if not include.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(CACHE), CARRIER]
        subprocess.run(command, check=True)
        with zipfile.ZipFile(next(CACHE.glob("*.whl"))) as wheel:
            wheel.extractall(CACHE)
    return include


@pytest.fixture(scope="session")
def compile_foreign(compile_library: Callable[..., Path], headers: Path) -> Callable[..., Path]:
    """Compile tests/native/v2.cpp or v3_static.cpp; `name` is that of its one creator.

    -DSLOT=8 is what a build for TensorRT-RTX 1.7 calls: seen in NVIDIA's own libtensorrt_plugins.so.
    """

    def compile_foreign(source: str, name: str, *flags: str) -> Path:
        return compile_library(source, "-w", f"-I{headers}", f'-DNAME="{name}"', *flags)

    return compile_foreign


@pytest.fixture(scope="session")
def lean() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run code with a TensorRT-lean, in the environment that `make test` makes, with this tree's trtreg."""

    def run(version: str, code: str, *arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
        variable = f"TRTREG_TEST_LEAN_{version.replace('.', '_')}"
        python = os.environ.get(variable)
        if not python:
            reason = f"{variable} names no Python with this TensorRT; `make test` makes one"
            pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
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


@pytest.fixture
def cli(capsys):
    from trtreg.cli import main

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(autouse=True)
def clean():
    yield
    for plugin in loader.loaded():
        loader.unload(plugin)


@pytest.fixture
def registered():
    def registered():
        creators = flavour.load().get_plugin_registry().all_creators
        return {CreatorKey(c.name, c.plugin_version, c.plugin_namespace) for c in creators}

    return registered
