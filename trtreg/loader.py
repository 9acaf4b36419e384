"""Bringing plugin libraries into TensorRT's registry, and saying why one does not go in.

TensorRT's own answer is a silent None, and the dynamic linker ends the process on a truncated file. So all that can be
known is checked first, on the file: hash, machine, entry points. What TensorRT still refuses is then explained.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from trtreg import _library_file, compatibility, discovery, environment, flavour
from trtreg.errors import (
    AlreadyRegisteredError,
    CreatorsMissingError,
    IncompatiblePluginError,
    ManifestError,
    UnknownPluginError,
)
from trtreg.manifest import CreatorKey

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from trtreg.discovery import InstalledPlugin
    from trtreg.flavour import InstalledTensorRT
    from trtreg.manifest import Manifest

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
    None where somebody else had loaded the library.
    """

    plugin: InstalledPlugin
    tensorrt: InstalledTensorRT
    library: Path
    sha256: str
    creators: tuple[CreatorKey, ...]
    handle: Any = None

    @property
    def adopted(self) -> bool:
        """Whether somebody else loaded the library, so that it is not ours to unload."""
        return self.handle is None

    @property
    def removable(self) -> bool:
        """Whether `unload` can take it out: the registry has no way to forget a library that registered itself."""
        manifest = self.plugin.manifest
        return self.handle is not None and manifest is not None and manifest.library.registration == "dynamic"


def load(plugin: InstalledPlugin, *, tensorrt: InstalledTensorRT | None = None) -> LoadedPlugin:
    """Load the plugin's library into the registry of TensorRT (default: the selected one) and prove that it is there.

    Idempotent and thread-safe: a second call gives the same object. Raises IncompatiblePluginError with every reason,
    or the LoadError that names what is wrong.
    """
    manifest, library = _require_sound(plugin)
    chosen = tensorrt or flavour.select()
    # Before our lock is taken: while TensorRT is imported, autoload calls this function for every plugin.
    flavour.load(chosen)
    with _lock:
        key = (chosen.flavour, str(library))
        known = _plugins.get(key)
        if known is None or known.sha256 != manifest.library.sha256 or not _is_current(known):
            known = _plugins[key] = _load(plugin, manifest, library, chosen)
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
            gone = gone and not any(creator in _registered(registry) for creator in known.creators)
        return gone


def loaded() -> tuple[LoadedPlugin, ...]:
    """The plugins that `load` brought in or found in the registry."""
    with _lock:
        return tuple(_plugins.values())


def _is_current(known: LoadedPlugin) -> bool:
    """Whether nobody has deregistered the library since."""
    registered = _registered(flavour.load(known.tensorrt).get_plugin_registry())
    return all(creator in registered for creator in known.creators)


def _load(plugin: InstalledPlugin, manifest: Manifest, library: Path, tensorrt: InstalledTensorRT) -> LoadedPlugin:
    name = plugin.distribution
    # Before the verdict: it names both libraries, where the verdict knows versions only.
    _library_file.check_linkage(library, manifest.library.needed, manifest.library, tensorrt, owner=name)
    _require_compatible(manifest, tensorrt)
    _library_file.check(library, manifest.library, tensorrt, owner=name, remedy=plugin.remedy)
    registry = flavour.load(tensorrt).get_plugin_registry()
    declared = tuple(creator.key for creator in manifest.library.creators)
    before = _registered(registry)
    handle = None
    if not _is_adoptable(library, declared, before, name):
        handle = _bring_in(registry, library, manifest, tensorrt)
        after = _registered(registry)
        absent = [creator for creator in declared if creator not in after]
        if absent:
            if manifest.library.registration == "dynamic":
                registry.deregister_library(handle)
            raise _creators_missing(plugin, library, absent, set(after) - set(before))
    return LoadedPlugin(
        plugin=plugin,
        tensorrt=tensorrt,
        library=library,
        sha256=manifest.library.sha256,
        creators=declared,
        handle=handle,
    )


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


def _registered(registry: Any) -> dict[CreatorKey, Any]:
    """All creators; asking for one by name would log an error where it is absent."""
    return {
        CreatorKey(creator.name, creator.plugin_version, creator.plugin_namespace): creator
        for creator in registry.all_creators
    }


def _is_adoptable(
    library: Path, declared: tuple[CreatorKey, ...], registered: dict[CreatorKey, Any], distribution: str
) -> bool:
    """Whether this very library is in the registry already; AlreadyRegisteredError if another one has its creators."""
    from trtreg._creator_origin import DELETED, library_of

    present = [key for key in declared if key in registered]
    origins = {key: library_of(registered[key]) for key in present}
    others = {key: origin for key, origin in origins.items() if origin != library}
    if others:
        owners = dict.fromkeys(_owner(origin) for origin in others.values())
        raise AlreadyRegisteredError(
            f"Creators of {distribution} are already registered: {_join(others)}",
            found=f"they come from {', '.join(owners)}",
            expected=f"no creators of these names, or those of {library}",
            remedy="restart the process: the library was replaced while in use"
            if any(str(origin).endswith(DELETED) for origin in others.values())
            else "uninstall one of the two packages, or do not load the other one in this process",
        )
    if present and len(present) < len(declared):
        raise AlreadyRegisteredError(
            f"Some creators of {distribution} are registered, and some are not",
            found=_join(present),
            expected=_join(declared),
            remedy="restart the process: somebody has removed a part of them",
        )
    return bool(present)


def _owner(library: Path | None) -> str:
    """The package that a library belongs to, and its path."""
    if library is None:
        return "an unknown library"
    for plugin in discovery.discover():
        if plugin.library_path and plugin.library_path.resolve() == library:
            return f"{plugin.distribution} {plugin.version} ({library})"
    name = discovery.distribution_of(library)
    return f"{name} ({library})" if name else str(library)


def _bring_in(registry: Any, library: Path, manifest: Manifest, tensorrt: InstalledTensorRT) -> Any:
    """Let the library register its creators, each style in its own way; gives what keeps it."""
    if manifest.library.registration != "dynamic":
        from trtreg.foreign import opening

        return opening.open_library(library, tensorrt, manifest.library.init)
    with flavour.capture() as messages:
        handle = registry.load_library(str(library))
    if handle is None:
        raise _library_file.explain_refusal(library, messages, owner=manifest.package)
    return handle


def _creators_missing(
    plugin: InstalledPlugin, library: Path, absent: Iterable[CreatorKey], appeared: Iterable[CreatorKey]
) -> CreatorsMissingError:
    found = _join(appeared) or "no new creator"
    elsewhere = [known for known in _plugins.values() if known.library == library]
    registration = plugin.manifest.library.registration if plugin.manifest else "dynamic"
    if registration == "static" and found == "no new creator":
        # Initialisers run once in a process, whoever opened the library and however often.
        where = f"with {elsewhere[0].tensorrt.flavour.module}" if elsewhere else "before"
        found = f"no new creator: it registers itself once in a process, and was opened {where}"
        remedy = "load it in a new process, and there with one TensorRT only"
    else:
        remedy = f"{plugin.remedy}, or ask its author to rebuild it"
    return CreatorsMissingError(
        f"{library} was loaded without the creators that its manifest declares: {_join(absent)}",
        found=found,
        remedy=remedy,
    )


def _join(keys: Iterable[CreatorKey]) -> str:
    return ", ".join(str(key) for key in sorted(keys))
