"""Measure the publisher of the index beside dumb-pypi, on the same fake wheels in the same run.

    python benchmarks/index.py                            # 1 k, 10 k and 100 k files; about ten minutes
    python benchmarks/index.py --files 1000000 --alone    # trtreg only, everything once; 20 GiB of RAM, half an hour
    python benchmarks/index.py --files 1000 -o -          # a quick look, nothing kept

Rows of other sizes stay in the table. `--wheels` names a folder in which the wheels are kept for the next run.

The wheels have real metadata: METADATA, RECORD, entry points, a manifest with ops, a library with its hash. They lie in
a RAM disk (`--folder`, default /dev/shm), as do the sites. Both are installed into one new environment, byte-compiled
as pip does it: dumb-pypi from PyPI, trtreg from this checkout.
dumb-pypi reads no wheels: it gets their facts as a list. So three things are timed apart:

- read: hashing wheels and reading their tails, and putting them below files/ (dumb-pypi: not done, not counted)
- render: all pages from a ledger that knows every wheel (dumb-pypi: all of its work)
- one wheel: the same command again with one more wheel (dumb-pypi: with --previous-package-list-json), and once more
  with nothing but the new wheel
- reader: `trtreg` opens the new catalogue, which is not cached, and asks for the releases that provide one op
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import io
import json
import os
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
from typing import TYPE_CHECKING, Any

from support import machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
DUMB_PYPI = "dumb-pypi==1.15.0"
PROJECTS = 5000
READER = """
import sys
from pathlib import Path
from trtreg.packages import catalogue
from trtreg.packages.settings import Index, Settings

site, folder = sys.argv[1:]
with catalogue.open_all(Settings(indexes=(Index(name="bench", url=f"{site}/"),)), folder=Path(folder)) as found:
    assert found.providing("Pool0000"), "the op of the first project"
"""
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
    parser.add_argument("--alone", action="store_true", help="without dumb-pypi, and everything once")
    parser.add_argument("--wheels", type=Path, help="where wheels of an earlier run are, or are to be kept")
    parser.add_argument("-o", "--output", default=str(RESULTS / "index.md"), help="- prints only")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="trtreg-index-") as name:
        folder = Path(name)
        python = install(folder)
        dumb = None if arguments.alone else python.with_name("dumb-pypi")
        trtreg = [python, "-I", "-m", "trtreg"]  # not the checkout
        repeat = 1 if arguments.alone else arguments.repeat
        keep = arguments.wheels or folder
        rows = [measure(folder, trtreg, dumb, count, repeat, keep) for count in sorted(arguments.files)]
    for row in rows:
        row["machine"] = where()
    if arguments.output == "-":
        print(report(rows))
        return
    kept = Path(arguments.output).with_suffix(".json")
    known = {row["files"]: row for row in json.loads(kept.read_text(encoding="utf-8"))} if kept.exists() else {}
    known |= {row["files"]: row for row in rows}
    every = [known[files] for files in sorted(known)]
    kept.write_text(json.dumps(every, indent=1) + "\n", encoding="utf-8")
    Path(arguments.output).write_text(report(every), encoding="utf-8")
    print(report(every))


def measure(
    folder: Path, trtreg: list[object], dumb: Path | None, count: int, repeat: int, keep: Path
) -> dict[str, Any]:
    """Time everything at one size."""
    wheels, site, facts = keep / f"wheels-{count}", folder / "site", keep / f"facts-{count}.json"
    if not facts.exists():
        print(f"making {count} wheels ...", file=sys.stderr)
        with facts.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in make_wheels(wheels, count))
    command = [*trtreg, "index", "build"]
    options = ["-o", site, "--json"]
    build = [*command, wheels, *options]
    row: dict[str, Any] = {"files": count}

    def fresh() -> None:
        shutil.rmtree(site, ignore_errors=True)

    def pages_gone() -> None:
        for name in ("simple", "assets", "catalogue", "catalogue.json", "index.html"):
            path = site / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    print("trtreg ...", file=sys.stderr)
    cold = best([run(build, fresh) for _ in range(min(repeat, 2))])
    row |= {"cold": cold.seconds, "cold memory": cold.memory, "written cold": json.loads(cold.output)["written"]}
    assert json.loads(cold.output)["added_count"] == count, cold.output[-500:]  # noqa: S101 - not a test
    output = folder / "dumb"
    commands = {"render": ([*command, *options, "--anew"], pages_gone)}
    if dumb is not None:
        other = dumb_command(dumb, facts, output)
        commands["dumb"] = (other, lambda: shutil.rmtree(output, ignore_errors=True))
        # What trtreg has no counterpart of: the JSON of each release.
        commands["dumb less"] = ([*other, "--no-per-release-json"], commands["dumb"][1])
    row |= in_turn(commands, repeat)
    shutil.rmtree(output, ignore_errors=True)
    row["floor"] = min(floor(trtreg, site, folder / "floor") for _ in range(repeat))
    row["catalogue"] = (site / "catalogue.json").stat().st_size / 2**20
    shards = [path.stat().st_size / 2**20 for path in site.glob("catalogue/*.json")]
    row |= {"shards": len(shards), "largest shard": max(shards, default=0)}
    nothing = best([run(build) for _ in range(repeat)])
    row |= {"nothing": nothing.seconds, "nothing memory": nothing.memory}
    extra = one_more(row, lambda given: [*command, given, *options], folder, wheels, repeat)
    checked = run([*trtreg, "index", "check", site, "--quick", "--json"])
    row |= {"check": checked.seconds, "check memory": checked.memory}
    asked = best([run([trtreg[0], "-I", "-c", READER, site.as_uri(), folder / "cache"], lambda: shutil.rmtree(
        folder / "cache", ignore_errors=True)) for _ in range(repeat)])  # fmt: skip
    row |= {"reader": asked.seconds, "reader memory": asked.memory}
    fresh()
    if dumb is not None:
        more = folder / "more.json"
        more.write_text(facts.read_text(encoding="utf-8") + extra + "\n", encoding="utf-8")
        run(dumb_command(dumb, facts, output))
        again = [*dumb_command(dumb, more, output), "--previous-package-list-json", facts]
        row["dumb one"] = run(again).seconds
        shutil.rmtree(output)
    return row


def in_turn(commands: dict[str, tuple[list[object], Callable[[], None]]], repeat: int) -> dict[str, float]:
    """Run the commands one after the other, some times: so none has the machine's better minutes."""
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for _ in range(repeat):
        for name, (command, before) in commands.items():
            runs[name].append(run(command, before))
    seconds = {name: best(some).seconds for name, some in runs.items()}
    return seconds | {f"{name} memory": best(some).memory for name, some in runs.items()}


def one_more(
    row: dict[str, Any], build: Callable[[Path], list[object]], folder: Path, wheels: Path, repeat: int
) -> str:
    """Time one wheel more; give the facts of the last one."""
    more = folder / "more"
    more.mkdir()
    count = row["files"]
    for name, where in (("one", wheels), ("given", folder)):
        ones = []
        for _ in range(repeat):
            extra = make_wheel(more, count)
            count += 1
            (new,) = more.iterdir()
            new = new.rename(where / new.name)
            ones.append(run(build(wheels if where == wheels else new)))
            assert json.loads(ones[-1].output)["added_count"] == 1, ones[-1].output[-500:]  # noqa: S101
            row[f"written {name}"] = json.loads(ones[-1].output)["written"]
            new.unlink()
        row |= {name: best(ones).seconds, f"{name} memory": best(ones).memory}
    more.rmdir()
    return extra


def dumb_command(dumb: Path, facts: Path, output: Path) -> list[object]:
    """Make the command of dumb-pypi."""
    return [dumb, "--package-list-json", facts, "--packages-url", "../../files", "--output-dir", output]


def floor(trtreg: list[object], site: Path, folder: Path) -> float:
    """Time what no publisher in Python can save: to start trtreg, and to create the pages by plain system calls."""
    pages = [(one.name, [page.read_bytes() for page in one.iterdir()]) for one in site.glob("simple/*/")]
    start = run([*trtreg, "--version"]).seconds
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


def make_wheels(folder: Path, count: int) -> Iterator[str]:
    """Make the wheels, by two processes; give their facts as dumb-pypi reads them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with ProcessPoolExecutor() as pool:
        yield from pool.map(partial(make_wheel, folder), range(count), chunksize=500)


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


def install(folder: Path) -> Path:
    """Install both, and what they need for this, into a new environment; give its Python."""
    print(f"installing {DUMB_PYPI} and trtreg ...", file=sys.stderr)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", DUMB_PYPI, "packaging"], check=True)
    where = subprocess.check_output([python, "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
    target = Path(where.decode().strip()) / "trtreg"
    shutil.copytree(ROOT / "trtreg", target, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([python, "-I", "-m", "compileall", "-q", target], check=True)
    return python


def report(rows: list[dict[str, Any]]) -> str:
    """Put the figures into tables."""
    lines = ["# The index's publisher, measured", ""]
    for where in dict.fromkeys(row["machine"] for row in rows):
        sizes = ", ".join(f"{row['files']}" for row in rows if row["machine"] == where)
        lines += [f"{sizes} files: made by `python benchmarks/index.py` on", f"{where}."]
    lines += [
        "Wheels and sites lay in a RAM disk; of each timing the best of some runs is shown, of memory the most. A",
        "million files: `python benchmarks/index.py --files 1000000 --alone`, everything once.",
    ]
    lines += [f"{row['files']} files: {row['remark']}." for row in rows if "remark" in row]
    seconds, size = "{:.2f} s", "{:.0f} MiB"
    lines += table(rows, {
        "render, trtreg": ("render", seconds),
        "of it: start and files": ("floor", seconds),
        "dumb-pypi": ("dumb", seconds),
        "without its per-release JSON": ("dumb less", seconds),
        "times faster": (("dumb", "render"), "{:.1f}"),
        "(without)": (("dumb less", "render"), "{:.1f}"),
    })  # fmt: skip
    lines += table(rows, {
        "one wheel more, the folder given": ("one", seconds),
        "the wheel given": ("given", seconds),
        "files written": ("written one", "{:.0f}"),
        "dumb-pypi": ("dumb one", seconds),
        "nothing new": ("nothing", seconds),
        "read and render, from cold": ("cold", seconds),
        "check --quick": ("check", seconds),
    })  # fmt: skip
    lines += table(rows, {
        "memory, from cold": ("cold memory", size),
        "render": ("render memory", size),
        "one wheel, the folder given": ("one memory", size),
        "the wheel given": ("given memory", size),
        "nothing new": ("nothing memory", size),
        "check": ("check memory", size),
        "dumb-pypi": ("dumb memory", size),
    })  # fmt: skip
    lines += table(rows, {
        "catalogue.json": ("catalogue", "{:.1f} MiB"),
        "shards": ("shards", "{:.0f}"),
        "the largest": ("largest shard", "{:.1f} MiB"),
        "a reader's first question": ("reader", seconds),
        "its memory": ("reader memory", size),
    })  # fmt: skip
    return "\n".join(lines) + "\n" + NOTES


def table(rows: list[dict[str, Any]], columns: dict[str, tuple[str | tuple[str, str], str]]) -> list[str]:
    """Make a table with a line for each size; a figure that was not taken is a dash."""

    def cell(row: dict[str, Any], key: str | tuple[str, str], form: str) -> str:
        keys = (key,) if isinstance(key, str) else key
        if not all(one in row for one in keys):
            return "-"
        values = [row[one] for one in keys]
        return form.format(values[0] / values[1] if len(values) > 1 else values[0])

    lines = ["", "| files | " + " | ".join(columns) + " |", "| ---: " * (len(columns) + 1) + "|"]
    lines += [f"| {row['files']} | " + " | ".join(cell(row, *one) for one in columns.values()) + " |" for row in rows]
    return lines


def where() -> str:
    """Describe the machine, and the day."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{machine.describe()}, {memory:.0f} GiB, {time.strftime('%Y-%m-%d', time.gmtime())}"


NOTES = """
- *render*: every page, the catalogue and the page for people, from a ledger that knows the wheels; from 1000 projects
  on by two processes. Both programs are installed in one environment. dumb-pypi gets the same facts as a list and
  reads no wheel either. It writes one JSON file for each release, of which there is no counterpart here; the columns
  "without" leave that out. trtreg writes what dumb-pypi does not: PEP 691 pages, sizes, the catalogue of ops, the page
  for people.
- *of it: start and files*: `trtreg --version`, and the pages' folders and files created by nothing but system calls,
  one after the other in one process.
- *one wheel more*: the folder of all wheels is given again, or nothing but the new one. In the folder each is looked up
  by size, time and inode; only the new one is read. The project's two pages are rewritten, the two files of its shard,
  the two lists of projects, and `index.html`; up to 20 000 wheels the catalogue is one file instead of shard and list.
- *read and render, from cold*: also the hash of each wheel, its directory, METADATA, RECORD, manifest and library, a
  hard link and a `.metadata` file for each. It is done once for a wheel. With wheels this small it is the checks that
  take the time, and most of that is the manifest's; with real ones it is SHA-256. Many wheels are read by two
  processes.
- *memory*: of all processes at a time, a page that several share counted once.
- *a reader's first question*: a process of its own opens the catalogue, which is not in its cache, and asks which
  releases provide an op: of a large index it reads the list of projects and one shard.

## What grows with the number of files

- **Memory does not**: rows stream from the ledger by project, documents are copied by ranges. The names of all projects
  are in memory, and of what is refused the reasons.
- **A one-wheel build** that is given a folder looks at every file in it. Given the new wheel, it reads the lists of
  projects and rewrites those, and of the releases one shard of 256.
- **The disk** takes an inode for each `.metadata` beside that of the wheel, and some for each project: 2.1 million at a
  million files; a RAM disk counts hard links too, and needs `nr_inodes=0`. Object stores are better served with
  `--packages-url`, which leaves the wheels where they are.
- **The ledger** had 1.44 GB for a million files. SQLite takes that; so does one publisher at a time, which is the rule
  here.

## Log, 10 000 files rendered

Processor time of all processes, by `time`, the best of three runs or more of each version as it was made. The machine
was shared, so wall time is not comparable from one hour to the next.

| version | found |
| --- | --- |
| before: a template engine, lines parsed as JSON, one process | 0.43 to 0.48 s |
| no template engine, HTML and JSON in one pass, paths below a descriptor, lines taken apart by an expression | 0.41 s |
| the same in two processes, by `fork` | 0.44 s; wall 0.35 s |
| values cut out by their keys, rows put to names in Python, fewer imports, ledger in pages of 16 kB | 0.36 s |
| the same in two processes | 0.39 s; wall 0.27 s |

Later versions in turn with the one before, installed and compiled; the least of nine runs or more of each:

| version | found |
| --- | --- |
| the version before | 0.36 to 0.38 s; wall 0.24 to 0.25 s |
| lists by one process, pages by both: no list is merged; fewer imports; lines taken apart once | 0.36 s; wall 0.22 s |
| pages in shares of 50 projects instead of 20 | 0.34 s; wall 0.21 s |
| what is to be deleted is looked up, where EXCEPT read all wheels | 5 ms less; 19 at 100 000 files |
| no garbage collection; `chdir` into each folder; larger buffers | as before; dropped |
| measured in a checkout that Python compiles again at each start, as tables before this one were | wall 0.03 s more |
"""

if __name__ == "__main__":
    main()
