"""trtreg in processes that fork, run threads, hold two TensorRTs, or load and unload again and again."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pythons import lean_packages
from registry import registered

from trtreg import loader
from trtreg.manifest import CreatorKey

ROOT = Path(__file__).resolve().parent.parent
ONE, TWO = CreatorKey("TrtregTestOne", "1"), CreatorKey("TrtregTestTwo", "1")


@pytest.fixture
def plugins(compile_creators, install):
    return [install(compile_creators([key]), [key], f"trtplugin-{key.name[10:].lower()}") for key in (ONE, TWO)]


@pytest.fixture
def program(plugins, site, tmp_path):
    """Run code in a process of its own, which sees the plugins."""

    def program(code, *paths, **environ):
        folder = os.pathsep.join(map(str, [ROOT, site, *paths, *filter(None, [os.environ.get("PYTHONPATH")])]))
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            env={**os.environ, "PYTHONPATH": folder, **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return program


def needs_rtx():
    pytest.importorskip("tensorrt_rtx")


# -- fork -------------------------------------------------------------------------------------------------------------

FORK = """
import os, sys, warnings
from trtreg import discovery, flavour, loader
plugins = [plugin for plugin in discovery.discover() if plugin.distribution in ("trtplugin-one", "trtplugin-two")]
first = loader.load(plugins[0])
names = lambda: {c.name for c in flavour.load().get_plugin_registry().all_creators if c.name.startswith("TrtregTest")}
child = os.fork()
if child == 0:
    # What the parent has loaded is there; it can be loaded again, unloaded, and others with it.
    assert names() == {"TrtregTestOne"}, names()
    assert loader.load(plugins[0]) is first
    assert loader.load(plugins[1]).handle is not None
    assert names() == {"TrtregTestOne", "TrtregTestTwo"}
    assert loader.unload("trtplugin-one")
    assert names() == {"TrtregTestTwo"}
    with flavour.capture() as said:
        flavour.logger().log(flavour.load().ILogger.Severity.ERROR, "in the child")
    assert [m.text for m in said] == ["in the child"]
    os._exit(9)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
assert names() == {"TrtregTestOne"}
print("parent and child agree")
"""


def test_a_child_of_a_process_with_loaded_plugins(program):
    assert program(FORK) == "parent and child agree\n"


FORK_UNDER_LOCK = """
import os, signal, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later warn of any fork beside threads
from trtreg import discovery, flavour, loader
(plugin,) = (plugin for plugin in discovery.discover() if plugin.distribution == "trtplugin-one")
loader.load(plugin)
logger, severity = flavour.logger(), flavour.load().ILogger.Severity
held = threading.Event()

def hold():
    with LOCK:
        held.set()
        time.sleep(0.2)

threading.Thread(target=hold).start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(10)  # a child that waits for a lock for ever is killed
    with flavour.capture():
        logger.log(severity.VERBOSE, "in the child")
    flavour.logger()
    loader.load(plugin)
    os._exit(0)
print(os.waitpid(child, 0)[1])
"""


# Strict: whoever mends loader.py is told to take the mark away.
@pytest.mark.parametrize(
    "lock",
    [
        "flavour._captures_lock",
        "flavour._lock",
        "loader._lock",
    ],
)
def test_a_fork_while_another_thread_is_inside_trtreg(program, lock):
    """A thread that logs, imports or loads at this moment holds the lock for a few microseconds; here for longer."""
    assert program(FORK_UNDER_LOCK.replace("LOCK", lock)) == "0\n"


# -- threads ----------------------------------------------------------------------------------------------------------


def test_sixteen_threads_load_at_once(plugins):
    barrier = threading.Barrier(16)
    results = []

    def load(number):
        barrier.wait()
        results.append(loader.load(plugins[number % 2]))

    threads = [threading.Thread(target=load, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 16
    assert len({id(result) for result in results}) == 2
    assert {result.creators for result in results} == {(ONE,), (TWO,)}
    assert all(result.handle is not None for result in results)


THREADS_IMPORT = """
import sys, threading
from trtreg import discovery, flavour, loader
plugins = [plugin for plugin in discovery.discover() if plugin.distribution in ("trtplugin-one", "trtplugin-two")]
barrier = threading.Barrier(16)
done = []

def work(number):
    barrier.wait()
    if number % 3 == 0:
        done.append(flavour.load().__name__)
    elif number % 3 == 1:
        done.append(type(flavour.logger()).__name__)
    else:
        done.append(loader.load(plugins[number % 2]).plugin.distribution)

sys.setswitchinterval(1e-5)
threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(16)]
[t.start() for t in threads]
[t.join(30) for t in threads]
print(len(done), len(set(done)))
"""


def test_sixteen_threads_import_log_and_load_at_once(program):
    assert program(THREADS_IMPORT) == "16 4\n"


# -- two TensorRTs ----------------------------------------------------------------------------------------------------

TWO_FLAVOURS = """
from trtreg import discovery, flavour, loader
rtx, lean = (next(t for t in flavour.installed() if t.flavour.value == name) for name in ("rtx", "lean"))
(plugin,) = (plugin for plugin in discovery.discover() if plugin.distribution == "trtplugin-one")
has = lambda tensorrt: "TrtregTestOne" in {c.name for c in flavour.load(tensorrt).get_plugin_registry().all_creators}
for first, second in ((rtx, lean), (lean, rtx)):
    one = loader.load(plugin, tensorrt=first)
    assert (has(first), has(second)) == (True, False)
    two = loader.load(plugin, tensorrt=second)
    assert (has(first), has(second)) == (True, True)
    assert one is not two and one.handle is not None and two.handle is not None
    assert loader.unload(one)
    assert (has(first), has(second)) == (False, True)
    assert loader.unload("trtplugin-one")
    assert (has(first), has(second)) == (False, False)
# Each has a logger of its own kind, and what either says goes the same way.
assert flavour.logger(rtx) is not flavour.logger(lean)
for tensorrt in (rtx, lean):
    assert isinstance(flavour.logger(tensorrt), flavour.load(tensorrt).ILogger)
    with flavour.capture() as said:
        flavour.logger(tensorrt).log(flavour.load(tensorrt).ILogger.Severity.WARNING, tensorrt.flavour.value)
    assert [(m.severity, m.text) for m in said] == [("warning", tensorrt.flavour.value)]
print("two registries")
"""


@pytest.mark.parametrize("variable", ["TRTREG_TEST_LEAN_10_16", "TRTREG_TEST_LEAN_11_4"])
def test_two_flavours_in_one_process_have_two_registries(program, variable):
    needs_rtx()
    assert program(TWO_FLAVOURS, lean_packages(variable)) == "two registries\n"


# -- again and again --------------------------------------------------------------------------------------------------


def mappings(library):
    # Of its bytes in memory, under a name that ends in the file's.
    return sum(library.name in line for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines())


def test_unloading_and_loading_again_fifty_times(plugins):
    before = registered()
    library = plugins[0].library_path.resolve()
    others = mappings(library)  # of the same name, which other tests could not take out again
    for _ in range(50):
        known = loader.load(plugins[0])
        assert known.handle is not None
        assert registered() == before | {ONE}
        assert mappings(library) > others
        assert loader.unload(known)
        assert registered() == before
        assert mappings(library) == others
    assert loader.loaded() == ()


# -- one logger per process -------------------------------------------------------------------------------------------

LOGGERS = """
import logging
import tensorrt_rtx as trt
from trtreg import flavour
heard = []

class Own(trt.ILogger):
    def __init__(self):
        trt.ILogger.__init__(self)
    def log(self, severity, text):
        heard.append(text)

logging.getLogger("trtreg.tensorrt").addHandler(logging.NullHandler())
own = Own()
BUILDERS
with flavour.capture() as captured:
    assert trt.get_plugin_registry().load_library("/nonexistent/libplugin.so") is None
    if builders:
        assert builders[-1].create_network(0).add_input("x", trt.float32, (1, -5)) is None
for what in ("loadLibrary", "addInput"):
    ears = {"own": heard, "trtreg": [message.text for message in captured]}
    print(what, *(name for name, said in ears.items() if any(what in text for text in said)))
"""


@pytest.mark.parametrize(
    ("loggers", "of_registry", "of_network"),
    [
        # Nobody has given one yet: the registry says nothing to anybody, which is why the loader looks for itself.
        ("", "", ""),
        ("own", " own", " own"),
        ("flavour.logger()", " trtreg", " trtreg"),
        # The first is the one of the process. A builder's own complaints go to its own logger all the same.
        ("own, flavour.logger()", " own", " trtreg"),
        ("flavour.logger(), own", " trtreg", " own"),
    ],
)
def test_the_first_logger_is_the_one_of_the_process(program, loggers, of_registry, of_network):
    needs_rtx()
    code = LOGGERS.replace(
        "BUILDERS", f"builders = [trt.Builder(logger) for logger in ({loggers}{',' * bool(loggers)})]"
    )
    assert program(code) == f"loadLibrary{of_registry}\naddInput{of_network}\n"


def test_a_load_that_fails_is_explained_whoever_has_the_logger(compile_creators, compile_library, install, program):
    """What NVIDIA/TensorRT#4121 and open-mmlab/mmdeploy#2747 are about: None, and not a word."""
    needs_rtx()
    export = 'extern "C" __attribute__((visibility("default"))) int trtreg_missing() { return 1; }'
    needed = compile_library(export, "-Wl,-soname,libtrtreg-missing.so")
    library = compile_creators([CreatorKey("TrtregTestThree", "1")], "-DNEEDS=trtreg_missing", str(needed))
    install(library, [CreatorKey("TrtregTestThree", "1")], "trtplugin-three")
    code = """
import tensorrt_rtx as trt
from trtreg import discovery, errors, loader
kept = trt.Builder(trt.Logger(trt.Logger.INTERNAL_ERROR))
try:
    loader.load(discovery.find("trtplugin-three"))
except errors.MissingDependencyError as error:
    print(error.found)
"""
    assert program(code) == "no libtrtreg-missing.so\n"


AUTOLOAD_MAKES_NO_LOGGER = """
import tensorrt_rtx as trt
from trtreg import flavour
from trtreg.autoload import loading
loading.load_plugins(trt)
assert "TrtregTestOne" in {c.name for c in trt.get_plugin_registry().all_creators}
print(len(flavour._loggers))
"""


def test_autoload_leaves_the_logger_to_the_program(program):
    needs_rtx()
    assert program(AUTOLOAD_MAKES_NO_LOGGER) == "0\n"
