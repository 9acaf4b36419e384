"""Libraries that register themselves, in TensorRT-RTX: found out, loaded, and each failure explained."""

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from registry import registered

from trtreg import discovery, loader
from trtreg.errors import (
    CreatorsMissingError,
    ExaminationError,
    LoadError,
    MissingDependencyError,
    NotAPluginError,
    WrongTensorRTError,
)
from trtreg.foreign import added, describe, examine
from trtreg.manifest import CreatorKey


@pytest.fixture
def add(data_home):
    def add(library, name="other-people", **options):
        examination = examine.examine(library, init=options.pop("init", None))
        described = describe.describe(examination, name=name, version="1.0")
        return added.add(library, described, **options)

    return add


def test_a_library_with_static_registration(compile_foreign, add):
    library = compile_foreign("v3_static.cpp", "TrtregForeignStatic", "-DSTATIC", "-DSLOT=8")
    plugin = add(library)
    assert (plugin.manifest.library.registration, plugin.manifest.library.interface) == ("static", "v3")
    assert plugin.manifest.tensorrt == {"rtx": ">=1.7,<2"}, "the registry that it calls is of one major version"
    (creator,) = plugin.manifest.library.creators
    assert [(field.name, field.type, field.length) for field in creator.fields] == [("axis", "int32", 1)]
    assert creator.key not in registered(), "it was examined in another process"
    loaded = loader.load(plugin)
    assert creator.key in registered()
    assert loaded.handle is not None
    assert loader.load(plugin) is loaded


def test_a_library_with_an_init_function_gets_the_logger(compile_foreign, add, caplog):
    library = compile_foreign("v3_static.cpp", "TrtregForeignInit", "-DINIT=initLibOtherPlugins", "-DSLOT=8")
    plugin = add(library)
    assert (plugin.manifest.library.registration, plugin.manifest.library.init) == ("init", "initLibOtherPlugins")
    with caplog.at_level(logging.WARNING, "trtreg.tensorrt"):
        loader.load(plugin)
    assert CreatorKey("TrtregForeignInit", "1") in registered()
    assert "initialised" in caplog.messages


def test_an_init_function_of_another_name_has_to_be_named(compile_foreign, add, data_home):
    library = compile_foreign("v3_static.cpp", "TrtregForeignNamed", "-DINIT=set_up", "-DSLOT=8")
    with pytest.raises(ExaminationError, match=r"registers no plugin in tensorrt_rtx .*--init"):
        examine.examine(library)
    with pytest.raises(NotAPluginError, match="exports no function setup"):
        examine.examine(library, init="setup")
    assert loader.load(add(library, init="set_up")).creators == (CreatorKey("TrtregForeignNamed", "1"),)


def test_a_library_with_get_creators(compile_creators, add):
    plugin = add(compile_creators([CreatorKey("TrtregForeignDynamic", "2", "space")]))
    assert plugin.manifest.library.registration == "dynamic"
    loaded = loader.load(plugin)
    assert loaded.creators == (CreatorKey("TrtregForeignDynamic", "2", "space"),)
    assert loader.unload(loaded) is True


def test_a_library_that_does_both_is_loaded_as_it_works(compile_foreign, add):
    """pain: NVIDIA/TensorRT#2432, duplicates: load_library answers None, for the initialisers were first."""
    plugin = add(compile_foreign("v3_static.cpp", "TrtregForeignBoth", "-DSTATIC", "-DSLOT=8", "-DALSO_DYNAMIC"))
    assert plugin.manifest.library.registration == "static"
    loader.load(plugin)
    assert CreatorKey("TrtregForeignBoth", "1") in registered()


def test_what_registered_itself_cannot_be_unloaded_and_says_so(compile_foreign, add, caplog):
    plugin = add(compile_foreign("v3_static.cpp", "TrtregForeignStays", "-DSTATIC", "-DSLOT=8"))
    loaded = loader.load(plugin)
    assert not loaded.removable
    assert loader.unload(loaded) is False
    assert "other-people stays in the registry of tensorrt_rtx until the process ends" in caplog.text
    assert CreatorKey("TrtregForeignStays", "1") in registered()
    assert loader.load(plugin).handle is None, "it is still there"


def test_a_missing_get_creators_is_no_end(compile_foreign, add):
    """pain: NVIDIA/TensorRT#4121, where load_library ends the process: 'symbol lookup error: getPluginRegistry'."""
    library = compile_foreign("v3_static.cpp", "TrtregForeignNoEntry", "-DSTATIC", "-DSLOT=8")
    code = "import sys, tensorrt_rtx as t; t.get_plugin_registry().load_library(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, str(library)], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "getPluginRegistry" in done.stderr
    assert loader.load(add(library)).creators


def test_a_library_for_the_registry_of_tensorrt_10_is_a_verdict(compile_foreign):
    """Nothing in the file tells, and the call through a slot of TensorRT 10's table is a segmentation fault."""
    library = compile_foreign("v3_static.cpp", "TrtregForeignTen", "-DSTATIC")
    with pytest.raises(ExaminationError, match=r"ends the process that opens it with tensorrt_rtx .*SIGSEGV"):
        examine.examine(library)


def test_a_library_that_ends_the_process_is_a_verdict(compile_foreign):
    library = compile_foreign("v3_static.cpp", "TrtregForeignCrash", "-DSTATIC", "-DSLOT=8", "-DCRASH")
    with pytest.raises(ExaminationError, match=r"ends the process that opens it .*SIGABRT"):
        examine.examine(library)


def test_a_library_of_another_tensorrt_is_refused_with_both_names_before_it_is_opened(compile_foreign, compile_library):
    stub = compile_library("extern int nothing; int nothing;", "-Wl,-soname,libnvinfer.so.8")
    library = compile_foreign(
        *("v3_static.cpp", "TrtregForeignOther", "-DSTATIC", "-DSLOT=8", "-DCRASH", "-Wl,--no-as-needed", str(stub)),
    )
    with pytest.raises(WrongTensorRTError) as caught:
        examine.examine(library)
    assert caught.value.expected == "libnvinfer.so.8"
    assert caught.value.found.startswith("libtensorrt_rtx.so.1 (tensorrt_rtx 1.")


def test_the_loader_refuses_a_library_of_another_tensorrt_itself(compile_library, install):
    stub = compile_library("extern int nothing; int nothing;", "-Wl,-soname,libnvinfer.so.10")
    source = "#include <cstdlib>\n__attribute__((constructor)) static void crash() { abort(); }"
    library = compile_library(source, "-Wl,--no-as-needed", str(stub))
    plugin = install(library, [CreatorKey("X", "1")], registration="static")
    with pytest.raises(WrongTensorRTError, match=r"found libtensorrt_rtx\.so\.1 .*expected libnvinfer\.so\.10"):
        loader.load(plugin)
    # also where the manifest does not tell
    plugin = install(library, [CreatorKey("X", "1")], "trtplugin-v2", registration="static", interface="v2", needed=())
    with pytest.raises(WrongTensorRTError, match="the last TensorRT with the V2 plugin interface"):
        loader.load(plugin)


def test_a_needed_library_is_taken_from_beside_it(compile_foreign, compile_library, add, tmp_path):
    """As the wheels of ONNX Runtime's execution provider have libcudart.so.13.4.36."""
    needed = compile_library('extern "C" __attribute__((visibility("default"))) int leaf() { return 1; }',
                             "-Wl,-soname,libtrtreg-beside.so.3")  # fmt: skip
    library = compile_foreign(
        "v3_static.cpp", "TrtregForeignBeside", "-DSTATIC", "-DSLOT=8", "-Wl,--no-as-needed", str(needed)
    )
    alone = Path(shutil.copy(library, tmp_path / "libalone.so"))
    with pytest.raises(MissingDependencyError, match=r"no libtrtreg-beside\.so\.3"):
        examine.examine(alone)
    shutil.copy(needed, tmp_path / "libtrtreg-beside.so.3.4.5")
    assert loader.load(add(alone)).creators == (CreatorKey("TrtregForeignBeside", "1"),)


def test_an_undefined_symbol_is_told_in_the_linkers_words(compile_library):
    library = compile_library('extern "C" int trtreg_nobody_has_it(); int x = trtreg_nobody_has_it();')
    with pytest.raises(LoadError, match="trtreg_nobody_has_it"):
        examine.examine(library)


@pytest.mark.parametrize("content", [b"", b"text\n"])
def test_a_file_that_is_no_library(tmp_path, content):
    (tmp_path / "x.so").write_bytes(content)
    with pytest.raises(NotAPluginError, match="is no shared library"):
        examine.examine(tmp_path / "x.so")


def test_a_static_library_in_its_manifest_that_registers_nothing(compile_library, install):
    plugin = install(compile_library("int x;"), [CreatorKey("TrtregForeignNothing", "1")], registration="static")
    with pytest.raises(CreatorsMissingError, match="registers itself once in a process"):
        loader.load(plugin)


def test_the_symbols_of_tensorrt_do_not_become_global(compile_foreign, add, run_python, data_home):
    """So that every TensorRT of a process gets its own plugins."""
    add(compile_foreign("v3_static.cpp", "TrtregForeignLocal", "-DSTATIC", "-DSLOT=8"))
    code = (
        "import ctypes; from trtreg import discovery, loader; loader.load(discovery.find('other-people'));"
        "print(hasattr(ctypes.CDLL(None), 'getPluginRegistry'))"
    )
    assert run_python(code).stdout == "False\n"


def test_the_manifest_is_what_the_file_says(compile_foreign, add):
    plugin = add(compile_foreign("v3_static.cpp", "TrtregForeignFile", "-DSTATIC", "-DSLOT=8"))
    text = json.loads((plugin.root / "trtplugin.json").read_text(encoding="utf-8"))
    assert text["library"]["sdk"] is None
    assert text["library"]["glibc"]
    assert discovery.find("other-people") == plugin
