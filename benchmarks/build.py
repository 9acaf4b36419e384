"""Measure what every plugin package costs, before and after its kernels were made fast: time to build, and size.

    python benchmarks/build.py                       # all of plugin-packages; about ten minutes on two cores
    python benchmarks/build.py trtplugin-hswish -o - # one of them, nothing kept
    python benchmarks/build.py --before v0.1.0       # beside another commit of this repository

"Before" is 7dfc39e, the first commit with all packages: its sources, built by its own SDK, in turns with those of now.
The SDK has kept what it compiled, and compiled for several architectures at once, since its first commit; what that
saves is the distance of the first build to "CPU time", which a build of one architecture after another takes each time.

Each package is copied to an empty folder, so that nothing was compiled before, and built by `pip wheel` as a user's
checkout would be, without the download of build requirements: they are taken from the Python that this runs in
(`pip install -e '.[build]'`). Then it is built once more with nothing changed. "CPU time" is that of all processes of
the first build: what the wall time becomes on a machine with one free core.
"""

from __future__ import annotations

import argparse
import datetime as dt
import io
import os
import resource
import shutil
import subprocess
import sys
import tarfile
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
BEFORE = "7dfc39e"  # the first commit with all packages


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
    parser.add_argument("--before", default=BEFORE, metavar="COMMIT", help="what to compare with (%(default)s)")
    parser.add_argument("-o", "--output", default=str(RESULTS / "build.md"), help="- prints only")
    arguments = parser.parse_args()
    names = arguments.packages or sorted(file.parent.name for file in PACKAGES.glob("*/pyproject.toml"))
    costs = {}
    with tempfile.TemporaryDirectory() as folder:
        check_out(arguments.before, Path(folder))
        for name in names:
            costs[name] = (measure(Path(folder), name), measure(ROOT, name))
            print(f"{name}: {' -> '.join(f'{cost.first:.1f} s' for cost in costs[name])}", file=sys.stderr, flush=True)
    text = table(costs, arguments.before)
    print(text)
    if arguments.output != "-":
        Path(arguments.output).write_text(text, encoding="utf-8")


def check_out(commit: str, folder: Path) -> None:
    """Put trtreg and the packages of a commit into `folder`."""
    command = ["git", "-C", str(ROOT), "archive", "--format=tar", commit, "trtreg", "plugin-packages"]
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    with tarfile.open(fileobj=io.BytesIO(made)) as archive:
        archive.extractall(folder, filter="data")


def measure(tree: Path, name: str) -> Cost:
    """Build a copy of the package of this tree twice, by the tree's own trtreg."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / name
        ignored = shutil.ignore_patterns("build", "*.egg-info", "__pycache__", "tests")
        shutil.copytree(tree / "plugin-packages" / name, copy, ignore=ignored)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        first = build(copy, Path(folder) / "first", tree)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        again = build(copy, Path(folder) / "again", tree)
        (wheel,) = (Path(folder) / "again").glob("*.whl")
        return Cost(
            first=first,
            compiling=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            again=again,
            wheel=wheel.stat().st_size,
            library=library_size(wheel),
        )


def build(project: Path, target: Path, trtreg: Path) -> float:
    """Build the wheel; gives the seconds."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    begun = time.perf_counter()
    environ = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONPATH": str(trtreg)}
    subprocess.run([*command, "--wheel-dir", str(target), str(project)], check=True, env=environ)
    return time.perf_counter() - begun


def library_size(wheel: Path) -> int:
    """The bytes of the library as it lies unpacked; 0 in a package that only names others."""
    with zipfile.ZipFile(wheel) as archive:
        return sum(item.file_size for item in archive.infolist() if item.filename.endswith(".so"))


def table(costs: dict[str, tuple[Cost, Cost]], before: str) -> str:
    """Write the table."""
    sums = [Cost(*map(sum, zip(*side, strict=True))) for side in zip(*costs.values(), strict=True)]
    rows = [*costs.items(), ("all", tuple(sums))]
    slowest = max(costs, key=lambda name: costs[name][1].again)
    lines = [
        "# What the plugin packages cost to build, and how big they are",
        "",
        f"- command: {' '.join(['python', 'benchmarks/build.py', *sys.argv[1:]])}",
        f"- machine: {machine.describe()}, nvcc {toolchain.find().nvcc.version}",
        f"- compiled for: {arch.DEFAULT}, where a package does not name its own",
        f"- date: {dt.datetime.now(tz=dt.timezone.utc).date()}",
        "",
        f"Of each, what it was at {before} and what it is now: seconds of wall time from nothing, CPU seconds of",
        "that, and seconds of a build with nothing changed; the sizes of the wheel, and of the library in it.",
        f"With nothing changed, the slowest is now {slowest} with {costs[slowest][1].again:.2f} s.",
        "",
        "| package | first build | CPU time | nothing changed | wheel | library |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            f"| {name} | {was.first:.1f} → {now.first:.1f} s | {was.compiling:.1f} → {now.compiling:.1f} s "
            f"| {was.again:.2f} → {now.again:.2f} s | {was.wheel / 1e3:,.0f} → {now.wheel / 1e3:,.0f} kB "
            f"| {was.library / 1e3:,.0f} → {now.library / 1e3:,.0f} kB |"
            for name, (was, now) in rows
        ),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
