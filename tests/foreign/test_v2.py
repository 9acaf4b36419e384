"""A library of the V2 interface, compiled from NVIDIA's genuine headers, in TensorRT-lean 10.16 and 11.4."""

import pytest

ADD_AND_LOAD = """
import sys
from trtreg import discovery, flavour, loader
from trtreg.cli import main
code = main(["add", sys.argv[1], "--name", "old-ones"])
if code:
    sys.exit(code)
plugin = discovery.find("old-ones")
loaded = loader.load(plugin)
creator = flavour.load().get_plugin_registry().get_creator("TrtregForeignOld", "1", "")
print(plugin.manifest.library.interface, dict(plugin.manifest.tensorrt), creator is not None, loaded.handle is None)
"""


@pytest.mark.parametrize(
    ("flag", "words"),
    [("-DSTATIC", "registers itself when it is opened"), ("-DINIT", "registers in its function initLibTestPlugins")],
)
def test_a_v2_library_works_in_tensorrt_10(compile_foreign, lean, tmp_path, flag, words):
    library = compile_foreign("v2.cpp", "TrtregForeignOld", flag)
    done = lean("10.16", ADD_AND_LOAD, library, XDG_DATA_HOME=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert words in done.stdout
    assert done.stdout.splitlines()[-1] == "v2 {'full': '>=10,<11', 'lean': '>=10,<11'} True False"


@pytest.mark.parametrize("flag", ["-DSTATIC", "-DINIT", "-DOLD_DYNAMIC"])
def test_a_v2_library_is_refused_by_tensorrt_11_before_it_is_opened(compile_foreign, lean, tmp_path, flag):
    library = compile_foreign("v2.cpp", "TrtregForeignOld", flag)
    done = lean("11.4", ADD_AND_LOAD, library, XDG_DATA_HOME=str(tmp_path))
    assert done.returncode == 86, done.stdout + done.stderr
    assert "found libnvinfer_lean.so.11" in done.stderr
    assert "expected libnvinfer.so.10 or older" in done.stderr


def test_the_entry_point_of_tensorrt_8_is_named(compile_foreign, lean, tmp_path):
    """pain: NVIDIA/TensorRT#4121: a missing getCreators."""
    library = compile_foreign("v2.cpp", "TrtregForeignOld", "-DOLD_DYNAMIC")
    done = lean("10.16", ADD_AND_LOAD, library, XDG_DATA_HOME=str(tmp_path))
    assert done.returncode == 20, done.stdout + done.stderr
    assert "getPluginCreators, which TensorRT 10 does not ask for any more" in done.stderr


def test_a_static_v3_library_of_tensorrt_10(compile_foreign, lean, tmp_path):
    """Its calls go through the table of TensorRT 10's registry, which is another in 11."""
    library = compile_foreign("v3_static.cpp", "TrtregForeignOld", "-DSTATIC")
    done = lean("10.16", ADD_AND_LOAD, library, XDG_DATA_HOME=str(tmp_path / "10"))
    assert done.stdout.splitlines()[-1:] == ["v3 {'full': '>=10,<11', 'lean': '>=10,<11'} True False"], done.stderr
    done = lean("11.4", ADD_AND_LOAD, library, XDG_DATA_HOME=str(tmp_path / "11"))
    assert done.returncode == 87, done.stdout + done.stderr
    assert "SIGSEGV" in done.stderr
