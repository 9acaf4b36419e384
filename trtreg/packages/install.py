"""Carrying out a plan: fetch and verify every wheel, then let the environment's installer work, or leave all as it was.

Nothing is touched before everything is fetched, verified and judged. If a later step fails, the plugins that it
concerned are put back as they were; the error says what is installed then.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from trtreg import compatibility, discovery, preferences
from trtreg.errors import IncompatiblePluginError, InstallerError, UnknownPluginError
from trtreg.packages import _site, _transaction, conflicts

if TYPE_CHECKING:
    from trtreg.discovery import InstalledPlugin
    from trtreg.environment import Environment
    from trtreg.manifest import CreatorKey
    from trtreg.packages.installer import Installer
    from trtreg.packages.wheels import Fetched

__all__ = ["OnStep", "apply", "check", "uninstall"]

OnStep: TypeAlias = Callable[[str], object]
"""Called with one line before each step that may take a while."""


def check(
    wheels: Iterable[Fetched],
    environment: Environment,
    installed: Iterable[InstalledPlugin],
    remove: Iterable[str] = (),
) -> None:
    """Judge the wheels by their own manifests, as a catalogue may be wrong: they fit, and do not conflict."""
    registered: dict[str, list[CreatorKey]] = {}
    projects = {canonicalize_name(name) for name in remove}
    for fetched in wheels:
        name = f"{fetched.wheel.project} {fetched.wheel.version}"
        projects.add(canonicalize_name(fetched.wheel.project))
        for manifest in fetched.manifests:
            verdict = compatibility.judge(manifest, environment)
            if isinstance(verdict, compatibility.Incompatible):
                raise IncompatiblePluginError(f"{name} does not fit this machine", reasons=verdict.reasons)
            registered.setdefault(name, []).extend(manifest.library.keys)
    others = [p for p in installed if canonicalize_name(p.distribution) not in projects]
    conflicts.refuse(registered, others, preferences.read())


def apply(
    wheels: Sequence[Fetched],
    installer: Installer,
    *,
    remove: Sequence[str] = (),
    on_step: OnStep | None = None,
) -> tuple[str, ...]:
    """Install the wheels, then what else they require, and uninstall `remove`; gives the further requirements."""
    say = on_step or (lambda _: None)
    installer.check_environment()
    _refuse_foreign(remove)
    _refuse_shadowed(fetched.wheel.project for fetched in wheels)
    names = [*(fetched.wheel.project for fetched in wheels), *map(canonicalize_name, remove)]
    with _transaction.restored_on_failure(names, installer, [fetched.path for fetched in wheels]):
        if wheels:
            say(f"Installing {_listed(wheels)} with {installer.name}")
            _clear_debris(wheels)
            force = any(_same(_installed_version(f.wheel.project), f.wheel.version) for f in wheels)
            installer.install_wheels(wheels, force=force)
            _verify(wheels)
            further = _further(wheels)
            if further:
                say(f"Installing what they require, from your own indexes: {', '.join(further)}")
                installer.install_requirements(further, _constraints())
                _verify(wheels)
        else:
            further = ()
        if remove:
            say(f"Uninstalling {', '.join(remove)} with {installer.name}")
            _uninstall(remove, installer)
    return further


def uninstall(names: Sequence[str], installer: Installer) -> None:
    """Uninstall plugins; UnknownPluginError for what is none, before anything is touched."""
    plugins = [discovery.find(name) for name in names]
    for plugin in plugins:
        if plugin.added:
            raise UnknownPluginError(
                f"{plugin.distribution} is no package, but an added library",
                remedy=f"trtreg add --remove {plugin.distribution}",
            )
    installer.check_environment()
    distributions = [*dict.fromkeys(plugin.distribution for plugin in plugins)]
    _refuse_foreign(distributions)
    with _transaction.restored_on_failure([canonicalize_name(name) for name in distributions], installer):
        _uninstall(distributions, installer)


def _clear_debris(wheels: Iterable[Fetched]) -> None:
    try:
        _site.clear_debris(fetched.wheel.project for fetched in wheels)
    except OSError as e:
        raise InstallerError("What a broken-off installation has left cannot be deleted", found=str(e)) from e


def _installed_version(name: str) -> str | None:
    """The version that an installer sees, though the package may be no plugin that works."""
    found = _site.distribution(name)
    return found.version if found is not None and _site.is_own(found) else None


def _uninstall(names: Sequence[str], installer: Installer) -> None:
    installer.uninstall(names)
    left = [name for name in names if _site.is_own(_site.distribution(name))]
    if left:
        raise InstallerError(
            f"{installer.name} did not uninstall {', '.join(left)}", remedy="it may be installed twice"
        )


def _refuse_foreign(names: Iterable[str]) -> None:
    """Refuse to uninstall what was put on the path by other means: no installer does that."""
    for name in names:
        distribution = _site.distribution(name)
        if distribution is not None and not _site.is_own(distribution):
            raise InstallerError(
                f"{name} {distribution.version} is not of this environment",
                found=f"{distribution.locate_file('')}",
                expected=" or ".join(dict.fromkeys(map(str, _site.places()))),
                remedy="remove it there, or take its folder from PYTHONPATH",
            )


def _refuse_shadowed(names: Iterable[str]) -> None:
    """Refuse to install what another copy on the path would hide."""
    for name in names:
        distribution = _site.distribution(name)
        if distribution is None:
            continue
        folder = Path(str(distribution.locate_file("")))
        path = [Path(entry).resolve() for entry in sys.path]
        own = [path.index(place) for place in _site.places() if place in path]
        if folder.resolve() in path and own and path.index(folder.resolve()) < min(own):
            raise InstallerError(
                f"Another {name} stands before whatever would be installed",
                found=f"{distribution.version} in {folder}",
                remedy="remove it, or take its folder from PYTHONPATH",
            )


def _verify(wheels: Iterable[Fetched]) -> None:
    """Prove that what was installed is what is found, and whole."""
    _site.look_anew()
    plugins = discovery.discover()
    for fetched in wheels:
        wheel = fetched.wheel
        found = [plugin for plugin in plugins if discovery.same_name(plugin.distribution, wheel.project)]
        if not found:
            raise InstallerError(
                f"{wheel.project} {wheel.version} was installed, but is not to be found",
                remedy=f"see where {sys.executable} looks for packages",
            )
        for plugin in found:
            if not _same(plugin.version, wheel.version):
                raise InstallerError(
                    f"Another {wheel.project} is found than the one that was installed",
                    found=f"{plugin.version} in {plugin.root}",
                    expected=wheel.version,
                )
            if plugin.problem is not None:
                raise plugin.problem


def _further(wheels: Iterable[Fetched]) -> tuple[str, ...]:
    """What the wheels require besides plugins, and is not installed."""
    plugins = _site.plugin_versions()
    further: dict[str, None] = {}
    for fetched in wheels:
        for text in fetched.requires:
            requirement = Requirement(text)
            if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
                continue
            if canonicalize_name(requirement.name) not in {*plugins, "trtreg"} and not _is_met(requirement):
                requirement.marker = None
                further[str(requirement)] = None
    return tuple(further)


def _is_met(requirement: Requirement) -> bool:
    """Whether it is installed; what an extra or a URL stands for, the installer has to say."""
    if requirement.extras or requirement.url:
        return False
    found = _site.distribution(requirement.name)
    return found is not None and requirement.specifier.contains(found.version, prereleases=True)


def _constraints() -> tuple[str, ...]:
    """Hold the plugins and trtreg itself at what they are, so that no other index can supply these names."""
    from trtreg import __version__

    return (*(f"{name}=={version}" for name, version in _site.plugin_versions().items()), f"trtreg=={__version__}")


def _same(one: str | None, other: str) -> bool:
    return one is not None and Version(one) == Version(other)


def _listed(wheels: Iterable[Fetched]) -> str:
    return ", ".join(f"{fetched.wheel.project} {fetched.wheel.version}" for fetched in wheels)
