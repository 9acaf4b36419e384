"""Two packages that would register the same creator: the second one does not load. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from trtreg.errors import ConflictingPluginsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trtreg.discovery import InstalledPlugin
    from trtreg.manifest import CreatorKey

__all__ = ["refuse"]


def refuse(registered: Mapping[str, Iterable[CreatorKey]], installed: Iterable[InstalledPlugin]) -> None:
    """Refuse what TensorRT's registry would refuse at run time, when it is too late to choose.

    `registered` says what each package to be installed registers, `installed` are the plugins that stay.
    """
    owners: dict[CreatorKey, str] = {}
    for plugin in installed:
        label = f"{canonicalize_name(plugin.distribution)} {plugin.version}, which is installed,"
        for creator in plugin.manifest.library.creators if plugin.manifest else ():
            owners[creator.key] = label
    for label, keys in sorted(registered.items()):
        for key in keys:
            owner = owners.setdefault(key, label)
            if owner != label:
                raise ConflictingPluginsError(
                    f"{label} and {owner} both register the op {key}",
                    remedy="take one of them: `trtreg uninstall` removes an installed one",
                )
