"""Measure the command line beside the start of the interpreter: `trtreg list` against `python -c pass`.

    python benchmarks/command_line.py                     # 200 rounds at 50, 300 and 1000 distributions; some minutes
    python benchmarks/command_line.py --before HEAD~1     # and the same of another commit of this repository
    python benchmarks/command_line.py --rounds 20 -o -    # a quick look, nothing kept

For each number of installed distributions a virtual environment of this Python is made: packages with the metadata of
wheels, a third of them with entry points, five of them plugins, a TensorRT of which there is only the metadata, and
trtreg with what it depends on. A round starts each command once, in an order drawn anew, so that what else the machine
does hits all alike; ratios are taken within a round.

- warm: the answer is kept from the run before
- changed: something has been installed since, so the metadata of all distributions is read again
- cold: nothing is kept
- as an entry point: through the script that pip before 25.1 would write if trtreg's own were none
"""

from __future__ import annotations

import argparse
import datetime as dt
import io
import json
import os
import random
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import time
import venv
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING

from support import machine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
SIZES = (50, 300, 1000)
PLUGINS = 5
BOUNDS = {"trtreg list, warm": 1.25, "trtreg list, changed": 2.0, "trtreg list, cold": 2.0}
CONSOLE = (ROOT / "bin" / "trtreg").read_text(encoding="utf-8").partition("\n")[2]
OLDER = (
    "import re\nimport sys\nfrom trtreg.cli import main\nif __name__ == '__main__':\n"
    "    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])\n    sys.exit(main())\n"
)
# What a cold run does, each part timed.
PARTS = """
import gc, time
gc.disable()
times = [time.perf_counter()]
from trtreg.cli import list, _list_answer, _plugins, _terminal
from trtreg import _json_text, discovery, environment
times.append(time.perf_counter())
_, scan = _list_answer.begin()
times.append(time.perf_counter())
here = environment.read(scan=scan)
times.append(time.perf_counter())
judged = [_plugins.judge(plugin, here) for plugin in discovery.scanned(scan)]
times.append(time.perf_counter())
print(*(after - before for before, after in zip(times, times[1:])))
"""
PART_NAMES = ("its own modules", "metadata of all distributions", "TensorRT and driver", "manifests of the plugins")


def nothing() -> None:
    """Prepare nothing."""


@dataclass
class Command:
    """What is started in each round, and what is done before; `milliseconds` are those of all rounds."""

    name: str
    words: tuple[str, ...]
    prepare: Callable[[], None] = nothing
    milliseconds: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """A virtual environment, and the home of its caches."""

    root: Path

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.root / "bin" / "python")

    @property
    def packages(self) -> Path:
        """Its site-packages."""
        return next((self.root / "lib").glob("python3*/site-packages"))

    @property
    def cache(self) -> Path:
        """What `trtreg list` keeps here."""
        return self.root / "cache" / "trtreg" / "list"

    def script(self, text: str) -> str:
        """Make a console script in a folder of its own: the path of modules begins with it."""
        folder = self.root / f"bin-{len([*self.root.glob('bin-*')])}"
        folder.mkdir()
        file = folder / "trtreg"
        file.write_text(f"#!{self.python}\n{text}", encoding="utf-8")
        file.chmod(0o755)
        return str(file)


def main() -> None:
    """Make the environments, measure, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N")
    parser.add_argument("--before", metavar="COMMIT", help="measure the trtreg of this commit too")
    parser.add_argument("-o", "--output", default=str(RESULTS / "command-line.md"), help="- prints only")
    arguments = parser.parse_args()
    before = f" --before {arguments.before}" if arguments.before else ""
    lines = [
        "# What the command line costs",
        "",
        headline(f"--rounds {arguments.rounds}{before}"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        for size in arguments.sizes:
            place = make(Path(folder) / f"site-{size}", size, ROOT / "trtreg")
            commands = ours(place)
            if arguments.before:
                other = make(Path(folder) / f"past-{size}", size, checkout(arguments.before, Path(folder)))
                commands.append(Command("before: trtreg list", (other.script(CONSOLE), "list")))
                commands.append(Command("before: trtreg --version", (other.script(CONSOLE), "--version")))
            measure(commands, arguments.rounds, Path(folder))
            lines += ["", f"## {size} distributions, {PLUGINS} of them plugins", "", *table(commands)]
            lines += ["", f"A cold run, beside the start of Python: {parts(place)}."]
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.output != "-":
        Path(arguments.output).write_text(text, encoding="utf-8")


def headline(options: str) -> str:
    """Say what was measured where, and when."""
    command = f"`python benchmarks/command_line.py {options}` on {machine.describe()}, {dt.date.today()}"  # noqa: DTZ011
    return f"{command}. Wall time; the ratio to `python -c pass` is the median of the rounds', with its 95 % interval."


def ours(place: Place) -> list[Command]:
    """The commands of this tree."""
    script, older = place.script(CONSOLE), place.script(OLDER)

    def forget() -> None:
        shutil.rmtree(place.cache)

    def change() -> None:
        (place.packages / "changed").touch()
        (place.packages / "changed").unlink()
        time.sleep(0.11)  # what is younger than the clock's grain is not kept

    return [
        Command("python -c pass", (place.python, "-c", "pass")),
        Command("the same, again", (place.python, "-c", "pass")),
        # Cold first: the others of a round need its answer. The order of these is fixed.
        Command("trtreg list, cold", (script, "list"), forget),
        Command("trtreg list, changed", (script, "list"), change),
        Command("trtreg list, warm", (script, "list")),
        Command("trtreg list --json, warm", (script, "list", "--json")),
        Command("trtreg list, warm, as an entry point", (older, "list")),
        Command("trtreg --version", (script, "--version")),
        Command("trtreg --help", (script, "--help")),
    ]


def measure(commands: Sequence[Command], rounds: int, folder: Path) -> None:
    """Run the rounds; the first ones fill the caches of the system."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    time.sleep(2.5)
    draw = random.Random(1)  # noqa: S311 - an order, not a secret
    warm_up = 3
    for number in range(rounds + warm_up):
        order = [*commands]
        draw.shuffle(order)
        for command in sorted(order, key=lambda one: ("cold" in one.name, "changed" in one.name)):
            variables = {**environ, "XDG_CACHE_HOME": str(Path(command.words[0]).parent.parent / "cache")}
            if number >= warm_up:
                command.prepare()
            took = start(command.words, variables)
            if number >= warm_up:
                command.milliseconds.append(took * 1e3)
        # What the last two commands left has to be kept again by each script.
        for command in commands:
            if "list" in command.words:
                variables = {**environ, "XDG_CACHE_HOME": str(Path(command.words[0]).parent.parent / "cache")}
                start(command.words, variables)


def start(words: Sequence[str], environ: dict[str, str]) -> float:
    """Run a program to its end; gives the seconds."""
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    begun = time.perf_counter()
    child = os.posix_spawn(words[0], words, environ, file_actions=quiet)
    _, status = os.waitpid(child, 0)
    took = time.perf_counter() - begun
    if status != 0:
        raise SystemExit(f"{' '.join(words)} ended with {status}")
    return took


def table(commands: Sequence[Command]) -> list[str]:
    """Compare all with the first."""
    first = commands[0].milliseconds
    lines = ["| command | median | minimum | ratio | bound |", "| --- | --- | --- | --- | --- |"]
    for command in commands:
        ratios = [mine / plain for mine, plain in zip(command.milliseconds, first, strict=True)]
        low, high = interval(ratios)
        middle = statistics.median(ratios)
        bound = BOUNDS.get(command.name)
        verdict = "" if bound is None else f"{bound:g}: {'holds' if high <= bound else 'DOES NOT HOLD'}"
        times = f"{statistics.median(command.milliseconds):.2f} ms | {min(command.milliseconds):.2f} ms"
        lines.append(f"| {command.name} | {times} | {middle:.3f} ({low:.3f} to {high:.3f}) | {verdict} |")
    return lines


def parts(place: Place) -> str:
    """Where a cold run spends its time."""
    runs = []
    for _ in range(15):
        # In a folder of its own: `python -c` looks for modules in that first.
        done = subprocess.run([place.python, "-c", PARTS], cwd=place.root, check=True, capture_output=True, text=True)
        runs.append([float(seconds) * 1e3 for seconds in done.stdout.split()])
    medians = [statistics.median(column) for column in zip(*runs, strict=True)]
    return ", ".join(f"{name} {took:.1f} ms" for name, took in zip(PART_NAMES, medians, strict=True))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the median, by resampling."""
    draw = random.Random(2)  # noqa: S311
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(1000))
    return medians[25], medians[974]


def make(folder: Path, size: int, tree: Path) -> Place:
    """Make an environment with `size` distributions and the trtreg that lies in `tree`."""
    venv.create(folder, symlinks=True, with_pip=False)
    place = Place(folder)
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(tree, place.packages / "trtreg", ignore=skip)
    metadata(place.packages, "trtreg", "0.1.0")
    for name in ("packaging", "nvidia-ml-py"):
        copy(name, place.packages)
    metadata(place.packages, "tensorrt_rtx", "1.7.1.2")
    (place.packages / "tensorrt_rtx").mkdir()
    (place.packages / "tensorrt_rtx" / "__init__.py").touch()
    for number in range(PLUGINS):
        plugin(place.packages, f"trtplugin_example_{number}")
    others = size - PLUGINS - 4
    for number in range(others):
        name = f"some_package_{number}"
        entries = f"[console_scripts]\n{name} = {name}.cli:main\n" if number % 3 == 0 else None
        metadata(place.packages, name, f"{number % 9}.{number % 7}.1", entries)
        (place.packages / name).mkdir()
        (place.packages / name / "__init__.py").touch()
    subprocess.run([place.python, "-m", "compileall", "-q", place.packages], check=True)
    return place


def metadata(packages: Path, name: str, version: str, entries: str | None = None) -> None:
    """Write the metadata of a wheel as pip leaves it."""
    info = packages / f"{name}-{version}.dist-info"
    info.mkdir()
    text = f"Metadata-Version: 2.4\nName: {name.replace('_', '-')}\nVersion: {version}\nSummary: made for a benchmark\n"
    (info / "METADATA").write_text(text + "Classifier: Typing :: Typed\n" * 20 + "\nA text.\n" * 100, encoding="utf-8")
    (info / "INSTALLER").write_text("pip\n", encoding="utf-8")
    (info / "RECORD").write_text(f"{info.name}/METADATA,,\n{info.name}/RECORD,,\n", encoding="utf-8")
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n", encoding="utf-8")
    if entries:
        (info / "entry_points.txt").write_text(entries, encoding="utf-8")


def plugin(packages: Path, name: str) -> None:
    """Install a plugin: its library is never opened here, so it is empty."""
    distribution_name = name.replace("_", "-")
    metadata(packages, name, "1.0", f"[trtreg.plugins]\n{distribution_name} = {name}\n")
    (packages / name).mkdir()
    (packages / name / "__init__.py").touch()
    (packages / name / f"lib{name}.so").touch()
    tensors = {"inputs": ["float32", "float32"], "outputs": ["float32"]}
    fields = [{"name": f"field_{number}", "type": "int32", "length": 1, "default": [number]} for number in range(6)]
    creators = [
        {"name": f"{name}_{op}", "version": "1", "namespace": "", "fields": fields, "signatures": [tensors] * 4}
        for op in range(2)
    ]
    manifest = {
        "schema": 1,
        "package": distribution_name,
        "version": "1.0",
        "summary": "made for a benchmark",
        "tensorrt": {"full": ">=10", "lean": ">=10", "rtx": ">=1.7"},
        "library": {
            "file": f"lib{name}.so",
            "sha256": "0" * 64,
            "size": 0,
            "machine": os.uname().machine,
            "glibc": "2.17",
            "needed": ["libc.so.6"],
            "cuda": "13.0",
            "sdk": {"version": "0.1.0", "face_abi": 1},
            "sms": ["8.0", "9.0"],
            "ptx": ["9.0"],
            "creators": creators,
        },
    }
    (packages / name / "trtplugin.json").write_text(json.dumps(manifest, indent=2), encoding="utf-8")


def copy(name: str, packages: Path) -> None:
    """Copy a distribution that this Python has."""
    for file in distribution(name).files or ():
        if ".." not in file.parts and file.suffix != ".pyc":
            target = packages / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), target)


def checkout(commit: str, folder: Path) -> Path:
    """The package as it is in a commit, beside the working tree."""
    target = folder / "checkout"
    if not target.exists():
        archive = subprocess.run(["git", "archive", commit, "trtreg"], cwd=ROOT, check=True, capture_output=True)
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            tar.extractall(target, filter="data")
    return target / "trtreg"


if __name__ == "__main__":
    main()
