from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from trtreg.errors import CompileError, PluginBuildError
from trtreg.sdk import compile as compiling
from trtreg.sdk import elf, fatbin, project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trtreg.sdk.toolchain import Toolchain

    Compile = Callable[..., tuple[Path, list[str]]]

THROWS = """
#include <cuda_runtime.h>
#include <string>
std::string second() { throw cudaErrorUnknown; }
"""
SECOND = '#include "other.h"\nint second() { return OTHER; }\n'


def test_only_what_changed_is_compiled(make_project: Callable[..., Path], compile_project: Compile) -> None:
    root = make_project(files={"native/second.cpp": SECOND, "native/other.h": "#define OTHER 1\n"})
    first, steps = compile_project(root)
    assert sorted(steps) == ["compiling native/second.cpp", "compiling native/tiny.cu", "linking libtrtplugin_tiny.so"]
    assert compile_project(root) == (first, [])

    for path in root.rglob("*"):
        os.utime(path, (1e9, 1e9), follow_symlinks=False)  # times do not count
    assert compile_project(root) == (first, [])

    (root / "native" / "second.cpp").write_text(SECOND + "// more\n")
    _, steps = compile_project(root)
    assert steps == ["compiling native/second.cpp"]  # the same object, so no other library

    (root / "native" / "tiny.h").write_text("#define FACTOR 3\n")
    changed, steps = compile_project(root)
    assert "compiling native/tiny.cu" in steps
    assert "linking libtrtplugin_tiny.so" in steps
    assert changed.read_bytes() != first.read_bytes()


def test_sources_that_headers_do_not_tell_of(make_project: Callable[..., Path], compile_project: Compile) -> None:
    """A header seen by the device pass only, a source that another includes, and a header that hides another."""
    text = (
        '#include "part.cu"\n__global__ void k(int* x) {\n#if __CUDA_ARCH__\n#include "device.cuh"\n#else\n(void)x;\n'
        "#endif\n}\n"
    )
    files = {
        "native/a.cu": text,
        "native/part.cu": "int part() { return 1; }\n",
        "native/device.cuh": "#define DEVICE 1",
    }
    settings = "sources = ['native/a.cu', 'native/tiny.cu']\ninclude-dirs = ['first', 'native']\n"
    root = make_project(settings, {**files, "first/unrelated.txt": ""})
    (root / "native" / "tiny.cu").write_text((root / "native" / "tiny.cu").read_text().replace('"tiny.h"', "<tiny.h>"))
    compile_project(root)
    assert compile_project(root)[1] == []
    for path, content in (
        ("native/device.cuh", "*x = 2;\n"),
        ("native/part.cu", "int part() { return 2; }\n"),
        ("first/tiny.h", "#define FACTOR 7\n"),
    ):
        (root / path).write_text(content)
        assert any(step.startswith("compiling") for step in compile_project(root)[1]), path


def test_header_outside_of_the_project(
    make_project: Callable[..., Path], compile_project: Compile, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "other.h").write_text("#define OTHER 1\n")
    root = make_project(f"include-dirs = ['{tmp_path}/outside']", {"native/second.cpp": SECOND})
    compile_project(root)
    (tmp_path / "outside" / "other.h").write_text("#define OTHER 2\n")
    assert compile_project(root)[1][0] == "compiling native/second.cpp"


def test_cache_does_not_know_where_it_is(
    make_project: Callable[..., Path], compile_project: Compile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An isolated build has the SDK elsewhere each time, and a project may be moved."""
    root = make_project()
    compile_project(root)
    moved = root.rename(tmp_path / "elsewhere")
    sdk = tmp_path / "sdk" / "include"
    shutil.copytree(compiling.INCLUDE_DIR, sdk)
    monkeypatch.setattr(compiling, "INCLUDE_DIR", sdk)
    assert compile_project(moved)[1] == []
    with (sdk / "trtreg" / "face.h").open("a") as header:
        header.write("// changed\n")
    assert "compiling native/tiny.cu" in compile_project(moved)[1]


def test_what_else_an_object_depends_on(
    make_project: Callable[..., Path], tools: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_project(files={"native/second.cpp": "int second() { return 2; }\n"})
    plugin = project.read(root)

    def compiled(plugin: project.Project = plugin, tools: Toolchain = tools) -> int:
        lines: list[str] = []
        compiling.build(plugin, tools, report=lines.append)
        return sum("compiling" in line for line in lines)

    assert [compiled(), compiled()] == [2, 0]
    assert compiled(replace(plugin, nvcc_flags=("-lineinfo",))) == 1
    assert compiled(replace(plugin, cxx_flags=("-g0",))) == 1
    assert compiled(tools=replace(tools, nvcc=replace(tools.nvcc, version="13.0.99"))) == 2
    assert compiled(tools=replace(tools, cxx=replace(tools.cxx, version="g++ 99"))) == 2
    monkeypatch.setenv("NVCC_APPEND_FLAGS", "-lineinfo")
    assert compiled() == 2
    monkeypatch.delenv("NVCC_APPEND_FLAGS")
    assert compiled() == 0


@pytest.mark.parametrize("damage", ["object", "record", "truncate"])
def test_damaged_objects_are_made_again(
    make_project: Callable[..., Path], compile_project: Compile, damage: str
) -> None:
    root = make_project(files={"native/tiny.cu": "int one() { return 1; }\n"})
    compile_project(root)
    (made,) = (root / "build" / "trtreg" / "objects").glob("tiny-*.o")
    record = made.with_name(made.name + ".json")
    if damage == "object":
        made.write_bytes(made.read_bytes()[:-1] + b"?")
    elif damage == "truncate":
        record.write_text(record.read_text()[:100])
    else:
        record.write_text("[]")
    assert compile_project(root)[1][0] == "compiling native/tiny.cu"
    assert compile_project(root)[1] == []


def test_library(make_project: Callable[..., Path], compile_project: Compile, tmp_path: Path) -> None:
    root = make_project(files={"native/second.cpp": THROWS})
    library, _ = compile_project(root)
    facts = elf.facts(library)
    assert facts.exports == {"getCreators", "setLoggerFinder", "trtreg_get_face"}
    assert {name.partition(".")[0] for name in facts.needed} <= {"libc", "ld-linux-x86-64", "ld-linux-aarch64"}
    code = fatbin.read(library)
    assert ([arch.plain for arch in code.sms], [arch.plain for arch in code.ptx]) == (["90"], ["90"])
    with elf.opened(library) as file:
        segments = {segment["p_type"]: segment["p_flags"] for segment in file.iter_segments()}
        assert file.get_section_by_name(".symtab") is None, "stripped"
        dynamic = {tag.entry.d_tag: tag.entry.d_val for tag in file.get_section_by_name(".dynamic").iter_tags()}
    assert segments["PT_GNU_STACK"] & 1 == 0, "no executable stack"
    assert "PT_GNU_RELRO" in segments
    assert dynamic["DT_FLAGS"] & 8, "bound at load time"
    assert "DT_RUNPATH" not in dynamic
    data = library.read_bytes()
    for place in (tmp_path, root, compiling.INCLUDE_DIR):
        assert str(place).encode() not in data
    assert b"native/tiny.cu" in data, "__FILE__ as in the project"


def test_author_settings_reach_the_compilers(
    make_project: Callable[..., Path], compile_project: Compile, foreign_library: Path
) -> None:
    settings = f"""
    include-dirs = ["extra"]
    library-dirs = ["{foreign_library.parent}"]
    libraries = ["foreign"]
    nvcc-flags = ["-DFROM_NVCC=1"]
    cxx-flags = ["-DFROM_CXX=1"]
    """
    files = {
        "extra/extra.h": "#define EXTRA 1\n",
        "native/second.cpp": '#include "extra.h"\nint foreign();\n'
        '__attribute__((constructor)) void second() { static_assert(FROM_CXX + EXTRA == 2, ""); foreign(); }\n',
        "native/third.cu": '#include <extra.h>\nstatic_assert(FROM_NVCC + EXTRA == 2, "");\n',
    }
    root = make_project(settings, files)
    library, steps = compile_project(root)
    assert "libforeign.so" in elf.facts(library).needed
    assert len(steps) == 4
    assert compile_project(root)[1] == []
    in_place, steps = compile_project(root, run_path=True)
    assert steps == ["linking libtrtplugin_tiny.so"]
    assert str(foreign_library.parent).encode() in in_place.read_bytes()
    assert str(foreign_library.parent).encode() not in library.read_bytes()

    with pytest.raises(CompileError, match="does not link") as caught:
        compile_project(make_project(settings.replace('"foreign"', '"nowhere"'), files, name="other"))
    assert "nowhere" in str(caught.value).partition("its words are")[2]


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("native/tiny.cu", "int broken = ;\n", r"native/tiny\.cu\(1\): error: "),
        ("native/tiny.cu", "__global__ void k() { undefined(); }\n", r"error: identifier \"undefined\" is undefined"),
        # Warnings are errors: of nvcc, of the host compiler behind it, and of the host compiler alone.
        ("native/tiny.cu", "__global__ void k() { int unused; }\n", "was declared but never referenced"),
        ("native/tiny.cu", "int f(int x, unsigned y) { return x < y; }\n", "Werror=sign-compare"),
        ("native/bad.cpp", "int f(int x) { return 1; }\n", "unused parameter"),
        ("native/bad.cpp", "#include <nowhere.h>\n", "nowhere.h: No such file"),
    ],
)
def test_compile_errors_end_in_the_compilers_words(
    make_project: Callable[..., Path], compile_project: Compile, path: str, text: str, words: str
) -> None:
    with pytest.raises(CompileError) as caught:
        compile_project(make_project(files={path: text}))
    message = str(caught.value)
    assert message.startswith(f"{path} does not compile")
    assert re.search(words, message.partition("its words are\n")[2])


def test_undefined_symbols_are_found_when_linking(make_project: Callable[..., Path], compile_project: Compile) -> None:
    text = "int missing();\n__attribute__((constructor)) void keep() { missing(); }\n"
    with pytest.raises(CompileError, match=r"libtrtplugin_tiny\.so does not link") as caught:
        compile_project(make_project(files={"native/bad.cpp": text}))
    assert "missing()" in str(caught.value)


def test_one_failure_does_not_lose_the_other_objects(
    make_project: Callable[..., Path], compile_project: Compile
) -> None:
    root = make_project(files={"native/zzz.cpp": "broken\n"})
    with pytest.raises(CompileError, match=r"zzz\.cpp"):
        compile_project(root)
    (root / "native" / "zzz.cpp").write_text("")
    assert compile_project(root)[1] == ["compiling native/zzz.cpp", "linking libtrtplugin_tiny.so"]


def test_build_folder_that_cannot_be_made(make_project: Callable[..., Path], compile_project: Compile) -> None:
    with pytest.raises(PluginBuildError, match=r"build/trtreg cannot be written: found "):
        compile_project(make_project(files={"build": "a file"}))


def test_threads_do_not_change_the_bytes(
    make_project: Callable[..., Path], tools: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRTREG_CUDA_ARCHS", "75;90a")
    made: list[Any] = []
    for cpus in (1, 3):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cpus=cpus: set(range(cpus)))
        root = make_project(name=f"cpus{cpus}")
        library = compiling.build(project.read(root), tools, report=made.append)
        made.append(library.read_bytes())
    binaries = [item for item in made if isinstance(item, bytes)]
    assert binaries[0] == binaries[1]


def test_two_builds_at_once_share_their_work(make_project: Callable[..., Path], tools: Toolchain) -> None:
    from concurrent.futures import ThreadPoolExecutor

    root = make_project()
    lines: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        builds = [pool.submit(compiling.build, project.read(root), tools, report=lines.append) for _ in range(2)]
        first, second = (done.result() for done in builds)
    assert first == second
    assert sum("compiling" in line for line in lines) == 1
