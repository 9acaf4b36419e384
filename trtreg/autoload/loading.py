"""Loading the plugins into a TensorRT that a program has just imported; nothing here raises."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from trtreg import discovery, flavour
from trtreg.autoload import policy
from trtreg.errors import IncompatiblePluginError, TrtregError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from trtreg.discovery import InstalledPlugin
    from trtreg.environment import Environment
    from trtreg.flavour import InstalledTensorRT

__all__ = ["load_plugins"]

# Where nobody has set up logging, Python writes warnings to stderr.
_log = logging.getLogger("trtreg.autoload")
_told: Final[set[str]] = set()


def load_plugins(module: ModuleType) -> None:
    """Load what the policy allows and what fits into the registry of `module`, a TensorRT that is being imported.

    Runs in the thread of the import, under Python's lock of that module: others who import it wait, and find all there.
    What goes wrong is logged once, with its cause: a plugin never breaks `import tensorrt`.
    """
    if policy.is_off():
        return
    try:
        allowed = policy.read()
        tensorrt = _tensorrt(module)
        flavour.load(tensorrt)  # with the mends of trtreg, whether or not there are plugins
        plugins = discovery.discover(among=lambda name: allowed.refusal(name) is None)
    except Exception as error:  # noqa: BLE001 - the import must succeed
        _tell(f"no plugins for {module.__name__}: {_words(error)}")
        return
    for plugin in _planned(plugins, tensorrt) if plugins else ():
        _load(plugin, tensorrt)
    if allowed.allow_origin == policy.ALLOW:  # of the file's names, some may be of other environments
        for name in allowed.allow or ():
            is_meant = partial(discovery.same_name, name)
            if not any(is_meant(plugin.distribution) for plugin in plugins) and not discovery.discover(among=is_meant):
                _tell(f"{policy.ALLOW} names {name}, which is not installed here")


def _planned(allowed: Sequence[InstalledPlugin], tensorrt: InstalledTensorRT) -> Sequence[InstalledPlugin]:
    """Those that can be loaded together; what is left out of them is told, unless that was asked for."""
    from trtreg import _holders, environment, load_plan, preferences

    try:
        here = environment.read(tensorrt)
        fitting = [plugin for plugin in allowed if _fits(plugin, here)]
        wishes, keys = preferences.read(), load_plan.all_creators(fitting)
        registered = _holders.owned_later(tensorrt, keys, wishes) | _holders.registered(tensorrt, keys, allowed)
        plan = load_plan.make(fitting, registered=registered, preferences=wishes)
    except Exception as error:  # noqa: BLE001 - the import must succeed
        _tell(f"no plan for {tensorrt.flavour.module}, so each plugin is loaded as it comes: {_words(error)}")
        return allowed
    for plugin in plan.left_out:
        reasons = [
            str(one) for one in plan.problems if plugin.distribution in {holder.package for holder in one.holders}
        ]
        if reasons:
            _tell(f"{_named(plugin)} is not loaded into {tensorrt.flavour.module}: {'; '.join(reasons)}")
    for collision in plan.collisions:
        if not collision.fatal:
            _log.info("trtreg autoload: %s", collision)
    # Those that do not fit go on: the loader says why.
    return [plugin for plugin in allowed if plugin not in plan.left_out]


def _tensorrt(module: ModuleType) -> InstalledTensorRT:
    kind = next(kind for kind in flavour.FLAVOURS if kind.module == module.__name__)
    for tensorrt in flavour.installed():
        if tensorrt.flavour is kind:
            return tensorrt
    version = str(getattr(module, "__version__", "unknown"))
    return flavour.InstalledTensorRT(flavour=kind, version=version, distribution=None)


def _load(plugin: InstalledPlugin, tensorrt: InstalledTensorRT) -> None:
    from trtreg import loader

    try:
        loader.load(plugin, tensorrt=tensorrt)
    except Exception as error:  # noqa: BLE001 - the import must succeed
        text = (
            f"{_named(plugin)} is not loaded into {tensorrt.flavour.module}: {_words(error)}"
            f" ({policy.DENY}={plugin.distribution} leaves it out)"
        )
        if _is_for_others(error):
            _log.info("trtreg autoload: %s", text)
        else:
            _tell(text)


def _named(plugin: InstalledPlugin) -> str:
    return f"{plugin.distribution} {plugin.version}"


def _fits(plugin: InstalledPlugin, here: Environment) -> bool:
    if plugin.manifest is None or plugin.problem is not None:
        return False
    from trtreg import compatibility

    return isinstance(compatibility.judge(plugin.manifest, here), compatibility.Compatible)


def _is_for_others(error: Exception) -> bool:
    """Whether nothing is wrong: the plugin is for another flavour of TensorRT."""
    return isinstance(error, IncompatiblePluginError) and {r.code for r in error.reasons} == {"tensorrt-flavour"}


def _words(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, TrtregError) else f"unforeseen {type(error).__name__}: {text}"


def _tell(text: str) -> None:
    if text not in _told:
        _told.add(text)
        _log.warning("trtreg autoload: %s", text)
