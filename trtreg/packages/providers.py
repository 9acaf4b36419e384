"""Which packages a model still needs: from the scan's missing ops to what the resolver shall find. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from packaging.utils import canonicalize_name

from trtreg.errors import AmbiguousProviderError, NoFittingReleaseError, UnsupportedNodesError
from trtreg.manifest import CreatorKey
from trtreg.packages import _release_fit
from trtreg.packages._release_fit import Target, Wanted

if TYPE_CHECKING:
    from trtreg.discovery import InstalledPlugin
    from trtreg.packages.release import Release
    from trtreg.packages.resolve import Similar
    from trtreg.scan import PluginNode

__all__ = ["Need", "Providing", "choose", "needs"]

Providing: TypeAlias = Callable[[CreatorKey], "Sequence[Release]"]
"""The releases that have a creator."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """An op that a model needs: the creators that would do, the preferred one first, and how to name it."""

    keys: tuple[CreatorKey, ...]
    title: str
    nearest: tuple[str, ...] = ()


def needs(nodes: Iterable[PluginNode]) -> tuple[Need, ...]:
    """Each op once, in the order of the nodes that lack it."""
    found: dict[tuple[CreatorKey, ...], Need] = {}
    for node in nodes:
        keys = [CreatorKey(node.op, node.version, node.namespace)]
        if node.convention == "onnx" and node.domain != node.namespace:
            keys.append(CreatorKey(node.op, node.version, node.domain))
        found.setdefault(tuple(keys), Need(keys=tuple(keys), title=str(keys[0]), nearest=node.nearest))
    return tuple(found.values())


def choose(
    wants: Iterable[Need],
    *,
    providing: Providing,
    installed: Iterable[InstalledPlugin],
    target: Target,
    preferred: Iterable[str] = (),
    similar: Similar | None = None,
) -> tuple[Wanted, ...]:
    """Name one package for each op.

    Of several, it is the one among `preferred`, else the one that is installed (in another version), else one that
    the model needs anyhow; else they are ambiguous.
    """
    first = {canonicalize_name(name) for name in preferred}
    second = {canonicalize_name(plugin.distribution) for plugin in installed}
    offers = [(need, *_offer(need, providing, target)) for need in wants]
    lacking = [need for need, _, projects, unfit in offers if not projects and not unfit]
    _refuse_missing(lacking, similar or (lambda _: ()))
    for need, _, projects, unfit in offers:
        if not projects:
            lines = "\n".join(f"- {line}" for line in unfit[:5])
            raise NoFittingReleaseError(f"No release with the op {need.title} fits here:\n{lines}")
    chosen: dict[str, Wanted] = {}
    # What leaves no choice comes first: it may settle the others.
    for need, key, projects, _ in sorted(offers, key=lambda offer: len(offer[2])):
        name = _one_of(need, projects, (first, second, set(chosen)))
        want = Wanted(project=name, creators=frozenset([key]), because=(f"has the op {need.title}",))
        chosen[name] = chosen[name] & want if name in chosen else want
    return tuple(chosen[name] for name in sorted(chosen))


def _offer(need: Need, providing: Providing, target: Target) -> tuple[CreatorKey, list[str], list[str]]:
    """The first creator that a fitting release has, the projects of such releases, and why others do not fit."""
    unfit = []
    for key in need.keys:
        projects = set()
        for release in providing(key):
            against = _release_fit.obstacles(release, Wanted(project=release.project), target)
            if not against:
                projects.add(release.project)
            else:
                unfit.append(f"{release.project} {release.version}: {'; '.join(map(str, against))}")
        if projects:
            return key, sorted(projects), []
    return need.keys[0], [], unfit


def _one_of(need: Need, projects: Sequence[str], groups: Iterable[Collection[str]]) -> str:
    if len(projects) == 1:
        return projects[0]
    for group in groups:
        inside = [name for name in projects if name in group]
        if len(inside) == 1:
            return inside[0]
    raise AmbiguousProviderError(
        f"{len(projects)} packages provide the op {need.title}",
        found=", ".join(projects),
        remedy=f"name the one to take: --prefer {projects[0]}",
    )


def _refuse_missing(lacking: Sequence[Need], similar: Similar) -> None:
    if not lacking:
        return
    lines = []
    for need in lacking:
        near = dict.fromkeys([*similar(need.keys[0].name), *need.nearest])
        question = f"; did you mean {', '.join(near)}?" if near else ""
        lines.append(f"- {need.title}{question}")
    raise UnsupportedNodesError("\n".join(["No package in the indexes provides:", *lines]))
