"""What people ask in public about TensorRT's plugins, a test for each: with trtreg it does not happen, or is explained.

Each test shows the trouble first, with TensorRT as it is, where this machine can. docs/troubleshooting.md is the same
for people. Programs are processes of their own, which find the packages of the test as they find installed ones.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import onnx.parser
import pytest
from autoload.conftest import environment  # noqa: F401 - a fixture

from trtreg import flavour
from trtreg.manifest import Creator, CreatorKey
from trtreg.sdk import toolchain

ROOT = Path(__file__).resolve().parent.parent
IDENTITY = CreatorKey("TrtregTestIdentity", "1")

if not any(tensorrt.flavour is flavour.Flavour.RTX for tensorrt in flavour.installed()):
    pytest.skip("no TensorRT-RTX is installed, which builds engines without a GPU", allow_module_level=True)

# A program that knows nothing of trtreg: it says whether a creator is there, and deserialises where there is a GPU.
PROGRAM = """
import sys
import tensorrt_rtx as trt

names = {creator.name for creator in trt.get_plugin_registry().all_creators}
print("found" if "TrtregTestIdentity" in names else "missing")
"""


class Machine:
    """This Python with a folder of installed packages; what is started is a process of its own."""

    def __init__(self, folder: Path, site: Path) -> None:
        self.folder = folder
        self.site = site
        self.program = folder / "program.py"
        self.program.write_text(PROGRAM, encoding="utf-8")

    def start(self, *arguments, check=True, **environ):
        variables = {**os.environ, "TRTREG_TENSORRT": "rtx", **environ}
        variables["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(self.site)])
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            env=variables,
            cwd=self.folder,
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def trtreg(self, *arguments, **options):
        return self.start("-m", "trtreg", *arguments, **options)

    def json(self, *arguments, **options):
        return json.loads(self.trtreg(*arguments, "--json", **options).stdout)


@pytest.fixture
def machine(tmp_path, site):
    return Machine(tmp_path, site)


@pytest.fixture
def identity(identity_library, install):
    return install(identity_library, [IDENTITY], "trtplugin-identity")


def write_model(path, body="y = TrtregTestIdentity (x)", inputs="float[4] x", output="float[4] y"):
    text = f'<ir_version: 8, opset_import: ["" : 17]> g ({inputs}) => ({output}) {{ {body} }}'
    onnx.save(onnx.parser.parse_model(text), path)
    return path


@pytest.fixture
def engine(machine, identity):
    """Build an engine, in a process that is gone when it is to be run."""
    model = write_model(machine.folder / "m.onnx")
    machine.trtreg("onnx2trt", model, "-o", "m.engine", "--quiet")
    return machine.folder / "m.engine"


def remove(machine, plugin):
    """Uninstall a package as pip does."""
    for folder in machine.site.glob(f"{plugin.package}*"):
        shutil.rmtree(folder)


# -- an engine that will not deserialize: nobody has loaded the creator ------------------------------------------------
def test_tensorrt_955_an_engine_finds_its_creator_in_another_process(machine, engine):
    """Built by one program, loaded by another, which does not have the plugin."""
    assert machine.start(machine.program).stdout == "missing\n"
    assert machine.trtreg("run", "--for", engine, "--", machine.program).stdout == "found\n"


def test_tensorrt_955_the_creator_that_is_missing_is_named_before_tensorrt_sees_the_engine(machine, engine, identity):
    remove(machine, identity)
    done = machine.start("-c", "import trtreg; trtreg.load_trt_engine('m.engine')", check=False)
    assert "creator TrtregTestIdentity 1: was trtplugin-identity 1.0, is no installed plugin" in done.stderr
    assert "trtreg install trtplugin-identity==1.0" in done.stderr


def test_tensorrt_2675_a_program_that_only_imports_tensorrt_finds_the_creator(environment, identity):  # noqa: F811
    program = environment.folder / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    assert environment.run(program).stdout == "missing\n"
    environment.trtreg("autoload", "enable")
    assert environment.run(program).stdout == "found\n"


def test_onnx_tensorrt_514_an_engine_loads_whatever_was_done_before_it(machine, identity, compile_creators, install):
    """It loaded only after another model had been parsed, which loads the plugins of that model's parser."""
    install(compile_creators([CreatorKey("TrtregTestOther", "1")]), [CreatorKey("TrtregTestOther", "1")], "trtplugin-o")
    machine.trtreg("onnx2trt", write_model(machine.folder / "a.onnx", "y = Relu (x)"), "-o", "a.engine", "-q")
    machine.trtreg("onnx2trt", write_model(machine.folder / "b.onnx"), "-o", "b.engine", "-q")
    assert machine.json("info", "a.engine")["plugins"] == []
    assert machine.json("info", "b.engine")["plugins"] == ["trtplugin-identity"]
    (machine.folder / "b.engine.lock.json").unlink()
    assert machine.json("info", "b.engine")["plugins"] == ["trtplugin-identity"], "without the lock too"
    assert machine.trtreg("run", "--for", "b.engine", "--", machine.program).stdout == "found\n"


@pytest.mark.gpu
def test_tensorrt_955_the_engine_is_deserialised(machine, engine):
    code = "import trtreg; print(trtreg.load_trt_engine('m.engine').num_io_tensors)"
    done = machine.start("-c", code, check=False)
    if "TensorRTUnusableError" in done.stderr or "compute capability" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.stdout == "2\n"


# -- which .so do I need? ----------------------------------------------------------------------------------------------
def test_triton_4365_an_engine_tells_which_libraries_it_needs(machine, engine, identity):
    assert machine.json("info", engine)["plugins"] == ["trtplugin-identity"]
    (told,) = machine.json("flags", "trtexec", "--for", engine)["plugins"]
    assert told["library"] == str(identity.library_path)
    assert machine.json("flags", "trtexec", "--for", engine)["arguments"] == [
        f"--dynamicPlugins={identity.library_path}"
    ]


# -- a library without getCreators -------------------------------------------------------------------------------------
def test_tensorrt_4121_a_library_without_get_creators_is_loaded_as_it_registers(
    machine,
    compile_foreign,
):
    library = compile_foreign("v3_static.cpp", "TrtregTestIdentity", "-DINIT=initLibMyPlugins", "-DSLOT=8")
    raw = "import sys, tensorrt_rtx as t; print(t.get_plugin_registry().load_library(sys.argv[1]))"
    done = machine.start("-c", raw, library, check=False)
    assert "None" in done.stdout or done.returncode != 0, "TensorRT cannot load it"
    home = {"XDG_DATA_HOME": str(machine.folder / "data")}
    added = machine.json("add", library, "--name", "my-plugins", **home)
    assert (added["registration"], added["init"]) == ("init", "initLibMyPlugins")
    assert machine.trtreg("run", "--plugin", "my-plugins", "--", machine.program, **home).stdout == "found\n"


def test_tensorrt_4121_a_library_that_registers_nothing_is_told_what_it_lacks(machine, compile_library):
    library = compile_library('extern "C" __attribute__((visibility("default"))) int answer() { return 42; }')
    done = machine.trtreg("add", library, check=False)
    assert done.returncode == 87
    assert "expected getCreators, a function init...Plugins" in done.stderr


# -- a load that fails silently ----------------------------------------------------------------------------------------
def test_mmdeploy_2747_a_library_that_is_not_there_is_an_error_and_not_a_warning(machine, engine, identity):
    raw = "import tensorrt_rtx as t; print(t.get_plugin_registry().load_library('gone.so'))"
    assert machine.start("-c", raw).stdout == "None\n", "TensorRT raises nothing"
    identity.library_path.unlink()
    done = machine.start("-c", "import trtreg; trtreg.load_tensorrt_plugin('trtplugin-identity')", check=False)
    assert done.returncode != 0
    assert identity.library_path.name in done.stderr
    assert "reinstall trtplugin-identity" in done.stderr


def test_mmdeploy_2747_a_missing_dependency_is_named(machine, compile_library, compile_creators, install, tmp_path):
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "libtrtreg_gone.so"
    other.write_bytes(
        compile_library(
            "int gone() { return 1; }", "-fvisibility=default", "-Wl,-soname,libtrtreg_gone.so"
        ).read_bytes()
    )
    needs = [str(other), "-Wl,--no-as-needed"]
    key = CreatorKey("TrtregTestNeeds", "1")
    install(compile_creators([key], "-Wl,--no-as-needed", *needs), [key], "trtplugin-needs")
    other.unlink()
    done = machine.start("-c", "import trtreg; trtreg.load_tensorrt_plugin('TrtregTestNeeds')", check=False)
    assert "MissingDependencyError" in done.stderr
    assert "libtrtreg_gone.so" in done.stderr


def test_mmdeploy_2747_autoload_reports_a_broken_plugin_once_and_goes_on(environment, identity):  # noqa: F811
    identity.library_path.write_bytes(b"\x7fELF broken")
    environment.trtreg("autoload", "enable")
    done = environment.run("-c", PROGRAM)
    assert done.stdout == "missing\n", "the program runs"
    assert done.stderr.count("trtplugin-identity 1.0 is not loaded into tensorrt_rtx") == 1
    assert "is not the library that its manifest describes" in done.stderr


# -- duplicates --------------------------------------------------------------------------------------------------------
def test_tensorrt_2432_two_packages_with_one_creator_are_both_named(machine, identity, compile_creators, install):
    install(compile_creators([IDENTITY]), [IDENTITY], "trtplugin-twin")
    code = "import trtreg; [trtreg.load_tensorrt_plugin(f'trtplugin-{name}') for name in ('identity', 'twin')]"
    done = machine.start("-c", code, check=False)
    assert "CreatorConflictError" in done.stderr
    assert all(name in done.stderr for name in ("trtplugin-identity", "trtplugin-twin", "TrtregTestIdentity"))


def test_tensorrt_yolo_100_two_engines_with_one_plugin_register_it_once(machine, identity):
    """Each engine carries the library: 'Cannot register the library as plugin creator of X exists already'."""
    for name in ("a", "b"):
        machine.trtreg(
            "onnx2trt", write_model(machine.folder / f"{name}.onnx"), "-o", f"{name}.engine", "-q", "--embed"
        )
        document = machine.json("info", f"{name}.engine")
        assert [one["package"] for one in document["embedded"]] == ["trtplugin-identity"]
        assert document["plugins"] == [], "nothing is registered besides"
    code = """
import trtreg, tensorrt_rtx
first, second = (trtreg.load_tensorrt_plugin("trtplugin-identity")[0] for _ in range(2))
creators = [c.name for c in tensorrt_rtx.get_plugin_registry().all_creators]
print(first is second, creators.count("TrtregTestIdentity"))
"""
    done = machine.start("-c", code)
    assert (done.stdout, done.stderr) == ("True 1\n", "")


# -- overriding a built-in ---------------------------------------------------------------------------------------------
def test_tensorrt_4686_a_plugin_wins_over_a_built_in(machine, compile_library, install):
    flags = (str(toolchain.find().nvcc.cudart), "-Wl,-z,defs", "-ldl", "-lrt", "-lpthread")
    creators = (Creator(name="ScatterND", version="1", namespace=""),)
    install(compile_library("scatternd.cpp", *flags), name="trtplugin-scatter", creators=creators)
    inputs = "float[4,4] x, int64[2,1] i, float[2,4] u"
    write_model(machine.folder / "s.onnx", "[mine] y = ScatterND (x, i, u)", inputs, "float[4,4] y")
    plain = machine.trtreg("onnx2trt", "s.onnx", "-o", "s.engine")
    assert "none of them from plugins" in plain.stdout
    preferred = machine.trtreg("onnx2trt", "s.onnx", "-o", "s.engine", "--prefer-plugin", "ScatterND")
    assert "taken    ScatterND: 'mine' by ScatterND 1" in preferred.stdout
    assert machine.json("info", "s.engine")["plugins"] == ["trtplugin-scatter"]


# -- Triton and LD_PRELOAD ---------------------------------------------------------------------------------------------
# What its TensorRT backend does with the libraries of its setting `plugins`: OpenLibraryHandle, and no more.
OPENED = """
import ctypes, os, sys
import tensorrt_rtx as trt

for path in sys.argv[1].split(";"):
    ctypes.CDLL(path, mode=os.RTLD_LAZY)
names = {creator.name for creator in trt.get_plugin_registry().all_creators}
print("found" if "TrtregTestIdentity" in names else "missing")
"""


def test_triton_16_what_triton_only_opens_registers_the_plugin(machine, engine, identity):
    assert machine.start("-c", OPENED, identity.library_path).stdout == "missing\n", "so LD_PRELOAD would not help"
    bare = machine.trtreg("flags", "triton", "--for", engine, check=False)
    assert bare.returncode == 85
    assert "--adapter" in bare.stderr
    done = machine.trtreg("flags", "triton", "--for", engine, "--adapter", "libplugins.so")
    program, *arguments = shlex.split(done.stdout)
    assert program == "tritonserver"
    assert "LD_PRELOAD" not in done.stdout
    (setting,) = (word for word in arguments if word.startswith("--backend-config=tensorrt,plugins="))
    assert machine.start("-c", OPENED, setting.partition("plugins=")[2]).stdout == "found\n"


def test_triton_4700_another_plugin_needs_no_other_preloading(machine, identity, compile_creators, install):
    """The server is not told of each library in its environment: one setting has all of them."""
    key = CreatorKey("TrtregTestOther", "1")
    install(compile_creators([key]), [key], "trtplugin-other")
    done = machine.json("flags", "triton", "--adapter", "libplugins.so")
    assert (done["environment"], done["unloadable"]) == ({}, [])
    (argument,) = done["arguments"]
    code = OPENED + "print(*sorted(name for name in names if name.startswith('TrtregTest')))"
    opened = machine.start("-c", code, argument.partition("plugins=")[2])
    assert opened.stdout == "found\nTrtregTestIdentity TrtregTestOther\n"


# -- and all of them ---------------------------------------------------------------------------------------------------
def test_each_of_them_is_in_the_documentation():
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    told = set(re.findall(r"https://github\.com/[\w.-]+/([\w.-]+)/issues/(\d+)", page))
    # Repositories as they stand in the names of the tests.
    short = {
        "server": "triton",
        "TensorRT": "tensorrt",
        "TensorRT-YOLO": "tensorrt_yolo",
        "onnx-tensorrt": "onnx_tensorrt",
    }
    named = {f"test_{short.get(name, name)}_{number}_" for name, number in told}
    assert all(any(test.startswith(name) for test in globals()) for name in named)
    tests = {re.match(r"test_[a-z_]+?_\d+_", test)[0] for test in globals() if re.match(r"test_[a-z_]+?_\d+_", test)}
    assert named == tests
