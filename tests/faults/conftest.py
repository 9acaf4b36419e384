"""Faults and what becomes of the process that meets them; `make faults` tries all, a plain run the quick ones.

A test here tries many faults of a kind. Each is told to `tally`, which fails the test at its end if one was lost, and
writes the figures for tools/reliability.py where TRTREG_FAULTS_RESULTS names a file.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent

sys.path.insert(0, str(HERE))  # the tables of faults

import broken_libraries as libraries  # noqa: E402

# Environments that trtreg installs into, and wheels for them, are those of the tests of packages.
_spec = importlib.util.spec_from_file_location("environments", HERE.parent / "packages" / "conftest.py")
assert _spec
assert _spec.loader
environments = importlib.util.module_from_spec(_spec)
sys.modules["environments"] = environments
_spec.loader.exec_module(environments)
base, templates, make_room, uv = environments.base, environments.templates, environments.make_room, environments.uv
pip_room, uv_room, market = environments.pip_room, environments.uv_room, environments.market

_FULL = os.environ.get("TRTREG_FAULTS") == "all"
_RESULTS: dict[str, dict[str, Any]] = {}


def pytest_sessionfinish() -> None:
    """Write the figures."""
    target = os.environ.get("TRTREG_FAULTS_RESULTS")
    if target and _RESULTS:
        Path(target).write_text(json.dumps(list(_RESULTS.values()), indent=1), encoding="utf-8")


@dataclass
class Tally:
    """What was tried in a test: by kind, how many, and which were lost."""

    tried: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    lost: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    started: float = field(default_factory=time.monotonic)

    def add(self, kind: str, name: str, lost: str | None) -> None:
        """Note one; `lost` says what went wrong."""
        self.tried[kind] += 1
        if lost:
            self.lost[kind].append(f"{name}: {lost}")

    def figures(self) -> list[dict[str, Any]]:
        """The rows of the table."""
        seconds = time.monotonic() - self.started
        total = sum(self.tried.values()) or 1
        return [
            {"kind": kind, "tried": tried, "lost": self.lost.get(kind, []), "seconds": seconds * tried / total}
            for kind, tried in self.tried.items()
        ]


@pytest.fixture(scope="session")
def full() -> bool:
    """Whether all faults are tried, not only the quick ones."""
    return _FULL


@pytest.fixture
def tally() -> Iterator[Tally]:
    """Note faults; at the end of the test none may be lost."""
    found = Tally()
    yield found
    for row in found.figures():
        kept = _RESULTS.setdefault(row["kind"], {"kind": row["kind"], "tried": 0, "lost": [], "seconds": 0.0})
        for key in ("tried", "lost", "seconds"):
            kept[key] = kept[key] + row[key]
    assert not found.lost, "\n".join(f"{kind}: {one}" for kind, lost in found.lost.items() for one in lost)


@pytest.fixture(scope="session")
def sources(compile_library: Callable[..., Path], compile_creators: Callable[..., Path]) -> libraries.Sources:
    """Compile what faults are made of."""
    from trtreg.manifest import CreatorKey

    return libraries.Sources(
        sound=compile_creators([CreatorKey("TrtregSound", "1")]).read_bytes(),
        broken=compile_library("broken.cpp").read_bytes(),
        compile=compile_library,
    )


@pytest.fixture(scope="session")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Make the environment of the processes: caches of their own, and trials that give up after a few seconds."""
    folder = tmp_path_factory.mktemp("surroundings")
    policy = folder / "policy.toml"
    policy.write_text("trial_seconds = 6\ntrial_memory_mib = 1024\n", encoding="utf-8")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("TRTREG_", "XDG_"))}
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {
        **kept,
        "PYTHONPATH": path,
        "PYTHONDONTWRITEBYTECODE": "1",
        "XDG_CACHE_HOME": str(folder / "cache"),
        "XDG_CONFIG_HOME": str(folder / "none"),
        "XDG_DATA_HOME": str(folder / "none"),
        "TRTREG_POLICY": str(policy),
        "TRTREG_AUTOLOAD": "0",
    }


@dataclass
class Host:
    """Runs the process that has to stay alive, again if it does not; `run` gives the answer about each fault.

    One for "end" comes where the process has met all, and does not end as it should.
    """

    environ: dict[str, str]
    sound_site: Path
    python: str = sys.executable
    patience: float = 30.0  # seconds for one fault

    def run(self, jobs: Iterable[tuple[str, Path]]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Load one after the other."""
        left = list(jobs)
        while left:
            done = 0
            for name, answer in self._process(left):
                yield name, answer
                done += name != "end"
            if done == 0:
                raise AssertionError("the process of the faults does not begin")
            left = left[done:]

    def _process(self, jobs: list[tuple[str, Path]]) -> Iterator[tuple[str, dict[str, Any]]]:
        lines = "".join(json.dumps({"id": name, "site": str(site)}) + "\n" for name, site in jobs)
        reader, writer = os.pipe()
        process = subprocess.Popen(
            [self.python, str(HERE / "fault_host.py"), str(writer), str(self.sound_site)],
            env=self.environ, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            pass_fds=[writer], start_new_session=True,
        )  # fmt: skip
        os.close(writer)
        assert process.stdin
        try:
            process.stdin.write(lines.encode())
            process.stdin.close()
        except BrokenPipeError:
            pass
        begun = None
        words = _Words(process.stderr)
        words.start()
        with process, os.fdopen(reader, encoding="utf-8") as answers:
            for line in _lines(answers, self.patience):
                facts = json.loads(line)
                begun = facts.get("begun", begun)
                if "id" in facts:
                    begun = None
                    yield facts.pop("id"), facts
            if process.poll() is None and begun is not None:
                process.kill()
            process.wait()
            words.join(5)  # a child that lives on may keep the pipe
        if begun is not None:
            yield begun, {"died": process.returncode, "reason": words.last}
        elif process.returncode != 0:
            yield "end", {"died": process.returncode, "reason": words.last}


class _Words(threading.Thread):
    """Takes all that a process says, so that it need not wait, and keeps the last of it."""

    def __init__(self, stream: Any) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._kept = b""

    def run(self) -> None:
        while block := os.read(self._stream.fileno(), 1 << 16):
            self._kept = (self._kept + block)[-300:]

    @property
    def last(self) -> str:
        return self._kept.decode(errors="replace").strip()


def _lines(stream: Any, patience: float) -> Iterator[str]:
    """The lines of a pipe, until none comes for so long."""
    import select

    waiting = b""
    while select.select([stream], [], [], patience)[0]:
        block = os.read(stream.fileno(), 1 << 16)
        if not block:
            return
        *whole, waiting = (waiting + block).split(b"\n")
        for line in whole:
            yield line.decode()


@pytest.fixture(scope="session")
def sound_site(tmp_path_factory: pytest.TempPathFactory, sources: libraries.Sources) -> Path:
    """Install the sound plugin."""
    site = tmp_path_factory.mktemp("sound")
    described = libraries.described(sources.sound, op="TrtregSound", name="trtplugin-sound")
    libraries.write(site, sources.sound, described, name="trtplugin-sound")
    return site


@pytest.fixture(scope="session")
def host(quiet: dict[str, str], sound_site: Path) -> Host:
    """The process with the TensorRT of this environment."""
    pytest.importorskip("tensorrt_rtx")
    return Host(quiet, sound_site)


def pick(faults: Iterable[libraries.Fault], full: bool) -> list[libraries.Fault]:
    """Those that this run tries."""
    return [fault for fault in faults if full or fault.quick]


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """Make a folder for broken packages, which are many and removed at once."""
    folder = tmp_path / "broken"
    folder.mkdir()
    yield folder
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)
    shutil.rmtree(folder)
