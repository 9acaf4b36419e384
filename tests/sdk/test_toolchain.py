from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trtreg.errors import HostCompilerNotFoundError, NvccNotFoundError, UnknownArchError
from trtreg.sdk import toolchain
from trtreg.sdk.arch import parse_targets

if TYPE_CHECKING:
    from trtreg.sdk.toolchain import Nvcc, Toolchain


@pytest.fixture
def home(tools: Toolchain) -> Path:
    """The toolkit of this machine, wherever it comes from."""
    folder = next(path for path in tools.nvcc.cudart.parents if (path / "bin" / "nvcc").is_file())
    assert (folder / "nvvm" / "bin" / "cicc").is_file()
    return folder


@pytest.fixture
def bare_path(tmp_path: Path, tools: Toolchain) -> str:
    """A PATH with the system's programs and no nvcc."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("g++", "gcc", "as", "ld", "sh"):
        (folder / name).symlink_to(next(Path(p) / name for p in os.get_exec_path() if (Path(p) / name).exists()))
    return str(folder)


def test_cuda_home_goes_before_path(home: Path) -> None:
    found = toolchain.find({"CUDA_HOME": str(home), "PATH": os.environ["PATH"]}).nvcc
    assert found.origin == "CUDA_HOME"
    assert found.path == home / "bin" / "nvcc"
    assert found.cudart.name == "libcudart_static.a"
    assert any((folder / "cuda_runtime.h").is_file() for folder in found.include_dirs)


def test_nvcc_on_path_may_be_a_wrapper(home: Path, bare_path: str) -> None:
    wrapper = Path(bare_path, "nvcc")
    wrapper.write_text(f'#!/bin/sh\nexec "{home}/bin/nvcc" "$@"\n')
    wrapper.chmod(0o755)
    found = toolchain.find({"PATH": bare_path}).nvcc
    assert (found.origin, found.path) == ("PATH", wrapper)
    assert found.cudart.is_file()


@pytest.mark.parametrize("content", ["", "nvcc"])
def test_cuda_home_without_nvcc_is_named(tmp_path: Path, home: Path, content: str) -> None:
    (tmp_path / "cuda" / "bin").mkdir(parents=True)
    if content:
        (tmp_path / "cuda" / "bin" / "nvcc").write_text("#!/bin/sh\n")
    environ = {"CUDA_HOME": str(tmp_path / "cuda"), "PATH": f"{home}/bin:{os.environ['PATH']}"}
    reason = "is not executable" if content else "does not exist"
    with pytest.raises(NvccNotFoundError, match=rf"CUDA_HOME={tmp_path}/cuda: .*bin/nvcc {reason}"):
        toolchain.find(environ)
    # No package could make up for it, because CUDA_HOME goes before them.
    with pytest.raises(NvccNotFoundError, match="CUDA_HOME"):
        toolchain.missing_requirements(environ)


def test_installed_wheels_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path, bare_path: str) -> None:
    (tmp_path / "nvidia").mkdir()
    (tmp_path / "nvidia" / "cu13").symlink_to(home)
    info = tmp_path / "nvidia_cuda_nvcc-13.0.88.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nvidia-cuda-nvcc\nVersion: 13.0.88\n")
    (info / "RECORD").write_text("nvidia/cu13/bin/nvcc,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = toolchain.find({"PATH": bare_path}).nvcc
    assert (found.origin, found.path) == ("PyPI", tmp_path / "nvidia" / "cu13" / "bin" / "nvcc")
    assert toolchain.missing_requirements({"PATH": bare_path}) == ()


def test_without_nvcc_its_packages_are_asked_for(monkeypatch: pytest.MonkeyPatch, home: Path, bare_path: str) -> None:
    monkeypatch.setattr(toolchain, "_wheel_nvcc", lambda: None)
    assert toolchain.missing_requirements({"PATH": bare_path}) == (
        "nvidia-cuda-nvcc==13.0.*",
        "nvidia-cuda-crt==13.0.*",
        "nvidia-cuda-cccl==13.0.*",
        "nvidia-cuda-runtime==13.0.*",
        "nvidia-nvvm==13.0.*",
    )
    assert toolchain.missing_requirements({"PATH": f"{home}/bin:{bare_path}"}) == ()
    with pytest.raises(NvccNotFoundError, match=r"CUDA_HOME: not set; PATH: no nvcc; PyPI: no nvcc.*pip install"):
        toolchain.find({"PATH": bare_path})


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ("nvvm", "without cicc"),
        ("include", r"without the CUDA headers|does not run"),
        ("libcudart_static.a", "without libcudart_static"),
        ("answer", "does not answer as nvcc does"),
        ("run", "does not run: broken"),
    ],
)
def test_half_an_nvcc_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, home: Path, bare_path: str, tmp_path: Path, missing: str, reason: str
) -> None:
    """A folder of links to the toolkit with one part left out is of no use, and the error says which."""
    monkeypatch.setattr(toolchain, "_wheel_nvcc", lambda: None)
    top = tmp_path / "half"
    (top / "nvvm" / "bin").mkdir(parents=True)
    (top / "include" / "crt").mkdir(parents=True)
    (top / "lib").mkdir()
    if missing != "nvvm":
        (top / "nvvm" / "bin" / "cicc").symlink_to(home / "nvvm" / "bin" / "cicc")
    if missing != "include":
        (top / "include" / "cuda_runtime.h").touch()
        (top / "include" / "crt" / "host_config.h").touch()
    if missing != "libcudart_static.a":
        (top / "lib" / "libcudart_static.a").touch()
    plan = f'#$ TOP={top}\n#$ INCLUDES="-I{top}/include"\n#$ LIBRARIES= "-L{top}/lib"\n'
    script = f"#!/bin/sh\necho 'Cuda compilation tools, release 13.0, V13.0.88'\nprintf '%s' '{plan}'\n"
    script = {"answer": "#!/bin/sh\necho hello\n", "run": "#!/bin/sh\necho broken; exit 1\n"}.get(missing, script)
    Path(bare_path, "nvcc").write_text(script)
    Path(bare_path, "nvcc").chmod(0o755)
    with pytest.raises(NvccNotFoundError, match=rf"PATH: .*bin/nvcc .*{reason}"):
        toolchain.find({"PATH": bare_path})
    assert toolchain.missing_requirements({"PATH": bare_path}) == toolchain.NVCC_REQUIREMENTS


@pytest.mark.parametrize(("environ", "words"), [({}, "no 'g\\+\\+' on PATH"), ({"CXX": "nocxx"}, "'nocxx' .from CXX")])
def test_no_host_compiler(tmp_path: Path, environ: dict[str, str], words: str) -> None:
    environ = {"PATH": str(tmp_path), **environ}
    with pytest.raises(HostCompilerNotFoundError, match=words):
        toolchain.find(environ)
    with pytest.raises(HostCompilerNotFoundError, match="apt install"):
        toolchain.missing_requirements(environ)


def test_unknown_architectures(tools: Toolchain) -> None:
    nvcc: Nvcc = replace(tools.nvcc)
    nvcc.check(parse_targets(["75", "90a", "120"], "a test"))
    with pytest.raises(UnknownArchError, match=r"found sm_35, sm_199a, expected sm_75, .*sm_120.*TRTREG_CUDA_ARCHS"):
        nvcc.check(parse_targets(["35", "90", "199a"], "a test"))
