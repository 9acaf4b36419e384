"""`trtreg run`, with real programs."""

import signal
import subprocess
from importlib.util import find_spec

import pytest

from trtreg import errors
from trtreg.manifest import CreatorKey

BOTH = "TrtregTestOne TrtregTestTwo\n"
IDENTITY = CreatorKey("TrtregTestIdentity", "1")


def said(done):
    return done.stdout, done.stderr


@pytest.mark.parametrize("command", [["program.py"], ["python", "program.py"], ["-m", "program"], ["./tool"]])
def test_kinds_of_programs(environment, plugins, program, command):
    tool = environment.folder / "tool"
    tool.write_text(f"#!{environment.python}\n{program.read_text()}", encoding="utf-8")
    tool.chmod(0o755)
    assert said(environment.trtreg("run", "--", *command)) == (BOTH, "")
    # Nothing stays behind.
    assert said(environment.run(program)) == ("\n", "")


def test_arguments_and_exit_code_go_through(environment, plugins):
    show = environment.folder / "show.py"
    show.write_text("import os, sys; print(sys.argv[1:], sys.path[0]); sys.exit(42)", encoding="utf-8")
    done = environment.trtreg("run", "--", "show.py", "--json", "--", "-x", check=False)
    assert (done.returncode, done.stdout) == (42, f"['--json', '--', '-x'] {environment.folder}\n")


def test_signals_reach_the_program(environment, program):
    code = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(17))
print("ready", flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [environment.python, "-m", "trtreg", "run", "--", "python", "-c", code], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 17


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], BOTH),
        (["--plugin", "trtplugin-one"], "TrtregTestOne\n"),
        (["--plugin", "TrtregTestTwo"], "TrtregTestTwo\n"),
        (["--plugin", "trtplugin-two", "--plugin", "trtplugin-one"], BOTH),
    ],
)
def test_plugins_by_name(environment, plugins, program, options, names):
    # What is named is loaded, whatever the lists say.
    denied = {"TRTREG_AUTOLOAD_DENY": "trtplugin-one trtplugin-two", "TRTREG_AUTOLOAD": "0"} if options else {}
    assert said(environment.trtreg("run", *options, "--", program, **denied)) == (names, "")


def test_an_unknown_plugin(environment, plugins, program):
    done = environment.trtreg("run", "--plugin", "trtplugin-on", "--", program, check=False)
    assert done.returncode == errors.UnknownPluginError.exit_code
    assert "did you mean trtplugin-one" in done.stderr


def model_of(environment, body):
    onnx = pytest.importorskip("onnx")
    text = f'<ir_version: 8, opset_import: ["" : 17]> g (float[1,4] x) => (float[1,4] y) {{ {body} }}'
    path = environment.folder / "m.onnx"
    onnx.save_model(pytest.importorskip("onnx.parser").parse_model(text), path)
    return path


def test_for_a_model(environment, plugins, program):
    model = model_of(environment, "y = TrtregTestTwo (x)")
    assert said(environment.trtreg("run", "--for", model, "--", program)) == ("TrtregTestTwo\n", "")
    model_of(environment, "y = Relu (x)")
    assert said(environment.trtreg("run", "--for", model, "--", program)) == ("\n", "")


def test_for_a_model_that_lacks_a_plugin(environment, plugins, program):
    model = model_of(environment, "a = TrtregTestTwo (x) b = TrtregTestSix (a) y = TrtregTestSix (b)")
    done = environment.trtreg("run", "--for", model, "--", program)
    assert done.stdout == "TrtregTestTwo\n"
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"trtreg: warning: {model}: TrtregTestSix: ")


def test_for_an_engine(environment, plugins, install, identity_library, program):
    """What NVIDIA/TensorRT#2675 is about: an engine whose plugins nobody has loaded."""
    install(identity_library, [IDENTITY], "trtplugin-identity")
    model = model_of(environment, "y = TrtregTestIdentity (x)")
    environment.trtreg("onnx2trt", model, "-o", "m.engine", "--quiet", TRTREG_TENSORRT="rtx")
    done = environment.trtreg("run", "--for", "m.engine", "--", program)
    assert said(done) == ("TrtregTestIdentity\n", "")


def test_for_a_file_that_is_not_there(environment, program):
    done = environment.trtreg("run", "--for", "none.onnx", "--", program, check=False)
    assert done.returncode == errors.ModelError.exit_code


def test_processes_that_the_program_starts(environment, plugins, program):
    code = f"import subprocess, sys; subprocess.run([sys.executable, {str(program)!r}], check=True)"
    assert said(environment.trtreg("run", "--", "python", "-c", code)) == (BOTH, "")


def test_an_own_sitecustomize_has_its_turn(environment, plugins, program):
    (environment.packages / "sitecustomize.py").write_text("print('mine')", encoding="utf-8")
    assert environment.trtreg("run", "--", program).stdout.splitlines() == ["mine", "mine", *BOTH.splitlines()]
    code = "import sys, sitecustomize; print(sitecustomize.__file__, any('on_path' in p for p in sys.path))"
    done = environment.trtreg("run", "--", "python", "-c", code)
    assert done.stdout.splitlines()[-1] == f"{environment.packages / 'sitecustomize.py'} False"


def test_an_own_sitecustomize_that_fails_is_told_by_python_as_ever(environment, plugins, program):
    (environment.packages / "sitecustomize.py").write_text("import no_such_module", encoding="utf-8")
    done = environment.trtreg("run", "--", program)
    assert done.stdout == BOTH
    assert "No module named 'no_such_module'" in done.stderr


def test_with_autoload_enabled_plugins_are_loaded_once(enabled, plugins, program):
    assert said(enabled.trtreg("run", "--", program)) == (BOTH, "")
    assert said(enabled.trtreg("run", "--plugin", "trtplugin-one", "--", program)) == ("TrtregTestOne\n", "")


def test_a_python_without_trtreg_says_so(environment, program, site, tmp_path):
    import venv

    other = tmp_path / "other"
    venv.create(other, symlinks=True, with_pip=False)
    (next((other / "lib").glob("python3*/site-packages")) / "tensorrt_rtx.py").write_text("", encoding="utf-8")
    python = other / "bin" / "python"
    done = environment.trtreg("run", "--", python, "-c", "import tensorrt_rtx; print('imported')")
    assert said(done) == (
        "imported\n",
        f"trtreg autoload: no plugins for tensorrt_rtx: {python} cannot import trtreg: No module named 'trtreg'\n",
    )
    assert said(environment.trtreg("run", "--", python, "-c", "import json")) == ("", "")


def test_trtexec_is_no_python_program(environment):
    """What triton-inference-server/server#4365 asks, "which .so do I need?", is for `trtreg flags`."""
    done = environment.trtreg("run", "--", "trtexec", "--onnx=m.onnx", check=False)
    assert done.returncode == errors.NotPythonError.exit_code
    assert "trtreg: remedy: `trtreg flags trtexec` prints the arguments" in done.stderr


def test_no_command(environment):
    for arguments in (["run"], ["run", "--"]):
        done = environment.trtreg(*arguments, check=False)
        assert done.returncode == errors.ProgramNotFoundError.exit_code


def test_help_shows_examples(environment):
    shown = environment.trtreg("run", "--help").stdout
    assert "trtreg run --for model.engine -- infer.py model.engine" in shown
    assert "-- COMMAND [ARGUMENT ...]" in shown
    assert "trtreg autoload enable" in environment.trtreg("autoload", "--help").stdout


def test_polygraphy_builds_an_engine_with_a_plugin(environment, install, identity_library):
    """The real polygraphy, which knows nothing of trtreg."""
    if find_spec("polygraphy") is None:
        pytest.skip("polygraphy is not installed here; requirements/test.txt has it")
    pytest.importorskip("tensorrt_rtx")
    install(identity_library, [IDENTITY], "trtplugin-identity")
    model = model_of(environment, "y = TrtregTestIdentity (x)")
    # The console script that its wheel has; a wheel's scripts are installed for one Python.
    script = environment.folder / "bin" / "polygraphy"
    script.write_text(
        f"#!{environment.python}\nfrom polygraphy.tools import main\nraise SystemExit(main())\n", encoding="utf-8"
    )
    script.chmod(0o755)
    command = ["polygraphy", "convert", model, "--convert-to", "trt", "-o", "m.engine"]
    rtx = {"POLYGRAPHY_USE_TENSORRT_RTX": "1"}
    done = environment.start(script, *command[1:], check=False, **rtx)
    assert done.returncode != 0
    assert "Plugin not found" in done.stdout + done.stderr
    environment.trtreg("run", "--for", model, "--", *command, **rtx)
    assert b"TrtregTestIdentity" in (environment.folder / "m.engine").read_bytes()
