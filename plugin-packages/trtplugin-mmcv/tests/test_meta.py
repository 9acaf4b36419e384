"""The meta package: it names the packages here that have MMCV's and MMDeploy's operators, and no others."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
OPS = {
    # MMCV 1.7
    "MMCVRoiAlign", "ScatterND", "NonMaxSuppression", "MMCVDeformConv2d", "grid_sampler", "cummax", "cummin",
    "MMCVInstanceNormalization", "MMCVModulatedDeformConv2d", "MMCVCornerPool",
    # MMDeploy, beyond these
    "MMCVMultiLevelRoiAlign", "TRTBatchedNMS", "TRTBicubicInterpolate", "DynamicTRTResize",
}  # fmt: skip
BESIDE = {"trtplugin-ms-deform-attn"}  # MMDeploy's attention has other tensors than TensorRT's, so another name


def ops_of(package: Path) -> set[str]:
    """What its sources register."""
    texts = [path.read_text(encoding="utf-8") for path in (package / "native").rglob("*") if path.is_file()]
    return {name for text in texts for name in re.findall(r'char const\* name = "(\w+)"', text)}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        found: dict[str, Any] = tomllib.load(file)["project"]
    return found


def test_it_depends_on_the_packages_with_these_ops_and_no_others(project: dict[str, Any]) -> None:
    have = {path.parent.name: ops_of(path.parent) for path in ROOT.parent.glob("*/pyproject.toml")}
    assert {op for ops in have.values() for op in ops} >= OPS
    wanted = {name for name, ops in have.items() if ops & OPS} | BESIDE
    assert {each.partition(">=")[0] for each in project["dependencies"]} == wanted


def test_the_extra_is_theirs(project: dict[str, Any]) -> None:
    extra = project["optional-dependencies"]["torch"]
    assert [each.replace("[torch]", "") for each in extra] == project["dependencies"]
    assert all("[torch]" in each for each in extra)


def test_the_page_names_each_package_and_op(project: dict[str, Any]) -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [
        each for each in project["dependencies"] if f"({'../' + each.partition('>=')[0]}/README.md)" not in page
    ] == []
    assert [op for op in OPS if f"`{op}`" not in page] == []


def test_the_wheel_has_nothing_but_its_metadata(tmp_path: Path) -> None:
    if int(version("setuptools").partition(".")[0]) < 77:  # asked without importing it: it would replace distutils
        pytest.skip("setuptools is too old for the project's licence")
    build = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    for name in ("pyproject.toml", "README.md"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([sys.executable, "-c", build], check=True, capture_output=True, cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert wheel.name == "trtplugin_mmcv-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        assert all(".dist-info/" in name for name in archive.namelist())
