"""A program that imports TensorRT and knows nothing of trtreg, in an environment with autoload."""

import json
import os
import sys
import zipapp

import pytest
from pythons import lean_packages

from trtreg.manifest import CreatorKey

BOTH = "TrtregTestOne TrtregTestTwo\n"
IDENTITY = CreatorKey("TrtregTestIdentity", "1")


def said(done):
    return done.stdout, done.stderr


def test_a_program_finds_the_plugins_in_the_registry(enabled, plugins, program):
    assert said(enabled.run(program)) == (BOTH, "")


def test_without_the_hook_it_does_not(environment, plugins, program):
    assert said(environment.run(program)) == ("\n", "")


@pytest.mark.parametrize("options", [["-I"], ["-E"], ["-s"], ["-O"], ["-W", "error"], ["-X", "dev"]])
def test_options_of_python_that_leave_the_hook_in(enabled, plugins, program, options):
    assert enabled.run(*options, program).stdout == BOTH


def test_python_without_site_has_no_hook(enabled, plugins, program):
    path = os.pathsep.join([str(enabled.packages), *(p for p in sys.path if p.endswith("-packages"))])
    assert said(enabled.run("-S", program, PYTHONPATH=path)) == ("\n", "")


def test_a_module_and_a_zipapp(enabled, plugins, program, tmp_path):
    assert enabled.run("-m", "program").stdout == BOTH
    source = tmp_path / "app"
    source.mkdir()
    (source / "__main__.py").write_text(program.read_text(), encoding="utf-8")
    zipapp.create_archive(source, tmp_path / "app.pyz")
    assert enabled.run(tmp_path / "app.pyz").stdout == BOTH


def test_processes_that_the_program_starts(enabled, plugins, program):
    code = f"""
import multiprocessing, runpy, subprocess, sys
if __name__ == "__main__":
    subprocess.run([sys.executable, {str(program)!r}], check=True)
    for method in ("spawn", "fork", "forkserver"):
        process = multiprocessing.get_context(method).Process(target=runpy.run_path, args=({str(program)!r},))
        process.start()
        process.join()
        assert process.exitcode == 0
"""
    main = enabled.folder / "main.py"
    main.write_text(code, encoding="utf-8")
    assert enabled.run(main).stdout == 4 * BOTH


THREADS = """
import sys, threading
barrier = threading.Barrier(16)
seen = []

def work():
    barrier.wait()
    import tensorrt_rtx
    seen.append({c.name for c in tensorrt_rtx.get_plugin_registry().all_creators})

sys.setswitchinterval(1e-5)
threads = [threading.Thread(target=work) for _ in range(16)]
[t.start() for t in threads]
[t.join() for t in threads]
print(len(seen), all({"TrtregTestOne", "TrtregTestTwo"} <= names for names in seen))
"""


def test_all_threads_that_import_at_once_find_the_plugins(enabled, plugins, program):
    assert said(enabled.run("-c", THREADS)) == ("16 True\n", "")


def test_other_modules_are_left_alone(enabled):
    code = """
import sys, json.tool, importlib.util
finder = sys.meta_path[0]
print(type(finder).__name__, finder.find_spec("json"), type(json.tool.__loader__).__name__, "trtreg" in sys.modules)
"""
    assert enabled.run("-c", code).stdout == "_Finder None SourceFileLoader False\n"


def test_looking_for_tensorrt_loads_nothing(enabled, plugins, program):
    code = """
import importlib.util, sys
spec = importlib.util.find_spec("tensorrt_rtx")
print(spec.origin.endswith("__init__.py"), spec.loader.get_filename() == spec.origin, "tensorrt_rtx" in sys.modules)
print(any(name.startswith("trtreg") for name in sys.modules))
"""
    assert enabled.run("-c", code).stdout == "True True False\nFalse\n"


def test_the_module_keeps_its_own_loader(enabled, plugins, program):
    code = """
import inspect, importlib, tensorrt_rtx
print(type(tensorrt_rtx.__loader__).__name__, type(tensorrt_rtx.__spec__.loader).__name__)
print("tensorrt_rtx_bindings" in inspect.getsource(tensorrt_rtx))
importlib.reload(tensorrt_rtx)
print(sum(c.name == "TrtregTestOne" for c in tensorrt_rtx.get_plugin_registry().all_creators))
"""
    expected = "SourceFileLoader SourceFileLoader\nTrue\n1\n"
    assert said(enabled.run("-c", code)) == (expected, "")


# -- choosing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["0", "off", "False"])
def test_the_switch(enabled, plugins, program, value):
    assert said(enabled.run(program, TRTREG_AUTOLOAD=value)) == ("\n", "")


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ({"TRTREG_AUTOLOAD_DENY": "trtplugin-one"}, "TrtregTestTwo\n"),
        ({"TRTREG_AUTOLOAD_ALLOW": "TrtPlugin_One"}, "TrtregTestOne\n"),
        ({"TRTREG_AUTOLOAD_ALLOW": "trtplugin-one, trtplugin-two", "TRTREG_AUTOLOAD_DENY": "trtplugin-two"},) * 1
        + ("TrtregTestOne\n",),
        ({"TRTREG_AUTOLOAD_ALLOW": ""}, "\n"),
        ({"TRTREG_AUTOLOAD_DENY": ""}, BOTH),
    ],
)
def test_lists_in_the_environment(enabled, plugins, program, variables, names):
    assert said(enabled.run(program, **variables)) == (names, "")


def test_lists_in_the_configuration_file(enabled, plugins, program, tmp_path):
    file = tmp_path / "config" / "trtreg" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('[autoload]\nallow = ["trtplugin-one", "trtplugin-of-another-environment"]\n', encoding="utf-8")
    config = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    assert said(enabled.run(program, **config)) == ("TrtregTestOne\n", "")
    assert said(enabled.run(program, TRTREG_AUTOLOAD_ALLOW="trtplugin-two", **config)) == ("TrtregTestTwo\n", "")
    # The same file holds the indexes: neither part may mind the other.
    assert enabled.trtreg("search", "x", **config, check=False).returncode == 60
    assert "unknown key" not in enabled.trtreg("search", "x", **config, check=False).stderr


def test_a_file_that_cannot_be_understood_loads_nothing_and_is_reported(enabled, plugins, program, tmp_path):
    file = tmp_path / "config" / "trtreg" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('[autoload]\ndeny = "trtplugin-one"\n', encoding="utf-8")
    done = enabled.run(program, XDG_CONFIG_HOME=tmp_path / "config")
    assert done.stdout == "\n"
    (line,) = done.stderr.splitlines()
    assert line.startswith("trtreg autoload: no plugins for tensorrt_rtx: ")
    assert "unexpected value in 'autoload.deny': found 'trtplugin-one', expected an array" in line


def test_a_name_that_is_not_installed_is_told(enabled, plugins, program):
    done = enabled.run(program, TRTREG_AUTOLOAD_ALLOW="trtplugin-one trtplugin-three")
    assert said(done) == (
        "TrtregTestOne\n",
        "trtreg autoload: TRTREG_AUTOLOAD_ALLOW names trtplugin-three, which is not installed here\n",
    )


# -- broken things never break the import -----------------------------------------------------------------------------


def test_broken_plugins_are_reported_once_with_their_cause(enabled, plugins, program, install, compile_creators):
    """What open-mmlab/mmdeploy#2747 suffers from: a load that fails silently."""
    three = CreatorKey("TrtregTestThree", "1")
    install(compile_creators([three]), [three], "trtplugin-changed", sha256="0" * 64)
    install(b"", [three], "trtplugin-misfit", machine="mips", glibc="9.9")
    broken = install(b"", [], "trtplugin-broken")
    (broken.root / "trtplugin.json").write_text("{", encoding="utf-8")
    twice = program.read_text() + "import importlib; importlib.reload(tensorrt_rtx)"
    for options in ([], ["-W", "error"]):
        done = enabled.run(*options, "-c", twice)
        assert done.stdout == BOTH
        lines = done.stderr.splitlines()
        assert [line.partition(":")[2].split()[0] for line in lines] == [
            "trtplugin-broken",
            "trtplugin-changed",
            "trtplugin-misfit",
        ]
        assert "is not the library that its manifest describes" in lines[1]
        assert "glibc" in lines[2]
        assert "TRTREG_AUTOLOAD_DENY=trtplugin-misfit leaves it out" in lines[2]


def test_a_plugin_that_would_end_the_program_does_not(enabled, plugins, program, install, compile_library):
    source = (
        "#include <cstdlib>\n__attribute__((constructor)) static void end() { exit(3); }\n"
        'extern "C" __attribute__((visibility("default"))) void* getCreators(int& count) { count = 0; return nullptr; }'
    )
    install(compile_library(source), [CreatorKey("TrtregTestEnd", "1")], "trtplugin-end")
    for _ in range(2):
        done = enabled.run(program, TRTREG_POLICY="")
        assert done.stdout == BOTH
        (line,) = done.stderr.splitlines()
        assert "trtplugin-end 1.0 is not loaded into tensorrt_rtx" in line
        assert "is in quarantine: its trial in a process of its own ended badly: found exit code 3" in line


def test_two_packages_with_one_creator(enabled, plugins, program, install, compile_creators):
    """What NVIDIA/TensorRT#2432 and laugh12321/TensorRT-YOLO#100 are about: duplicates."""
    install(compile_creators([ONE_AGAIN], "-DOTHER"), [ONE_AGAIN], "trtplugin-rival")
    done = enabled.run(program)
    assert done.stdout == BOTH
    (line,) = done.stderr.splitlines()
    assert "trtplugin-rival 1.0 is not loaded into tensorrt_rtx" in line
    assert "trtplugin-one 1.0" in line


ONE_AGAIN = CreatorKey("TrtregTestOne", "1")


def test_reports_go_where_the_program_logs(enabled, install, program):
    install(b"", [], "trtplugin-misfit", machine="mips")
    code = "import logging; logging.basicConfig(format='<%(levelname)s %(name)s> %(message)s')\n" + program.read_text()
    done = enabled.run("-c", code)
    assert done.stderr.startswith("<WARNING trtreg.autoload> trtreg autoload: trtplugin-misfit 1.0 is not loaded")


def test_a_plugin_for_another_flavour_is_no_problem(enabled, plugins, program, site):
    file = site / "trtplugin_one" / "trtplugin.json"
    described = json.loads(file.read_text())
    file.write_text(json.dumps({**described, "tensorrt": {"lean": ">=10"}}), encoding="utf-8")
    assert said(enabled.run(program)) == ("TrtregTestTwo\n", "")


def test_an_import_that_fails_fails_as_before(enabled, site):
    (site / "tensorrt_lean.py").write_text("raise ImportError('libnvinfer_lean.so.11: no such file')")
    done = enabled.run("-c", "import tensorrt_lean", check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ImportError: libnvinfer_lean.so.11: no such file"
    assert "trtreg" not in done.stderr.replace(str(site), "").replace("_trtreg_autoload", "")
    done = enabled.run("-c", "import tensorrt", check=False)
    assert done.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'tensorrt'"


def test_the_hook_outlives_trtreg_and_does_no_harm(enabled, plugins, program, site):
    enabled.see(site, *(path for path in sys.path if path.endswith("-packages")))
    if enabled.run("-c", "import trtreg", check=False).returncode == 0:
        pytest.skip("trtreg is installed beside TensorRT here")
    assert said(enabled.run("-c", "pass")) == ("", "")
    assert said(enabled.run(program)) == ("\n", "")


def test_a_trtreg_that_cannot_be_imported_is_reported(enabled, program, tmp_path):
    package = tmp_path / "broken" / "trtreg" / "autoload"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("raise ImportError('half installed')")
    done = enabled.run(program, PYTHONPATH=str(tmp_path / "broken"))
    assert done.stdout == "\n"
    (line,) = done.stderr.splitlines()
    assert line.startswith("trtreg autoload: no plugins for tensorrt_rtx: ")
    assert line.endswith("cannot import trtreg: half installed")


# -- together with trtreg itself --------------------------------------------------------------------------------------


def test_the_commands_of_trtreg_load_what_they_need_only(enabled, plugins, program):
    code = """
import trtreg.cli
from trtreg import flavour, loader
flavour.load()
print(len(loader.loaded()))
"""
    assert said(enabled.run("-c", code, TRTREG_TENSORRT="rtx")) == ("0\n", "")


def test_trtreg_may_be_the_first_to_import_tensorrt(enabled, plugins, program):
    code = """
import trtreg
from trtreg import loader
(one,) = trtreg.load_tensorrt_plugin("trtplugin-one")
names = [known.plugin.distribution for known in loader.loaded()]
print(sum(name == "trtplugin-one" for name in names), "trtplugin-two" in names)
import tensorrt_rtx
print({"TrtregTestOne", "TrtregTestTwo"} <= {c.name for c in tensorrt_rtx.get_plugin_registry().all_creators})
"""
    assert said(enabled.run("-c", code, TRTREG_TENSORRT="rtx")) == ("1 True\nTrue\n", "")


# Strict: whoever mends loader.py is told to take the marks away.
def test_what_trtreg_loads_first_can_be_unloaded(enabled, plugins, program):
    code = """
import trtreg
from trtreg import loader
(one,) = trtreg.load_tensorrt_plugin("trtplugin-one")
print(one.handle is not None, loader.unload("trtplugin-one"))
"""
    assert said(enabled.run("-c", code, TRTREG_TENSORRT="rtx")) == ("True True\n", "")


TWO_THREADS = """
import os, sys, threading, time
from trtreg import discovery, flavour, loader
loader.load, discovery.discover, flavour.installed()
(plugin,) = (plugin for plugin in discovery.discover() if plugin.distribution == "trtplugin-one")

def load():
    while "tensorrt_rtx" not in sys.modules:  # the other thread is in the middle of its import
        time.sleep(0.0001)
    ACTION

threads = [threading.Thread(target=__import__, args=("tensorrt_rtx",)), threading.Thread(target=load)]
for thread in threads:
    thread.daemon = True
    thread.start()
for thread in threads:
    thread.join(15)
print(not any(thread.is_alive() for thread in threads), flush=True)
os._exit(0)  # daemons that hang would keep the interpreter from ending
"""


@pytest.mark.parametrize(
    "action",
    [
        "flavour.load()",
        "flavour.logger()",
        "loader.load(plugin)",
    ],
)
def test_one_thread_imports_tensorrt_while_another_uses_trtreg(enabled, plugins, program, action):
    done = enabled.run("-c", TWO_THREADS.replace("ACTION", action), TRTREG_TENSORRT="rtx")
    assert said(done) == ("True\n", "")


def test_rtx_is_mended_before_the_program_parses(enabled, program):
    code = """
import ctypes, os, tensorrt_rtx
ctypes.CDLL("libtensorrt_rtx.so", mode=os.RTLD_NOLOAD | os.RTLD_NOW)
"""
    assert said(enabled.run("-c", code)) == ("", "")


PARSE = """
import sys, onnx.parser, tensorrt_rtx as trt
model = onnx.parser.parse_model(
    '<ir_version: 8, opset_import: ["" : 17]> g (float[1,4] x) => (float[1,4] y) { y = TrtregTestIdentity (x) }')
logger = trt.Logger(trt.Logger.ERROR)
builder = trt.Builder(logger)
network = builder.create_network(0)
parser = trt.OnnxParser(network, logger)
assert parser.parse(model.SerializeToString()), parser.get_error(0).desc()
plan = builder.build_serialized_network(network, builder.create_builder_config())
print(len(bytes(plan)) > 0, [network.get_layer(i).type.name for i in range(network.num_layers)])
"""


def test_a_program_of_tensorrt_alone_builds_an_engine_with_a_plugin(enabled, install, identity_library, program):
    """What NVIDIA/TensorRT#955, #2675 and onnx/onnx-tensorrt#514 are about: a creator that nobody has loaded."""
    pytest.importorskip("onnx")
    install(identity_library, [IDENTITY], "trtplugin-identity")
    assert said(enabled.run("-c", PARSE)) == ("True ['PLUGIN_V3']\n", "")
    assert enabled.run("-c", PARSE, check=False, TRTREG_AUTOLOAD="0").returncode != 0


@pytest.mark.parametrize("variable", ["TRTREG_TEST_LEAN_10_16", "TRTREG_TEST_LEAN_11_4"])
def test_lean_and_rtx_in_one_program(enabled, plugins, program, site, variable):
    enabled.see(*(enabled.packages / "seen.pth").read_text().split(), lean_packages(variable))
    code = """
import tensorrt_lean, tensorrt_rtx
for module in (tensorrt_lean, tensorrt_rtx):
    print({"TrtregTestOne", "TrtregTestTwo"} <= {c.name for c in module.get_plugin_registry().all_creators})
"""
    # TRTREG_TENSORRT chooses for trtreg's own functions. Autoload serves whatever the program imports.
    assert said(enabled.run("-c", code, TRTREG_TENSORRT="rtx")) == ("True\nTrue\n", "")
