#!/usr/bin/env python3
"""Try all faults, and write what became of them to docs/reliability.md; `make faults` runs this.

    python tools/reliability.py                  try all, then write the page
    python tools/reliability.py --render-only    write the page of the results in build/faults/

The tests of tests/faults run as several processes beside each other. What `make fuzz` has left in build/fuzz/*.json is
taken into the page.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "build" / "faults"
FUZZ = ROOT / "build" / "fuzz"
PAGE = ROOT / "docs" / "reliability.md"
TESTS = "tests/faults"

INTRODUCTION = """\
# Reliability

What was broken on purpose, and what became of the process that met it. Written by `make faults`; CI runs the quick part
of the same tests, `tests/faults/`, with every change.

A fault is **survived** when the process that met it goes on, with its registry, its open files and its folder as
before, and says what is wrong: an error of trtreg's with a reason, or, where a fault need not do harm, a plugin that
loads. For work that was killed or had no room on the disk: the old or the new is there, whole, whatever is not is told
of, and the same command again makes it whole. Everything else is **lost**.
"""

NOTES = """
## What the rows mean

- **initialiser, getCreators, creator or logger, unloading**: libraries that abort, crash, exit, hang, recurse, eat all
  memory, throw, or answer with null, in each place where the dynamic linker or TensorRT calls them. Their trial in a
  process of its own meets the fault first; see [the policy](user/trust.md).
- **wrong ELF file, no ELF file, cut off, flipped bits**: the manifest has the hash of just that file, as if it had been
  published so. The trial opens it five times, at other addresses and on empty stacks, since damaged code may end well
  once. With **stale hash** it has that of the sound one.
- **wheel ...**: read by an index that publishes, and by a client; **installing a broken wheel** by `trtreg install`.
- **killed while ...**: `SIGKILL` to trtreg and all that it runs, before each change of a file and in the middle of each
  write. **disk full: ...**: from that change on, nothing can be made or grow. Of installations, whose steps are mostly
  pip's, uv's and the compilers', every fifth. What the C library writes for a compiler is not seen write by write.
  `tests/index/test_site.py` does the same to the publisher of an index.
- **symlink swapped, file swapped, contents rewritten**: the loads of some seconds, while another thread exchanges the
  library hundreds of times a second for one that aborts.
"""


def main() -> None:
    """Run, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--render-only", action="store_true", help="write the page of the results that are there")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="tests beside each other")
    parser.add_argument("-k", metavar="EXPRESSION", default="", help="some of the tests, as pytest -k has it")
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    failed = [] if options.render_only else run(options.jobs, options.k)
    rows = read()
    PAGE.write_text(render(rows, fuzzed()), encoding="utf-8")
    lost = sum(len(row["lost"]) for row in rows)
    print(f"{sum(row['tried'] for row in rows if not is_strain(row['kind']))} faults tried, {lost} lost:", PAGE.name)
    for row in rows:
        for one in row["lost"]:
            print(f"lost: {row['kind']}: {one}")
    for name in failed:
        print(f"failed: {name}; see {RESULTS.relative_to(ROOT)}")
    sys.exit(bool(lost or failed))


def run(jobs: int, chosen: str) -> list[str]:
    """Run each test in a process of its own; gives the names of those that failed."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", TESTS, *(["-k", chosen] if chosen else [])]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    names = [line for line in listed.stdout.splitlines() if "::" in line]
    if not names:
        sys.exit(listed.stdout + listed.stderr)
    if not chosen:
        for stale in RESULTS.glob("*.json"):
            stale.unlink()
    # The longest first.
    names.sort(key=lambda name: ("interruptions" not in name, "killed" not in name, name))
    with ThreadPoolExecutor(jobs) as pool:
        return [name for name in pool.map(_run, names) if name]


def _run(name: str) -> str | None:
    stem = "".join(letter if letter.isalnum() else "-" for letter in name.partition("::")[2])
    environ = {**os.environ, "TRTREG_FAULTS": "all", "TRTREG_FAULTS_RESULTS": str(RESULTS / f"{stem}.json")}
    (RESULTS / f"{stem}.json").unlink(missing_ok=True)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="trtreg-faults-") as scratch:
        own = ["-p", "no:cacheprovider", f"--basetemp={scratch}/t"]
        command = [sys.executable, "-m", "pytest", "-q", *own, name]
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    (RESULTS / f"{stem}.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    print(f"{'ok' if done.returncode == 0 else 'FAILED'} {name} ({time.monotonic() - start:.0f} s)", flush=True)
    return None if done.returncode == 0 else name


def read() -> list[dict[str, Any]]:
    """The rows of all tests, those of one kind added up."""
    rows: dict[str, dict[str, Any]] = {}
    for path in sorted(RESULTS.glob("*.json")):
        for row in json.loads(path.read_text(encoding="utf-8")):
            known = rows.setdefault(row["kind"], {"kind": row["kind"], "tried": 0, "lost": [], "seconds": 0.0})
            for key in ("tried", "lost", "seconds"):
                known[key] = known[key] + row[key]
    return sorted(rows.values(), key=lambda row: str(row["kind"]))


def fuzzed() -> list[dict[str, Any]]:
    """What `make fuzz` has left: one file for each target, or a list of them."""
    found = []
    for path in sorted(FUZZ.glob("*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        found += data if isinstance(data, list) else [data]
    return [row for row in found if isinstance(row, dict) and "executions" in row]


def is_strain(kind: str) -> bool:
    """Whether it counts attempts of sound work under strain, and not faults."""
    return kind.endswith(("at once", "at the load")) or kind.startswith("rounds ")


def table(rows: list[dict[str, Any]], head: str) -> list[str]:
    """The lines of a table."""
    lines = [f"| {head} | tried | survived | lost | seconds |", "| --- | ---: | ---: | ---: | ---: |"]
    for row in rows:
        bad = len(row["lost"])
        lines.append(f"| {row['kind']} | {row['tried']} | {row['tried'] - bad} | {bad} | {row['seconds']:.0f} |")
    return lines


def render(rows: list[dict[str, Any]], fuzz: list[dict[str, Any]]) -> str:
    """Make the page."""
    faults, strain = ([row for row in rows if is_strain(row["kind"]) == wanted] for wanted in (False, True))
    tried, lost = sum(row["tried"] for row in faults), sum(len(row["lost"]) for row in faults)
    attempts, failed = sum(row["tried"] for row in strain), sum(len(row["lost"]) for row in strain)
    date = dt.datetime.now(dt.timezone.utc).date().isoformat()
    lines = [
        INTRODUCTION,
        f"**{tried} faults tried, {tried - lost} survived, {lost} lost**, by `make faults` on {date}: {machine()}.\n",
        *table(faults, "kind of fault"),
        f"| **all** | **{tried}** | **{tried - lost}** | **{lost}** | |",
        "\n## Under strain\n",
        "Sound plugins, loaded by many at once, again and again, and from files that are exchanged meanwhile:",
        f"{attempts} attempts, {failed} lost.\n",
        *table(strain, "attempts"),
    ]
    if lost + failed:
        lines += ["\n## Lost\n", *(f"- {row['kind']}: `{_short(one)}`" for row in rows for one in row["lost"])]
    lines.append(NOTES)
    if fuzz:
        lines += [
            "## Fuzzing\n",
            "By `make fuzz`: readers of hostile input with Hypothesis and Atheris, the C++ face of the plugins with",
            "libFuzzer, AddressSanitizer and UBSan.\n",
            "| target | executions | seconds | crashes |",
            "| --- | ---: | ---: | ---: |",
        ]
        for row in fuzz:
            crashes = row.get("crashes", row.get("found", 0))
            crashes = len(crashes) if isinstance(crashes, list) else crashes
            name = row.get("target", row.get("name", "?"))
            lines.append(f"| {name} | {row['executions']} | {float(row.get('seconds', 0)):.0f} | {crashes} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def machine() -> str:
    """This machine in general words."""
    libc, version = platform.libc_ver()
    return (
        f"{platform.system()} on {platform.machine()}, {os.cpu_count()} cores, {libc} {version}, "
        f"Python {platform.python_version()}"
    )


def _short(text: str) -> str:
    """One line, without the temporary folders of the run."""
    text = re.sub(r"(.)\1{9,}", r"\1...", text)
    words = (Path(word).name if word.startswith("/") else word for word in text.replace("`", "'").split())
    return " ".join(words)[:200]


if __name__ == "__main__":
    main()
