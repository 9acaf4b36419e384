"""Measure the publisher of the index beside dumb-pypi, on the same fake wheels in the same run.

    python benchmarks/index.py                     # 1 k, 10 k and 100 k files; about ten minutes
    python benchmarks/index.py --files 1000 -o -   # a quick look, nothing kept

The wheels have real metadata: METADATA, RECORD, entry points, a manifest with ops, a library with its hash. They lie in
a RAM disk (`--folder`, default /dev/shm), as do the sites. dumb-pypi comes from PyPI into an environment of its own.
It reads no wheels: it gets their facts as a list. So three things are timed apart:

- read: hashing wheels and reading their tails, and putting them below files/ (dumb-pypi: not done, not counted)
- render: all pages from a ledger that knows every wheel (dumb-pypi: all of its work)
- one wheel: the same command again with one more wheel (dumb-pypi: with --previous-package-list-json)
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
DUMB_PYPI = "dumb-pypi==1.15.0"
PROJECTS = 5000
KINDS = ("pool", "attention", "deform", "nms", "roi", "norm", "scatter", "gather", "warp", "sort", "embed", "quant")


@dataclass
class Run:
    """What a command took; `memory` is the most that it and its children had resident at a time, in MiB."""

    seconds: float
    memory: float
    output: str


def main() -> None:
    """Make the wheels, run both, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"), help="where the wheels and sites go")  # noqa: S108
    parser.add_argument("--repeat", type=int, default=3, help="of each timing the best of so many is kept")
    parser.add_argument("-o", "--output", default=str(RESULTS / "index.md"), help="- prints only")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="trtreg-index-") as name:
        folder = Path(name)
        dumb = install_dumb_pypi(folder)
        rows = [measure(folder, dumb, count, arguments.repeat) for count in sorted(arguments.files)]
    text = report(rows)
    print(text)
    if arguments.output != "-":
        Path(arguments.output).write_text(text, encoding="utf-8")


def measure(folder: Path, dumb: Path, count: int, repeat: int) -> dict[str, float]:
    """Time everything at one size."""
    wheels, site, facts = folder / "wheels", folder / "site", folder / "facts.json"
    shutil.rmtree(wheels, ignore_errors=True)
    print(f"making {count} wheels ...", file=sys.stderr)
    facts.write_text("\n".join(make_wheels(wheels, count)) + "\n", encoding="utf-8")
    build = [sys.executable, "-m", "trtreg", "index", "build", wheels, "-o", site, "--json"]
    row: dict[str, float] = {"files": count}

    def fresh() -> None:
        shutil.rmtree(site, ignore_errors=True)

    def pages_gone() -> None:
        for name in ("simple", "assets", "catalogue.json", "index.html"):
            path = site / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    print("trtreg ...", file=sys.stderr)
    cold = best([run(build, fresh) for _ in range(min(repeat, 2))])
    row |= {"cold": cold.seconds, "cold memory": cold.memory, "written cold": json.loads(cold.output)["written"]}
    assert len(json.loads(cold.output)["added"]) == count, cold.output[-500:]  # noqa: S101 - not a test
    warm = best([run([*build[:5], "-o", site, "--json", "--anew"], pages_gone) for _ in range(repeat)])
    row |= {"render": warm.seconds, "render memory": warm.memory}
    row["floor"] = min(floor(site, folder / "floor") for _ in range(repeat))
    row["catalogue"] = (site / "catalogue.json").stat().st_size / 2**20
    row["nothing"] = best([run(build) for _ in range(repeat)]).seconds
    ones = []
    for number in range(repeat):
        extra = make_wheel(wheels, count + number)
        one = run(build)
        assert len(json.loads(one.output)["added"]) == 1, one.output[-500:]  # noqa: S101
        row["written one"] = json.loads(one.output)["written"]
        ones.append(one)
    row |= {"one": best(ones).seconds, "one memory": best(ones).memory}
    row["check"] = run([*build[:4], "check", site, "--quick", "--json"]).seconds
    fresh()

    print("dumb-pypi ...", file=sys.stderr)
    output = folder / "dumb"
    command = [dumb, "--package-list-json", facts, "--packages-url", "../../files", "--output-dir", output]
    other = best([run(command, lambda: shutil.rmtree(output, ignore_errors=True)) for _ in range(repeat)])
    row |= {"dumb": other.seconds, "dumb memory": other.memory}
    # What trtreg has no counterpart of: the JSON of each release.
    less = [*command, "--no-per-release-json"]
    row["dumb less"] = best(
        [run(less, lambda: shutil.rmtree(output, ignore_errors=True)) for _ in range(repeat)]
    ).seconds
    more = folder / "more.json"
    more.write_text(facts.read_text(encoding="utf-8") + extra + "\n", encoding="utf-8")
    run(command)
    again = [dumb, "--package-list-json", more, "--previous-package-list-json", facts, *command[3:]]
    row["dumb one"] = run(again).seconds
    shutil.rmtree(output)
    return row


def floor(site: Path, folder: Path) -> float:
    """Time what no publisher in Python can save: to start trtreg, and to create the pages by plain system calls."""
    pages = [(one.name, [page.read_bytes() for page in one.iterdir()]) for one in site.glob("simple/*/")]
    start = run([sys.executable, "-m", "trtreg", "--version"]).seconds
    folder.mkdir()
    begin = time.perf_counter()
    for name, contents in pages:
        os.mkdir(f"{folder}/{name}")  # noqa: PTH102 - as fast as can be
        for number, content in enumerate(contents):
            descriptor = os.open(f"{folder}/{name}/{number}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            os.write(descriptor, content)
            os.close(descriptor)
    seconds = time.perf_counter() - begin
    shutil.rmtree(folder)
    return start + seconds


def best(runs: list[Run]) -> Run:
    """Take the fastest, with the most memory that any took."""
    fastest = min(runs, key=lambda one: one.seconds)
    return Run(fastest.seconds, max(one.memory for one in runs), fastest.output)


def run(command: list[object], before: object = None) -> Run:
    """Run a command and watch its memory and that of its children."""
    if callable(before):
        before()
    with tempfile.TemporaryFile() as output:
        begin = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=output,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        peak = [0]
        watcher = threading.Thread(target=watch, args=(process, peak))
        watcher.start()
        code = process.wait()
        seconds = time.perf_counter() - begin
        watcher.join()
        output.seek(0)
        text = output.read().decode()
    if code:
        raise SystemExit(f"{command} ended with {code}: {text[-2000:]}")
    return Run(seconds, peak[0] / 1024, text)


def watch(process: subprocess.Popen[bytes], peak: list[int]) -> None:
    """Sum the memory of the process's session every 20 ms: resident, a page that n processes share as one n-th."""
    while process.poll() is None:
        total = 0
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) < process.pid:
                continue
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == process.pid:
                    rollup = (entry / "smaps_rollup").read_text()
                    total += int(rollup.partition("\nPss:")[2].split()[0])
            except (OSError, IndexError):
                continue
        peak[0] = max(peak[0], total)
        time.sleep(0.02)


def make_wheels(folder: Path, count: int) -> list[str]:
    """Make the wheels, by two processes; give their facts as dumb-pypi reads them."""
    folder.mkdir()
    with ProcessPoolExecutor() as pool:
        return [*pool.map(partial(make_wheel, folder), range(count), chunksize=500)]


def make_wheel(folder: Path, number: int) -> str:
    """Make one wheel: version `number // PROJECTS` of a project."""
    project, release = number % PROJECTS, number // PROJECTS
    name = f"trtplugin-{KINDS[project % len(KINDS)]}-{project:04}"
    package, version = name.replace("-", "_"), f"{release // 10}.{release % 10}.0"
    library = hashlib.sha256(f"{name} {version}".encode()).digest() * 32
    info = f"{package}-{version}.dist-info"
    content = {
        f"{package}/__init__.py": b"",
        f"{package}/lib{package}.so": library,
        f"{package}/trtplugin.json": json.dumps(manifest(name, version, f"lib{package}.so", library)).encode(),
        f"{info}/METADATA": metadata(name, version).encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-manylinux_2_28_x86_64\n",
        f"{info}/entry_points.txt": f"[trtreg.plugins]\n{name} = {package}\n".encode(),
    }
    record = io.StringIO()
    writer = csv.writer(record, lineterminator="\n")
    for path, data in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        writer.writerow([path, f"sha256={digest}", len(data)])
    writer.writerow([f"{info}/RECORD", "", ""])
    content[f"{info}/RECORD"] = record.getvalue().encode()
    file = folder / f"{package}-{version}-py3-none-manylinux_2_28_x86_64.whl"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in content.items():
            archive.writestr(path, data)
    when = 1_700_000_000 + number
    os.utime(file, (when, when))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    facts = {"filename": file.name, "hash": f"sha256={digest}", "requires_python": ">=3.10", "upload_timestamp": when}
    return json.dumps(facts)


def manifest(name: str, version: str, file: str, library: bytes) -> dict[str, object]:
    """Make a manifest with two ops of four fields."""
    op = "".join(part.title() for part in name.split("-")[1:])
    fields = [
        {"name": "stride", "type": "int32", "length": 2, "default": [1, 1]},
        {"name": "padding", "type": "int32", "length": 2, "default": [0, 0]},
        {"name": "groups", "type": "int32", "length": 1, "default": [1]},
        {"name": "group", "type": "int32", "length": 1, "default": [1], "alias_of": "groups"},
    ]
    limits = {"inputs": [2, 3], "outputs": [1, 1], "fields": fields}
    return {
        "schema": 1,
        "package": name,
        "version": version,
        "summary": f"{op} for TensorRT, as a benchmark has it",
        "tensorrt": {"full": ">=10.0", "lean": ">=10.0", "rtx": ">=1.7"},
        "library": {
            "file": file,
            "sha256": hashlib.sha256(library).hexdigest(),
            "size": len(library),
            "machine": "x86_64",
            "glibc": "2.28",
            "needed": ["libc.so.6"],
            "cuda": "13.0",
            "sms": ["7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0"],
            "ptx": ["12.0"],
            "creators": [{"name": op, "version": "1", **limits}, {"name": f"MMCV{op}", "version": "1", **limits}],
        },
    }


def metadata(name: str, version: str) -> str:
    """Make METADATA with a README of 2 kB."""
    lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", "Summary: A plugin of a benchmark"]
    lines += [
        "Author: nobody",
        "License-Expression: Apache-2.0",
        "Requires-Python: >=3.10",
        "Requires-Dist: trtreg>=0.1",
    ]
    lines += ['Requires-Dist: torch>=2.8; extra == "torch"', "Provides-Extra: torch"]
    return "\n".join(lines) + "\n\n" + f"# {name}\n\n" + "What a README says of a plugin. " * 64


def install_dumb_pypi(folder: Path) -> Path:
    """Install dumb-pypi into an environment of its own."""
    print(f"installing {DUMB_PYPI} ...", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    subprocess.run([folder / "venv" / "bin" / "pip", "install", "-q", DUMB_PYPI], check=True)
    return folder / "venv" / "bin" / "dumb-pypi"


def report(rows: list[dict[str, float]]) -> str:
    """Put the figures into tables."""
    lines = ["# The index's publisher, measured", "", f"Made by `python benchmarks/index.py` on {machine()}."]
    lines += [
        "Wheels and sites lay in a RAM disk; of each timing the best of some runs is shown, of memory the most.",
        "",
    ]
    lines += [
        "| files | render, trtreg | of it: start and files | dumb-pypi | without its per-release JSON | times faster |"
    ]
    lines[-1] += " one wheel more, trtreg | files written | dumb-pypi | nothing new |"
    lines += ["| ---: " * 10 + "|"]
    for r in rows:
        times = f"{r['dumb'] / r['render']:.1f} ({r['dumb less'] / r['render']:.1f})"
        lines.append(
            f"| {r['files']:.0f} | {r['render']:.2f} s | {r['floor']:.2f} s | {r['dumb']:.2f} s |"
            f" {r['dumb less']:.2f} s | {times} | {r['one']:.2f} s |"
            f" {r['written one']:.0f} | {r['dumb one']:.2f} s | {r['nothing']:.2f} s |"
        )
    lines += [
        "",
        "| files | read and render, from cold | memory | memory to render | for one wheel | dumb-pypi | catalogue |",
    ]
    lines[-1] += " check --quick |"
    lines += ["| ---: " * 8 + "|"]
    for r in rows:
        lines.append(
            f"| {r['files']:.0f} | {r['cold']:.2f} s | {r['cold memory']:.0f} MiB | {r['render memory']:.0f} MiB |"
            f" {r['one memory']:.0f} MiB | {r['dumb memory']:.0f} MiB | {r['catalogue']:.1f} MiB | {r['check']:.2f} s |"
        )
    return "\n".join(lines) + "\n" + NOTES


def machine() -> str:
    """Describe the machine."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((one.partition(":")[2].strip() for one in lines if one.startswith("model name")), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    when = time.strftime("%Y-%m-%d", time.gmtime())
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}, {when}"


NOTES = """
- *render*: every page, the catalogue and the page for people, from a ledger that knows the wheels. dumb-pypi gets the
  same facts as a list and reads no wheel either. It writes one JSON file for each release, of which there is no
  counterpart here; the column and the factor in brackets leave that out. trtreg writes what dumb-pypi does not: PEP
  691 pages, sizes, the catalogue of ops, the page for people.
- *of it: start and files*: `trtreg --version`, and the pages' folders and files created by nothing but system calls,
  one after the other. It is in the time to render, and no change of the publisher can save it.
- *read and render, from cold*: also the hash of each wheel, its directory, METADATA, RECORD, manifest and library, a
  hard link and a `.metadata` file for each. It is done once for a wheel. With wheels this small it is the checks that
  take the time, and most of that is the manifest's; with real ones it is SHA-256. Many wheels are read by two
  processes.
- *one wheel more*: the folder of all wheels is given again. Each is looked up by size, time and inode; only the new
  one is read. The project's two pages and the catalogue are rewritten, beside the page for people, whose files are a
  fixed number.
- *memory*: of all processes at a time, a page that several share counted once.

## A million files

What grows with the number of files, and what to do about it:

- **Memory does not**: rows stream from the ledger by project, the catalogue is copied by ranges. Only the page for
  people holds a line for each project, and the list of refused wheels its reasons.
- **A one-wheel build** looks at every file of the folder that it is given, and copies the catalogue. Both are linear,
  so ten times the last row. Give the new wheel itself instead of its folder, and only the copy remains.
- **The catalogue** has about 1 kB for each file: 1 GB, which no user wants to fetch. It is to be sharded from about
  100,000 releases or 100 MB on: `catalogue/XX.json` by the first byte of the SHA-256 of the project's name, 256 files
  of which a change rewrites one, and a small `ops.json` from op to project for `search` and `scan`. The page for
  people is laid out like that already. Before that, servers should compress it: the lines are much alike.
- **The disk** takes an inode for each `.metadata` beside that of the wheel, and some for each project: 2.2 million.
  File systems take that; object stores are better served with `--packages-url`, which leaves the wheels where they
  are.
- **The ledger** has about 1.7 kB for each file. SQLite takes that; so does one publisher at a time, which is the rule
  here.
"""

if __name__ == "__main__":
    main()
