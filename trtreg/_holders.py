"""Who has which creator already: the registry of this process, and the libraries inside an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trtreg import _adoption, embedded, flavour, load_plan
from trtreg.collision import Holder, holder_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from trtreg.discovery import InstalledPlugin
    from trtreg.flavour import InstalledTensorRT
    from trtreg.manifest import CreatorKey
    from trtreg.preferences import Preferences

__all__ = ["embedded_in", "holder", "owned_later", "register_own", "registered"]


def registered(
    tensorrt: InstalledTensorRT, keys: Collection[CreatorKey], plugins: Sequence[InstalledPlugin]
) -> dict[CreatorKey, Holder]:
    """Who has these creators in the registry of TensorRT, which is imported; `plugins` are the installed packages."""
    from trtreg import loader
    from trtreg._creator_origin import library_of

    registry = flavour.load(tensorrt).get_plugin_registry()
    found = {key: creator for key, creator in _adoption.registered(registry).items() if key in keys}
    if not found:
        return {}
    loaded = {
        key: known.plugin
        for known in loader.loaded()
        if known.tensorrt.flavour is tensorrt.flavour
        for key in known.creators
    }
    origins = {key: library_of(creator) for key, creator in found.items() if key not in loaded}
    # Once for each library: finding the package that a file belongs to takes its time.
    holders = {library: holder(library, plugins) for library in set(origins.values())}
    return {key: holder_of(loaded[key]) if key in loaded else holders[origins[key]] for key in found}


def holder(library: Path | None, plugins: Sequence[InstalledPlugin]) -> Holder:
    """Whose the library is that a creator in the registry came from."""
    from trtreg import discovery
    from trtreg.foreign import linkage

    if library is None:
        return Holder(kind="process", name="an unknown library")
    if linkage.is_tensorrt(library.name):
        return Holder(kind="tensorrt", name=discovery.distribution_of(library) or "TensorRT", place=str(library))
    for plugin in plugins:
        if plugin.library_path and plugin.library_path.resolve() == library:
            return holder_of(plugin)
    name = discovery.distribution_of(library)
    return Holder(kind="process", name=name or "a library of this process", place=str(library))


def owned_later(
    tensorrt: InstalledTensorRT, keys: Collection[CreatorKey], preferences: Preferences
) -> dict[CreatorKey, Holder]:
    """The creators that are left to a TensorRT which registers its own only when a program asks for them.

    That is the full one, and `init_libnvinfer_plugins`: what is registered first stays. TensorRT-RTX has that function
    too, and it registers nothing (seen with 1.7.1).
    """
    if tensorrt.flavour is not flavour.Flavour.FULL:
        return {}
    own = Holder(kind="tensorrt", name=f"TensorRT {tensorrt.version}")
    return {key: own for key in keys if preferences.is_for_tensorrt(key)}


def register_own(tensorrt: InstalledTensorRT) -> None:
    """Have a full TensorRT register the plugins that it ships; it does so once, however often it is asked.

    One whose name somebody else has already is passed over, with an error of TensorRT's: see `PluginCreatorRegistry` in
    https://github.com/NVIDIA/TensorRT/blob/release/10.16/plugin/api/inferPlugin.cpp.
    """
    module: Any = flavour.load(tensorrt)
    if hasattr(module, "init_libnvinfer_plugins"):
        module.init_libnvinfer_plugins(flavour.logger(tensorrt), "")


def embedded_in(plan: bytes, plugins: Sequence[InstalledPlugin]) -> dict[CreatorKey, Holder]:
    """The creators of `plugins` that libraries inside the plan have too.

    Of a library that is, byte for byte, that of an installed package, its manifest tells; another one is not asked, as
    that would run its code: what counts is whether the creator's name stands in it.
    """
    found: dict[CreatorKey, Holder] = {}
    for library in embedded.find(plan):
        own = [
            plugin
            for plugin in plugins
            if plugin.manifest
            and library.is_library(plan, plugin.manifest.library.size, plugin.manifest.library.sha256)
        ]
        code = plan[library.offset : library.offset + library.size]
        name = f"the engine's copy of {own[0].distribution} {own[0].version}" if own else "a library in the engine"
        one = Holder(kind="engine", name=name, place=f"sha256 {library.sha256[:12]}")
        for plugin in own[:1] or plugins:
            found.update((key, one) for key in load_plan.creators(plugin) if own or key.name.encode() in code)
    return found
