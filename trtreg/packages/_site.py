"""The distributions of this Python environment, looked at anew each time: an installer changes them meanwhile."""

from __future__ import annotations

import importlib
import shutil
from importlib.metadata import Distribution, MetadataPathFinder, PackageNotFoundError
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from trtreg import discovery

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["clear_debris", "distribution", "is_own", "look_anew", "places", "plugin_versions"]


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


def clear_debris(names: Iterable[str]) -> None:
    """Delete what a killed installer has left of distributions: metadata that lack a part of themselves.

    An installer would take such a one for installed, or refuse to touch it. OSError where it cannot be deleted.
    """
    wanted = {canonicalize_name(name) for name in names}
    for place in places():
        for info in place.glob("*.dist-info"):
            name = info.name.removesuffix(".dist-info").partition("-")[0]
            if canonicalize_name(name) in wanted and not _is_whole(info):
                shutil.rmtree(info)
    look_anew()


def _is_whole(info: Path) -> bool:
    """Whether all metadata are there that RECORD lists, which pip writes last and uv among the first."""
    try:
        lines = (info / "RECORD").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return False
    names = [line.partition(",")[0] for line in lines if line.startswith(f"{info.name}/")]
    return (info / "METADATA").is_file() and all((info.parent / name).is_file() for name in names)


def is_own(found: Distribution | None) -> bool:
    """Whether it is of this environment; another may lie behind it, as the system's behind a virtual environment."""
    return found is not None and Path(str(found.locate_file(""))).resolve() in places()


def look_anew() -> None:
    """Forget what was found before."""
    importlib.invalidate_caches()
    # Called on an object: before Python 3.12 it is no class method.
    MetadataPathFinder().invalidate_caches()
