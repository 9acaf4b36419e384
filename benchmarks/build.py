"""Measure what every plugin package costs: the time to build its wheel for all GPUs, to build it again, and its size.

    python benchmarks/build.py                       # all of plugin-packages; about six minutes on two cores
    python benchmarks/build.py trtplugin-hswish -o - # one of them, nothing kept

Each package is copied to an empty folder, so that nothing was compiled before, and built by `pip wheel` as a user's
checkout would be, without the download of build requirements: they are taken from the Python that this runs in
(`pip install -e '.[build]'`). Then it is built once more with nothing changed. "compiling" is the CPU time of all
processes of the first build: what the wall time becomes on a machine with one free core.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import NamedTuple

from support import machine

from trtreg.sdk import arch, toolchain

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ROOT / "plugin-packages"
RESULTS = ROOT / "benchmarks" / "results"


class Cost(NamedTuple):
    """Seconds of wall and CPU time, and bytes."""

    first: float
    compiling: float
    again: float
    wheel: int
    library: int


def main() -> None:
    """Build, measure, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help="folders of plugin-packages/ (default: all)")
    parser.add_argument("-o", "--output", default=str(RESULTS / "build.md"), help="- prints only")
    arguments = parser.parse_args()
    names = arguments.packages or sorted(file.parent.name for file in PACKAGES.glob("*/pyproject.toml"))
    costs = {}
    for name in names:
        costs[name] = measure(PACKAGES / name)
        print(f"{name}: {costs[name].first:.1f} s", file=sys.stderr, flush=True)
    text = table(costs)
    print(text)
    if arguments.output != "-":
        Path(arguments.output).write_text(text, encoding="utf-8")


def measure(project: Path) -> Cost:
    """Build a copy of the project twice."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / project.name
        shutil.copytree(project, copy, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__", "tests"))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        first = build(copy, Path(folder) / "first")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        again = build(copy, Path(folder) / "again")
        (wheel,) = (Path(folder) / "again").glob("*.whl")
        return Cost(
            first=first,
            compiling=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            again=again,
            wheel=wheel.stat().st_size,
            library=library_size(wheel),
        )


def build(project: Path, target: Path) -> float:
    """Build the wheel; gives the seconds."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    begun = time.perf_counter()
    environ = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run([*command, "--wheel-dir", str(target), str(project)], check=True, env=environ)
    return time.perf_counter() - begun


def library_size(wheel: Path) -> int:
    """The bytes of the library as it lies unpacked; 0 in a package that only names others."""
    with zipfile.ZipFile(wheel) as archive:
        return sum(item.file_size for item in archive.infolist() if item.filename.endswith(".so"))


def table(costs: dict[str, Cost]) -> str:
    """Write the table."""
    total = [sum(column) for column in zip(*costs.values(), strict=True)]
    rows = [*costs.items(), ("all", Cost(*total))]
    lines = [
        "# What the plugin packages cost to build, and how big they are",
        "",
        f"- command: {' '.join(['python', 'benchmarks/build.py', *sys.argv[1:]])}",
        f"- machine: {machine.describe()}, nvcc {toolchain.find().nvcc.version}",
        f"- compiled for: {arch.DEFAULT}",
        f"- date: {dt.datetime.now(tz=dt.timezone.utc).date()}",
        "",
        "Seconds of wall time from nothing, CPU seconds of that, and seconds of a build with nothing changed;",
        "the sizes of the wheel, and of the library in it.",
        "",
        "| package | first build | CPU time | nothing changed | wheel | library |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            f"| {name} | {c.first:.1f} s | {c.compiling:.1f} s | {c.again:.2f} s | {c.wheel / 1e3:,.0f} kB "
            f"| {c.library / 1e3:,.0f} kB |"
            for name, c in rows
        ),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
