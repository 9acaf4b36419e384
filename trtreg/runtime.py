"""Engines on the machine that runs them: loading the plugins they need, and deserialising them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtreg.errors import EngineBuildError, TensorRTUnusableError, UnknownPluginError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from trtreg.discovery import InstalledPlugin
    from trtreg.loader import LoadedPlugin

__all__ = ["called", "is_tensorrt_plugin_loaded", "load_tensorrt_plugin", "load_trt_engine", "plugins_in_plan"]


def load_tensorrt_plugin(*names: str) -> tuple[LoadedPlugin, ...]:
    """Load plugins by package or op name; without names, every one that fits this machine."""
    from trtreg import discovery, environment, loader, scan

    installed = discovery.discover()
    if names:
        chosen = {plugin.distribution: plugin for name in names for plugin in called(name, installed)}
    else:
        here = environment.read()
        chosen = {plugin.distribution: plugin for plugin in installed if scan.unfitness(plugin, here) is None}
    return tuple(loader.load(plugin) for plugin in chosen.values())


def is_tensorrt_plugin_loaded(*names: str) -> bool:
    """Whether trtreg has loaded all of these packages or ops; without names, whether it has loaded any."""
    from trtreg import loader

    loaded = [known.plugin for known in loader.loaded()]
    return all(_matches(name, loaded) for name in names) if names else bool(loaded)


def load_trt_engine(path: str | os.PathLike[str]) -> Any:
    """Deserialise an engine file to TensorRT's ICudaEngine, after loading the installed plugins that it needs."""
    from trtreg import _complaints, discovery, environment, flavour, loader

    plan = _read(Path(path))
    tensorrt = flavour.select()
    here = environment.read(tensorrt)
    # Some TensorRTs fault in the constructor of Runtime where there is no driver.
    if here.driver is None:
        raise TensorRTUnusableError(
            "an engine cannot be loaded without an NVIDIA driver",
            found=here.driver_problem,
            remedy="load it on a machine with an NVIDIA GPU",
        )
    for plugin in plugins_in_plan(plan, discovery.discover()):
        loader.load(plugin, tensorrt=tensorrt)
    trt: Any = flavour.load(tensorrt)
    with flavour.capture() as said:
        engine = trt.Runtime(flavour.logger(tensorrt)).deserialize_cuda_engine(plan)
    if engine is None:
        raise EngineBuildError(
            f"{trt.__name__} {trt.__version__} cannot deserialise {path}",
            found="; ".join(_complaints.errors(said)) or "no reason given",
            remedy="build it with this TensorRT for this GPU, with its plugins installed",
        )
    return engine


def plugins_in_plan(plan: bytes, plugins: Iterable[InstalledPlugin]) -> tuple[InstalledPlugin, ...]:
    """The packages with a creator whose name stands in the plan.

    A plan holds the names of its plugins in plain bytes (seen with TensorRT-RTX 1.7.1). A name that stands there by
    chance loads a plugin too many, which does no harm.
    """
    return tuple(
        plugin
        for plugin in plugins
        if plugin.manifest and any(creator.name.encode() in plan for creator in plugin.manifest.library.creators)
    )


def _read(path: Path) -> bytes:
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
        from difflib import get_close_matches

        known = {p.distribution for p in plugins}
        known |= {creator.name for p in plugins if p.manifest for creator in p.manifest.library.creators}
        nearest = get_close_matches(name, sorted(known), n=3)
        raise UnknownPluginError(
            f"No installed plugin or op is called '{name}'",
            found=", ".join(p.distribution for p in plugins) or "no plugin at all",
            remedy=f"did you mean {' or '.join(nearest)}?" if nearest else "see `trtreg list`",
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
