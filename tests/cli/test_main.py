import re
import subprocess
import sys

import pytest

from trtreg import __version__, cli, errors
from trtreg.cli import _parser, _terminal
from trtreg.cli import list as list_command

COMMANDS = (
    "list",
    "info",
    "scan",
    "install",
    "upgrade",
    "uninstall",
    "lock",
    "sync",
    "onnx2trt",
    "doctor",
    "completion",
)


def test_help_has_every_command_and_exit_code(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert all(re.search(rf"^    {command}\b", text, re.MULTILINE) for command in COMMANDS)
    for name in set(errors.__all__) - {"TrtregError"}:
        assert re.search(rf"^ +{getattr(errors, name).exit_code}  \S", text, re.MULTILINE), name


def test_exit_codes_are_sentences():
    assert all(meaning.endswith((".", ".)")) for meaning in _parser.exit_codes().values())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_examples(command, capsys):
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    assert f"Examples:\n  trtreg {command}" in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"trtreg {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["nope"], ["list", "--nope"], ["onnx2trt", "m.onnx"]])
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "usage: trtreg" in capsys.readouterr().err


def raising(monkeypatch, error):
    def execute(arguments):
        raise error

    monkeypatch.setattr(list_command, "execute", execute)


def test_an_error_is_one_line_and_a_remedy(cli, monkeypatch):
    raising(monkeypatch, errors.ShapeError("wrong", found="X", expected="Y", remedy="do Z"))
    code, out, err = cli("list")
    assert (code, out) == (errors.ShapeError.exit_code, "")
    assert err == "trtreg: error: wrong: found X, expected Y\ntrtreg: remedy: do Z\n"


def test_no_remedy_no_line(cli, monkeypatch):
    raising(monkeypatch, errors.ShapeError("wrong"))
    assert cli("list")[2] == "trtreg: error: wrong\n"


def test_every_reason_is_shown(cli, monkeypatch):
    raising(monkeypatch, errors.IncompatiblePluginError("no", reasons=["one", "two"], remedy="do Z"))
    assert cli("list")[2] == "trtreg: error: no\n- one\n- two\ntrtreg: remedy: do Z\n"


@pytest.mark.parametrize("error", [errors.ShapeError("wrong"), ZeroDivisionError("oops")])
def test_debugging_shows_where(cli, monkeypatch, error):
    raising(monkeypatch, error)
    monkeypatch.setenv("TRTREG_DEBUG", "1")
    with pytest.raises(type(error)):
        cli("list")


def test_an_unforeseen_error_has_no_traceback(cli, monkeypatch):
    raising(monkeypatch, ZeroDivisionError("oops"))
    code, _, err = cli("list")
    assert code == 1
    assert "unforeseen ZeroDivisionError: oops" in err
    assert "Traceback" not in err


def test_interrupting(cli, monkeypatch):
    raising(monkeypatch, KeyboardInterrupt())
    code, out, err = cli("list")
    assert (code, out, err) == (130, "", "trtreg: interrupted\n")


def run(run_python, *arguments, **environ):
    return run_python(
        "import sys; from trtreg.cli import main; sys.exit(main(sys.argv[1:]))", *map(str, arguments), **environ
    )


def test_python_m(run_python):
    code = "import runpy, sys; sys.argv[0] = 'trtreg'; runpy.run_module('trtreg', run_name='__main__')"
    done = run_python(code, "--version")
    assert (done.returncode, done.stdout) == (0, f"trtreg {__version__}\n")


def test_a_reader_that_leaves_early(run_python):
    code = "import sys; from trtreg.cli import main; sys.exit(main(['info', '--help']))"
    code = code.replace("main(['info', '--help'])", "main(['completion', 'bash'])")
    pytest.importorskip("shtab")
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=_parser.__file__.rpartition("/trtreg/")[0],
    )
    process.stdout.close()  # before anything is written: the first flush fails
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141


def test_listing_and_help_import_nothing_heavy(run_python, identity, site):
    code = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from trtreg.cli import main
assert main(["list"]) == 0
assert main(["info", "trtplugin-identity"]) == 0
heavy = ("tensorrt", "tensorrt_rtx", "tensorrt_lean", "onnx", "numpy", "torch", "tqdm", "shtab", "google.protobuf")
print([name for name in heavy if name in sys.modules])
"""
    done = run_python(code, str(site))
    assert done.stdout.endswith("\n[]\n"), done.stderr


class Terminal:
    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("terminal", "environ", "coloured"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
    ],
)
def test_colour(monkeypatch, terminal, environ, coloured):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    if terminal:
        monkeypatch.setattr(sys, "stdout", Terminal(sys.stdout))
    assert (_terminal.good("x") != "x") is coloured


def test_a_table_keeps_its_columns(capsys):
    _terminal.print_table(("A", "LONG"), [("longer", "x"), ("b", "yy")])
    assert capsys.readouterr().out == "A       LONG\nlonger  x\nb       yy\n"


def test_a_table_is_cut_at_the_edge_of_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "12")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", Terminal(sys.stdout))
    _terminal.print_table(("A", "B"), [("abc", "0123456789")])
    assert capsys.readouterr().out == "A    B\nabc  012345…\n"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536 * 1024, "1.5 MiB"), (3 << 30, "3.0 GiB")]
)
def test_sizes(count, text):
    assert _terminal.size(count) == text
