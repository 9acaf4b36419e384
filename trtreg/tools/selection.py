"""Which installed plugins are meant: all that fit, those that are named, or those that a model or engine needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trtreg.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trtreg.discovery import InstalledPlugin
    from trtreg.environment import Environment

__all__ = ["Selection", "is_plan", "select"]

# A plan of TensorRT begins with "ftrt" (`printPlanVersion` of trtexec checks it), one of TensorRT-RTX with "vtrt".
_TAGS: Final = (b"ftrt", b"vtrt")


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """The plugins that are meant, and why others are not there: each line of `lacking` is one."""

    plugins: tuple[InstalledPlugin, ...]
    lacking: tuple[str, ...] = ()


def is_plan(data: bytes) -> bool:
    """Whether the beginning of a file is that of a serialised engine."""
    return data[:4] in _TAGS


def select(
    installed: Sequence[InstalledPlugin],
    environment: Environment,
    *,
    names: Iterable[str] = (),
    files: Iterable[str] = (),
) -> Selection:
    """Choose by name and by what files need; with neither, every plugin that fits the environment."""
    from trtreg import runtime, scan

    chosen: dict[str, InstalledPlugin] = {}
    lacking: list[str] = []
    names, files = tuple(names), tuple(files)
    for name in names:
        chosen.update((plugin.distribution, plugin) for plugin in runtime.called(name, installed))
    for file in files:
        found, missing = _needed(file, installed, environment)
        chosen.update((plugin.distribution, plugin) for plugin in found)
        lacking += missing
    if not names and not files:
        for plugin in installed:
            reason = scan.unfitness(plugin, environment)
            if reason is None:
                chosen[plugin.distribution] = plugin
            else:
                lacking.append(f"{plugin.distribution} is left out: {reason}")
    return Selection(plugins=tuple(chosen[name] for name in sorted(chosen)), lacking=tuple(lacking))


def _needed(
    file: str, installed: Sequence[InstalledPlugin], environment: Environment
) -> tuple[tuple[InstalledPlugin, ...], list[str]]:
    from trtreg import engine_plugins, scan

    try:
        with Path(file).open("rb") as opened:
            head = opened.read(4)
            plan = head + opened.read() if is_plan(head) else b""
    except OSError as e:
        raise ModelError(f"cannot read {file}", found=e.strerror, expected="a model or an engine") from e
    if plan:
        return engine_plugins.plugins_in_plan(plan, installed), []
    report = scan.scan(file, plugins=installed, environment=environment)
    reasons = dict.fromkeys(f"{file} needs the op {node.op}: {node.reason}" for node in report.missing)
    return report.plugins, [*reasons, *(str(one) for one in report.collisions if one.fatal)]
