"""Measure what is read to scan a large model and to load one of many plugins.

    python benchmarks/loading.py                     # 15 rounds; some minutes
    python benchmarks/loading.py --rounds 3 -o -     # a quick look, nothing kept

- models: the same graph with no weights, with 2 GB of weights in a file beside it, with 1.9 GB inside the file itself.
  The weights are holes in sparse files: whoever reads them gets zeros, and is counted like any reader.
- loading: one plugin, where 1, 10 and 50 are installed beside 300 other distributions; all but that one have a library
  that must not be opened. Needs a TensorRT and g++.

Each figure is of a process of its own. What it has read is what the kernel says in /proc/self/io; which files it has
opened, Python's audit events say, and /proc/self/maps.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import command_line
from support import machine

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
MODELS = ("no weights", "2 GB beside it", "1.9 GB inside")
WEIGHTS = 1_900_000_000
INSTALLED = (1, 10, 50)
BOUND_READ = 0.01  # of the weights
BOUND_SCAN = 1.25
BOUND_LOAD = 1.25

SCAN = """
import resource, sys, time
from pathlib import Path
import trtreg.scan, trtreg.environment, onnx, google.protobuf, onnx.printer
def read():
    return int(Path("/proc/self/io").read_text().split()[1])
here = trtreg.environment.read()
before, begun = read(), time.perf_counter()
report = trtreg.scan.scan(sys.argv[1], plugins=(), environment=here)
took, after = time.perf_counter() - begun, read()
print(took * 1e3, after - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, report.total)
"""
LOAD = """
import os, sys, time
opened = []
sys.addaudithook(lambda event, arguments: event == "open" and opened.append(str(arguments[0])))
from trtreg import flavour, runtime
flavour.load()
begun = time.perf_counter()
runtime.load_tensorrt_plugin("trtplugin-bench-0")
took = time.perf_counter() - begun
with open("/proc/self/maps") as lines:
    opened += [line.split()[-1] for line in lines]
libraries = {name for name in opened if "libtrtplugin_bench" in name}
manifests = {name for name in opened if name.endswith("trtplugin.json")}
print(took * 1e3, len(libraries), len(manifests))
"""


def main() -> None:
    """Measure, print and keep the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("-o", "--output", default=str(RESULTS / "loading.md"), help="- prints only")
    arguments = parser.parse_args()
    command = f"`python benchmarks/loading.py --rounds {arguments.rounds}`"
    day = dt.date.today()  # noqa: DTZ011 - where this machine is
    with tempfile.TemporaryDirectory() as folder:
        lines = [
            "# What scanning and loading read",
            "",
            f"{command} on {machine.describe()}, {day}. Medians.",
            "",
            *scans(Path(folder), arguments.rounds),
            "",
            *loads(Path(folder), arguments.rounds),
        ]
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.output != "-":
        Path(arguments.output).write_text(text, encoding="utf-8")


def scans(folder: Path, rounds: int) -> list[str]:
    """Scan the same graph with weights in different places."""
    paths = {name: model(folder, name) for name in MODELS}
    found: dict[str, list[list[float]]] = {name: [] for name in MODELS}
    for _ in range(rounds):
        for name, path in paths.items():
            found[name].append([float(part) for part in run(SCAN, str(path)).split()])
    table = ["| model | file | scan | read | peak memory |", "| --- " * 5 + "|"]
    medians = {}
    for name, values in found.items():
        took, read, peak, _ = medians[name] = [statistics.median(column) for column in zip(*values, strict=True)]
        size = paths[name].stat().st_size
        table.append(f"| {name} | {size / 1e6:,.1f} MB | {took:.1f} ms | {read / 1e3:,.0f} kB | {peak:.0f} MiB |")
    first = medians[MODELS[0]]
    few = all(one[1] <= first[1] + BOUND_READ * WEIGHTS for one in medians.values())
    beside = medians[MODELS[1]][0] / first[0]
    return [
        *table,
        "",
        f"Bound: at most {BOUND_READ:.0%} of the weights is read: {holds(few)}.",
        bounded("Bound: the time with weights beside the file, to that without any", beside, BOUND_SCAN),
    ]


def bounded(what: str, ratio: float, bound: float) -> str:
    """Say whether a ratio is within its bound."""
    return f"{what}: {ratio:.2f}, at most {bound:g}: {holds(ratio <= bound)}."


def model(folder: Path, kind: str) -> Path:
    """Write a model of 2000 nodes and 1000 tensors of weights."""
    import onnx  # noqa: PLC0415 - loading is measured without it
    from onnx import helper  # noqa: PLC0415

    count = 1000
    each = WEIGHTS // count // 4 * 4
    place = folder / kind.replace(" ", "-")
    place.mkdir()
    nodes, tensors = [], []
    for number in range(count):
        tensor = onnx.TensorProto(name=f"w{number}", data_type=onnx.TensorProto.FLOAT, dims=[each // 4])
        if kind == MODELS[1]:
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, value in (("location", "weights"), ("offset", number * 2_000_000), ("length", each)):
                tensor.external_data.add(key=key, value=str(value))
        tensors.append(tensor)
        nodes += [
            helper.make_node("Mul", [f"x{number}", f"w{number}"], [f"y{number}"], name=f"mul{number}"),
            helper.make_node("HSwish", [f"y{number}"], [f"x{number + 1}"], name=f"swish{number}"),
        ]
    value = helper.make_tensor_value_info("x0", onnx.TensorProto.FLOAT, None)
    last = helper.make_tensor_value_info(f"x{count}", onnx.TensorProto.FLOAT, None)
    inside = kind == MODELS[2]
    graph = helper.make_graph(nodes, "g", [value], [last], () if inside else tensors)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    path = place / "model.onnx"
    if not inside:
        path.write_bytes(proto.SerializeToString())
        if kind == MODELS[1]:
            with (place / "weights").open("wb") as file:
                file.truncate(count * 2_000_000)
        return path
    body = graph.SerializeToString()
    heads = [one.SerializeToString() + varint(9 << 3 | 2) + varint(each) for one in tensors]
    heads = [varint(5 << 3 | 2) + varint(len(head) + each) + head for head in heads]
    proto.ClearField("graph")
    with path.open("wb") as file:
        file.write(proto.SerializeToString() + varint(7 << 3 | 2))
        file.write(varint(len(body) + sum(map(len, heads)) + count * each) + body)
        for head in heads:
            file.write(head)
            file.seek(each, os.SEEK_CUR)
        file.truncate()
    return path


def varint(value: int) -> bytes:
    """As protobuf writes numbers."""
    raw = bytearray()
    while value > 127:  # noqa: PLR2004
        raw.append(value & 127 | 128)
        value >>= 7
    return bytes((*raw, value))


def loads(folder: Path, rounds: int) -> list[str]:
    """Load one of many installed plugins."""
    if not (find_spec("tensorrt_rtx") or find_spec("tensorrt_lean") or find_spec("tensorrt")) or not shutil.which(
        "g++"
    ):
        return ["Loading was not measured: there is no TensorRT or no g++ here."]
    sites = {count: site(folder / f"site-{count}", count) for count in INSTALLED}
    found: dict[int, list[list[float]]] = {count: [] for count in INSTALLED}
    for _ in range(rounds + 1):
        for count, path in sites.items():
            found[count].append([float(part) for part in run(LOAD, PYTHONPATH=str(path)).split()])
    table = ["| installed plugins | load one | libraries opened | manifests read |", "| --- " * 4 + "|"]
    medians = {}
    for count, values in found.items():
        # The first load of a library is tried in a process of its own, once.
        took, libraries, manifests = medians[count] = [
            statistics.median(column) for column in zip(*values[1:], strict=True)
        ]
        table.append(f"| {count} | {took:.1f} ms | {libraries:.0f} | {manifests:.0f} |")
    least, most = medians[INSTALLED[0]], medians[INSTALLED[-1]]
    ratio, alone = most[0] / least[0], all(one[1:] == [1, 1] for one in medians.values())
    return [
        *table,
        "",
        f"Bound: one library is opened and one manifest read, whatever is installed: {holds(alone)}.",
        bounded(f"Bound: the time with {INSTALLED[-1]} installed, to that with one", ratio, BOUND_LOAD),
    ]


def site(folder: Path, count: int) -> Path:
    """Make a folder of packages, of which `count` are plugins."""
    folder.mkdir()
    for number in range(300):
        name = f"some_package_{number}"
        entries = f"[console_scripts]\n{name} = {name}:x\n" if number % 3 == 0 else None
        command_line.metadata(folder, name, "1.0", entries)
    for number in range(count):
        name = f"trtplugin_bench_{number}"
        command_line.plugin(folder, name)
        library = folder / name / f"lib{name}.so"
        if number == 0:
            compile_library(library, [f"{name}_0", f"{name}_1"])
        content = library.read_bytes()
        file = folder / name / "trtplugin.json"
        manifest = json.loads(file.read_text(encoding="utf-8"))
        manifest["library"] |= {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        file.write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def compile_library(target: Path, names: list[str]) -> None:
    """Compile a library of the tests that registers creators and does nothing else."""
    from trtreg.sdk import toolchain  # noqa: PLC0415 - scanning is measured without a compiler

    tools = toolchain.find()
    creators = ", ".join(f'Creator{{"{name}", "1", ""}}' for name in names)
    include = [ROOT / "trtreg" / "sdk" / "include", *tools.nvcc.include_dirs]
    command = [tools.cxx.path, "-std=c++17", "-O2", "-shared", "-fPIC", "-fvisibility=hidden"]
    command += [*(f"-I{path}" for path in include), f"-DCREATORS={creators}"]
    subprocess.run([*command, ROOT / "tests" / "native" / "creators.cpp", "-o", target], check=True)


def run(code: str, *arguments: str, **environ: str) -> str:
    """Run code in a Python of its own, which sees this tree; gives what it prints."""
    path = os.pathsep.join([str(ROOT), *filter(None, [environ.pop("PYTHONPATH", "")])])
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **environ, "PYTHONPATH": path},
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return done.stdout


def holds(fact: bool) -> str:
    """Say it in words."""
    return "holds" if fact else "DOES NOT HOLD"


if __name__ == "__main__":
    main()
