"""Two packages that would register the same creator: they are not loaded together. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from trtreg.collision import remedy
from trtreg.errors import ConflictingPluginsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trtreg.discovery import InstalledPlugin
    from trtreg.manifest import CreatorKey
    from trtreg.preferences import Preferences

__all__ = ["refuse"]


def refuse(
    registered: Mapping[str, Iterable[CreatorKey]],
    installed: Iterable[InstalledPlugin],
    preferences: Preferences | None = None,
) -> None:
    """Refuse what TensorRT's registry would refuse at run time, when it is too late to choose; tells all of it at once.

    `registered` says what each package to be installed registers, by its name and version; `installed` are the plugins
    that stay. What is preferred for a creator that two have is chosen already, so that they may be side by side.
    """
    owners: dict[CreatorKey, tuple[str, str]] = {}
    for plugin in installed:
        label = f"{canonicalize_name(plugin.distribution)} {plugin.version}, which is installed,"
        for creator in plugin.manifest.library.creators if plugin.manifest else ():
            owners[creator.key] = (label, plugin.distribution)
    found = []
    for label, keys in sorted(registered.items()):
        name = label.split()[0]
        for key in keys:
            owner, other = owners.setdefault(key, (label, name))
            decided = preferences and (preferences.is_for(key, name) or preferences.is_for(key, other))
            if owner != label and not decided:
                found.append((f"{label} and {owner} both register the op {key}", key, name))
    if found:
        lines = [line for line, _, _ in found]
        hint = remedy(found[0][1], [found[0][2]])
        raise ConflictingPluginsError(
            lines[0] if len(lines) == 1 else "\n- ".join(["Packages would register the same ops", *lines]),
            remedy=f"take one of them: `trtreg uninstall` removes an installed one; or {hint}",
        )
