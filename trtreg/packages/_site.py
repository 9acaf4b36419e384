"""The distributions of this Python environment, looked at anew each time: an installer changes them meanwhile."""

from __future__ import annotations

import importlib
from importlib.metadata import Distribution, MetadataPathFinder, PackageNotFoundError
from pathlib import Path

from packaging.utils import canonicalize_name

from trtreg import discovery

__all__ = ["distribution", "is_own", "look_anew", "places", "plugin_versions"]


def plugin_versions() -> dict[str, str]:
    """The plugins that are installed now, by normalised name."""
    look_anew()
    return {
        canonicalize_name(plugin.distribution): plugin.version for plugin in discovery.discover() if not plugin.added
    }


def distribution(name: str) -> Distribution | None:
    """The first of that name on the path."""
    look_anew()
    try:
        return Distribution.from_name(name)
    except PackageNotFoundError:
        return None


def places() -> tuple[Path, ...]:
    """Where the installer puts packages."""
    import site
    import sysconfig

    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    if site.ENABLE_USER_SITE:
        folders.append(site.getusersitepackages())
    return tuple(Path(folder).resolve() for folder in folders)


def is_own(found: Distribution | None) -> bool:
    """Whether it is of this environment; another may lie behind it, as the system's behind a virtual environment."""
    return found is not None and Path(str(found.locate_file(""))).resolve() in places()


def look_anew() -> None:
    """Forget what was found before."""
    importlib.invalidate_caches()
    # Called on an object: before Python 3.12 it is no class method.
    MetadataPathFinder().invalidate_caches()
