"""Measure the reader's side of the index: a large catalogue, from the file to the answer of a query.

    python benchmarks/catalogue.py                       # 1 k, 10 k and 100 k releases; a minute
    python benchmarks/catalogue.py --releases 1000 -o -  # a quick look, nothing kept

The catalogue has 5 000 projects at most, each with 1 to 4 ops of 6 fields and wheels for two machines, and lies in a
folder as `trtreg index build` leaves it. Each step runs in a process of its own, so that its peak memory is its own:

- cache: read the catalogue, check it, write the SQLite file (`trtreg search` does so once for each change)
- open: open the cached file, with no question to the index
- queries: in one process, each after another; the median and the worst
- scan: of a model of 50 nodes, 10 of them with ops that 10 projects of the catalogue provide, each judged for this
  machine; without reading the model
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from support import machine

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PROJECTS = 5000
KINDS = ("Pool", "Attention", "DeformConv", "NMS", "RoIAlign", "Norm", "Scatter", "Gather", "Warp", "Sort", "Embed")
ADJECTIVES = ("Fused", "Modulated", "Batched", "Rotated", "Sparse", "Multi", "Cross", "Local", "Masked", "Quant")
TEXT = [
    "for",
    "detection",
    "segmentation",
    "transformers",
    "pointclouds",
    "video",
    "with",
    "float16",
    "and",
    "bfloat16",
    "kernels",
    "fast",
    "stable",
]


def main() -> None:
    """Make the catalogues, measure, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--releases", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"), help="where the files go")  # noqa: S108
    parser.add_argument("-o", "--output", default=str(RESULTS / "catalogue.md"), help="- prints only")
    parser.add_argument("--step", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        name, folder = arguments.step
        print(json.dumps({**STEPS[name](Path(folder)), "memory": _peak()}))
        return
    rows = []
    for count in arguments.releases:
        with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="trtreg-catalogue-") as folder:
            rows.append(measure(Path(folder), count))
            print(rows[-1], file=sys.stderr)
    text = table(rows)
    print(text)
    if arguments.output != "-":
        Path(arguments.output).write_text(text, encoding="utf-8")
        Path(arguments.output).with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def measure(folder: Path, count: int) -> dict[str, Any]:
    """Take all figures of one size."""
    write(folder / "catalogue.json", count)
    steps = {name: _run(name, folder) for name in ("nothing", "cache", "open", "queries")}
    (cached,) = (folder / "cache").glob("*.sqlite3")
    return {
        "releases": count,
        "catalogue_bytes": (folder / "catalogue.json").stat().st_size,
        "cache_bytes": cached.stat().st_size,
        **steps,
    }


def write(path: Path, count: int) -> None:
    """Write a catalogue of `count` releases."""
    random.seed(7)
    projects = min(PROJECTS, max(count // 4, 1))
    with path.open("w", encoding="ascii") as file:
        file.write('{"schema": 1, "releases": [\n')
        for number in range(projects):
            lines = [json.dumps(each, separators=(",", ":")) for each in project(number, count, projects)]
            file.write(",\n".join(lines) + (",\n" if number < projects - 1 else "\n"))
        file.write("]}\n")


def project(number: int, count: int, projects: int) -> list[dict[str, Any]]:
    """Make the releases of one project: two machines for each version."""
    kind, adjective = random.choice(KINDS), random.choice(ADJECTIVES)  # noqa: S311 - no secrets
    name = f"trtplugin-{kind.lower()}-{number:05}"
    summary = f"{adjective} {kind} {' '.join(random.sample(TEXT, 5))}"
    fields = [[f"{word}_{i}", "int32", 1] for i, word in enumerate(random.sample(TEXT, 6))]
    ops = [
        {"name": f"{adjective}{kind}{number}V{i}", "version": "1", "namespace": "", "inputs": [1, 3], "outputs": [1, 1],
         "fields": fields}
        for i in range(1 + number % 4)
    ]  # fmt: skip
    own = count // projects + (number < count % projects)
    releases = []
    for i in range(own):
        version, machine = f"1.{i // 2}.0", ("aarch64", "x86_64")[i % 2]
        file = f"{name.replace('-', '_')}-{version}-py3-none-manylinux_2_28_{machine}.whl"
        releases.append(
            {
                "project": name,
                "version": version,
                "file": file,
                "url": f"files/{name}/{file}",
                "sha256": f"{number * 1000 + i:064x}",
                "size": 1_000_000 + i,
                "uploaded": "2026-11-21T03:00:00Z",
                "requires_python": ">=3.10",
                "yanked": False,
                "status": "active",
                "summary": summary,
                "requires": [f"trtreg>=0.{1 + i // 8}"],
                "tensorrt": {"full": ">=10.0", "lean": ">=10.0", "rtx": ">=1.7"},
                "machine": machine,
                "glibc": "2.28",
                "cuda": "13.0",
                "sms": ["7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0"],
                "ptx": ["12.0"],
                "ops": ops,
            }
        )
    return releases


def _nothing(_: Path) -> dict[str, Any]:
    """Import only: the floor of the memory."""
    started = time.perf_counter()
    from trtreg.packages import catalogue, offers  # noqa: F401, PLC0415 - what is timed

    return {"seconds": time.perf_counter() - started}


def _open(folder: Path, **options: Any) -> Any:
    from trtreg.packages import catalogue  # noqa: PLC0415
    from trtreg.packages.settings import Index, Settings  # noqa: PLC0415

    settings = Settings(indexes=(Index(name="bench", url=f"{folder.as_uri()}/"),))
    return catalogue.open_all(settings, folder=folder / "cache", **options)


def _cache(folder: Path) -> dict[str, Any]:
    _nothing(folder)
    started = time.perf_counter()
    _open(folder, refresh=True).close()
    return {"seconds": time.perf_counter() - started}


def _opened(folder: Path) -> dict[str, Any]:
    _nothing(folder)
    started = time.perf_counter()
    _open(folder, offline=True).close()
    return {"seconds": time.perf_counter() - started}


def _queries(folder: Path) -> dict[str, Any]:
    from trtreg.environment import Environment  # noqa: PLC0415
    from trtreg.flavour import Flavour  # noqa: PLC0415
    from trtreg.manifest import CreatorKey  # noqa: PLC0415
    from trtreg.packages.offers import Shelf  # noqa: PLC0415

    here = Environment(flavour=Flavour.RTX, tensorrt_version="1.7.1", machine="x86_64", glibc="2.36")
    found = _open(folder, offline=True)
    names = sorted(found.op_names())
    some = random.Random(3).sample(names, min(200, len(names)))  # noqa: S311
    words = ["fused", "deform conv", "deformconv", "rotated nms", "attention video", "zzzz", "trtplugin", "sparse warp"]
    figures: dict[str, Any] = {
        "search": _timed(lambda word: found.search(word, limit=20), words * 5),
        "search_all": _timed(lambda word: found.search(word, limit=20), ["trtplugin"] * 20),
        "providing": _timed(lambda name: found.providing(CreatorKey(name, "1")), some),
        "releases": _timed(lambda op: found.releases(op.project), [found.providing(name)[0] for name in some[:50]]),
        "nearest": _timed(lambda name: found.ops_named_like(name[:-1] + "x"), some[:10]),
    }

    def scan(start: int) -> None:
        shelf = Shelf(found, here)
        for name in some[start : start + 10]:
            assert any(offer.fits for offer in shelf.offers((CreatorKey(name, "1"),)))  # noqa: S101

    figures["scan"] = _timed(scan, range(0, 100, 10))
    found.close()
    return figures


STEPS = {"nothing": _nothing, "cache": _cache, "open": _opened, "queries": _queries}


def _timed(call: Any, inputs: Any) -> dict[str, float]:
    times = []
    for each in inputs:
        started = time.perf_counter()
        call(each)
        times.append(1000 * (time.perf_counter() - started))
    return {"median_ms": statistics.median(times), "worst_ms": max(times)}


def _run(name: str, folder: Path) -> dict[str, Any]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, __file__, "--step", name, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environ)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def table(rows: list[dict[str, Any]]) -> str:
    """Write the figures as a document."""
    where = (
        f"`python benchmarks/catalogue.py` on {machine.describe()}, SQLite"
        f" {sqlite3.sqlite_version}, files in a RAM disk. Memory is the peak of a process that does only this; imports"
        f" alone take {rows[-1]['nothing']['memory']:.0f} MiB. Times of queries: median (worst)."
    )
    lines = [
        "# Reading catalogues",
        "",
        where,
        "",
        "| releases | " + " | ".join(f"{row['releases']:,}".replace(",", " ") for row in rows) + " |",
        "| --- |" + " --- |" * len(rows),
    ]
    shown = {
        "catalogue.json": lambda row: f"{row['catalogue_bytes'] / 2**20:.1f} MiB",
        "cache file": lambda row: f"{row['cache_bytes'] / 2**20:.1f} MiB",
        "making it": lambda row: f"{row['cache']['seconds']:.2f} s, {row['cache']['memory']:.0f} MiB",
        "opening it": lambda row: f"{1000 * row['open']['seconds']:.1f} ms, {row['open']['memory']:.0f} MiB",
        "search, 8 queries": lambda row: _times(row["queries"]["search"]),
        "search, a word of every project": lambda row: _times(row["queries"]["search_all"]),
        "providing(op)": lambda row: _times(row["queries"]["providing"]),
        "releases(project)": lambda row: _times(row["queries"]["releases"]),
        "nearest names of an op": lambda row: _times(row["queries"]["nearest"]),
        "scan, 10 ops missing": lambda row: _times(row["queries"]["scan"]),
        "all queries, memory": lambda row: f"{row['queries']['memory']:.0f} MiB",
    }
    lines += [f"| {name} | " + " | ".join(show(row) for row in rows) + " |" for name, show in shown.items()]
    return "\n".join(lines) + "\n"


def _times(figure: dict[str, float]) -> str:
    return f"{figure['median_ms']:.1f} ms ({figure['worst_ms']:.1f})"


if __name__ == "__main__":
    main()
