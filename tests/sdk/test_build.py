from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trtreg import discovery, manifest
from trtreg.sdk import elf, repair, wheel

if TYPE_CHECKING:
    from collections.abc import Callable

    Hook = Callable[..., subprocess.CompletedProcess[str]]

LIBRARY = "trtplugin_tiny/libtrtplugin_tiny.so"


def test_wheel(make_project: Callable[..., Path], build_wheel: Callable[..., Path], tmp_path: Path) -> None:
    root = make_project(files={"trtplugin_tiny/part/__init__.py": "", "trtplugin_tiny/py.typed": "", "tests/t.py": ""})
    (root / "build" / "lib" / "trtplugin_tiny").mkdir(parents=True)
    (root / "build" / "lib" / "trtplugin_tiny" / "deleted.py").touch()  # as an earlier build would leave it
    path = build_wheel(root)
    made = wheel.read(path)
    info = "trtplugin_tiny-1.2.dist-info"
    assert {name for name in made.files if not name.startswith(info)} == {
        "trtplugin_tiny/__init__.py",
        "trtplugin_tiny/part/__init__.py",
        "trtplugin_tiny/py.typed",
        "trtplugin_tiny/trtplugin.json",
        LIBRARY,
    }
    assert made.files[f"{info}/entry_points.txt"] == b"[trtreg.plugins]\ntrtplugin-tiny = trtplugin_tiny\n\n"
    assert sorted(child.name for child in root.iterdir()) == [
        *("README.md", "build", "native", "pyproject.toml", "tests", "trtplugin_tiny")
    ]

    made.unpack(tmp_path / "site")
    (plugin,) = discovery.discover([str(tmp_path / "site")])
    assert plugin.problem is None
    found = plugin.manifest
    assert found is not None
    assert (found.package, found.version, found.summary) == ("trtplugin-tiny", "1.2", "A plugin for tests")
    assert found.tensorrt == {"full": ">=10.0", "lean": ">=10.0", "rtx": ">=1.7"}
    library = found.library
    assert (library.file, library.size) == ("libtrtplugin_tiny.so", len(made.files[LIBRARY]))
    assert library.machine == os.uname().machine
    assert library.sms == ("9.0",)
    assert library.ptx == ("9.0",)
    assert library.needed == elf.facts(tmp_path / "site" / LIBRARY).needed
    assert library.sdk == manifest.Sdk(version="0.1.0", face_abi=1)
    assert library.cuda == "13.0"
    assert [creator.key for creator in library.creators] == [manifest.CreatorKey("Tiny", "1", "")]
    assert library.creators[0].fields[0].default == (2.5,)
    assert manifest.to_json(found).encode() == made.files["trtplugin_tiny/trtplugin.json"]
    glibc = tuple(map(int, (library.glibc or "").split(".")))
    assert made.tag == f"py3-none-manylinux_{glibc[0]}_{glibc[1]}_{library.machine}"

    shown = json.loads(
        subprocess.run(
            [sys.executable, "-m", "auditwheel", "show", "--json", path], capture_output=True, text=True, check=True
        ).stdout
    )
    seen = [version.split("_")[1].split(".") for version in shown["versioned_symbols"]["libc.so.6"]]
    assert max(tuple(map(int, version[:2])) for version in seen) == glibc
    # auditwheel does not know every glibc; then its tag is that of the next one.
    judged = re.fullmatch(r"manylinux_(\d+)_(\d+)_\w+", shown["overall_tag"])
    assert judged is not None
    assert (int(judged[1]), int(judged[2])) >= glibc
    assert made.tag == f"py3-none-{shown['overall_tag']}" or glibc not in {(2, 17), (2, 28), (2, 34), (2, 35), (2, 36)}


def test_second_build_compiles_and_links_nothing(make_project: Callable[..., Path], run_hook: Hook) -> None:
    root = make_project()
    first = run_hook(root, "build_wheel", "dist")
    assert "compiling native/tiny.cu for sm_90, PTX 90" in first.stdout
    assert "linking" in first.stdout
    wheels = {path: path.read_bytes() for path in (root / "dist").iterdir()}
    second = run_hook(root, "build_wheel", "dist", CUDA_HOME="", PATH=os.environ["PATH"])
    assert "compiling" not in second.stdout
    assert "linking" not in second.stdout
    assert wheels == {path: path.read_bytes() for path in (root / "dist").iterdir()}


def test_same_source_same_bytes(make_project: Callable[..., Path], build_wheel: Callable[..., Path]) -> None:
    # Nothing but its place and its process tells this source from another one.
    local = "namespace { __global__ void k() {} }\nstatic __attribute__((constructor)) void run() { k<<<1, 1>>>(); }\n"
    first = make_project(files={"native/local.cu": local}, name="first")
    second = make_project(files={"native/local.cu": local}, name="a longer name with blanks, and more")
    for path in second.rglob("*"):
        path.chmod(0o700)
        os.utime(path, (1e9, 1e9))
    made, again = build_wheel(first), build_wheel(second, TZ="Asia/Tokyo")
    assert wheel.read(made) == wheel.read(again)
    assert made.read_bytes() == again.read_bytes()


def test_no_warnings_of_setuptools(make_project: Callable[..., Path], run_hook: Hook) -> None:
    done = run_hook(make_project(), "build_wheel", "dist")
    assert done.returncode == 0, done.stderr
    words = done.stderr.replace("byte-compiling is disabled", "")
    assert "Warning" not in words
    assert "!!" not in words


def test_sdist(
    make_project: Callable[..., Path], run_hook: Hook, build_wheel: Callable[..., Path], tmp_path: Path
) -> None:
    root = make_project(files={"native/deep/more.cuh": "", "native/notes.md": "", "LICENSE": "free"})
    assert run_hook(root, "build_editable", tmp_path / "editable").returncode == 0
    assert (root / LIBRARY).is_file()
    done = run_hook(root, "build_sdist", tmp_path, PATH="/nowhere")
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / "trtplugin_tiny-1.2.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.2 has no filters
        archive.extractall(tmp_path / "sdist")  # noqa: S202 - the test has made it
    assert {"pyproject.toml", "README.md", "LICENSE", "native/tiny.cu", "native/tiny.h"} <= names
    assert {"native/deep/more.cuh", "trtplugin_tiny/__init__.py", "PKG-INFO"} <= names
    assert not {name for name in names if name.endswith((".so", "trtplugin.json")) or name.startswith("build")}
    from_tree = build_wheel(root)
    from_sdist = build_wheel(tmp_path / "sdist" / "trtplugin_tiny-1.2")
    assert from_tree.name == from_sdist.name
    assert from_tree.read_bytes() == from_sdist.read_bytes()


def test_editable(make_project: Callable[..., Path], run_hook: Hook, tmp_path: Path) -> None:
    root = make_project()
    done = run_hook(root, "build_editable", tmp_path)
    assert done.returncode == 0, done.stderr
    made = wheel.read(tmp_path / done.stdout.splitlines()[-1])
    assert not any(name.endswith(".so") for name in made.files)
    assert b"trtplugin-tiny = trtplugin_tiny" in made.files[f"{made.dist_info}/entry_points.txt"]
    found = manifest.read(root / "trtplugin_tiny" / "trtplugin.json")
    assert found.library.size == (root / LIBRARY).stat().st_size
    # A process that has the old library open keeps it.
    before = (root / LIBRARY).open("rb")
    old = (root / LIBRARY).read_bytes()
    (root / "native" / "tiny.h").write_text("#define FACTOR 5\n")
    assert run_hook(root, "build_editable", tmp_path).returncode == 0
    with before:
        assert before.read() == old
    assert (root / LIBRARY).read_bytes() != old
    assert {path.name for path in (root / "trtplugin_tiny").iterdir()} == {
        *("__init__.py", "libtrtplugin_tiny.so", "trtplugin.json")
    }


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_metadata_is_made_without_compiling(
    make_project: Callable[..., Path], run_hook: Hook, tmp_path: Path, kind: str
) -> None:
    root = make_project()
    done = run_hook(root, f"prepare_metadata_for_build_{kind}", tmp_path, PATH="/nowhere")
    assert done.returncode == 0, done.stderr
    info = tmp_path / done.stdout.splitlines()[-1]
    assert "trtplugin-tiny = trtplugin_tiny" in (info / "entry_points.txt").read_text()
    assert not (root / "build" / "trtreg").exists()
    done = run_hook(root, f"build_{kind}", tmp_path, "", info)
    assert done.returncode == 0, done.stderr
    made = wheel.read(tmp_path / done.stdout.splitlines()[-1])
    assert made.files[f"{info.name}/entry_points.txt"] == (info / "entry_points.txt").read_bytes()


def test_settings_of_setuptools_go_first(make_project: Callable[..., Path], build_wheel: Callable[..., Path]) -> None:
    files = {"trtplugin_tiny/part/__init__.py": "", "trtplugin_tiny/table.bin": "x"}
    more = "[tool.setuptools]\npackages = ['trtplugin_tiny']\n[tool.setuptools.package-data]\ntrtplugin_tiny = ['*']\n"
    root = make_project("[project.scripts]\nTiny-Run = 'trtplugin_tiny:run'\n" + more, files)
    made = wheel.read(build_wheel(root))
    assert "trtplugin_tiny/table.bin" in made.files
    assert "trtplugin_tiny/part/__init__.py" not in made.files
    assert b"Tiny-Run = trtplugin_tiny:run" in made.files[f"{made.dist_info}/entry_points.txt"]


def test_requirements_of_a_build(make_project: Callable[..., Path], run_hook: Hook, tmp_path: Path) -> None:
    root = make_project()
    for hook in ("get_requires_for_build_wheel", "get_requires_for_build_editable"):
        assert run_hook(root, hook).stdout == "[]\n"
    assert run_hook(root, "get_requires_for_build_sdist", PATH="/nowhere").stdout == "[]\n"
    failed = run_hook(root, "get_requires_for_build_wheel", CUDA_HOME=str(tmp_path))
    assert f"CUDA_HOME={tmp_path}" in failed.stderr


@pytest.mark.parametrize(
    ("settings", "files", "environ", "last"),
    [
        ("archs = 3", {}, {}, "error: pyproject.toml: unexpected value in 'tool.trtreg.archs': found integer 3"),
        ("", {"native/tiny.cu": "int x = y;"}, {}, '1 error detected in the compilation of "native/tiny.cu".'),
        ("", {}, {"TRTREG_CUDA_ARCHS": "35"}, "error: nvcc "),
        (
            "",
            {},
            {"CUDA_HOME": "/nowhere"},
            "error: CUDA_HOME does not hold a usable CUDA toolkit: found CUDA_HOME=/now",
        ),
        ("", {}, {"CXX": "no-such-compiler"}, "error: there is no host C++ compiler: found no 'no-such-compiler'"),
        ("", {"native/tiny.cu": "int x;"}, {}, "error: libtrtplugin_tiny.so does not export getCreators, setLogger"),
    ],
)
def test_errors_come_last_and_without_a_traceback(
    make_project: Callable[..., Path],
    run_hook: Hook,
    settings: str,
    files: dict[str, str],
    environ: dict[str, str],
    last: str,
) -> None:
    done = run_hook(make_project(settings, files), "build_wheel", "dist", **environ)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith(last)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return nullptr;", "cannot be opened to describe itself: found .*"),
        ("__builtin_trap();", "cannot be opened to describe itself: found exit code -[0-9]+"),
        ('face.describe = [] { return "{"; }; return &face;', "describe"),
        ('face.describe = [] { return "[]"; }; return &face;', "found list, expected an object|describe"),
        ('face.describe = [] { return "{}"; }; return &face;', "library.(sdk|creators)"),
    ],
)
def test_libraries_that_do_not_describe_themselves(
    make_project: Callable[..., Path], run_hook: Hook, body: str, message: str
) -> None:
    text = f"""
    #include "trtreg/face.h"
    #define EXPORT extern "C" __attribute__((visibility("default")))
    EXPORT void* getCreators(int32_t& count) {{ count = 0; return nullptr; }}
    EXPORT void setLoggerFinder(void*) {{}}
    EXPORT trtreg_face const* trtreg_get_face(uint32_t) {{
      static trtreg_face face{{1, sizeof(trtreg_face), {{}}, {{}}, {{}}, {{}}, {{}}, {{}}, {{}}}};
      (void)face;
      {body}
    }}
    """
    root = make_project("sources = ['native/tiny.cpp']", {"native/tiny.cpp": text})
    done = run_hook(root, "build_wheel", "dist")
    assert done.returncode == 1
    assert re.search(message, done.stderr.strip().splitlines()[-1]), done.stderr
    assert not list(root.glob("dist/*.whl"))


def test_foreign_libraries_are_taken_into_the_wheel(
    make_project: Callable[..., Path], build_wheel: Callable[..., Path], foreign_library: Path, tmp_path: Path
) -> None:
    settings = f"library-dirs = ['{foreign_library.parent}']\nlibraries = ['foreign']\n"
    text = "int foreign();\n__attribute__((constructor)) void use() { foreign(); }\n"
    made = build_wheel(make_project(settings, {"native/use.cpp": text}))
    again = build_wheel(make_project(settings, {"native/use.cpp": text}, name="again"))
    assert made.read_bytes() == again.read_bytes()
    files = wheel.read(made).files
    (grafted,) = [name for name in files if "libforeign" in name]
    assert grafted.startswith("trtplugin_tiny.libs/")

    site = wheel.read(made).unpack(tmp_path / "site")
    found = manifest.read(site / "trtplugin_tiny" / "trtplugin.json").library
    assert Path(grafted).name in found.needed
    assert found.needed == elf.facts(site / LIBRARY).needed
    assert found.size == (site / LIBRARY).stat().st_size
    assert found.sha256 == hashlib.sha256((site / LIBRARY).read_bytes()).hexdigest()
    # It loads where the library was never installed.
    shutil.rmtree(foreign_library.parent)
    code = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, site / LIBRARY], check=True)
    shown = subprocess.run(
        [sys.executable, "-m", "auditwheel", "show", made], capture_output=True, text=True, check=True
    ).stdout
    assert wheel.read(made).tag.removeprefix("py3-none-") in shown


def test_foreign_library_that_is_not_found(
    make_project: Callable[..., Path], run_hook: Hook, foreign_library: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.mkdir()
    shutil.copy(foreign_library, link / "libother.so")  # linked by this name, needed by its soname
    settings = f"library-dirs = ['{link}']\nlibraries = ['other']\n"
    text = "int foreign();\n__attribute__((constructor)) void use() { foreign(); }\n"
    done = run_hook(make_project(settings, {"native/use.cpp": text}), "build_wheel", "dist")
    assert done.returncode == 1
    assert "libforeign.so" in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_importing_the_backend_is_light() -> None:
    code = "import sys; from trtreg.sdk import build; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={**os.environ, "PYTHONPATH": str(Path(repair.__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"setuptools", "elftools", "packaging", "auditwheel", "email", "zipfile", "subprocess", "distutils"}
    assert not heavy & set(done.stdout.strip("[]\n").replace("'", "").split(", "))
    assert done.stdout.count("\n") == 1
