"""Bringing plugin libraries into TensorRT's registry, and saying why one does not go in.

TensorRT's own answer is a silent None, and the dynamic linker ends the process on a truncated file. So all that can be
known is checked first, on the file: hash, machine, entry points. What TensorRT still refuses is then explained.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from trtreg import compatibility, discovery, environment, flavour
from trtreg.errors import (
    AlreadyRegisteredError,
    CreatorsMissingError,
    HashMismatchError,
    IncompatiblePluginError,
    LoadError,
    ManifestError,
    MissingDependencyError,
    NotAPluginError,
    UnknownPluginError,
    WrongArchitectureError,
)
from trtreg.manifest import CreatorKey

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from trtreg.discovery import InstalledPlugin
    from trtreg.flavour import InstalledTensorRT
    from trtreg.manifest import Library, Manifest

__all__ = ["LoadedPlugin", "load", "loaded", "unload"]

_ENTRY_POINT: Final = "getCreators"

_lock: Final = RLock()
_plugins: Final[dict[tuple[flavour.Flavour, str], LoadedPlugin]] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedPlugin:
    """A plugin whose creators are in the registry; `handle` is None where somebody else had loaded the library."""

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


def load(plugin: InstalledPlugin, *, tensorrt: InstalledTensorRT | None = None) -> LoadedPlugin:
    """Load the plugin's library into the registry of TensorRT (default: the selected one) and prove that it is there.

    Idempotent and thread-safe: a second call gives the same object. Raises IncompatiblePluginError with every reason,
    or the LoadError that names what is wrong.
    """
    manifest, library = _require_sound(plugin)
    with _lock:
        chosen = tensorrt or flavour.select()
        key = (chosen.flavour, str(library))
        known = _plugins.get(key)
        if known is None or known.sha256 != manifest.library.sha256 or not _is_current(known):
            known = _plugins[key] = _load(plugin, manifest, library, chosen)
        return known


def unload(plugin: InstalledPlugin | LoadedPlugin | str) -> bool:
    """Take a loaded plugin out of the registry; tells whether its creators are gone.

    They stay (False) where somebody else loaded the library. Nothing may use the plugin any more: no network, engine
    or context with a layer of it.
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
            if known.handle is not None and _is_current(known):
                registry.deregister_library(known.handle)
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
    _require_compatible(manifest, tensorrt)
    _check_file(library, manifest.library, name)
    registry = flavour.load(tensorrt).get_plugin_registry()
    declared = tuple(creator.key for creator in manifest.library.creators)
    before = _registered(registry)
    handle = None
    if not _is_adoptable(library, declared, before, name):
        handle = _load_library(registry, library, name)
        after = _registered(registry)
        absent = [creator for creator in declared if creator not in after]
        if absent:
            registry.deregister_library(handle)
            raise _creators_missing(name, library, absent, set(after) - set(before))
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
        raise ManifestError(f"{plugin.distribution} has no manifest", remedy=f"reinstall {plugin.distribution}")
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


def _check_file(path: Path, library: Library, distribution: str) -> None:
    """Check the library on disk against its manifest, and that TensorRT can open it."""
    from trtreg import _elf

    remedy = f"reinstall {distribution}"
    try:
        with path.open("rb") as file:
            size, digest = os.fstat(file.fileno()).st_size, _sha256(file)
            if size != library.size or digest != library.sha256:
                raise HashMismatchError(
                    f"{path} is not the library that its manifest describes",
                    found=f"sha256 {digest} ({size} bytes)",
                    expected=f"{library.sha256} ({library.size} bytes)",
                    remedy=remedy,
                )
            file.seek(0)
            facts = _elf.read(file)
    except OSError as error:
        raise LoadError(f"{path} cannot be read", found=error.strerror or str(error), remedy=remedy) from error
    except _elf.BadElfError as error:
        raise NotAPluginError(f"{path} is no shared library", found=str(error), remedy=remedy) from error
    here = os.uname().machine
    if facts.machine != here:
        raise WrongArchitectureError(
            f"{path} is for another machine",
            found=facts.machine,
            expected=here,
            remedy=f"install the wheel of {distribution} for {here}",
        )
    if not facts.is_shared or _ENTRY_POINT not in facts.exports:
        raise NotAPluginError(
            f"{path} is no TensorRT plugin library",
            found="no exported function getCreators",
            expected='extern "C" getCreators(int32_t&), as the SDK of trtreg makes it',
            remedy=f"ask the author of {distribution}, or build it with the SDK",
        )


def _sha256(file: Any) -> str:
    from hashlib import sha256

    digest = sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


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


def _load_library(registry: Any, library: Path, distribution: str) -> Any:
    with flavour.capture() as messages:
        handle = registry.load_library(str(library))
    if handle is not None:
        return handle
    from trtreg import _dependencies

    obstacles = _dependencies.find_obstacles(library)
    if obstacles.missing:
        raise MissingDependencyError(
            f"{library} needs libraries that are not on this machine",
            found=f"no {', '.join(obstacles.missing)}",
            remedy=f"install what has them and put it on the loader's path, or ask the author of {distribution}",
        )
    said = [*obstacles.complaints, *(text for severity, text in messages if severity in {"error", "internal_error"})]
    raise LoadError(
        f"TensorRT did not take {library}",
        found="; ".join(said) or "no reason given, and nothing amiss in the library",
        remedy=f"ask the author of {distribution}" if said else "try again in a new process",
    )


def _creators_missing(
    distribution: str, library: Path, absent: Iterable[CreatorKey], appeared: Iterable[CreatorKey]
) -> CreatorsMissingError:
    return CreatorsMissingError(
        f"{library} was loaded without the creators that its manifest declares: {_join(absent)}",
        found=_join(appeared) or "no new creator",
        remedy=f"reinstall {distribution}, or ask its author to rebuild it",
    )


def _join(keys: Iterable[CreatorKey]) -> str:
    return ", ".join(str(key) for key in sorted(keys))
