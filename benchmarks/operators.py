"""Times of every operator on a GPU beside its peer, in the same run, and the share of the roofline that it reaches.

    python3 benchmarks/operators.py                     # all packages that are installed
    python3 benchmarks/operators.py trtplugin-nms ...   # some of them

Each package says in its `benchmark.py` what to time: `cases(torch)` gives the op, its inputs, a peer of PyTorch or
torchvision, and the fewest bytes and operations that the work takes. Both sides are captured in CUDA graphs that go
through several sets of inputs, more than the L2 cache holds, and the graphs are replayed in turns; the figure is the
median of the turns.

The roofline is measured in the same run: a copy of 1 GiB for bytes, matrix products of the type for operations (TF32
for float32). A time over it is the share that was reached.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from support import device

from trtreg.errors import TrtregError
from trtreg.sdk.face import Face
from trtreg.testing.device import enqueue, library_of
from trtreg.testing.peer import measure, rotation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
NOTES = """Median time of one call in microseconds: CUDA graphs of half a millisecond or more over rotating inputs
beyond the L2 cache, both sides in turns. "roofline" is the least time for the bytes and operations of the work at the
ceilings measured in this run ({ceilings}); "share" is that over ours.
"x peer" above 1 means that ours is faster. Peers run as PyTorch has them, with TF32 off, unless they say otherwise."""


def main() -> int:
    """Time, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help="folders of plugin-packages/ (default: all)")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    scripts = [*find(arguments.packages)]
    torch.manual_seed(0)
    rows: list[dict[str, Any]] = []
    failed = []
    with torch.no_grad():
        copied, products = ceilings()
        for package, script in scripts:
            try:
                for case in load(script).cases(torch):
                    rows.append(time(package, case, copied, products))
                    print(*rows[-1].values(), sep="  ", flush=True)
            except (TrtregError, RuntimeError) as error:  # noqa: PERF203 - the other packages go on
                failed.append(f"{package}: {error}")
    if rows:
        rates = [f"copy {copied / 1e12:.2f} TB/s", *(f"{n} {r / 1e12:.0f} TFLOP/s" for n, r in products.items())]
        notes = NOTES.format(ceilings=", ".join(rates))
        device.write("operators", "Times of the operators on a GPU", notes, rows, arguments.output)
        with (arguments.output / "operators.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, [*rows[0]], lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
    print(*failed, sep="\n", file=sys.stderr)
    return 1 if failed else 0


def find(wanted: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """The packages and what they have to time."""
    for name in wanted:
        if not (ROOT / "plugin-packages" / name / "benchmark.py").is_file():
            sys.exit(f"plugin-packages/{name} has no benchmark.py")
    for script in sorted(ROOT.glob("plugin-packages/*/benchmark.py")):
        package = script.parent.name
        if package in wanted or not wanted:
            yield package, script


def load(script: Path) -> Any:
    """Import a package's benchmark.py, which is in no package."""
    spec = importlib.util.spec_from_file_location(f"benchmark_of_{script.parent.name}", script)
    assert spec is not None  # noqa: S101 - it is a Python file
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ceilings() -> tuple[float, dict[str, float]]:
    """Bytes per second of a copy of 1 GiB, read and written, and operations per second of matrix products by type."""
    source = torch.randn(2**28, device="cuda")
    target = torch.empty_like(source)
    # A copy by the GPU's copy engine, and one by a kernel: the faster is the ceiling.
    copy = min(measure([lambda: target.copy_(source)], [lambda: torch.neg(source, out=target)]))
    size = 8192
    products = {}
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        a, b = (torch.randn(size, size, device="cuda").to(dtype) for _ in range(2))
        out = torch.empty_like(a)
        (product,) = measure([lambda a=a, b=b, out=out: torch.mm(a, b, out=out)])
        products[device.name_of(dtype)] = 2 * size**3 / product * 1e6
    torch.backends.cuda.matmul.allow_tf32 = before
    return 2 * source.numel() * source.itemsize / copy * 1e6, products


def time(package: str, case: dict[str, Any], copied: float, products: dict[str, float]) -> dict[str, Any]:
    """Time one case; gives a line of the table."""
    plugin = Face(library_of(package.replace("-", "_"))).create(case["creator"], case["attributes"])
    first = case["inputs"]()
    outputs = case["outputs"](first)
    bytes_of_set = sum(each.numel() * each.itemsize for each in (*first, *outputs))
    sets = [first, *(case["inputs"]() for _ in range(rotation(bytes_of_set) - 1))]
    results = [outputs, *(case["outputs"](each) for each in sets[1:])]
    pairs = [*zip(sets, results, strict=True)]
    ours = [lambda given=given, made=made: enqueue(plugin, given, made) for given, made in pairs]
    name, peer = case["peer"] or (None, None)
    theirs = [lambda given=given: peer(*given) for given in sets]
    waits = case.get("peer_waits", False)  # for the GPU, so that no graph can be made of it
    times = measure(ours, *([theirs] if peer and not waits else []))
    if waits:
        times.append(without_graph(theirs))
    floor = 1e6 * max(case["bytes"] / copied, case["flops"] / products.get(case["dtype"], products["float32"]))
    return {
        "package": package,
        "op": case["op"],
        "size": case["size"],
        "type": case["dtype"],
        "us": round(times[0], 1),
        "roofline": round(floor, 1),
        "share": round(floor / times[0], 2),
        "peer": name,
        "peer us": round(times[1], 1) if peer else None,
        "x peer": round(times[1] / times[0], 2) if peer else None,
    }


def without_graph(calls: Sequence[Callable[[], object]]) -> float:
    """Time calls that cannot be captured, as a program would make them: the median of a call in microseconds."""
    times = []
    for call in (*calls, *calls, *calls):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) * 1000)
    return median(times[len(calls) :])


if __name__ == "__main__":
    sys.exit(main())
