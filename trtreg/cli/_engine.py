"""What `trtreg info` says of an engine file."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtreg.cli import _terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trtreg.engine import UsedPlugin
    from trtreg.engine_lock import EngineLock, Mismatch

__all__ = ["show"]


def show(name: str, *, as_json: bool) -> None:
    """Print what the lock of an engine tells, what does not go with this machine, and what the engine carries."""
    from trtreg import discovery, embedded, engine_lock, engine_plugins, environment, runtime

    plan = runtime.read_plan(Path(name))
    installed, here = discovery.discover(), environment.read()
    lock = engine_lock.read(name)
    mismatches = engine_lock.check(lock, plan, here, installed) if lock else ()
    libraries = [
        (one.sha256, one.size, next((p.distribution for p in installed if _is(p, one, plan)), None))
        for one in embedded.find(plan)
    ]
    needed = engine_plugins.needed_plugins(lock, plan, installed, here)
    document: dict[str, Any] = {
        "schema": 1,
        "engine": {"path": name, "sha256": sha256(plan).hexdigest(), "size": len(plan)},
        "lock": json.loads(engine_lock.to_json(lock)) if lock else None,
        "mismatches": [
            {key: getattr(one, key) for key in ("code", "hard", "subject", "was", "now", "remedy")}
            for one in mismatches
        ],
        "embedded": [{"sha256": digest, "size": size, "package": package} for digest, size, package in libraries],
        "plugins": [plugin.distribution for plugin in needed],
    }
    if as_json:
        _terminal.print_json(document)
        return
    lines = [f"{name}: {_terminal.size(len(plan))}", f"  sha256    {document['engine']['sha256']}"]
    lines += _lock(lock, mismatches) if lock else ["  lock      none"]
    for digest, size, package in libraries:
        lines.append(f"  carries   {package or 'a library'}: {_terminal.size(size)}, sha256 {digest[:12]}")
    lines.append(f"  would load {', '.join(document['plugins']) or 'no plugin'}")
    print("\n".join(lines))


def _is(plugin: Any, library: Any, plan: bytes) -> bool:
    file = plugin.manifest.library if plugin.manifest else None
    return bool(file and library.is_library(plan, file.size, file.sha256))


def _lock(lock: EngineLock, mismatches: tuple[Mismatch, ...]) -> Iterator[str]:
    if any(one.code == "plan" for one in mismatches):
        yield f"  lock      {_terminal.bad('of another engine')}"
    else:
        targets = f", for {', '.join(lock.targets)}" if lock.targets else ""
        yield f"  TensorRT  {lock.flavour} {lock.tensorrt_version}{targets}"
        if lock.model:
            outside = ", with weights in other files" if lock.model.external_data else ""
            yield f"  model     sha256 {lock.model.sha256}{outside}"
        for plugin in lock.plugins:
            yield from _plugin(plugin)
        if not lock.plugins:
            yield "  plugins   none"
    if not mismatches:
        yield f"  here      {_terminal.good('as it was built')}"
    for one in mismatches:
        yield f"  here      {_terminal.bad('no') if one.hard else 'differs'}: {one}"


def _plugin(plugin: UsedPlugin) -> Iterator[str]:
    where = ", in the engine" if plugin.embedded else ""
    yield f"  plugin    {plugin.package} {plugin.version} ({', '.join(map(str, plugin.creators))}){where}"
    yield f"            sha256 {plugin.sha256}"
