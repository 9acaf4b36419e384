"""Engines on the machine that runs them: loading the plugins they need, and deserialising them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from trtreg.errors import (
    EmbeddedCodeError,
    EngineBuildError,
    EngineLockError,
    EngineMismatchError,
    SettingError,
    TensorRTUnusableError,
    UnknownPluginError,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from trtreg.discovery import InstalledPlugin
    from trtreg.embedded import EmbeddedLibrary
    from trtreg.engine_lock import EngineLock, Mismatch
    from trtreg.environment import Environment
    from trtreg.loader import LoadedPlugin
    from trtreg.manifest import CreatorKey
    from trtreg.preferences import Preferences

__all__ = [
    "LockPolicy",
    "called",
    "deserialize",
    "is_tensorrt_plugin_loaded",
    "load_tensorrt_plugin",
    "load_trt_engine",
    "read_plan",
]

LockPolicy: TypeAlias = Literal["require", "check", "ignore"]

_POLICIES: Final = ("require", "check", "ignore")
_log = logging.getLogger("trtreg")


def load_tensorrt_plugin(*names: str) -> tuple[LoadedPlugin, ...]:
    """Load plugins by package or op name; without names, every one that fits this machine.

    Of several packages with an op, the preferred one is loaded. Raises CreatorConflictError, before anything is loaded,
    where packages have a creator in common and nothing says who is to have it.
    """
    from trtreg import _holders, environment, flavour, load_plan, loader, preferences, scan
    from trtreg.collision import tell

    installed, wishes = _among(names), preferences.read()
    tensorrt = flavour.select()
    if names:
        chosen = _named(names, installed, wishes)
        needed = {key: plugin for plugin in chosen for key in load_plan.creators(plugin)}
    else:
        here, needed = environment.read(tensorrt), None
        chosen = tuple(plugin for plugin in installed if scan.unfitness(plugin, here) is None)
    plan = load_plan.make(
        chosen,
        needed=needed,
        registered=_holders.registered(tensorrt, load_plan.all_creators(chosen), installed),
        preferences=wishes,
    )
    tell(plan.collisions)
    return tuple(loader.load(plugin, tensorrt=tensorrt) for plugin in plan.require(", ".join(names) or "this machine"))


def is_tensorrt_plugin_loaded(*names: str) -> bool:
    """Whether trtreg has loaded all of these packages or ops; without names, whether it has loaded any."""
    from trtreg import loader

    loaded = [known.plugin for known in loader.loaded()]
    return all(_matches(name, loaded) for name in names) if names else bool(loaded)


def load_trt_engine(
    path: str | os.PathLike[str], *, lock: LockPolicy = "check", allow_host_code: bool | None = None
) -> Any:
    """Deserialise an engine file to TensorRT's ICudaEngine, after loading the installed plugins that it needs.

    `lock` is what its lock, PATH.lock.json, is for. "check": there may be none; what would certainly fail (another
    engine, another TensorRT flavour, a creator that no fitting package has) is an EngineMismatchError, any other
    difference a warning of the Python logger "trtreg". "require": no lock is an EngineLockError, and any difference
    an EngineMismatchError. "ignore": it is not read.

    `allow_host_code` tells whether libraries that stand in the engine may run: None allows those that are, byte for
    byte, the libraries of installed plugins, and is an EmbeddedCodeError for others.
    """
    return _load(read_plan(Path(path)), path, lock, allow_host_code)


def deserialize(plan: bytes, *, allow_host_code: bool | None = None) -> Any:
    """Do what `load_trt_engine` does with a plan in memory, which has no lock."""
    return _load(plan, "the engine", "ignore", allow_host_code)


def _among(names: Sequence[str]) -> tuple[InstalledPlugin, ...]:
    """The packages of these names; all that are installed where one of them is no package's, and so an op's."""
    from trtreg import discovery

    def is_meant(distribution: str) -> bool:
        return any(discovery.same_name(name, distribution) for name in names)

    found = discovery.discover(among=is_meant) if names else ()
    owned = all(any(discovery.same_name(name, plugin.distribution) for plugin in found) for name in names)
    return found if names and owned else discovery.discover()


def _load(plan: bytes, path: str | os.PathLike[str], lock: LockPolicy, allow_host_code: bool | None) -> Any:
    from trtreg import _complaints, discovery, engine_plugins, environment, flavour, loader

    tensorrt = flavour.select()
    here = environment.read(tensorrt)
    installed = discovery.discover()
    known, mismatches = _checked(path, plan, here, installed, lock)
    libraries = _allowed(path, plan, installed, allow_host_code)
    # Some TensorRTs fault in the constructor of Runtime where there is no driver.
    if here.driver is None:
        raise TensorRTUnusableError(
            "an engine cannot be loaded without an NVIDIA driver",
            found=here.driver_problem,
            remedy="load it on a machine with an NVIDIA GPU",
        )
    for plugin in engine_plugins.planned(path, known, plan, installed, here, tensorrt):
        loader.load(plugin, tensorrt=tensorrt)
    trt: Any = flavour.load(tensorrt)
    with flavour.capture() as said:
        runtime = trt.Runtime(flavour.logger(tensorrt))
        if libraries:
            runtime.engine_host_code_allowed = True
        engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        causes = [*_complaints.errors(said), *(f"by its lock: {mismatch}" for mismatch in mismatches)]
        raise EngineBuildError(
            f"{trt.__name__} {trt.__version__} cannot deserialise {path}",
            found="; ".join(causes) or "no reason given",
            remedy="build it with this TensorRT for this GPU, with its plugins installed",
        )
    return engine


def _checked(
    path: str | os.PathLike[str],
    plan: bytes,
    here: Environment,
    installed: Sequence[InstalledPlugin],
    policy: LockPolicy,
) -> tuple[EngineLock | None, tuple[Mismatch, ...]]:
    """Read and check the lock as the policy says; gives the mismatches that are let pass."""
    from trtreg import engine_lock

    if policy not in _POLICIES:
        raise SettingError("Unknown policy for the lock of an engine", found=repr(policy), expected=str(_POLICIES))
    known = None if policy == "ignore" else engine_lock.read(path)
    if known is None:
        if policy == "require":
            raise EngineLockError(
                f"{path} has no lock", expected=f"{path}{engine_lock.SUFFIX}", remedy="build it with trtreg onnx2trt"
            )
        return None, ()
    mismatches = engine_lock.check(known, plan, here, installed)
    if any(mismatch.hard for mismatch in mismatches) or (mismatches and policy == "require"):
        raise EngineMismatchError(f"{path} does not go with its lock and this machine", mismatches=mismatches)
    for mismatch in mismatches:
        _log.warning("%s: %s", path, mismatch)
    return known, mismatches


def _allowed(
    path: str | os.PathLike[str], plan: bytes, installed: Sequence[InstalledPlugin], allow: bool | None
) -> tuple[EmbeddedLibrary, ...]:
    """The libraries in the plan, all of them allowed to run."""
    from trtreg import embedded

    libraries = embedded.find(plan)
    own = [plugin.manifest.library for plugin in installed if plugin.manifest]
    strange = [one for one in libraries if not any(one.is_library(plan, file.size, file.sha256) for file in own)]
    if allow is False and libraries:
        strange = [*libraries]
    if strange and not allow:
        what = "a shared library" if len(strange) == 1 else f"{len(strange)} shared libraries"
        raise EmbeddedCodeError(
            f"{path} carries {what}, whose code would run in this process",
            found=", ".join(f"sha256 {one.sha256[:12]} ({one.size} bytes)" for one in strange),
            expected="none" if allow is False else "those of installed plugins",
            remedy="if you trust who built it: load_trt_engine(path, allow_host_code=True)",
        )
    return libraries


def _named(
    names: Iterable[str], installed: Sequence[InstalledPlugin], wishes: Preferences
) -> tuple[InstalledPlugin, ...]:
    """The packages that a user means; one for each creator where a name is an op's that several have."""
    from trtreg import load_choice, load_plan

    chosen: list[InstalledPlugin] = []
    options: dict[CreatorKey, list[InstalledPlugin]] = {}
    for name in names:
        for plugin in (matches := called(name, installed)):
            keys = [key for key in load_plan.creators(plugin) if key.name == name]
            if len(matches) == 1 or not keys:
                chosen.append(plugin)
            for key in keys if len(matches) > 1 else ():
                options.setdefault(key, []).append(plugin)
    every = (*chosen, *load_choice.choose(options, wishes).values())
    return tuple({plugin.distribution: plugin for plugin in every}.values())


def read_plan(path: Path) -> bytes:
    """Read an engine file; EngineBuildError where there is none, or nothing in it."""
    try:
        plan = path.read_bytes()
    except OSError as e:
        raise EngineBuildError(f"cannot read the engine {path}", found=e.strerror) from e
    if not plan:
        raise EngineBuildError(f"the engine {path} is empty", remedy="build it again")
    return plan


def called(name: str, plugins: Sequence[InstalledPlugin]) -> list[InstalledPlugin]:
    """The packages that a user means by a package or op name."""
    matches = _matches(name, plugins)
    if not matches:
        from trtreg._nearest import nearest, remedy

        known = {p.distribution for p in plugins}
        known |= {creator.name for p in plugins if p.manifest for creator in p.manifest.library.creators}
        raise UnknownPluginError(
            f"No installed plugin or op is called '{name}'",
            found=", ".join(p.distribution for p in plugins) or "no plugin at all",
            remedy=remedy(nearest(name, known)),
        )
    return matches


def _matches(name: str, plugins: Sequence[InstalledPlugin]) -> list[InstalledPlugin]:
    from trtreg.discovery import same_name

    return [
        plugin
        for plugin in plugins
        if same_name(name, plugin.distribution)
        or name == plugin.package
        or (plugin.manifest and any(creator.name == name for creator in plugin.manifest.library.creators))
    ]
