from __future__ import annotations

import contextlib
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trtreg.errors import PluginBuildError
from trtreg.sdk import elf, fatbin

if TYPE_CHECKING:
    from pathlib import Path

    from trtreg.sdk.toolchain import Toolchain


@pytest.fixture
def library(tmp_path: Path, tools: Toolchain) -> Path:
    """Make a small library."""
    path = tmp_path / "libsmall.so"
    compile_shared(tools, "int small() { return 1; }", path)
    return path


def compile_shared(tools: Toolchain, text: str, path: Path, *flags: str | Path) -> None:
    command = [tools.cxx.path, "-shared", "-fPIC", "-nostdlib", "-x", "c++", "-", "-x", "none", *flags, "-o", path]
    subprocess.run(command, input=text, text=True, check=True)


@pytest.fixture
def versioned(tmp_path: Path, tools: Toolchain) -> Path:
    """Make a small library that refers to versions of symbols."""
    path = tmp_path / "libversioned.so"
    text = "#include <cstdio>\nint run() { return std::puts(__func__); }"
    command = [tools.cxx.path, "-shared", "-fPIC", "-s", "-x", "c++", "-", "-o", path]
    subprocess.run(command, input=text, text=True, check=True)
    return path


@pytest.mark.parametrize(
    ("versions", "floor"),
    [
        (("GLIBC_2.9", "GLIBC_2.34"), (2, 34)),  # numbers, not words
        (("GLIBC_2.2.5", "GLIBC_2.2.5"), (2, 2)),
        (("GLIBC_2.17", "GLIBC_ABI_DT_RELR"), (2, 36)),
        (("GLIBCXX_3.4", "OTHER_9.9"), None),
    ],
)
def test_glibc_floor(tmp_path: Path, tools: Toolchain, versions: tuple[str, str], floor: tuple[int, int]) -> None:
    script = tmp_path / "versions.map"
    names = sorted(set(versions))
    script.write_text("".join(f"{name} {{ }};\n" for name in names))
    lower = tmp_path / "liblower.so"
    text = "".join(
        f'extern "C" void {symbol}_(){{}} __asm__(".symver {symbol}_, {symbol}@@{version}");'
        for symbol, version in zip(("one", "two"), versions, strict=True)
    )
    # A symbol's version is made by the library that defines it.
    compile_shared(tools, text, lower, f"-Wl,--version-script={script}", "-Wl,-soname,liblower.so")
    upper = tmp_path / "libupper.so"
    call = 'extern "C" { void one(); void two(); } void both() { one(); two(); }'
    compile_shared(tools, call, upper, str(lower))
    assert elf.glibc_floor(upper) == floor


def test_no_reference_no_floor(library: Path) -> None:
    assert elf.glibc_floor(library) is None
    assert elf.facts(library).needed == ()


@pytest.mark.parametrize("content", [b"", b"text", b"\x7fELF"])
def test_no_elf_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "lib.so"
    path.write_bytes(content)
    for reader in (elf.facts, elf.glibc_floor, fatbin.read):
        with pytest.raises(PluginBuildError):
            reader(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(PluginBuildError, match="cannot be read"):
        elf.glibc_floor(tmp_path / "gone.so")


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_give_an_error_of_ours(versioned: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(versioned.read_bytes())
    with elf.opened(versioned) as file:
        # Most bytes of a file mean nothing to a reader; these do.
        tables = [range(64), range(file["e_shoff"], len(content))]
        tables += [range(s["sh_offset"], s["sh_offset"] + s["sh_size"]) for s in file.iter_sections() if s["sh_size"]]
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.sampled_from(data.draw(st.sampled_from(tables))))] = data.draw(st.integers(0, 255))
    damaged = tmp_path / "damaged.so"
    damaged.write_bytes(content[: data.draw(st.sampled_from([len(content), len(content) - 70, 100]))])
    for reader in (elf.facts, elf.glibc_floor, fatbin.read):
        with contextlib.suppress(PluginBuildError):
            reader(damaged)
