"""Bringing plugin libraries into TensorRT's registry, and saying why one does not go in.

TensorRT's own answer is a silent None, and the dynamic linker ends the process on a truncated file. So all that can be
known is checked first, on the bytes that will be opened: hash, machine, entry points; and the policy. A library that is
new here is then tried in a process of its own (`trtreg.trust`). What TensorRT still refuses is explained.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from trtreg import _adoption, _library_file, _set_aside, compatibility, discovery, environment, flavour
from trtreg.errors import (
    CreatorsMissingError,
    IncompatiblePluginError,
    ManifestError,
    UnknownPluginError,
)
from trtreg.manifest import CreatorKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from trtreg.discovery import InstalledPlugin
    from trtreg.flavour import InstalledTensorRT
    from trtreg.manifest import Manifest
    from trtreg.trust.integrity import OpenedLibrary

__all__ = ["LoadedPlugin", "load", "loaded", "unload"]

_log = logging.getLogger("trtreg.loader")
_lock: Final = RLock()
# A fork copies locks as they are: one that another thread holds at that moment would stay locked in the child.
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
_plugins: Final[dict[tuple[flavour.Flavour, str], LoadedPlugin]] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedPlugin:
    """A plugin whose creators are in the registry.

    `handle` is what keeps them: the registry's for the library, or the open library where that registers itself. It is
    None where somebody else had loaded the library. `set_aside` are creators of others that gave way to it, by what is
    preferred; they come back when it is unloaded. `opened_as` is the path that the dynamic linker knows the library by.
    """

    plugin: InstalledPlugin
    tensorrt: InstalledTensorRT
    library: Path
    opened_as: Path
    sha256: str
    creators: tuple[CreatorKey, ...]
    handle: Any = None
    set_aside: tuple[_set_aside.SetAside, ...] = ()

    @property
    def removable(self) -> bool:
        """Whether `unload` can take it out: the registry has no way to forget a library that registered itself."""
        manifest = self.plugin.manifest
        return self.handle is not None and manifest is not None and manifest.library.registration == "dynamic"


def load(plugin: InstalledPlugin, *, tensorrt: InstalledTensorRT | None = None) -> LoadedPlugin:
    """Load the plugin's library into the registry of TensorRT (default: the selected one) and prove that it is there.

    Idempotent and thread-safe: a second call gives the same object. Raises IncompatiblePluginError with every reason,
    PolicyError or PolicyRefusalError, or the LoadError that names what is wrong.
    """
    manifest, library = _require_sound(plugin)
    chosen = tensorrt or flavour.select()
    # Before our lock is taken: while TensorRT is imported, autoload calls this function for every plugin.
    flavour.load(chosen)
    known = _known(manifest, library, chosen)
    if known is None:
        # Not under the lock: a trial takes its time, and others have plugins to load.
        ready = _prepare(plugin, manifest, library, chosen)
        with _lock:
            known = _known(manifest, library, chosen)
            if known is None:
                stale = _plugins.get((chosen.flavour, str(library)))
                known = _load(plugin, manifest, ready, chosen)
                known = replace(known, set_aside=(*(stale.set_aside if stale else ()), *known.set_aside))
                _plugins[chosen.flavour, str(library)] = known
    return known


def unload(plugin: InstalledPlugin | LoadedPlugin | str) -> bool:
    """Take a loaded plugin out of the registry; tells whether its creators are gone.

    They stay (False) where somebody else loaded the library, and where it registered itself (static registration, or
    a function of its own), for as long as the process lives: the logger "trtreg.loader" then says so. Nothing may use
    the plugin any more: no network, engine or context with a layer of it.
    """
    with _lock:
        matches = [(key, known) for key, known in _plugins.items() if _is_meant(plugin, known)]
        if not matches:
            name = plugin if isinstance(plugin, str) else _distribution(plugin)
            names = ", ".join(known.plugin.distribution for known in _plugins.values())
            raise UnknownPluginError(f"No loaded plugin is called '{name}'", found=names or "no plugin at all")
        gone = True
        for key, known in matches:
            registry = flavour.load(known.tensorrt).get_plugin_registry()
            # A handle that somebody has already deregistered is a dangling pointer.
            if known.removable and _is_current(known):
                registry.deregister_library(known.handle)
            elif known.handle is not None and not known.removable:
                _log.warning(
                    "%s stays in the registry of %s until the process ends: its library registered itself, and "
                    "TensorRT cannot take such a library out",
                    _distribution(known),
                    known.tensorrt.flavour.module,
                )
            del _plugins[key]
            gone = gone and not any(creator in _adoption.registered(registry) for creator in known.creators)
            if known.removable:
                _set_aside.put_back(registry, known.set_aside)
        return gone


def loaded() -> tuple[LoadedPlugin, ...]:
    """The plugins that `load` brought in or found in the registry."""
    with _lock:
        return tuple(_plugins.values())


def _is_current(known: LoadedPlugin) -> bool:
    """Whether nobody has deregistered the library since."""
    registered = _adoption.registered(flavour.load(known.tensorrt).get_plugin_registry())
    return all(creator in registered for creator in known.creators)


def _known(manifest: Manifest, library: Path, tensorrt: InstalledTensorRT) -> LoadedPlugin | None:
    with _lock:
        known = _plugins.get((tensorrt.flavour, str(library)))
        return known if known and known.sha256 == manifest.library.sha256 and _is_current(known) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ready:
    """A library that may be loaded: the bytes that were checked, and what it finds through its own folder."""

    opened: OpenedLibrary
    beside: tuple[Path, ...]


def _prepare(plugin: InstalledPlugin, manifest: Manifest, library: Path, tensorrt: InstalledTensorRT) -> _Ready:
    """All that has to be found out before a line of the library runs in this process."""
    from trtreg import _dependencies
    from trtreg.trust import integrity, policy, trial

    name = plugin.distribution
    rules = policy.read()
    rules.require_package(name)
    # Before the verdict: it names both libraries, where the verdict knows versions only.
    _library_file.check_linkage(library, manifest.library.needed, manifest.library, tensorrt, owner=name)
    _require_compatible(manifest, tensorrt)
    # "off" is for debuggers and profilers, which look for the file where it was opened.
    is_sealed = rules.mode != "off"
    opened = integrity.open_library(library, expected=manifest.library, sealed=is_sealed, remedy=plugin.remedy)
    rules.require_hash(opened.sha256, name)
    integrity.require_trusted(opened, rules.mode, owner=name, root=plugin.root)
    facts = _library_file.check(opened, manifest.library, tensorrt, owner=name, remedy=plugin.remedy)
    beside = _dependencies.find_beside(library, facts.search) if is_sealed else ()
    # What somebody else has loaded runs here already.
    if not _is_in(library, manifest.library.keys, tensorrt):
        trial.require(opened, manifest.library, tensorrt, rules, owner=name, beside=beside)
    return _Ready(opened=opened, beside=beside)


def _load(plugin: InstalledPlugin, manifest: Manifest, ready: _Ready, tensorrt: InstalledTensorRT) -> LoadedPlugin:
    library, declared = ready.opened.path, manifest.library.keys
    registry = flavour.load(tensorrt).get_plugin_registry()
    others = [known for key, known in _plugins.items() if key[0] is tensorrt.flavour and known.library != library]
    before = _adoption.registered(registry)
    aside = _adoption.make_room(registry, library, declared, before, plugin.distribution, others)
    try:
        # What has given way is out of the registry.
        before = _adoption.registered(registry) if aside else before
        handle = _enter(registry, plugin, manifest, ready, tensorrt, before, others)
    except BaseException:
        _set_aside.put_back(registry, aside)
        raise
    return LoadedPlugin(
        plugin=plugin,
        tensorrt=tensorrt,
        library=library,
        opened_as=library if handle is None else ready.opened.loadable,
        sha256=manifest.library.sha256,
        creators=declared,
        handle=handle,
        set_aside=aside,
    )


def _enter(
    registry: Any,
    plugin: InstalledPlugin,
    manifest: Manifest,
    ready: _Ready,
    tensorrt: InstalledTensorRT,
    before: Mapping[CreatorKey, Any],
    others: Sequence[LoadedPlugin],
) -> Any:
    """Bring the library in, unless somebody has done so, and prove that its creators are there; gives the handle."""
    library, declared = ready.opened.path, manifest.library.keys
    if _adoption.is_adoptable(library, declared, before, plugin.distribution, others):
        return None
    handle = _bring_in(registry, ready, manifest, tensorrt)
    after = _adoption.registered(registry)
    absent = [creator for creator in declared if creator not in after]
    if absent:
        if manifest.library.registration == "dynamic":
            registry.deregister_library(handle)
        raise _creators_missing(plugin, library, absent, set(after) - set(before))
    return handle


def _is_in(library: Path, declared: Iterable[CreatorKey], tensorrt: InstalledTensorRT) -> bool:
    """Whether creators of this very library are in the registry."""
    from trtreg._creator_origin import library_of

    with _lock:
        registered = _adoption.registered(flavour.load(tensorrt).get_plugin_registry())
        return any(library_of(registered[key]) == library for key in declared if key in registered)


def _distribution(plugin: InstalledPlugin | LoadedPlugin) -> str:
    return plugin.plugin.distribution if isinstance(plugin, LoadedPlugin) else plugin.distribution


def _is_meant(plugin: InstalledPlugin | LoadedPlugin | str, known: LoadedPlugin) -> bool:
    if isinstance(plugin, str):
        return discovery.same_name(plugin, known.plugin.distribution) or plugin == known.plugin.package
    return plugin in (known, known.plugin)


def _require_sound(plugin: InstalledPlugin) -> tuple[Manifest, Path]:
    if plugin.problem is not None:
        raise plugin.problem.with_traceback(None)  # one object for every attempt: keep no frames alive
    library = plugin.library_path
    if plugin.manifest is None or library is None:
        raise ManifestError(f"{plugin.distribution} has no manifest", remedy=plugin.remedy)
    # Links are followed once, so that a library has one name whoever loads it.
    return plugin.manifest, library.resolve()


def _require_compatible(manifest: Manifest, tensorrt: InstalledTensorRT) -> None:
    verdict = compatibility.judge(manifest, environment.read(tensorrt))
    if isinstance(verdict, compatibility.Incompatible):
        raise IncompatiblePluginError(
            f"{manifest.package} {manifest.version} does not fit this machine", reasons=verdict.reasons
        )


def _bring_in(registry: Any, ready: _Ready, manifest: Manifest, tensorrt: InstalledTensorRT) -> Any:
    """Let the library register its creators, each style in its own way; gives what keeps it."""
    from trtreg.foreign import opening

    library, loadable, beside = ready.opened.path, ready.opened.loadable, ready.beside
    if manifest.library.registration != "dynamic":
        return opening.open_library(library, tensorrt, manifest.library.init, loadable=loadable, beside=beside)
    opening.open_neighbours(library, beside)
    with flavour.capture() as messages:
        handle = registry.load_library(str(loadable))
    if handle is None:
        raise _library_file.explain_refusal(library, messages, owner=manifest.package, loadable=loadable)
    return handle


def _creators_missing(
    plugin: InstalledPlugin, library: Path, absent: Iterable[CreatorKey], appeared: Iterable[CreatorKey]
) -> CreatorsMissingError:
    found, remedy = CreatorKey.listed(appeared), f"{plugin.remedy}, or ask its author to rebuild it"
    registration = plugin.manifest.library.registration if plugin.manifest else "dynamic"
    if registration == "static" and not found:
        # Initialisers run once in a process, whoever opened the library and however often.
        elsewhere = [known for known in _plugins.values() if known.library == library]
        where = f"with {elsewhere[0].tensorrt.flavour.module}" if elsewhere else "before"
        found = f"no new creator: it registers itself once in a process, and was opened {where}"
        remedy = "load it in a new process, and there with one TensorRT only"
    return _library_file.creators_missing(library, absent, found, remedy=remedy)
