"""Plugin libraries and plugin packages, made for the tests: compiled and installed as real ones are."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trtreg import discovery, loader, manifest
from trtreg.sdk import toolchain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sigstore_authority import Authority

ROOT = Path(__file__).resolve().parent.parent
NATIVE = ROOT / "tests" / "native"
INCLUDE = ROOT / "trtreg" / "sdk" / "include"
#: TensorRT 10.14's headers, in a wheel that happens to carry them; kept, so that a second run downloads nothing.
CARRIER = "kernel-lens==2.0.1"
HEADERS = ROOT / "build" / "tensorrt-headers"

Key = manifest.CreatorKey

sys.path.insert(0, str(Path(__file__).parent))  # catalogues, manifests, pythons, registry

from manifests import describe  # noqa: E402 - it lies there


@pytest.fixture(autouse=True)
def no_index(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let no test ask the indexes of whoever runs it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "no-configuration"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.getbasetemp() / "no-libraries"))
    monkeypatch.delenv("TRTREG_INDEX", raising=False)
    # Verdicts on the libraries of tests are shared by all tests, and by nobody else.
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for installer in ("pip", "uv"):
        monkeypatch.setenv(f"{installer.upper()}_CACHE_DIR", str(usual / installer))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    for variable in ("TRTREG_POLICY", "TRTREG_TRUST"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(autouse=True)
def nothing_stays_loaded() -> Iterator[None]:
    """Unload what a test has loaded."""
    yield
    for known in loader.loaded():
        loader.unload(known)


@pytest.fixture(scope="session")
def compile_library(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compile a source of tests/native, or a text, to a shared library; the same arguments compile once."""
    folder = tmp_path_factory.mktemp("libraries")
    tools = toolchain.find()
    made: dict[tuple[object, ...], Path] = {}

    def compile_library(source: str, *flags: str) -> Path:
        key = (source, *flags)
        if key not in made:
            made[key] = folder / f"lib{len(made)}.so"
            is_file = source.endswith(".cpp")
            command = [
                *(str(tools.cxx.path), "-std=c++17", "-O0", "-shared", "-fPIC", "-fvisibility=hidden"),
                *(f"-I{path}" for path in (INCLUDE, *tools.nvcc.include_dirs)),
                *(("-x", "c++", "-", "-x", "none") if not is_file else (str(NATIVE / source),)),
                *(*flags, "-o", str(made[key])),
            ]
            subprocess.run(command, input="" if is_file else source, text=True, check=True)
        return made[key]

    return compile_library


@pytest.fixture(scope="session")
def compile_creators(compile_library: Callable[..., Path]) -> Callable[..., Path]:
    """Compile a library that registers these creators and does nothing else."""

    def compile_creators(keys: Sequence[Key], *flags: str) -> Path:
        names = ", ".join(f'Creator{{"{key.name}", "{key.version}", "{key.namespace}"}}' for key in keys)
        return compile_library("creators.cpp", f"-DCREATORS={names}", *flags)

    return compile_creators


@pytest.fixture(scope="session")
def identity_library(compile_library: Callable[..., Path]) -> Path:
    """Make a library with the plugin TrtregTestIdentity, which passes through the parser and the builder."""
    return compile_library(
        "identity.cpp", str(toolchain.find().nvcc.cudart), "-Wl,-z,defs", "-ldl", "-lrt", "-lpthread"
    )


@pytest.fixture(scope="session")
def headers() -> Path:
    """NVIDIA's genuine headers of TensorRT."""
    if root := os.environ.get("TENSORRT_ROOT"):
        return Path(root) / "include"
    include = HEADERS / "kernel_lens" / "include" / "tensorrt"
    if not include.is_dir():
        HEADERS.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(HEADERS), CARRIER]
        subprocess.run(command, check=True)
        with zipfile.ZipFile(next(HEADERS.glob("*.whl"))) as wheel:
            wheel.extractall(HEADERS)
    return include


@pytest.fixture(scope="session")
def compile_foreign(compile_library: Callable[..., Path], headers: Path) -> Callable[..., Path]:
    """Compile tests/native/v2.cpp or v3_static.cpp; `name` is that of its one creator.

    -DSLOT=8 is what a build for TensorRT-RTX 1.7 calls: seen in NVIDIA's own libtensorrt_plugins.so.
    """

    def compile_foreign(source: str, name: str, *flags: str) -> Path:
        return compile_library(source, "-w", f"-I{headers}", f'-DNAME="{name}"', *flags)

    return compile_foreign


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Make a Sigstore of our own."""
    from sigstore_authority import Authority

    return Authority()


@pytest.fixture(scope="module")
def trusted_root(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write what a verifier has to know of it."""
    return authority.trusted_root(tmp_path_factory.mktemp("trust") / "trusted_root.json")


@pytest.fixture
def catalogue_line() -> Callable[..., str]:
    """Make a line of an index's catalogue; `creators` are those of the library, the other changes those of the line."""
    from trtreg.index import catalogue
    from trtreg.index.core_metadata import CoreMetadata

    def catalogue_line(
        project: str, version: str = "1.0", creators: Sequence[manifest.Creator] = (), **changes: object
    ) -> str:
        described = describe(b"", (), project)
        described = replace(described, library=replace(described.library, creators=tuple(creators)))
        data = json.loads(
            "{"
            + catalogue.entry(
                described,
                CoreMetadata(name=project, version=version, summary="", requires_python="", requires=("trtreg>=0.1",)),
            )
        )
        machine = changes.get("machine", "x86_64")
        file = f"{project.replace('-', '_')}-{version}-py3-none-manylinux_2_28_{machine}.whl"
        first = {
            "project": project,
            "version": version,
            "file": file,
            "url": f"files/{project}/{file}",
            "sha256": hashlib.sha256(file.encode()).hexdigest(),
            "size": 1873344,
            "uploaded": "2026-11-21T03:00:00Z",
            "requires_python": ">=3.10",
            "yanked": False,
            "status": "active",
        }
        return json.dumps({**first, **data, **changes}, separators=(",", ":"))

    return catalogue_line


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Make an empty folder of installed packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


@pytest.fixture
def install(site: Path, write_metadata: Callable[..., Path]) -> Callable[..., discovery.InstalledPlugin]:
    """Install a plugin package into `site`, as pip leaves it, and discover it.

    `library` is a path or bytes; `changes` are fields of the manifest's library that shall be wrong.
    """

    def install(
        library: Path | bytes, keys: Sequence[Key] = (), name: str = "trtplugin-test", **changes: object
    ) -> discovery.InstalledPlugin:
        content = library if isinstance(library, bytes) else library.read_bytes()
        described = describe(content, keys, name)
        described = replace(described, library=replace(described.library, **changes))
        package = site / name.replace("-", "_")
        package.mkdir()
        # Discovery must not import it.
        (package / "__init__.py").write_text("raise RuntimeError('imported')\n", encoding="utf-8")
        (package / described.library.file).write_bytes(content)
        (package / manifest.FILE_NAME).write_text(manifest.to_json(described), encoding="utf-8")
        write_metadata(name, package.name)
        (found,) = (plugin for plugin in discovery.discover([str(site)]) if plugin.distribution == name)
        return found

    return install


@pytest.fixture
def write_metadata(site: Path) -> Callable[..., Path]:
    """Write the metadata of an installed plugin package into `site`; the entry point names `package`."""

    def write_metadata(name: str, package: str, version: str = "1.0") -> Path:
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[trtreg.plugins]\n{name} = {package}\n", encoding="utf-8")
        return info

    return write_metadata


@pytest.fixture(scope="session")
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run code in a fresh interpreter, with this tree on its path."""

    def run_python(code: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={**os.environ, "PYTHONPATH": path, **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run_python


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process: gives its exit code, stdout and stderr."""
    from trtreg.cli import main

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
