"""Measure what trust costs: the policy, opening the file that was hashed, and the trial of a library that is new.

    python benchmarks/trust.py                     # half a minute; needs a TensorRT and plugin packages
    python benchmarks/trust.py --rounds 5 -o -     # a quick look, nothing kept

Every plugin of the environment that fits is loaded and unloaded, in an order of the settings drawn anew for each round.
The shortest time counts: what else the machine does can only add to it.

- off: the file is opened by its path, and nothing is tried; the hash is compared with the manifest all the same
- sealed: the bytes go into sealed memory while they are hashed, and owner and permissions are looked at
- all: the same, and the verdict of an earlier trial is read (this is the default)
- first: the same, and there is no verdict yet: the library is tried in a process of its own
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from support import machine

from trtreg import discovery, flavour, loader
from trtreg.errors import TrtregError
from trtreg.trust import policy, verdicts

if TYPE_CHECKING:
    from collections.abc import Callable

    from trtreg.discovery import InstalledPlugin

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
SETTINGS = {
    "off": 'mode = "off"\ntrial = "off"\n',
    "sealed": 'mode = "strict"\ntrial = "off"\n',
    "all": 'mode = "strict"\n',
}
HEAD = """# What trust costs

`python benchmarks/trust.py --rounds {rounds}` on {machine}, {tensorrt}. The shortest time
of loading a plugin once more, when its symbols are known; unloading is not counted.

| plugin | library | by path, no trial | sealed memory, permissions | kept verdict too (default) | new: with its trial |
| --- | --- | --- | --- | --- | --- |
{lines}

To read the policy takes {reading:.0f} µs. `trtreg list` and other commands that load nothing do not read it.
"""


def main() -> None:
    """Measure, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("-o", "--output", default=str(RESULTS / "trust.md"), help="- prints only")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(XDG_CACHE_HOME=folder, XDG_CONFIG_HOME=folder, TRTREG_POLICY=f"{folder}/policy.toml")
        os.environ.pop("TRTREG_TRUST", None)
        flavour.load()
        text = table(Path(folder), arguments.rounds)
    print(text)
    if arguments.output != "-":
        Path(arguments.output).write_text(text, encoding="utf-8")


def table(folder: Path, rounds: int) -> str:
    """Measure all plugins; gives the document."""
    chosen = flavour.select()
    file = folder / "policy.toml"
    lines = []
    for plugin in discovery.discover():
        file.write_text(SETTINGS["all"], encoding="utf-8")
        first = first_load(plugin, max(rounds // 10, 3))
        if first is None:
            continue
        times = loads(plugin, file, rounds)
        size = plugin.manifest.library.size / 1e6 if plugin.manifest else 0
        columns = " | ".join(f"{times[name]:.2f} ms" for name in SETTINGS)
        lines.append(f"| {plugin.distribution} | {size:.1f} MB | {columns} | {first:.0f} ms |")
    return HEAD.format(
        rounds=rounds,
        machine=machine.describe(),
        tensorrt=f"{chosen.flavour.module} {chosen.version}",
        lines="\n".join(lines),
        reading=timed(policy.read, 200) * 1e6,
    )


def loads(plugin: InstalledPlugin, file: Path, rounds: int) -> dict[str, float]:
    """The shortest time of a load with each of the settings, in milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in SETTINGS}
    for _ in range(rounds):
        for name in random.sample([*SETTINGS], len(SETTINGS)):
            file.write_text(SETTINGS[name], encoding="utf-8")
            times[name].append(load(plugin))
    return {name: min(values) for name, values in times.items()}


def first_load(plugin: InstalledPlugin, rounds: int) -> float | None:
    """The shortest time of a load with a trial, in milliseconds; None where the plugin does not load here."""
    times = []
    for _ in range(rounds):
        verdicts.clear(verdicts.read_all())
        try:
            times.append(load(plugin))
        except TrtregError as error:
            print(f"{plugin.distribution} is left out: {str(error).splitlines()[0]}")
            return None
    return min(times)


def load(plugin: InstalledPlugin) -> float:
    """The time of a load, in milliseconds."""
    begun = time.perf_counter()
    loaded = loader.load(plugin)
    took = time.perf_counter() - begun
    loader.unload(loaded)
    return took * 1e3


def timed(function: Callable[[], object], rounds: int) -> float:
    """The shortest time of a call, in seconds."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        function()
        times.append(time.perf_counter() - begun)
    return min(times)


if __name__ == "__main__":
    main()
