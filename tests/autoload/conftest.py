"""A virtual environment of its own for each test, which sees this tree, TensorRT and the plugins of the test."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from trtreg.manifest import CreatorKey

ROOT = Path(__file__).resolve().parent.parent.parent
ONE, TWO = CreatorKey("TrtregTestOne", "1"), CreatorKey("TrtregTestTwo", "1")


@dataclass
class Environment:
    """A virtual environment; `run` starts its Python, `trtreg` the command line in it."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def packages(self) -> Path:
        return next((self.folder / "lib").glob("python3*/site-packages"))

    def start(self, *arguments, check=True, **environ):
        names = ("PYTHONPATH", "TRTREG_TENSORRT", "TRTREG_AUTOLOAD", "TRTREG_AUTOLOAD_ALLOW", "TRTREG_AUTOLOAD_DENY")
        variables = {name: value for name, value in os.environ.items() if name not in names}
        done = subprocess.run(
            [str(argument) for argument in arguments],
            env={**variables, **self.variables, **environ},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def run(self, *arguments, check=True, **environ):
        return self.start(self.python, *arguments, check=check, **environ)

    def trtreg(self, *arguments, check=True, **environ):
        return self.run("-m", "trtreg", *arguments, check=check, **environ)

    def see(self, *folders):
        """Put folders on the path as a `.pth` file does, which works with -I too."""
        (self.packages / "seen.pth").write_text("".join(f"{folder}\n" for folder in folders), encoding="utf-8")


@pytest.fixture
def environment(tmp_path, site):
    folder = tmp_path / "environment"
    venv.create(folder, symlinks=True, with_pip=False)
    # Each environment is new, so that every test would wait for trials: one of them is about that.
    (folder / "policy.toml").write_text('trial = "off"\n', encoding="utf-8")
    made = Environment(folder, {"TRTREG_POLICY": str(folder / "policy.toml")})
    made.see(ROOT, site, *(path for path in sys.path if path.endswith("-packages")))
    return made


@pytest.fixture
def enabled(environment):
    """Make the environment one with autoload."""
    environment.trtreg("autoload", "enable")
    return environment


@pytest.fixture
def plugins(compile_creators, install):
    """Install two plugins that work."""
    return [install(compile_creators([key]), [key], f"trtplugin-{key.name[10:].lower()}") for key in (ONE, TWO)]


# The program under test: nothing of trtreg in it.
PROGRAM = """
import tensorrt_rtx
names = {creator.name for creator in tensorrt_rtx.get_plugin_registry().all_creators}
print(*sorted(name for name in names if name.startswith("TrtregTest")))
"""


@pytest.fixture
def program(environment):
    pytest.importorskip("tensorrt_rtx")
    path = environment.folder / "program.py"
    path.write_text(PROGRAM, encoding="utf-8")
    return path
