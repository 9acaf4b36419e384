"""Tiny plugin projects, made for the tests and built by the real compilers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trtreg.sdk import compile as compiling
from trtreg.sdk import project, toolchain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).resolve().parents[2]

# The three functions by hand: the author's headers take seconds to compile. The file-local kernel is what nvcc names
# after the place and the process of the build, and __FILE__ would give that place away too.
TINY = r"""
#include <cuda_runtime.h>
#include "trtreg/face.h"
#include "tiny.h"
namespace { __global__ void scale(float* x, int size) { if (threadIdx.x < size) x[threadIdx.x] *= FACTOR; } }
namespace { struct Helper { int operator()(float* x) const { scale<<<1, 32>>>(x, 1); return cudaGetLastError(); } }; }
static char const* describe() {
  return R"({"face_abi": 1, "sdk": "0.1.0", "cuda": "13.0", "creators": [{"name": "Tiny", "version": "1",
             "namespace": "", "inputs": [1, 1], "outputs": [1, 1], "fields": [
             {"name": "factor", "type": "float32", "length": 1, "default": [2.5]}]}]})";
}
static char const* last_error() { return __FILE__; }
#define EXPORT extern "C" __attribute__((visibility("default")))
EXPORT void* getCreators(int32_t& count) { count = 0; return nullptr; }
EXPORT void setLoggerFinder(void* x) { Helper()(static_cast<float*>(x)); }
EXPORT trtreg_face const* trtreg_get_face(uint32_t) {
  static trtreg_face const face{1, sizeof(trtreg_face), describe, last_error, {}, {}, {}, {}, {}};
  return &face;
}
"""

PYPROJECT = """
[build-system]
requires = ["trtreg[build]"]
build-backend = "trtreg.sdk.build"
[project]
name = "trtplugin-tiny"
version = "1.2"
description = "A plugin for tests"
readme = "README.md"
dependencies = ["trtreg"]
[tool.trtreg]
"""


@pytest.fixture(autouse=True)
def one_arch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile for one architecture, which is quick."""
    monkeypatch.setenv("TRTREG_CUDA_ARCHS", "90")
    for name in ("SOURCE_DATE_EPOCH", "CXX", "NVCC_APPEND_FLAGS", "NVCC_PREPEND_FLAGS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def tools() -> toolchain.Toolchain:
    """Find the compilers of this machine."""
    return toolchain.find()


@pytest.fixture
def foreign_library(tmp_path: Path, tools: toolchain.Toolchain) -> Path:
    """Make a shared library that no other machine has."""
    library = tmp_path / "foreign" / "libforeign.so"
    library.parent.mkdir()
    command = [tools.cxx.path, "-shared", "-fPIC", "-x", "c++", "-", "-Wl,-soname,libforeign.so", "-o", library]
    subprocess.run(command, input="int foreign() { return 1; }", text=True, check=True)
    return library


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[..., Path]:
    """Write a plugin project: `settings` go under [tool.trtreg], `files` (path: text) are added or replaced."""

    def make_project(settings: str = "", files: Mapping[str, str] | None = None, name: str = "project") -> Path:
        root = tmp_path / name
        content = {
            "pyproject.toml": PYPROJECT + settings,
            "README.md": "# Tiny\n",
            "native/tiny.cu": TINY,
            "native/tiny.h": "#define FACTOR 2\n",
            "trtplugin_tiny/__init__.py": '"""Tiny."""\n',
            **(files or {}),
        }
        for path, text in content.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        return root

    return make_project


@pytest.fixture
def compile_project(tools: toolchain.Toolchain) -> Callable[..., tuple[Path, list[str]]]:
    """Compile a project; give the library and what was compiled and linked for it."""

    def compile_project(root: Path, **options: bool) -> tuple[Path, list[str]]:
        lines: list[str] = []
        library = compiling.build(project.read(root), tools, report=lines.append, **options)
        steps = [line.partition("] ")[2] or line for line in lines if "compiling " in line or "linking " in line]
        return library, [" ".join(step.split()[:2]) for step in steps]

    return compile_project


@pytest.fixture
def run_hook() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Call a hook of the backend as a frontend does: in a child process, in the project's folder."""

    def run_hook(root: Path, hook: str, *arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
        code = "import sys; from trtreg.sdk import build; print(getattr(build, sys.argv[1])(*sys.argv[2:]))"
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        return subprocess.run(
            # setuptools informs of what an editable install is by a warning.
            [
                sys.executable,
                "-W",
                "error",
                "-W",
                "ignore:Editable installation",
                "-c",
                code,
                hook,
                *map(str, arguments),
            ],
            cwd=root,
            env={**os.environ, "PYTHONPATH": path, **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return run_hook


@pytest.fixture
def build_wheel(run_hook: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> Callable[..., Path]:
    """Build the wheel of a project."""

    def build_wheel(root: Path, **environ: str) -> Path:
        folder = tmp_path / f"wheels-{len(list(tmp_path.glob('wheels-*')))}"
        done = run_hook(root, "build_wheel", folder, **environ)
        assert done.returncode == 0, done.stdout + done.stderr
        return folder / done.stdout.splitlines()[-1]

    return build_wheel
