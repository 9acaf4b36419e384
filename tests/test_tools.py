"""The flags for other tools, given to the real tool where it can be had: polygraphy, CMake, a shell."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pythons import python_of

from trtreg import discovery, environment, errors
from trtreg.manifest import CreatorKey
from trtreg.tools import TOOLS, PluginLibrary, Style, flags_for, library, selection
from trtreg.tools import adapter as adapters

BIN = Path(sys.executable).parent
A = PluginLibrary(package="plugin-a", version="1.0", path=Path("/a b/lib'a.so"))
B = PluginLibrary(package="plugin-b", version="1.0", path=Path("/b/libb.so"), style=Style.STATIC)
C = PluginLibrary(package="plugin-c", version="1.0", path=Path("/c/libc_.so"), style=Style.STATIC)
D = PluginLibrary(package="plugin-d", version="1.0", path=Path("/d/libd.so"), style=Style.INIT, init="initLibD")
MODEL = '<ir_version: 8, opset_import: ["" : 17]> g (float[1,4] x) => (float[1,4] y) { a = Relu (x) y = %s (a) }'


def tool(name):
    found = shutil.which(name, path=str(BIN))
    if found is None:
        pytest.skip(f"{name} is not in this environment; requirements/test.txt has it")
    return found


@pytest.mark.parametrize("name", TOOLS)
def test_every_tool_answers_for_every_style_and_cites_its_documentation(name):
    flags = flags_for(name, [A, B, D])
    assert flags.tool == name
    told = {one.package for one in flags.unloadable}
    said = "\n".join([*flags.text, *flags.arguments, *flags.notes])
    for plugin in (A, B, D):
        assert plugin.package in told or str(plugin.path) in said or plugin.package in said
    assert flags.sources
    assert all(source.url.startswith("https://") for source in flags.sources)
    assert all(one.instead for one in flags.unloadable)
    assert flags_for(name, []).text == ()


def test_trtexec_has_an_option_for_each_style():
    flags = flags_for("trtexec", [A, B, C, D])
    assert flags.arguments == (
        "--dynamicPlugins=/a b/lib'a.so",
        "--staticPlugins=/b/libb.so",
        "--staticPlugins=/c/libc_.so",
    )
    assert shlex.split(flags.text[0]) == ["trtexec", *flags.arguments]
    assert [one.package for one in flags.unloadable] == ["plugin-d"]
    assert "initLibD" in flags.unloadable[0].reason


def test_triton_gets_one_list_of_static_libraries():  # triton-inference-server/server#16, #4700
    flags = flags_for("triton", [A, B, C])
    assert flags.arguments == ("--backend-config=tensorrt,plugins=/b/libb.so;/c/libc_.so",)
    # What a shell makes of the text is what Triton gets.
    done = subprocess.run(
        ["sh", "-c", f'tritonserver() {{ printf "%s\\n" "$@"; }}; {flags.text[0]}'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[1:] == [*flags.arguments]
    (one,) = flags.unloadable
    assert one.package == "plugin-a"
    assert "--setPluginsToSerialize" in one.instead
    assert "--adapter" in one.instead


def test_onnx_runtime_gets_the_option_of_its_provider():
    flags = flags_for("onnxruntime", [B, C])
    names = {}
    exec("\n".join(flags.text), names)  # noqa: S102 - it is Python
    assert names["providers"] == [
        ("TensorrtExecutionProvider", {"trt_extra_plugin_lib_paths": "/b/libb.so;/c/libc_.so"})
    ]
    assert flags_for("onnxruntime", [B], flavour="rtx").options == {
        "provider": "NvTensorRTRTXExecutionProvider",
        "nv_extra_plugin_lib_paths": "/b/libb.so",
    }


def test_deepstream_takes_one_library_in_its_file_and_more_by_preloading():
    assert flags_for("deepstream", [B]).text == ("[property]", "custom-lib-path=/b/libb.so")
    flags = flags_for("deepstream", [B, C])
    assert flags.environment == {"LD_PRELOAD": "/b/libb.so:/c/libc_.so"}
    assert "LD_PRELOAD=/b/libb.so:/c/libc_.so" in shlex.split(flags.text[0])


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("triton", "/a;b/lib.so"),
        ("triton", "/a b/lib.so"),  # LD_PRELOAD, for an older Triton
        ("onnxruntime", "/a;b/lib.so"),
        ("deepstream", "/a:b/lib.so"),
        ("cmake", "/a;b/lib.so"),
        ("cmake", "/a$b/lib.so"),
    ],
)
def test_a_path_that_the_tool_cannot_hold_is_refused(name, path):
    odd = PluginLibrary(package="odd", version="1", path=Path(path), style=Style.STATIC)
    with pytest.raises(errors.ToolFlagsError) as caught:
        flags_for(name, [odd, B])
    assert caught.value.found == path
    assert caught.value.remedy


def test_polygraphy_goes_through_trtreg_run_for_what_its_own_option_would_not_register():
    flags = flags_for("polygraphy", [A, B])
    words = shlex.split(flags.text[0])
    assert words[: words.index("polygraphy")] == ["trtreg", "run", "--plugin", "plugin-a", "--"]
    assert words[words.index("--plugins") + 1 :] == ["/b/libb.so"]
    only = flags_for("polygraphy", [B])
    assert shlex.split(only.text[0])[0] == "polygraphy"
    assert only.options == {}
    rtx = flags_for("polygraphy", [B], flavour="rtx")
    assert "--plugins" not in rtx.text[0]
    assert rtx.environment == {"POLYGRAPHY_USE_TENSORRT_RTX": "1"}


@pytest.fixture
def polygraphy(tmp_path):
    """Run the real polygraphy on TensorRT-RTX, with command lines that a shell reads."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("tensorrt_rtx")
    program = tool("polygraphy")
    root = Path(__file__).resolve().parent.parent
    # `trtreg` as the text has it, without an installed console script.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "trtreg").write_text(
        f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m trtreg "$@"\n', encoding="utf-8"
    )
    (tmp_path / "bin" / "trtreg").chmod(0o755)
    (tmp_path / "bin" / "polygraphy").symlink_to(program)

    def run(command, op, site):
        onnx.save_model(onnx.parser.parse_model(MODEL % op), tmp_path / "model.onnx")
        # What the text shows is `run`, which needs a GPU; `convert` takes the same options.
        command = command.replace(
            "polygraphy run model.onnx --trt", "polygraphy convert model.onnx -o e --convert-to trt"
        )
        paths = os.pathsep.join([str(root), str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
        return subprocess.run(
            ["sh", "-c", command],
            cwd=tmp_path,
            env={
                **os.environ,
                "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "PYTHONPATH": paths,
                "POLYGRAPHY_USE_TENSORRT_RTX": "1",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return run


def test_the_real_polygraphy_builds_an_engine_with_the_text_for_it(
    polygraphy, identity_library, install, site, tmp_path
):
    plugin = install(identity_library, [CreatorKey("TrtregTestIdentity", "1")], "trtplugin-identity")
    flags = flags_for("polygraphy", [library.of(plugin)], flavour="rtx")
    done = polygraphy(flags.text[0], "TrtregTestIdentity", site)
    assert done.returncode == 0, done.stdout + done.stderr
    assert selection.is_plan((tmp_path / "e").read_bytes())


def test_the_real_polygraphy_does_not_register_a_dynamic_library_by_its_own_option(polygraphy, identity_library, site):
    """Should it ever do so, the flags can become simpler."""
    path = shlex.quote(str(identity_library))
    done = polygraphy(f"polygraphy run model.onnx --trt --plugins {path}", "TrtregTestIdentity", site)
    assert done.returncode != 0
    assert f"Loading plugin library: {identity_library}" in done.stdout
    assert "Plugin not found" in done.stdout + done.stderr


def test_the_real_polygraphy_runs_the_initialisers_of_a_static_library(polygraphy, compile_library, site, tmp_path):
    source = (
        "#include <cstdio>\n#include <cstdlib>\n"
        'struct Registrar { Registrar() { std::fclose(std::fopen(std::getenv("MARK"), "w")); } } static registrar;'
    )
    folder = tmp_path / "with space"
    folder.mkdir()
    path = folder / "libstatic.so"
    shutil.copyfile(compile_library(source), path)
    static = PluginLibrary(package="static", version="1", path=path, style=Style.STATIC)
    text = flags_for("polygraphy", [static]).text[0]
    done = polygraphy(f"MARK={shlex.quote(str(tmp_path / 'mark'))} {text}", "Relu", site)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "mark").exists()


def test_the_real_cmake_links_static_libraries_and_tells_the_program_the_others(compile_library, tmp_path):
    """The linker would drop a static plugin library: nothing refers to a symbol of it."""
    folder = tmp_path / "with space"
    folder.mkdir()
    made = {}
    for name, code in {
        "dynamic": 'extern "C" __attribute__((visibility("default"))) int getCreators() { return 42; }',
        "static": '#include <cstdio>\nstruct R { R() { std::puts("registered"); } } static r;',
        "init": 'extern "C" __attribute__((visibility("default"))) int initLibFoo() { return 7; }',
    }.items():
        made[name] = folder / f"lib{name}.so"
        shutil.copyfile(compile_library(code), made[name])
    libraries = [PluginLibrary(package=name, version="1", path=path, style=Style(name)) for name, path in made.items()]
    text = [line.replace("your_program", "program") for line in flags_for("cmake", libraries).text]
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(p CXX)\nadd_executable(program main.cpp)\n"
        + "\n".join([*text[:-1], text[-1].replace(")", " ${CMAKE_DL_LIBS})")]),
        encoding="utf-8",
    )
    (tmp_path / "main.cpp").write_text(
        "#include <dlfcn.h>\n#include <cstdio>\n#include <initializer_list>\n"
        'extern "C" int initLibFoo();\n'
        "int main() { for (char const* path : {TENSORRT_PLUGIN_LIBRARIES}) {\n"
        '  auto f = (int (*)())dlsym(dlopen(path, RTLD_NOW), "getCreators"); std::printf("%d\\n", f());\n'
        '} std::printf("%d\\n", initLibFoo()); }\n',
        encoding="utf-8",
    )
    cmake = tool("cmake")
    for command in ([cmake, "-S", tmp_path, "-B", tmp_path / "b"], [cmake, "--build", tmp_path / "b"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run([tmp_path / "b" / "program"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["registered", "42", "7"]


def test_the_style_comes_from_the_manifest(install, identity_library):
    plugin = install(identity_library, [CreatorKey("TrtregTestIdentity", "1")])
    assert library.of(plugin) == PluginLibrary(
        package="trtplugin-test", version="1.0", path=plugin.library_path, style=Style.DYNAMIC
    )


def test_a_plugin_without_a_manifest_has_no_library(install):
    plugin = install(b"", [])
    (plugin.root / "trtplugin.json").write_text("{", encoding="utf-8")
    (plugin,) = discovery.discover([str(plugin.root.parent)])
    assert library.of(plugin) is None


@pytest.fixture
def two(install, identity_library, site):
    install(identity_library, [CreatorKey("TrtregTestIdentity", "1")], "trtplugin-identity")
    install(b"", [CreatorKey("TrtregTestMisfit", "1")], "trtplugin-misfit", machine="mips")
    return discovery.discover([str(site)])


def test_all_that_fit_are_selected_and_the_others_told(two):
    chosen = selection.select(two, environment.read())
    assert [plugin.distribution for plugin in chosen.plugins] == ["trtplugin-identity"]
    assert "trtplugin-misfit is left out: machine" in chosen.lacking[0]


def test_a_named_plugin_is_selected_though_it_does_not_fit(two):
    chosen = selection.select(two, environment.read(), names=["TrtregTestMisfit"])
    assert [plugin.distribution for plugin in chosen.plugins] == ["trtplugin-misfit"]
    with pytest.raises(errors.UnknownPluginError):
        selection.select(two, environment.read(), names=["nobody"])


def test_what_a_model_or_an_engine_needs_is_selected(two, tmp_path):
    onnx = pytest.importorskip("onnx")
    model, engine = tmp_path / "m.onnx", tmp_path / "m.engine"
    onnx.save_model(onnx.parser.parse_model(MODEL % "TrtregTestIdentity"), model)
    engine.write_bytes(b"vtrt" + bytes(60) + b"TrtregTestMisfit")
    assert [p.distribution for p in selection.select(two, environment.read(), files=[str(model)]).plugins] == [
        "trtplugin-identity"
    ]
    both = selection.select(two, environment.read(), files=[str(model), str(engine)])
    assert [p.distribution for p in both.plugins] == ["trtplugin-identity", "trtplugin-misfit"]
    assert both.lacking == ()
    onnx.save_model(onnx.parser.parse_model(MODEL % "Nobody"), model)
    assert "needs the op Nobody" in selection.select(two, environment.read(), files=[str(model)]).lacking[0]
    with pytest.raises(errors.ModelError):
        selection.select(two, environment.read(), files=[str(tmp_path / "none")])


ADAPTED = """
import ctypes, sys
trt = __import__(sys.argv[1])
registry = trt.get_plugin_registry()
before = {(c.name, c.plugin_version) for c in registry.all_creators}
ctypes.CDLL(sys.argv[2])  # as Triton, ONNX Runtime and DeepStream do
print(sorted({(c.name, c.plugin_version) for c in registry.all_creators} - before))
"""


@pytest.fixture
def adapter(compile_creators, compile_library, tmp_path):
    """Make an adapter for a dynamic and a static library, in a folder whose name means something to C and to shells."""
    folder = tmp_path / "odd \\ \" ';ü"
    folder.mkdir()
    made = {
        "dynamic": compile_creators([CreatorKey("TrtregTestAdapted", "3")]),
        "static": compile_library('#include <cstdio>\nstruct R { R() { std::puts("static"); } } static r;'),
    }
    libraries = [PluginLibrary(package="d", version="1", path=Path("/d.so"), style=Style.INIT, init="f")]
    for name, library_ in made.items():
        shutil.copyfile(library_, folder / f"{name}.so")
        libraries.append(PluginLibrary(package=name, version="1", path=folder / f"{name}.so", style=Style(name)))
    one, init = adapters.write(libraries, tmp_path / "adapter.so")
    assert (one.style, one.preloadable, init.package) == (Style.STATIC, False, "d")
    return one


@pytest.mark.parametrize("variable", ["TRTREG_TEST_RTX_1_7", "TRTREG_TEST_LEAN_10_16", "TRTREG_TEST_LEAN_11_4"])
def test_an_adapter_registers_when_it_is_opened(adapter, variable):  # triton-inference-server/server#4365
    """In each of them the registry is asked in another way: its table of functions changed with TensorRT 11."""
    python = python_of(variable)
    module = "tensorrt_rtx" if "RTX" in variable else "tensorrt_lean"
    done = subprocess.run(
        [python, "-c", ADAPTED, module, adapter.path], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout == "static\n[('TrtregTestAdapted', '3')]\n", done.stderr
    assert done.stderr == ""


def test_an_adapter_that_comes_too_early_says_so(adapter, run_python):
    done = run_python("import ctypes, sys; ctypes.CDLL(sys.argv[1])", str(adapter.path))
    assert (done.returncode, done.stdout) == (0, "static\n")
    assert "no TensorRT is in this process yet" in done.stderr


def test_an_adapter_is_one_static_library_to_its_tool(adapter):
    flags = flags_for("deepstream", [adapter])
    assert flags.options == {"custom-lib-path": str(adapter.path)}
    assert "LD_PRELOAD" not in str(flags.notes)
    assert flags.unloadable == ()
    flags = flags_for("triton", [adapter])
    assert flags.arguments == (f"--backend-config=tensorrt,plugins={adapter.path}",)
    assert "LD_PRELOAD" not in str(flags.notes)


def test_no_adapter_is_written_for_nothing(tmp_path):
    assert adapters.write([D], tmp_path / "adapter.so") == (D,)
    assert not (tmp_path / "adapter.so").exists()


def test_an_adapter_without_a_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    with pytest.raises(errors.HostCompilerNotFoundError):
        adapters.write([A], tmp_path / "adapter.so")
    with pytest.raises(errors.OutputError):
        adapters.write([A], tmp_path / "no" / "folder.so")


def test_flags_are_plain_data():
    """So that `--format json` can print them."""
    for name in TOOLS:
        flags = flags_for(name, [A, B])
        json.dumps([flags.text, flags.arguments, dict(flags.environment), dict(flags.options)])
