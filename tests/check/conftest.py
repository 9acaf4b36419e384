"""Wheels of a plugin that is whole in every respect, and what a publisher may do to them."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from trtreg import manifest
from trtreg.check import check
from trtreg.sdk import derive, repair, toolchain, wheel
from trtreg.sdk.compile import EXPORTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from trtreg.check.target import Targets

ROOT = Path(__file__).resolve().parents[2]
NATIVE, INCLUDE = ROOT / "tests" / "native", ROOT / "trtreg" / "sdk" / "include"
NAME, PACKAGE = "trtplugin-identity", "trtplugin_identity"
LIBRARY = f"{PACKAGE}/libtrtplugin_identity.so"
INFO = f"{PACKAGE}-1.0.dist-info"
HARDENED = ("-Wl,-z,now,-z,relro,-z,noexecstack", "-Wl,--exclude-libs,ALL")
STATIC = (*HARDENED, "-static-libstdc++", "-static-libgcc")
METADATA = f"""Metadata-Version: 2.4
Name: {NAME}
Version: 1.0
Summary: made by a test
License-Expression: Apache-2.0
License-File: LICENSE
Requires-Python: >=3.10
Requires-Dist: trtreg>=0.1
"""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What a wheel is made of, so that a test can change any part."""

    files: dict[str, bytes]
    tag: str
    stem: str = f"{PACKAGE}-1.0"

    def with_files(self, changes: dict[str, bytes | str | None]) -> Sample:
        files = {**self.files, **{name: _bytes(data) for name, data in changes.items() if data is not None}}
        return replace(self, files={name: data for name, data in files.items() if changes.get(name, "") is not None})

    def with_manifest(self, change: Callable[[dict[str, Any]], object]) -> Sample:
        data = json.loads(self.files[f"{PACKAGE}/{manifest.FILE_NAME}"])
        change(data)
        return self.with_files({f"{PACKAGE}/{manifest.FILE_NAME}": json.dumps(data)})

    def with_text(self, name: str, old: str, new: str) -> Sample:
        text = self.files[name].decode()
        assert old in text
        return self.with_files({name: text.replace(old, new)})

    def write(self, folder: Path, tag: str | None = None) -> Path:
        made = wheel.Wheel(stem=self.stem, tag="py3-none-any", files=self.files).with_tag(tag or self.tag)
        return made.write(folder)


def _bytes(data: bytes | str) -> bytes:
    return data if isinstance(data, bytes) else data.encode()


@pytest.fixture(scope="session")
def link_sdk(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make the plugin TrtregTestIdentity as the build backend links it, but for what the flags change."""
    tools, folder = toolchain.find(), tmp_path_factory.mktemp("check")
    script, compiled = folder / "exports.map", folder / "identity.o"
    script.write_text("{ global: " + " ".join(f"{name};" for name in EXPORTS) + " local: *; };\n", encoding="utf-8")
    includes = [f"-I{path}" for path in (INCLUDE, *tools.nvcc.include_dirs)]
    command = [tools.cxx.path, "-std=c++17", "-O0", "-fPIC", "-fvisibility=hidden", *includes, "-c"]
    subprocess.run([*command, NATIVE / "identity.cpp", "-o", compiled], check=True)
    made: dict[tuple[object, ...], Path] = {}

    def link_sdk(*flags: str | Path, exports: bool = False) -> Path:
        if (*flags, exports) not in made:
            path = made[(*flags, exports)] = folder / f"lib{len(made)}.so"
            only = () if exports else (f"-Wl,--version-script={script}",)
            libraries = [tools.nvcc.cudart, "-ldl", "-lrt", "-lpthread"]
            command = [tools.cxx.path, "-shared", compiled, *STATIC, *only, *libraries, *flags, "-o", path]
            subprocess.run(command, check=True)
        return made[(*flags, exports)]

    return link_sdk


@pytest.fixture(scope="session")
def sound_library(link_sdk: Callable[..., Path]) -> Path:
    return link_sdk()


@pytest.fixture(scope="session")
def make_sample() -> Callable[[Path], Sample]:
    """Put a library made with the SDK into a wheel, with the manifest that the build derives."""

    def make_sample(library: Path) -> Sample:
        described = derive.derive(
            library,
            file=Path(LIBRARY).name,
            package=NAME,
            version="1.0",
            summary="made by a test",
            tensorrt={"full": ">=10.0", "lean": ">=10.0", "rtx": ">=1.7"},
        )
        floor = tuple(int(part) for part in (described.library.glibc or "2.17").split("."))
        files = {
            f"{PACKAGE}/__init__.py": b'"""Made by a test."""\n',
            f"{PACKAGE}/{manifest.FILE_NAME}": manifest.to_json(described).encode(),
            LIBRARY: library.read_bytes(),
            f"{INFO}/METADATA": METADATA.encode(),
            f"{INFO}/WHEEL": b"Wheel-Version: 1.0\nGenerator: a test\n",
            f"{INFO}/entry_points.txt": f"[trtreg.plugins]\n{NAME} = {PACKAGE}\n".encode(),
            f"{INFO}/licenses/LICENSE": b"The text.\n",
        }
        return Sample(files=files, tag=repair.manylinux_tag((floor[0], floor[1]), described.library.machine))

    return make_sample


@pytest.fixture(scope="session")
def sample(sound_library: Path, make_sample: Callable[[Path], Sample]) -> Sample:
    return make_sample(sound_library)


@pytest.fixture
def find() -> Callable[..., dict[str, list[str]]]:
    """Check one path; gives the messages by rule id, of errors only unless `level` names another."""

    def find(path: Path, level: str = "error", *, load: bool = False, targets: Targets | None = None):
        (checked,) = check([str(path)], load=load, targets=targets)
        found: dict[str, list[str]] = {}
        for finding in checked.findings:
            if finding.level == level:
                about = f"{finding.where}: " if finding.where else ""
                facts = f" | {finding.found} | {finding.expected}"
                found.setdefault(finding.rule.id, []).append(f"{about}{finding.message}{facts}")
        return found

    return find
