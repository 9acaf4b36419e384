"""Libraries that are loaded by child processes: this one lives, whatever they do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pythons import python_of

from trtreg import flavour
from trtreg.manifest import CreatorKey

ROOT = Path(__file__).resolve().parents[2]
ENTRY = (
    'extern "C" __attribute__((visibility("default"))) void setLoggerFinder(void*) {{}}\n'
    'extern "C" __attribute__((visibility("default"))) void* getCreators(int& count) {{ count = 1; {} }}'
)
HARDENED = ("-Wl,-z,now,-z,relro,-z,noexecstack", "-Wl,--exclude-libs,ALL", "-static-libstdc++", "-static-libgcc")

needs_tensorrt = pytest.mark.skipif(not flavour.installed(), reason="no TensorRT in this environment")


@needs_tensorrt
@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("#include <cstdlib>\n" + ENTRY.format("abort();"), "ends the process that opens it"),
        (ENTRY.format("throw 1;"), "ends the process that opens it"),
        (
            "#include <unistd.h>\nnamespace { struct S { S() { _exit(0); } } s; }\n" + ENTRY.format("return nullptr;"),
            "ends the process that opens it",
        ),
    ],
)
def test_the_end_of_a_child_is_a_finding(compile_library, find, source, words):
    errors = find(compile_library(source, *HARDENED), load=True)
    assert set(errors) == {"TRT201"}
    assert words in errors["TRT201"][0]
    # The folder of an unpacked wheel is gone when this is read.
    assert "libraries0" not in errors["TRT201"][0]


def test_a_library_of_the_sdk_that_dies_when_it_is_asked(compile_library, find):
    source = "\n".join(
        f'extern "C" __attribute__((visibility("default"))) void* {name}() {{ __builtin_trap(); }}'
        for name in ("getCreators", "setLoggerFinder", "trtreg_get_face")
    )
    path = compile_library(source, *HARDENED)
    from trtreg.check import check

    (checked,) = check([str(path)])
    silence = checked.package.plugins[0].silence
    assert silence is not None
    assert "cannot be opened to describe itself" in silence


def test_a_library_that_prints_without_measure(compile_library, find):
    """What it prints goes to a file that can hold 16 MiB, and no further."""
    from trtreg.check import check

    source = """
    #include <cstdio>
    #define EXPORT extern "C" __attribute__((visibility("default")))
    EXPORT void* getCreators(int& count) { count = 0; return nullptr; }
    EXPORT void setLoggerFinder(void*) {}
    EXPORT void* trtreg_get_face(unsigned) {
      bool full = false;
      for (int i = 0; i < 5000000 && !full; ++i) full = std::fputs("no end of words\\n", stderr) < 0;
      if (full) __builtin_trap();
      return nullptr;
    }
    """
    (checked,) = check([str(compile_library(source, *HARDENED))])
    silence = checked.package.plugins[0].silence
    assert silence is not None
    assert "cannot be opened to describe itself: found no end of words" in silence


def test_a_wheel_whose_library_does_not_describe_itself(sample, compile_library, tmp_path, find):
    source = "\n".join(
        f'extern "C" __attribute__((visibility("default"))) void* {name}() {{ __builtin_trap(); }}'
        for name in ("getCreators", "setLoggerFinder", "trtreg_get_face")
    )
    library = compile_library(source, *HARDENED).read_bytes()
    errors = find(
        sample.with_files({"trtplugin_identity/libtrtplugin_identity.so": library}).write(tmp_path), load=True
    )
    assert "TRT023" in errors
    assert {"TRT021", "TRT002"} <= set(errors)


@pytest.mark.parametrize("more", ["", 'extern "C" __attribute__((visibility("default"))) void trtreg_get_face() {}'])
def test_without_loading_nothing_runs(compile_library, find, tmp_path, more):
    mark = tmp_path / "ran"
    source = f'{more}\n#include <cstdio>\nnamespace {{ struct S {{ S() {{ std::fopen("{mark}", "w"); }} }} s; }}\n'
    path = compile_library(source + ENTRY.format("return nullptr;"), *HARDENED)
    assert "it was loaded into no TensorRT: none was tried" in find(path, "note")["TRT204"][0]
    assert not mark.exists()
    find(path, load=True)
    assert mark.exists() == bool(flavour.installed())


@needs_tensorrt
def test_a_function_that_registers(compile_library):
    from trtreg.check import check

    source = 'extern "C" __attribute__((visibility("default"))) bool {}(void*, char const*) {{ __builtin_trap(); }}'
    path = compile_library("\n".join(source.format(name) for name in ("initMyPlugins", "initYourPlugins")), *HARDENED)
    (checked,) = check([str(path)])
    assert "exports several functions that may register" in checked.findings[0].message
    (checked,) = check([str(path)], init="initYourPlugins")
    assert "ends the process that opens it" in checked.findings[0].message
    assert "initYourPlugins" in checked.findings[0].message


@needs_tensorrt
def test_a_library_that_finds_its_neighbour_in_the_wheel(
    sample, link_sdk, make_sample, compile_library, tmp_path, find
):
    """As auditwheel leaves it: unpacked, they find each other by the run path."""
    source = 'extern "C" __attribute__((visibility("default"))) int f() { return 0; }'
    mine = compile_library(source, *HARDENED, "-Wl,-soname,libmine.so")
    path = "-Wl,-rpath,$ORIGIN/../trtplugin_identity.libs"
    library = link_sdk("-Wl,--no-as-needed", mine, "-Wl,--as-needed", path).read_bytes()
    neighbour = {"trtplugin_identity.libs/libmine.so": mine.read_bytes()}
    change = {"trtplugin_identity/libtrtplugin_identity.so": library, **neighbour}
    found = find(sample.with_files(change).write(tmp_path), load=True)
    # The manifest is of the library without it; what counts is that both were loaded.
    assert set(found) == {"TRT002", "TRT021"}, found
    assert not any("libmine" in text for text in found["TRT002"])


def test_a_library_of_another_machine(sample, tmp_path, find):
    name = "trtplugin_identity/libtrtplugin_identity.so"
    content = bytearray(sample.files[name])
    content[18:20] = (183).to_bytes(2, "little")  # EM_AARCH64
    path = sample.with_files({name: bytes(content)}).write(tmp_path, sample.tag.replace("x86_64", "aarch64"))
    assert "machine" in " ".join(find(path, load=True)["TRT021"])
    if flavour.installed():
        assert "it is for aarch64, and this machine is" in find(path, "note", load=True)["TRT204"][0]


@needs_tensorrt
def test_a_tensorrt_that_the_manifest_leaves_out(sample, tmp_path, find):
    path = sample.with_manifest(lambda data: data.update(tensorrt={"full": ">=99"})).write(tmp_path)
    note = find(path, "note", load=True)["TRT204"][0]
    assert "its manifest does not say that it is for this TensorRT" in note


@pytest.mark.parametrize("version", ["10.16", "11.4"])
def test_in_lean(sample, tmp_path, version):
    python = python_of(f"TRTREG_TEST_LEAN_{version.replace('.', '_')}")
    path = sample.write(tmp_path)
    wrong = sample.with_manifest(lambda data: data["library"]["creators"][0].update(name="Other"))
    other = wrong.write(tmp_path / "other")
    done = subprocess.run(
        [python, "-m", "trtreg", "check", path, other, "--json"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 110, done.stderr
    sound, bad = json.loads(done.stdout)["checked"]
    (load,) = sound["libraries"][0]["loads"]
    assert (load["flavour"], load["version"][: len(version)], load["status"]) == ("lean", version, "loaded")
    assert sound["findings"] == []
    assert {finding["rule"] for finding in bad["findings"]} == {"TRT021", "TRT202"}


@needs_tensorrt
def test_a_wrapped_library(compile_creators, tmp_path, find):
    """The wheels of `trtreg wrap` pass too; a licence is for their maker to add."""
    from trtreg.foreign import wrap

    library = compile_creators([CreatorKey("TrtregTestWrapped", "1")], *HARDENED)
    made, _ = wrap.wrap(library, tmp_path, name="trtplugin-wrapped", version="1.0")
    assert find(made, load=True) == {}
    assert set(find(made, "warning", load=True)) == {"TRT008"}


def test_the_wheels_of_the_repository(capsys):
    """As `make` builds them: every one passes, with what each machine that they are for would say."""
    from trtreg.cli import main

    folder = Path(os.environ.get("TRTREG_TEST_WHEELS") or ROOT / "build" / "wheels")
    wheels = sorted(map(str, folder.glob("trtplugin_*.whl")))
    if not wheels:
        reason = f"{folder} has no wheels; `make wheels` makes them"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    against = ("tensorrt==10.0", "tensorrt==11.4", "tensorrt-lean==10.16", "tensorrt-rtx==1.7", "python==3.10")
    code = main(["check", *wheels, *(word for one in against for word in ("--against", one)), "--sm", "8.6"])
    out = capsys.readouterr().out
    assert code == 0, out
    assert f"{len(wheels)} checked, passed: 0 errors" in out


@pytest.mark.parametrize("arguments", [[], ["--no-load"]])
def test_the_library_never_comes_into_this_process(sample, tmp_path, arguments):
    path = sample.write(tmp_path)
    code = (
        "import sys; from trtreg.cli import main; main(sys.argv[1:]);"
        "text = open('/proc/self/maps').read(); assert 'trtplugin' not in text and 'nvinfer' not in text, text;"
        "assert not any('tensorrt' in name for name in sys.modules)"
    )
    command = [sys.executable, "-c", code, "check", path, *arguments]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
