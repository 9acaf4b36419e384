from __future__ import annotations

import contextlib
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtreg.errors import PluginBuildError
from trtreg.sdk import fatbin
from trtreg.sdk.arch import Arch, parse_targets

if TYPE_CHECKING:
    from trtreg.sdk.toolchain import Toolchain

PTX, CUBIN, LTO = 1, 2, 8
KERNEL = "__global__ void k(float* x) { *x = 1; }"


def entry(kind: int, arch: int, flags: int = 0x11, image: bytes = b"image...") -> bytes:
    return struct.pack("<HHIQ12xI8xQ16x", kind, 0x101, 64, len(image), arch, flags) + image


def container(*entries: bytes, magic: int = 0xBA55ED50, version: int = 1) -> bytes:
    body = b"".join(entries)
    return struct.pack("<IHHQ", magic, version, 16, len(body)) + body


def words(code: fatbin.GpuCode) -> tuple[str, str]:
    return " ".join(arch.plain for arch in code.sms), " ".join(arch.plain for arch in code.ptx)


@pytest.mark.parametrize(
    ("section", "found"),
    [
        (b"", ("", "")),
        (bytes(24), ("", "")),
        (container(), ("", "")),
        (container(entry(CUBIN, 90), entry(CUBIN, 75), entry(PTX, 120)), ("75 90", "120")),
        (container(entry(CUBIN, 90)) + bytes(8) + container(entry(CUBIN, 90), entry(PTX, 90)), ("90", "90")),
        (container(entry(CUBIN, 90, 0x100011), entry(CUBIN, 100, 0x1200011)), ("90a 100f", "")),
        (container(entry(LTO, 86), entry(77, 86), entry(CUBIN, 86, image=b"")), ("86", "")),
    ],
)
def test_section(section: bytes, found: tuple[str, str]) -> None:
    assert words(fatbin.parse(section, Path("lib.so"))) == found


@pytest.mark.parametrize(
    "section",
    [
        b"garbage!" * 4,
        container(entry(CUBIN, 90), magic=0xBA55ED51),
        container(entry(CUBIN, 90), version=2),
        container(entry(CUBIN, 90))[:-1],
        container(entry(CUBIN, 90)[:40]),
        container(entry(CUBIN, 90)) + b"x",
        struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 2**63),
        struct.pack("<IHHQ", 0xBA55ED50, 1, 0, 0),
        container(struct.pack("<HHIQ12xI8xQ16x", CUBIN, 0x101, 0, 0, 90, 0)),  # would never end
        container(struct.pack("<HHIQ12xI8xQ16x", CUBIN, 0x101, 64, 2**63, 90, 0)),
    ],
)
def test_damaged_section(section: bytes) -> None:
    with pytest.raises(PluginBuildError, match=r"the GPU code in lib\.so is damaged"):
        fatbin.parse(section, Path("lib.so"))


@given(st.data())
def test_any_bytes_give_code_or_an_error_of_ours(data: st.DataObject) -> None:
    section = bytearray(container(entry(CUBIN, 90), entry(PTX, 90)) * 2)
    for _ in range(data.draw(st.integers(0, 6))):
        section[data.draw(st.integers(0, len(section) - 1))] = data.draw(st.integers(0, 255))
    section += data.draw(st.binary(max_size=40))
    with contextlib.suppress(PluginBuildError):
        fatbin.parse(bytes(section), Path("lib.so"))


def compile_kernel(tools: Toolchain, path: Path, archs: list[str], *flags: str) -> Path:
    source = path.with_suffix(".cu")
    source.write_text(KERNEL)
    command = [tools.nvcc.path, "-ccbin", tools.cxx.path, *parse_targets(archs, "a test").nvcc_flags, *flags]
    subprocess.run([*command, "-c", source, "-o", path], check=True)
    return path


COMPILED = [
    (["75", "86+PTX", "120"], []),
    (["90a", "100f", "120a"], []),
    (["86", "90"], ["-rdc=true"]),
    (["86", "90+PTX"], ["--no-compress", "-G"]),
]


@pytest.mark.parametrize(("archs", "flags"), COMPILED)
def test_compiled_code(tools: Toolchain, tmp_path: Path, archs: list[str], flags: list[str]) -> None:
    targets = parse_targets(archs, "a test")
    code = fatbin.read(compile_kernel(tools, tmp_path / "kernel.o", archs, *flags))
    assert (code.sms, code.ptx) == (targets.sms, targets.ptx)


def test_no_gpu_code(tools: Toolchain, tmp_path: Path) -> None:
    path = tmp_path / "host.o"
    subprocess.run([tools.cxx.path, "-c", "-x", "c++", "-", "-o", path], input="int x;", text=True, check=True)
    assert fatbin.read(path) == fatbin.GpuCode()


@pytest.fixture(scope="session")
def cuobjdump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NVIDIA's own reader of GPU code, from PyPI."""
    folder = tmp_path_factory.mktemp("cuobjdump")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
    done = subprocess.run([*command, "nvidia-cuda-cuobjdump==13.*"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nvidia-cuda-cuobjdump cannot be had: {done.stderr.strip().splitlines()[-1]}")
    return next(path for path in folder.rglob("bin/cuobjdump") if os.access(path, os.X_OK))


@pytest.mark.slow
@pytest.mark.parametrize(("archs", "flags"), COMPILED)
def test_cuobjdump_agrees(
    tools: Toolchain, tmp_path: Path, cuobjdump: Path, archs: list[str], flags: list[str]
) -> None:
    path = compile_kernel(tools, tmp_path / "kernel.o", archs, *flags)
    done = subprocess.run([cuobjdump, path], capture_output=True, text=True, check=True)
    for kind, found in (("elf", fatbin.read(path).sms), ("ptx", fatbin.read(path).ptx)):
        names = re.findall(rf"^Fatbin {kind} code:\n=+\narch = sm_(\w+)$", done.stdout, re.MULTILINE)
        assert sorted({Arch.parse(name) for name in names}) == list(found)
