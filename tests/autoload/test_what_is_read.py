"""Autoload reads and imports no more than the plugins need that it loads."""

PROGRAM = """
import os, sys
opened = []
sys.addaudithook(lambda event, arguments: event == "open" and opened.append(str(arguments[0])))
import tensorrt_rtx
with open("/proc/self/maps") as lines:
    opened += [line.split()[-1] for line in lines]
print(sorted({os.path.relpath(name, sys.argv[1]) for name in opened
              if name.startswith(sys.argv[1] + "/trtplugin_") and "dist-info" not in name}))
dear = ("importlib.metadata", "pynvml", "packaging", "elftools", "trtreg.loader", "subprocess", "email", "inspect")
print([name for name in dear if name in sys.modules and name not in started])
"""


def run(environment, site, **environ):
    code = f"import sys; started = {{*sys.modules}}\n{PROGRAM}"
    done = environment.run("-c", code, site, **environ)
    assert done.stderr == ""
    return [eval(line) for line in done.stdout.splitlines()]  # noqa: S307 - two lists of names


def test_without_a_plugin_that_may_be_loaded(enabled, plugins, program, site):
    files, modules = run(enabled, site, TRTREG_AUTOLOAD_ALLOW="")
    assert files == []
    # The first is of dataclasses, and of programs that import little else.
    assert {*modules} <= {"inspect"}


def test_with_one_of_two_plugins(enabled, plugins, program, site):
    files, _ = run(enabled, site, TRTREG_AUTOLOAD_ALLOW="trtplugin-one")
    assert files == ["trtplugin_one/libplugin.so", "trtplugin_one/trtplugin.json"]
