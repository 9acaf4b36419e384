"""The whole way of a user: pip and build make isolated environments and take nvcc from PyPI where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trtreg.sdk import wheel

if TYPE_CHECKING:
    from collections.abc import Callable

    from trtreg.sdk.toolchain import Toolchain

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def find_links(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make the wheel of this tree findable for isolated builds."""
    folder = tmp_path_factory.mktemp("links")
    source = tmp_path_factory.mktemp("source") / "trtreg"
    # A copy: setuptools would leave its build folder in the tree.
    shutil.copytree(ROOT / "trtreg", source / "trtreg", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "bin", source / "bin")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip(["wheel", "--no-deps", "--wheel-dir", folder, source])
    return " ".join(filter(None, [os.environ.get("PIP_FIND_LINKS"), str(folder)]))


def pip(arguments: list[object], **environ: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "pip", *map(str, arguments)],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout
    return done


@pytest.fixture
def bare_environ(tmp_path: Path, find_links: str) -> dict[str, str]:
    """An environment of a machine without CUDA."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("g++", "gcc", "as", "ld", "sh"):
        (folder / name).symlink_to(next(Path(p) / name for p in os.get_exec_path() if (Path(p) / name).exists()))
    return {"PATH": str(folder), "CUDA_HOME": "", "PYTHONPATH": "", "PIP_FIND_LINKS": find_links}


def test_nvcc_from_pypi(
    make_project: Callable[..., Path],
    build_wheel: Callable[..., Path],
    bare_environ: dict[str, str],
    tmp_path: Path,
    tools: Toolchain,
) -> None:
    root = make_project()
    done = pip(["wheel", "-v", "--no-deps", "--wheel-dir", tmp_path / "wheels", root], **bare_environ)
    assert "from PyPI" in done.stdout
    assert "compiling native/tiny.cu" in done.stdout
    (made,) = (tmp_path / "wheels").glob("trtplugin_tiny-1.2-py3-none-manylinux_*.whl")

    # The next isolated build is elsewhere and finds everything made.
    again = pip(["wheel", "-v", "--no-deps", "--wheel-dir", tmp_path / "again", root], **bare_environ)
    assert "trtreg: nothing to compile" in again.stdout
    assert "linking" not in again.stdout
    assert (tmp_path / "again" / made.name).read_bytes() == made.read_bytes()

    version = tools.nvcc.version
    if f"nvcc {version} from PyPI" in done.stdout:
        # The same compiler from another place makes the same library.
        name = "trtplugin_tiny/libtrtplugin_tiny.so"
        assert wheel.read(build_wheel(make_project(name="other"))).files[name] == wheel.read(made).files[name]


def test_what_a_user_sees_of_an_error(make_project: Callable[..., Path], find_links: str, tmp_path: Path) -> None:
    root = make_project(files={"native/tiny.cu": "int x = y;\n"})
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path, root],
        env={**os.environ, "PIP_FIND_LINKS": find_links, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    end = done.stderr.partition("and its words are")[2]
    assert 'native/tiny.cu(1): error: identifier "y" is undefined' in end


def test_sdist_and_wheel_by_build(
    make_project: Callable[..., Path], find_links: str, build_wheel: Callable[..., Path]
) -> None:
    pytest.importorskip("build")
    root = make_project()
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", root / "dist", root],
        env={**os.environ, "PIP_FIND_LINKS": find_links, "PYTHONPATH": ""},
        check=True,
        capture_output=True,
    )
    (made,) = (root / "dist").glob("*.whl")
    assert (root / "dist" / "trtplugin_tiny-1.2.tar.gz").is_file()
    assert made.name == build_wheel(root).name
