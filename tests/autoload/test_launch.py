"""What `trtreg run` executes for a command."""

import os
import sys
import zipapp
from pathlib import Path

import pytest

from trtreg.autoload import launch
from trtreg.errors import IsolatedPythonError, NotPythonError, ProgramNotFoundError

# As pip, uv and distlib write it where the path of Python is too long for a first line.
TRAMPOLINE = "#!/bin/sh\n'''exec' \"/a/long/path/bin/python\" \"$0\" \"$@\"\n' '''\nimport sys\n"


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Make a file in the current folder."""
    monkeypatch.chdir(tmp_path)

    def make(name, text="", *, executable=True):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(0o755 if executable else 0o644)
        return path

    return make


@pytest.mark.parametrize("arguments", [("-m", "pkg", "-I"), ("-c", "pass"), ("-u", "x.py"), ("-X", "dev", "-m", "p")])
def test_options_are_those_of_this_python(arguments):
    assert launch.command(arguments) == (sys.executable, *arguments)


def test_a_script(make):
    make("x.py", executable=False)
    assert launch.command(["x.py", "-I", "a"]) == (sys.executable, "x.py", "-I", "a")
    assert launch.command(["./x.py"]) == (sys.executable, "./x.py")


@pytest.mark.parametrize(
    "first",
    [
        "#!/usr/bin/python3",
        "#!/usr/bin/env python",
        "#!/usr/bin/env -S python3.12 -u",
        "#! /opt/x/python3.13t",
        "#!/opt/pypy3",
        f"#!{sys.executable}",
    ],
)
def test_a_program_whose_first_line_names_python(make, first):
    path = make("tool", first + "\nimport this\n")
    assert launch.command(["./tool", "x"]) == (str(path), "x")


def test_a_script_that_begins_as_one_of_sh(make):
    path = make("tool", TRAMPOLINE)
    assert launch.command(["./tool"]) == (str(path),)


def test_a_folder_and_archives_with_a_main(make, tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__main__.py").write_text("")
    assert launch.command(["app"]) == (sys.executable, "app")
    zipapp.create_archive(tmp_path / "app", tmp_path / "app.pyz")
    assert launch.command(["app.pyz"]) == (sys.executable, "app.pyz")
    zipapp.create_archive(tmp_path / "app", tmp_path / "whole", interpreter="/usr/bin/env python3")
    assert launch.command(["./whole"]) == (str(tmp_path / "whole"),)


def test_a_console_script_of_an_environment_that_is_not_active(make, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", "")
    path = make("polygraphy", "#!/usr/bin/python3\n")
    assert launch.command(["polygraphy", "run"]) == (str(path), "run")


def test_a_program_of_the_path(make, monkeypatch, tmp_path):
    path = make("some-tool", "#!/usr/bin/python3\n")  # that is not beside this Python, which comes first
    monkeypatch.setenv("PATH", str(tmp_path))
    assert launch.command(["some-tool"]) == (str(path),)


def test_an_interpreter():
    program, *rest = launch.command(["python3", "-u", "x.py", "-I"])
    assert Path(program).name == "python3"
    assert rest == ["-u", "x.py", "-I"]


@pytest.mark.parametrize(
    "command",
    [
        ["python3", "-I", "x.py"],
        ["python3", "-uES", "x.py"],
        ["python3", "-W", "error", "-S"],
        ["-X", "dev", "-Werror", "-E", "-m", "x"],
        ["python3", "--check-hash-based-pycs", "always", "-I", "x"],
        ["./isolated"],
    ],
)
def test_a_python_that_would_not_see_the_hook(make, command):
    make("isolated", "#!/usr/bin/python3 -sE\n")
    with pytest.raises(IsolatedPythonError, match="keeps trtreg's hook out"):
        launch.command(command)


@pytest.mark.parametrize(
    ("name", "content", "remedy"),
    [
        ("trtexec", b"\x7fELF\x02\x01\x01", "trtreg flags trtexec"),
        ("tritonserver", b"\x7fELF\x02\x01\x01", "trtreg flags triton"),
        ("mpirun", b"\x7fELF\x02\x01\x01", "mpirun ... trtreg run -- python script.py"),
        ("start", b"#!/bin/sh\nexec python x.py\n", "start ... trtreg run -- python script.py"),
    ],
)
def test_a_program_that_is_no_python(make, monkeypatch, tmp_path, name, content, remedy):
    make(name, content)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotPythonError) as caught:
        launch.command([name])
    assert remedy in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_trtexec_that_is_nowhere_is_told_of_flags_too(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NotPythonError, match="trtreg flags trtexec"):
        launch.command(["trtexec"])


@pytest.mark.parametrize("name", ["no-such-program", "./no-such-program", "none.py"])
def test_a_program_that_is_nowhere(make, name):
    with pytest.raises(ProgramNotFoundError):
        launch.command([name])


def test_the_environment():
    before = {"PYTHONPATH": "a", "TRTREG_AUTOLOAD": "0", "TRTREG_AUTOLOAD_DENY": "x", "HOME": "/h"}
    made = launch.environment(None, before)
    first, _, second = made.pop("PYTHONPATH").partition(os.pathsep)
    assert (Path(first) / "sitecustomize.py").is_file()
    assert second == "a"
    assert made == {"TRTREG_AUTOLOAD": "1", "TRTREG_AUTOLOAD_DENY": "x", "HOME": "/h"}
    made = launch.environment(["p", "q"], before)
    assert (made["TRTREG_AUTOLOAD_ALLOW"], made["TRTREG_AUTOLOAD_DENY"]) == ("p q", "")
    assert os.pathsep not in launch.environment(None, {})["PYTHONPATH"]
