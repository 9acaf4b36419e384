"""The machine that a benchmark runs on, and where its figures go; the rest is trtreg.testing."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from trtreg.errors import TrtregError
from trtreg.sdk.face import Face
from trtreg.testing import device
from trtreg.testing.compare import name_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trtreg.sdk.face import Plugin

__all__ = ["describe", "name_of", "open_library", "run", "table", "write"]


def open_library(package: str, path: Path | None = None) -> Face:
    """Open the library at `path`, or the one in the installed package."""
    try:
        return Face(path) if path else device.open_library(package)
    except TrtregError as error:
        sys.exit(f"{error}; install the wheel of {package}, or give the library's path")


def run(plugin: Plugin, inputs: Sequence[torch.Tensor], output: torch.Tensor) -> None:
    """Put the plugin's work on PyTorch's current stream."""
    device.enqueue(plugin, inputs, [output])


def describe() -> dict[str, str]:
    """Say what was measured where, when and how."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]
    try:
        import torchvision  # noqa: PLC0415 - a peer, not a need

        peer = torchvision.__version__
    except ImportError:
        peer = "none"
    return {
        "gpu": torch.cuda.get_device_name(),
        "driver": driver,
        "cuda": str(torch.version.cuda),
        "torch": torch.__version__,
        "torchvision": peer,
        "date": dt.datetime.now(tz=dt.timezone.utc).date().isoformat(),
        "command": f"python3 benchmarks/{Path(sys.argv[0]).name}",
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Lay out `rows` as a Markdown table; the first row's keys are the columns."""

    def cell(value: object) -> str:
        if value is None:
            return ""
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    lines = [list(rows[0]), ["---"] * len(rows[0]), *([cell(each) for each in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(name: str, title: str, notes: str, rows: Sequence[dict[str, Any]], folder: Path) -> None:
    """Print the figures, and keep them as JSON and Markdown."""
    machine = describe()
    text = "\n\n".join(
        [f"# {title}", "\n".join(f"- {key}: {value}" for key, value in machine.items()), notes, table(rows)]
    )
    print(text)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    (folder / f"{name}.json").write_text(
        json.dumps({"machine": machine, "rows": list(rows)}, indent=2) + "\n", encoding="utf-8"
    )
