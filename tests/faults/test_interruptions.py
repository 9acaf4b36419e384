"""Work that is killed at each of its steps, or for which the disk becomes full at each of them.

A step is a change of the disk: a file made, written to, renamed, deleted or synchronised, by trtreg or by a program
that it runs (pip, uv, nvcc, g++), seen by tests/native/at_step.cpp. After each, what is there is the old or the new,
whole; what is not is told of; and the same command again makes it whole.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trtreg import errors

_spec = importlib.util.spec_from_file_location("projects", Path(__file__).parents[1] / "sdk" / "conftest.py")
assert _spec
assert _spec.loader
projects = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(projects)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
CODES = {
    found.exit_code
    for found in vars(errors).values()
    if isinstance(found, type) and issubclass(found, errors.TrtregError)
}

# What each `after` script begins with: `fail` ends it with the reason for which the fault is lost.
BEGIN = """
import hashlib, json, os, pathlib, sys, zipfile
def fail(text):
    print(text)
    sys.exit(9)
def trtreg(*words, codes=(0,)):
    import contextlib, io
    from trtreg import cli
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main([*map(str, words)])
        except SystemExit as e:
            code = e.code
    if code not in codes:
        fail(f"trtreg {words[0]} ended with {code}: {out.getvalue()[-300:]}{err.getvalue()[-700:]}")
    return out.getvalue()
"""


@dataclass
class Work:
    """What is interrupted.

    `start` fills the folder `state`, below which steps count; `command` works there; `after` looks at what it has left,
    does the work again and looks at the end. Temporary files may stay after a kill, and must not after an error.
    """

    name: str
    command: list[str]
    after: str
    start: Path
    environ: dict[str, str]
    python: str = sys.executable
    arguments: list[str] = field(default_factory=list)
    temporary: str = "**/.*.tmp"
    seconds: float = 90.0
    codes: frozenset[int] = frozenset()  # of errors, besides those of trtreg's classes


@dataclass
class Interruption:
    """Runs works up to a step."""

    preload: Path
    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def prepare(self, work: Work) -> None:
        shutil.rmtree(self.state, ignore_errors=True)
        shutil.copytree(work.start, self.state, symlinks=True)

    def run(self, work: Work, **variables: int) -> tuple[int, str, int]:
        """Give the exit code, the words and the number of steps."""
        counter = self.folder / "counter"
        counter.write_bytes(bytes(8))
        environ = {
            **work.environ,
            "LD_PRELOAD": str(self.preload),
            "TRTREG_STEP_ROOT": os.path.realpath(self.state),
            "TRTREG_STEP_COUNTER": str(counter),
            **{f"TRTREG_STEP_{name.upper()}": str(step) for name, step in variables.items()},
        }
        with subprocess.Popen(
            work.command, env=environ, cwd=self.state, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
        ) as process:  # fmt: skip
            try:
                words, _ = process.communicate(timeout=work.seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                words, _ = process.communicate()
                return 999, f"it did not come to an end: {words}", 0
        return process.returncode, words, int.from_bytes(counter.read_bytes(), sys.byteorder)

    def look(self, work: Work) -> str | None:
        """Run `after`; give the reason for which the fault is lost."""
        done = subprocess.run(
            [work.python, "-c", BEGIN + textwrap.dedent(work.after), str(self.state), *work.arguments],
            env=work.environ, cwd=self.state, capture_output=True, text=True, check=False, timeout=work.seconds,
        )  # fmt: skip
        return None if done.returncode == 0 else f"{done.stdout}{done.stderr}".strip()[-1500:]

    def killed(self, work: Work, step: int) -> str | None:
        """Kill it before this step."""
        self.prepare(work)
        code, words, _ = self.run(work, kill=step)
        if code not in {0, -signal.SIGKILL}:
            return f"it ended with {code}: {words[-700:]}"
        return self.look(work)

    def starved(self, work: Work, step: int) -> str | None:
        """Let the disk be full from this step on."""
        self.prepare(work)
        code, words, _ = self.run(work, full=step)
        if code not in CODES | {0} | work.codes:
            return f"it ended with {code}: {words[-1500:]}"
        if code != 0 and "Traceback" in words:
            return f"a traceback: {words[-1500:]}"
        left = sorted(str(path.relative_to(self.state)) for path in self.state.glob(work.temporary))
        if left:
            return f"it has left {left}"
        return self.look(work)


@pytest.fixture
def interruption(compile_library, tmp_path) -> Interruption:
    preload = compile_library(str(ROOT / "tests" / "native" / "at_step.cpp"), "-ldl")
    folder = tmp_path / "interrupted"
    folder.mkdir()
    return Interruption(preload, folder)


def script(code: str) -> list[str]:
    """A program that ends as trtreg does: with the exit code of the error, which it prints."""
    body = textwrap.indent(textwrap.dedent(code), "    ")
    frame = f"import sys\nfrom trtreg import TrtregError\ntry:\n{body}\nexcept TrtregError as e:\n"
    return [sys.executable, "-c", f"{frame}    print(type(e).__name__, e)\n    sys.exit(e.exit_code)\n"]


# -- the works --------------------------------------------------------------------------------------------------------


@pytest.fixture
def engine(quiet, tmp_path) -> Work:
    """An engine and its lock, written over others."""
    code = """
    import sys
    from trtreg.engine import Engine, save_trt_engine
    plan = sys.argv[1].encode() * 50000
    engine = Engine(plan=plan, flavour="rtx", tensorrt_version="1.7.1", creators=(), plugins=(), layers=(), inputs=(),
                    outputs=())
    save_trt_engine(engine, "a.engine")
    """
    start = tmp_path / "start"
    start.mkdir()
    command = script(code)
    subprocess.run([*command, "old"], cwd=start, env=quiet, check=True)
    after = """
    from trtreg import engine_lock
    from trtreg.engine import Engine, save_trt_engine
    plan = pathlib.Path("a.engine").read_bytes()
    if plan not in (b"old" * 50000, b"new" * 50000):
        fail(f"the engine is damaged: {len(plan)} bytes")
    lock = engine_lock.read("a.engine")
    if lock is not None and lock.plan_sha256 != hashlib.sha256(plan).hexdigest():
        fail("the lock is of another engine")
    engine = Engine(plan=b"new" * 50000, flavour="rtx", tensorrt_version="1.7.1", creators=(), plugins=(), layers=(),
                    inputs=(), outputs=())
    save_trt_engine(engine, "a.engine")
    if pathlib.Path("a.engine").read_bytes() != engine.plan or engine_lock.read("a.engine") is None:
        fail("it cannot be written any more")
    """
    return Work("engine and its lock", [*command, "new"], after, start, quiet)


@pytest.fixture
def added(quiet, sources, tmp_path) -> Work:
    """A finished library that is registered for the user, in the place of another."""
    library = tmp_path / "libfinished.so"
    library.write_bytes(sources.sound)
    code = """
    import hashlib, json, pathlib, sys
    from trtreg import manifest
    from trtreg.foreign import added
    library = pathlib.Path(sys.argv[1])
    described = manifest.parse(json.loads(sys.argv[2]))
    added.add(library, described, copy=True)
    """
    import json

    import broken_libraries

    described = json.dumps(broken_libraries.described(sources.sound, op="TrtregSound", name="finished"))
    start = tmp_path / "start"
    start.mkdir()
    command = [*script(code), str(library), described]
    environ = {**quiet, "XDG_DATA_HOME": str(tmp_path / "interrupted" / "state")}
    subprocess.run(command, env={**environ, "XDG_DATA_HOME": str(start)}, check=True)
    after = f"""
    from trtreg import discovery, manifest
    from trtreg.foreign import added
    def plugin():
        (found,) = discovery.added() or (None,)
        if found is not None and found.problem is not None:
            fail(f"half of it is there: {{found.problem}}")
        return found
    plugin()
    added.add(pathlib.Path({str(library)!r}), manifest.parse(json.loads(sys.argv[2])), copy=True)
    if plugin() is None:
        fail("it is not there after all")
    """
    return Work("added library", command, after, start, environ, arguments=[described], temporary="**/.finished*")


@pytest.fixture
def trial(quiet, sound_site, tmp_path) -> Work:
    """What the first load of a library keeps."""
    pytest.importorskip("tensorrt_rtx")
    code = """
    import sys
    from trtreg import discovery, loader
    (plugin,) = discovery.discover([sys.argv[1]])
    assert loader.load(plugin).creators
    """
    start = tmp_path / "start"
    start.mkdir()
    command = [*script(code), str(sound_site)]
    environ = {**quiet, "XDG_CACHE_HOME": str(tmp_path / "interrupted" / "state")}
    after = """
    from trtreg import discovery, loader
    (plugin,) = discovery.discover([sys.argv[2]])
    loader.load(plugin)
    """
    return Work("verdict of a trial", command, after, start, environ, arguments=[str(sound_site)])


@pytest.fixture
def lock(pip_room, market, quiet, tmp_path) -> Work:
    """A pylock.toml in the place of another."""
    wheel = market.add("trtplugin-a", "1.0", "A")
    start = tmp_path / "start"
    start.mkdir()
    environ = {**pip_room.environ, "TRTREG_INDEX": market.url, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [str(pip_room.python), "-m", "trtreg", "lock", "trtplugin-a", "-o", "pylock.toml"]
    subprocess.run(command, cwd=start, env=environ, check=True, capture_output=True)
    old = (start / "pylock.toml").read_text()
    market.add("trtplugin-a", "1.1", "A")
    after = """
    text = pathlib.Path("pylock.toml").read_text()
    if text != sys.argv[2] and 'version = "1.1"' not in text or "hashes" not in text:
        fail("the lock is damaged")
    trtreg("lock", "trtplugin-a", "-o", "pylock.toml", "--upgrade", "--refresh")
    if 'version = "1.1"' not in pathlib.Path("pylock.toml").read_text():
        fail("it cannot be written any more")
    """
    assert wheel.exists()
    command += ["--upgrade", "--refresh"]
    return Work("pylock.toml", command, after, start, environ, str(pip_room.python), [old])


@pytest.fixture
def catalogue(pip_room, market, tmp_path) -> Work:
    """The cached catalogue of an index, in the place of an older one."""
    market.add("trtplugin-a", "1.0", "A")
    start = tmp_path / "start"
    environ = {
        **pip_room.environ,
        "TRTREG_INDEX": market.url,
        "XDG_CACHE_HOME": str(tmp_path / "interrupted" / "state"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [str(pip_room.python), "-m", "trtreg", "search", "trtplugin", "--refresh"]
    subprocess.run(command, env={**environ, "XDG_CACHE_HOME": str(start)}, check=True, capture_output=True)
    market.add("trtplugin-b", "1.0", "B")
    after = """
    if "trtplugin-a" not in trtreg("search", "trtplugin", "--offline"):
        fail("the cache has nothing any more")
    if "trtplugin-b" not in trtreg("search", "trtplugin", "--refresh"):
        fail("the cache does not take the new catalogue")
    """
    return Work("cached catalogue", command, after, start, environ, str(pip_room.python), temporary="**/*.tmp")


AFTER_INSTALL = """
from trtreg import discovery
def library(plugin):
    return hashlib.sha256(plugin.library_path.read_bytes()).hexdigest()
for plugin in discovery.discover():
    if plugin.problem is None and library(plugin) != plugin.manifest.library.sha256:
        fail(f"half of {plugin.distribution} {plugin.version} is there, and passes for whole")
trtreg("list")
trtreg("install", "trtplugin-a", "--upgrade")
import importlib
importlib.invalidate_caches()
found = [plugin for plugin in discovery.discover() if plugin.distribution == "trtplugin-a"]
if [plugin.version for plugin in found] != ["1.1"] or found[0].problem or library(found[0]) != (
    found[0].manifest.library.sha256):
    fail(f"the same command again leaves {found}")
"""


def installation(room, market, tmp_path, *, upgrade: bool) -> Work:
    start = tmp_path / "start"
    environ = {**room.environ, "TRTREG_INDEX": market.url, "PYTHONDONTWRITEBYTECODE": "1"}
    market.add("trtplugin-a", "1.0", "A", library=b"old" * 1000)
    if upgrade:
        assert room.trtreg("install", "trtplugin-a", TRTREG_INDEX=market.url)
    market.add("trtplugin-a", "1.1", "A", library=b"new" * 1000)
    room.folder.rename(start)
    state = tmp_path / "interrupted" / "state"
    python = str(state / "bin" / "python")
    command = [python, "-m", "trtreg", "install", "trtplugin-a", "--upgrade", "--refresh"]
    environ["XDG_CACHE_HOME"] = str(state / "cache")
    how = "upgrade" if upgrade else "installation"
    kind = "uv" if "uv =" in (start / "pyvenv.cfg").read_text() else "pip"
    work = Work(f"{how} with {kind}", command, AFTER_INSTALL, start, environ, python)
    work.temporary = "cache/**/.*.part"
    return work


@pytest.fixture
def first_pip(pip_room, market, tmp_path):
    return installation(pip_room, market, tmp_path, upgrade=False)


@pytest.fixture
def again_pip(pip_room, market, tmp_path):
    return installation(pip_room, market, tmp_path, upgrade=True)


@pytest.fixture
def first_uv(uv_room, market, tmp_path):
    return installation(uv_room, market, tmp_path, upgrade=False)


@pytest.fixture
def again_uv(uv_room, market, tmp_path):
    return installation(uv_room, market, tmp_path, upgrade=True)


@pytest.fixture
def autoload(pip_room, tmp_path) -> Work:
    """The hook that loads plugins in every Python of an environment."""
    start = tmp_path / "start"
    pip_room.folder.rename(start)
    python = str(tmp_path / "interrupted" / "state" / "bin" / "python")
    environ = {**pip_room.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    after = """
    import subprocess
    def starts():
        done = subprocess.run([sys.executable, "-c", "pass"], capture_output=True, text=True)
        if done.returncode or done.stderr:
            fail(f"Python does not start as before: {done.stderr}")
    starts()
    trtreg("autoload", "enable")
    starts()
    """
    return Work("autoload hook", [python, "-m", "trtreg", "autoload", "enable"], after, start, environ, python)


INSTALLERS = {"build", "first_pip", "again_pip", "first_uv", "again_uv"}


@pytest.fixture
def build(quiet, tmp_path) -> Work:
    """The wheel of a plugin, compiled and linked."""
    start = tmp_path / "start"
    root = start / "project"
    for name, text in {
        "pyproject.toml": projects.PYPROJECT,
        "README.md": "# Tiny\n",
        "native/tiny.cu": projects.TINY,
        "native/tiny.h": "#define FACTOR 2\n",
        "trtplugin_tiny/__init__.py": '"""Tiny."""\n',
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    (start / "dist").mkdir()
    code = """
    import os
    from trtreg.sdk import build
    os.chdir("project")
    build.build_wheel("../dist")
    """
    environ = {**quiet, "TRTREG_CUDA_ARCHS": "90", "SOURCE_DATE_EPOCH": "1000000000"}
    after = """
    import base64, csv, io
    from trtreg.sdk import build
    wheels = sorted(pathlib.Path("dist").glob("*.whl"))
    for path in wheels:
        try:
            with zipfile.ZipFile(path) as archive:
                bad = archive.testzip()
                names = set(archive.namelist())
        except (OSError, zipfile.BadZipFile) as error:
            fail(f"half a wheel is there: {error}")
        if bad or not any(name.endswith(".dist-info/RECORD") for name in names):
            fail(f"half a wheel is there: {bad}")
    os.chdir("project")
    build.build_wheel("../dist")
    os.chdir("..")
    (path,) = pathlib.Path("dist").glob("*.whl")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    known = pathlib.Path(sys.argv[2])
    if known.exists() and known.read_text() != digest:
        fail("the wheel is another one than that of a build which nobody interrupted")
    known.write_text(digest)
    """
    work = Work("build of a plugin", script(code), after, start, environ, arguments=[str(tmp_path / "digest")])
    work.temporary, work.seconds = "dist/.*", 300.0
    work.codes = frozenset({1})  # a hook of PEP 517 ends with a message
    return work


WORKS = [
    "build",
    "engine",
    "added",
    "trial",
    "lock",
    "catalogue",
    "autoload",
    "first_pip",
    "again_pip",
    "first_uv",
    "again_uv",
]
# In CI: so many steps of each, spread over the work, killed and starved.
QUICK = {
    "engine": (5, 3),
    "build": (1, 0),
    "added": (3, 2),
    "trial": (2, 2),
    "lock": (2, 1),
    "catalogue": (2, 2),
    "autoload": (2, 1),
    "again_pip": (2, 1),
}


def steps(total: int, wanted: int | None) -> Iterator[int]:
    if wanted is None or wanted >= total:
        yield from range(1, total + 1)
    else:
        yield from sorted({1 + (2 * number + 1) * total // (2 * wanted) for number in range(wanted)})


@pytest.mark.parametrize("name", WORKS)
def test_killed_and_starved_at_steps(name, request, interruption, tally, full):
    if not full and name not in QUICK:
        pytest.skip("`make faults` does it")
    work: Work = request.getfixturevalue(name)
    interruption.prepare(work)
    code, words, total = interruption.run(work)
    assert code == 0, words
    assert total > 0, "none of its steps was seen"
    assert interruption.look(work) is None
    ways: tuple[Callable[[Work, int], str | None], ...] = (interruption.killed, interruption.starved)
    # An installation has a hundred steps and more, of seconds each: all are killed, some starved.
    everything = (None, total // 5 if name in INSTALLERS else None)
    for way, wanted in zip(ways, everything if full else QUICK[name], strict=True):
        for step in steps(total, wanted):
            kind = f"{'killed while' if way == interruption.killed else 'disk full:'} {work.name}"
            tally.add(kind, f"step {step} of {total}", way(work, step))


def test_the_disk_is_full_and_the_process_killed_where_it_was_asked_for(interruption, engine):
    """The instrument itself."""
    interruption.prepare(engine)
    _, _, total = interruption.run(engine)
    interruption.prepare(engine)
    assert interruption.run(engine, kill=1)[0] == -signal.SIGKILL
    assert (interruption.state / "a.engine").read_bytes() == b"old" * 50000
    code, words, _ = interruption.run(engine, full=1)
    assert code == errors.OutputError.exit_code
    assert os.strerror(errno.ENOSPC) in words
    assert interruption.run(engine, kill=total + 1)[0] == 0
    (interruption.state / "a.engine").write_bytes(b"half")
    assert "damaged" in str(interruption.look(engine)), "what is damaged is noticed"


FULL_DISK = """
import os, pathlib, sys
from trtreg import output
from trtreg.errors import OutputError
disk = pathlib.Path(sys.argv[1])
old = b"old" * 1000
output.write(disk / "a.engine", old)
tried = 0
for size in (900_000, 1_000_000, 1_048_576, 3_000_000):
    for write in (lambda: output.write(disk / "a.engine", bytes(size)),
                  lambda: output.write_pair(disk / "a.engine", bytes(size), disk / "a.lock", bytes(size))):
        tried += 1
        before = {path.name: path.read_bytes() for path in disk.iterdir()}
        try:
            write()
        except OutputError as error:
            assert "No space left" in str(error), error
            now = {path.name: path.read_bytes() for path in disk.iterdir()}
            assert now == before, sorted(now)
        else:
            for path in disk.iterdir():
                path.unlink()
            output.write(disk / "a.engine", old)
print(tried)
"""


def test_a_disk_that_is_really_full(quiet, tmp_path, tally):
    """A file system of one megabyte in memory, where a process may make one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size=1m none {disk} && exec {sys.executable} -c "$CODE" {disk}'
    command = ["unshare", "--mount", *(() if os.geteuid() == 0 else ("--user", "--map-root-user")), "sh", "-c", mount]
    done = subprocess.run(
        command, env={**quiet, "CODE": FULL_DISK}, capture_output=True, text=True, check=False, timeout=60
    )
    if "Traceback" not in done.stderr and done.returncode != 0:
        pytest.skip(f"no file system can be made here: {done.stderr.strip()}")
    lost = None if done.returncode == 0 else done.stderr[-500:]
    for number in range(int(done.stdout or 1)):
        tally.add("disk really full: engine and lock", f"write {number}", lost if number == 0 else None)
