"""The plugins of TensorRT's own libnvinfer_plugin: those that a release removed, and those that are left.

The data file names NVIDIA's release notes and the repository's branches that it was made from.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BuiltinPlugins", "RemovedPlugin", "read"]

_FILE = Path(__file__).parent.parent / "data" / "removed_plugins.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class RemovedPlugin:
    """A plugin that is gone since the release `removed`; `instead` is what does the same, if anything."""

    name: str
    version: str
    removed: str
    instead: str | None
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltinPlugins:
    """All that is known, by name and version; `left` maps to whether the plugin is deprecated."""

    sources: tuple[str, ...]
    removed: Mapping[tuple[str, str], RemovedPlugin]
    left: Mapping[tuple[str, str], bool]


@cache
def read() -> BuiltinPlugins:
    """Read the file that trtreg carries."""
    data = json.loads(_FILE.read_text(encoding="utf-8"))
    removed = [RemovedPlugin(**item) for item in data["removed"]]
    return BuiltinPlugins(
        sources=tuple(data["sources"]),
        removed={(plugin.name, plugin.version): plugin for plugin in removed},
        left={(item["name"], item["version"]): item["deprecated"] for item in data["left"]},
    )
