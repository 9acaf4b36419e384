"""Fuzz all readers of what others wrote, and the faces of all plugin packages: `make fuzz`.

The readers are led by coverage where there is Atheris, else Hypothesis draws their inputs; the plugins by libFuzzer
where there is clang, else by a driver of our own. What was done goes to build/fuzz/NAME.json, a table of it to
benchmarks/results/fuzz.md with --write. An input that breaks the rule is left in build/fuzz/NAME/, and the exit code
is 1.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "fuzz"
TABLE = ROOT / "benchmarks" / "results" / "fuzz.md"
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from fuzz import plugins, readers  # noqa: E402 - where they are is known only now

LIMITS = ["-timeout=60", "-rss_limit_mb=3072", "-print_final_stats=1", "-close_fd_mask=1"]
PATH = os.pathsep.join(sys.path[:2])


def main() -> int:
    """Fuzz what was asked for, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="readers and packages; none: all of them")
    parser.add_argument("--seconds", type=int, default=60, help="for each of them")
    parser.add_argument("--jobs", type=int, default=max((os.cpu_count() or 2) // 2, 1))
    parser.add_argument("--write", action="store_true", help=f"write {TABLE.relative_to(ROOT)} of all in build/fuzz")
    parser.add_argument("--driver", action="store_true", help="no libFuzzer, whose programs take minutes to build")
    asked = parser.parse_args()
    jobs = {name: partial(fuzz_reader, name, asked.seconds) for name in readers.TARGETS}
    jobs |= {name: partial(fuzz_plugin, name, asked.seconds, driver=asked.driver) for name in plugins.PACKAGES}
    unknown = sorted(set(asked.names) - set(jobs))
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(jobs)}")
    bad = []
    with ThreadPoolExecutor(asked.jobs) as pool:
        for found in pool.map(lambda name: jobs[name](), asked.names or list(jobs)):
            OUT.mkdir(parents=True, exist_ok=True)
            (OUT / f"{found['target']}.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
            said = f"{found['target']}: {found['executions']} executions in {found['seconds']:.0f} s, {found['tool']}"
            print(f"{said}, {found['crashes']} crashes", flush=True)
            if found["crashes"]:
                bad.append(found["target"])
                print(f"  {OUT / found['target']}:\n{found['words']}", flush=True)
    if asked.write:
        TABLE.write_text(table(), encoding="utf-8")
    return 1 if bad else 0


def fuzz_reader(name: str, seconds: int) -> dict[str, Any]:
    """Fuzz one reader."""
    folder = empty(name)
    if importlib.util.find_spec("atheris") is None:
        return with_hypothesis(name, seconds)
    command = [sys.executable, "-W", "ignore", "-m", "fuzz.coverage_guided", name, f"-max_total_time={seconds}"]
    command += [*LIMITS, "-max_len=65536"]
    return libfuzzer(name, "reader", f"Atheris {version('atheris')}", command, folder, seconds)


def with_hypothesis(name: str, seconds: int) -> dict[str, Any]:
    """Let Hypothesis draw inputs, some hundreds a second, as in the tests."""
    test = str(ROOT / "tests" / "fuzz" / "test_readers.py")
    examples = str(100 * seconds)
    begin = time.monotonic()
    done = run(
        [sys.executable, "-m", "pytest", "-q", "-k", f"any_input and {name}]", test],
        cwd=ROOT, env={**os.environ, "TRTREG_FUZZ_EXAMPLES": examples}, timeout=100 * seconds,
    )  # fmt: skip
    return {
        "target": name,
        "kind": "reader",
        "tool": f"Hypothesis {version('hypothesis')}",
        "executions": int(examples),
        "seconds": time.monotonic() - begin,
        "crashes": int(done.returncode != 0),
        "date": dt.datetime.now(tz=dt.timezone.utc).date().isoformat(),
        "words": done.stdout[-3000:] if done.returncode else "",
    }


def fuzz_plugin(name: str, seconds: int, *, driver: bool) -> dict[str, Any]:
    """Fuzz the faces of one package."""
    folder = empty(name)
    compiler = None if driver else shutil.which("clang++")
    if compiler is None:
        return with_driver(name, folder, seconds)
    program = folder / "fuzzer"
    plugins.build_libfuzzer(plugins.PACKAGES[name], program, compiler)
    tool = re.search(r"clang version (\d+)", run([compiler, "--version"]).stdout)
    corpus = folder / "corpus"
    corpus.mkdir()
    command = [str(program), f"-max_total_time={seconds}", *LIMITS, "-max_len=600", "-len_control=0", str(corpus)]
    return libfuzzer(name, "plugin", f"libFuzzer of clang {tool[1] if tool else '?'}", command, folder, seconds)


def with_driver(name: str, folder: Path, seconds: int) -> dict[str, Any]:
    """Fuzz with g++ and inputs of our own making."""
    driver = plugins.build_driver(OUT / "driver")
    library = plugins.host_library(plugins.PACKAGES[name])
    seed = int(time.time())
    found = plugins.run_driver(driver, library, folder / "last", seed, seconds, 10**12, timeout=10 * seconds + 600)
    counts = found.counts or {"executions": 0, "seconds": 0.0}
    return {
        "target": name,
        "kind": "plugin",
        "tool": "a driver of our own, g++",
        **counts,
        "crashes": int(found.counts is None),
        "date": dt.datetime.now(tz=dt.timezone.utc).date().isoformat(),
        "words": "" if found.counts else found.words[-3000:],
    }


PIPED: dict[str, Any] = {
    "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace",
}  # fmt: skip


def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program; one that does not end has found something too."""
    try:
        return subprocess.run(command, check=False, **PIPED, **options)
    except subprocess.TimeoutExpired as error:
        return subprocess.CompletedProcess(command, 124, stdout=f"{error}\n{error.stdout or ''}")


def libfuzzer(name: str, kind: str, tool: str, command: list[str], folder: Path, seconds: int) -> dict[str, Any]:
    """Run a program of libFuzzer's, and read what it says at its end."""
    environ = {**os.environ, **plugins.SANITIZERS, "PYTHONPATH": PATH}
    begin = time.monotonic()
    done = run([*command], cwd=folder, env=environ, timeout=3 * seconds + 600)
    executions = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stdout)
    (folder / "log").write_text(done.stdout, encoding="utf-8", errors="replace")
    return {
        "target": name,
        "kind": kind,
        "tool": tool,
        "executions": int(executions[1]) if executions else 0,
        "seconds": time.monotonic() - begin,
        "crashes": int(done.returncode != 0),
        "date": dt.datetime.now(tz=dt.timezone.utc).date().isoformat(),
        "words": done.stdout[-3000:] if done.returncode else "",
    }


def empty(name: str) -> Path:
    """Make the folder of a target anew."""
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def table() -> str:
    """Make the table of all that build/fuzz has."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(OUT.glob("*.json"))]
    rows = {kind: [one for one in found if one["kind"] == kind] for kind in ("reader", "plugin")}
    total = sum(one["executions"] for one in found)
    lines = [
        "# Fuzzing",
        "",
        "Whatever a reader is given, it gives a result or an error of trtreg's, in bounded time and memory, and writes",
        "nothing. Whatever attributes and shapes a plugin is given, its host code, and its kernels compiled for the",
        "CPU, stay within their memory and within what C++ defines: the address and the undefined-behaviour sanitizer",
        f"watch. `make fuzz FUZZ_ARGS=--write` makes these figures; here on a machine with {os.cpu_count()} cores.",
        "",
        f"{total:,} executions, {sum(one['crashes'] for one in found)} open crashes. What was found",
        "before and mended has a test: `tests/fuzz/test_found.py`, of the headers `tests/sdk/test_author_layer.py`,",
        "of the plugins their own.",
    ]
    for kind, title in (("reader", "Readers of what others wrote"), ("plugin", "Plugins")):
        lines += ["", f"## {title}", "", "| target | executions | seconds | open crashes | tool | date |"]
        lines += ["| --- | ---: | ---: | ---: | --- | --- |"]
        lines += [
            f"| {one['target']} | {one['executions']:,} | {one['seconds']:.0f} | {one['crashes']} | {one['tool']} |"
            f" {one['date']} |"
            for one in rows[kind]
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
