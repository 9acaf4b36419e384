from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from trtreg.errors import ProjectError, SettingError
from trtreg.sdk import project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_defaults(make_project: Callable[..., Path]) -> None:
    root = make_project(files={"native/deep/more.cuh": "", "native/second.cpp": "", "native/notes.txt": ""})
    plugin = project.read(root, {})
    assert plugin.package == "trtplugin_tiny"
    assert plugin.library_name == "libtrtplugin_tiny.so"
    assert [path.as_posix() for path in plugin.sources] == ["native/second.cpp", "native/tiny.cu"]
    assert [path.as_posix() for path in plugin.headers()] == ["native/deep/more.cuh", "native/tiny.h"]
    assert [arch.number for arch in plugin.targets.sms] == [75, 80, 86, 89, 90, 100, 120]
    assert plugin.tensorrt == {"full": ">=10.0", "lean": ">=10.0", "rtx": ">=1.7"}


def test_settings(make_project: Callable[..., Path]) -> None:
    settings = """
    sources = ["csrc/*.cu"]
    package = "acme.tiny"
    archs = [86, "9.0a", "75+PTX"]
    tensorrt = { rtx = ">=1.7,<2" }
    include-dirs = ["csrc"]
    library-dirs = ["csrc"]
    libraries = ["z"]
    nvcc-flags = ["-lineinfo"]
    cxx-flags = ["-g0"]
    """
    plugin = project.read(make_project(settings, {"csrc/a.cu": "", "src/acme/tiny/__init__.py": ""}), {})
    assert [path.as_posix() for path in plugin.sources] == ["csrc/a.cu"]
    assert plugin.package_dir == plugin.root / "src" / "acme" / "tiny"
    assert plugin.library_name == "libacme_tiny.so"
    assert [arch.plain for arch in plugin.targets.sms] == ["75", "86", "90a"]
    assert [arch.plain for arch in plugin.targets.ptx] == ["75"]
    assert plugin.tensorrt == {"rtx": ">=1.7,<2"}
    assert plugin.library_dirs == (plugin.root / "csrc",)
    assert (plugin.libraries, plugin.nvcc_flags, plugin.cxx_flags) == (("z",), ("-lineinfo",), ("-g0",))


@pytest.mark.parametrize(
    ("value", "sms"),
    [
        ("86;90", ["86", "90"]),
        ("86,90", ["86", "90"]),
        (" 8.6 9.0a ", ["86", "90a"]),
        ("86;90;", ["86", "90"]),
        (";", None),
        ("x", None),
    ],
)
def test_environment_overrides_architectures(
    make_project: Callable[..., Path], value: str, sms: list[str] | None
) -> None:
    root = make_project("archs = [75]")
    if sms is None:
        with pytest.raises(SettingError, match="TRTREG_CUDA_ARCHS"):
            project.read(root, {"TRTREG_CUDA_ARCHS": value})
    else:
        found = project.read(root, {"TRTREG_CUDA_ARCHS": value}).targets.sms
        assert [arch.plain for arch in found] == sms


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("source = []", "unknown key 'tool.trtreg.source': expected one of .*did you mean 'sources'"),
        ("Archs = [1]", "unknown key 'tool.trtreg.Archs'.*did you mean 'archs'"),
        ("zzz = 1", "unknown key 'tool.trtreg.zzz': expected one of [^?]*$"),
        ("sources = 'native/*.cu'", "in 'tool.trtreg.sources': found string .*expected an array of strings"),
        ("sources = ['native/*.cu', 3]", r"in 'tool.trtreg.sources\[1\]': found integer 3, expected a string"),
        ("sources = ['nowhere/*.cu']", r"'tool.trtreg.sources\[0\]': found string 'nowhere/\*.cu'.*some file matches"),
        ("sources = ['../project/native/tiny.cu']", "a path inside of the project"),
        ("sources = ['/etc/*']", "a path inside of the project"),
        ("sources = ['native/tiny.h']", r"files that end in \.cc, \.cpp, \.cu, \.cxx"),
        ("sources = []", "'tool.trtreg.sources' gives no source"),
        ("package = 'no-identifier'", "'tool.trtreg.package': found string 'no-identifier'"),
        ("package = 'elsewhere'", "'tool.trtreg.package' names no import package.*elsewhere/__init__.py"),
        ("package = 1", "'tool.trtreg.package': found integer 1, expected a string"),
        ("archs = 86", "'tool.trtreg.archs': found integer 86, expected an array"),
        ("archs = []", r"'tool.trtreg.archs': found array \[\], expected an array of GPU"),
        ("archs = [true]", r"'tool.trtreg.archs\[0\]': found boolean True"),
        ("archs = [8.6]", r"'tool.trtreg.archs\[0\]': found float 8.6"),
        ("archs = ['ninety']", "'tool.trtreg.archs' has no GPU architecture: found 'ninety'"),
        ("tensorrt = '>=10'", "'tool.trtreg.tensorrt': found string '>=10', expected a table"),
        ("tensorrt = { rtxx = '>=1' }", "unknown key 'tool.trtreg.tensorrt.rtxx'.*did you mean 'rtx'"),
        ("tensorrt = { rtx = 'newest' }", "'tool.trtreg.tensorrt.rtx': found string 'newest', expected a version"),
        ("tensorrt = { rtx = 1.7 }", "'tool.trtreg.tensorrt.rtx': found float 1.7, expected a string"),
        ("tensorrt = {}", "'tool.trtreg.tensorrt': found table {}, expected at least one of full, lean, rtx"),
        ("include-dirs = ['gone']", r"'tool.trtreg.include-dirs\[0\]': found string 'gone', expected a folder"),
        ("libraries = ['']", r"'tool.trtreg.libraries\[0\]'"),
        ("nvcc-flags = ['-rdc=true']", "'tool.trtreg.nvcc-flags': found -rdc=true, expected no relocatable"),
        ("= 3", "pyproject.toml cannot be read: found Invalid"),
    ],
)
def test_invalid_settings_name_the_key(make_project: Callable[..., Path], settings: str, message: str) -> None:
    with pytest.raises(ProjectError) as caught:
        project.read(make_project(settings), {})
    assert re.search(message, str(caught.value)), caught.value
    assert str(caught.value).startswith("pyproject.toml")


def test_a_project_without_settings_has_the_defaults(make_project: Callable[..., Path]) -> None:
    text = "[project]\nname = 'trtplugin.Tiny-tiny'\n"
    root = make_project(files={"pyproject.toml": text, "trtplugin_Tiny_tiny/__init__.py": ""})
    assert project.read(root, {}).package == "trtplugin_Tiny_tiny"


def test_no_project(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="is no plugin project"):
        project.read(tmp_path, {})
