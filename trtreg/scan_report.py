"""What a scan found: each node that needs a plugin, what stands behind it, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trtreg.attributes import Fault
    from trtreg.collision import Collision
    from trtreg.discovery import InstalledPlugin
    from trtreg.manifest import CreatorKey
    from trtreg.packages.offers import Offer

__all__ = ["PluginNode", "ScanReport", "Status"]


class Status(Enum):
    """What stands behind a node that names a plugin."""

    PROVIDED = "provided"
    """An installed package has the creator, and fits this machine."""
    INCOMPATIBLE = "incompatible"
    """Only packages that do not fit this machine have the creator."""
    MISSING = "missing"
    """Neither TensorRT's parser nor an installed package knows the op."""
    INVALID = "invalid"
    """A `Plugin` node whose `info` cannot be read."""
    NATIVE = "native"
    """TensorRT's parser imports the op itself and bypasses an installed plugin, or TensorRT's own is preferred."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PluginNode:
    """A node that is no native operator, or that a plugin shares its name with; `where` is () for the main graph."""

    name: str
    op: str
    domain: str
    version: str
    namespace: str
    outputs: tuple[str, ...]
    where: tuple[str, ...]
    convention: str
    """"onnx", or "Plugin" for a node that names its op in attributes."""
    status: Status
    plugin: InstalledPlugin | None = field(default=None, repr=False)
    creator: CreatorKey | None = None
    reason: str | None = None
    """Why it is not provided, in one line."""
    nearest: tuple[str, ...] = ()
    """Known names that look like the missing one."""
    faults: tuple[Fault, ...] = ()
    """What is wrong with its attributes, by the fields of the creator that would take it."""
    preferred: bool = False
    """Whether it shall be a plugin although TensorRT's parser, or a function of the model, has the op."""
    offers: tuple[Offer, ...] = ()
    """Releases in catalogues that have it, where no installed package does; those that fit come first."""

    wanted: tuple[CreatorKey, ...] = ()
    """The creators that the node itself names, by its op, attributes and domain; the parser's first choice first."""

    @property
    def title(self) -> str:
        """The node's name, or what it computes where it has none."""
        return self.name or ", ".join(self.outputs)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanReport:
    """All of a model's plugin nodes in graph order; `total` counts every node, also in subgraphs and functions.

    `collisions` are the creators that several of the installed packages have.
    """

    label: str
    total: int
    nodes: tuple[PluginNode, ...]
    collisions: tuple[Collision, ...] = ()

    @property
    def missing(self) -> tuple[PluginNode, ...]:
        """The nodes that stand in the way of a conversion."""
        return tuple(n for n in self.nodes if n.status not in {Status.PROVIDED, Status.NATIVE})

    @property
    def faulty(self) -> tuple[PluginNode, ...]:
        """The nodes whose plugin is there and would refuse their attributes."""
        return tuple(n for n in self.nodes if n.status is Status.PROVIDED and any(f.fatal for f in n.faults))

    @property
    def complete(self) -> bool:
        """Whether nothing that is known stands in the way of a conversion."""
        return not self.missing and not self.faulty and not any(one.fatal for one in self.collisions)

    @property
    def provided(self) -> tuple[PluginNode, ...]:
        """The nodes that an installed package computes."""
        return tuple(n for n in self.nodes if n.status is Status.PROVIDED)

    @property
    def plugins(self) -> tuple[InstalledPlugin, ...]:
        """The packages that the model needs, each once, by name."""
        used = {n.plugin.distribution: n.plugin for n in self.nodes if n.status is Status.PROVIDED and n.plugin}
        return tuple(used[name] for name in sorted(used))

    @property
    def creators(self) -> tuple[CreatorKey, ...]:
        """The creators that the model needs from those packages, each once."""
        return tuple(sorted({n.creator for n in self.nodes if n.status is Status.PROVIDED and n.creator}))
