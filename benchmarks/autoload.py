"""Measure what autoload costs: the start of Python, each import, and the import of TensorRT.

    python benchmarks/autoload.py                    # 500 rounds; about a minute
    python benchmarks/autoload.py --rounds 50 -o -   # a quick look, nothing kept

Three virtual environments of this Python, alike but for the hook that `trtreg autoload enable` writes: one with it, two
without. A round starts `python -c pass` once in each, in an order drawn anew, so that what else the machine does hits
all alike. Differences are taken within a round. The second environment without the hook shows how much of a difference
is noise.

- start: wall time, and CPU time of the process (user and system)
- each import: the finder's answer for a module that is not TensorRT
- import of TensorRT-RTX, where it is installed: with no plugin of the environment that this runs in, with one, with all
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from importlib.util import find_spec
from pathlib import Path

from support import machine

from trtreg import discovery

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
LIMIT_MS = 1.0
IMPORT_LIMITS_MS = (25.0, 150.0)  # more than without autoload: with no plugin, and with one
NAMES = ("plain", "again", "hooks")  # of one length: a longer path takes longer

FINDER = """
import sys, timeit
find = sys.meta_path[0].find_spec
print(min(timeit.repeat(lambda: find("json"), number=100000, repeat=5)) / 100000 * 1e9)
"""
IMPORT = """
import time
begun = time.perf_counter()
import tensorrt_rtx
took = time.perf_counter() - begun
print(took * 1e3, len({c.name for c in tensorrt_rtx.get_plugin_registry().all_creators}))
"""


def main() -> None:
    """Make the environments, measure, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("-o", "--output", default=str(RESULTS / "autoload.md"), help="- prints only")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pythons = {name: make(Path(folder) / name, hooked=name == "hooks") for name in NAMES}
        lines = [
            "# What autoload costs",
            "",
            headline(arguments.rounds),
            "",
            *starts(pythons, arguments.rounds),
            "",
            *imports(pythons["hooks"]),
        ]
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.output != "-":
        Path(arguments.output).write_text(text, encoding="utf-8")


def headline(rounds: int) -> str:
    """Say what was measured where."""
    command = f"`python benchmarks/autoload.py --rounds {rounds}`"
    return f"{command} on {machine.describe()}. Medians; in brackets, the 95 % interval of the median difference."


def make(folder: Path, *, hooked: bool) -> Path:
    """Make an environment that sees this tree and the packages of this Python."""
    venv.create(folder, symlinks=True, with_pip=False)
    python = folder / "bin" / "python"
    packages = next((folder / "lib").glob("python3*/site-packages"))
    seen = [str(ROOT), *(path for path in sys.path if path.endswith("-packages"))]
    (packages / "seen.pth").write_text("".join(f"{path}\n" for path in seen), encoding="utf-8")
    if hooked:
        subprocess.run([python, "-m", "trtreg", "autoload", "enable", "--json"], check=True, stdout=subprocess.DEVNULL)
    return python


def starts(pythons: dict[str, Path], rounds: int) -> list[str]:
    """Compare the starts of the interpreter."""
    walls: dict[str, list[float]] = {name: [] for name in NAMES}
    cpus: dict[str, list[float]] = {name: [] for name in NAMES}
    draw = random.Random(1)  # noqa: S311 - an order, not a secret
    for number in range(rounds + 5):
        for name in draw.sample(NAMES, len(NAMES)):
            begun = time.perf_counter()
            child = os.posix_spawn(pythons[name], [pythons[name], "-c", "pass"], os.environ)
            _, status, usage = os.wait4(child, 0)
            took = time.perf_counter() - begun
            if status != 0:
                raise SystemExit(f"{pythons[name]} ended with {status}")
            if number >= 5:  # noqa: PLR2004 - the first rounds fill the caches
                walls[name].append(took * 1e3)
                cpus[name].append((usage.ru_utime + usage.ru_stime) * 1e3)
    table = [
        "| start of `python -c pass` | without | with the hook | difference | without, again |",
        "| --- " * 5 + "|",
    ]
    for title, times in (("wall time", walls), ("CPU time", cpus)):
        row = [f"{statistics.median(times[name]):.2f} ms" for name in ("plain", "hooks")]
        extra = [difference(times["plain"], times[name]) for name in ("hooks", "again")]
        table.append(f"| {' | '.join([title, *row, *(text for text, _ in extra)])} |")
        if title == "wall time":
            worst = extra[0][1]
    verdict = "less than" if worst < LIMIT_MS else "MORE THAN"
    return [*table, "", f"The hook costs {verdict} {LIMIT_MS:g} ms at the start, by the upper end of the interval."]


def difference(first: list[float], second: list[float]) -> tuple[str, float]:
    """The median of the differences within rounds, and the upper end of its interval by resampling."""
    differences = [b - a for a, b in zip(first, second, strict=True)]
    draw = random.Random(2)  # noqa: S311
    medians = sorted(statistics.median(draw.choices(differences, k=len(differences))) for _ in range(1000))
    low, high = medians[25], medians[974]
    return f"{statistics.median(differences):+.2f} ms ({low:+.2f} to {high:+.2f})", high


def imports(python: Path) -> list[str]:
    """Measure what follows the start."""
    environ = {**os.environ, "TRTREG_TENSORRT": "rtx"}
    finder = float(output(python, FINDER, environ))
    table = ["| afterwards | |", "| --- | --- |", f"| each import of another module | {finder:.0f} ns |"]
    if find_spec("tensorrt_rtx") is None:
        return table
    plugins = [plugin.distribution for plugin in discovery.discover()]
    cases = {
        "`import tensorrt_rtx`, TRTREG_AUTOLOAD=0": {"TRTREG_AUTOLOAD": "0"},
        "the same with autoload, no plugin allowed": {"TRTREG_AUTOLOAD_ALLOW": ""},
    }
    if plugins:
        cases[f"the same with {plugins[0]}"] = {"TRTREG_AUTOLOAD_ALLOW": plugins[0]}
        cases[f"the same with {len(plugins)} plugins"] = {"TRTREG_AUTOLOAD_ALLOW": " ".join(plugins)}
    times: dict[str, list[float]] = {title: [] for title in cases}
    for number in range(26):
        for title, variables in cases.items():
            took, _ = output(python, IMPORT, {**environ, **variables}).split()
            if number:  # the first time, a library is tried in another process
                times[title].append(float(took))
    first, *others = times.values()
    rows = [f"| {title} | {statistics.median(times[title]):.0f} ms |" for title in cases]
    bounds = [
        f"Bound: with {what} it takes at most {limit:g} ms more than without autoload: {text}, "
        f"{'holds' if high <= limit else 'DOES NOT HOLD'}."
        for what, limit, (text, high) in zip(
            ("no plugin", "one plugin"), IMPORT_LIMITS_MS, (difference(first, other) for other in others), strict=False
        )
    ]
    return [*table, *rows, "", *(line for bound in bounds for line in (bound, ""))][:-1]


def output(python: Path, code: str, environ: dict[str, str]) -> str:
    """What a program prints."""
    return subprocess.run([python, "-c", code], env=environ, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
