"""Which nodes of a model need a plugin, which package has it, and what is missing or wrong. Loads no library.

Installed packages come first. What they lack is looked up in catalogues, where the caller gives a way to open them:
they are opened only then.
"""

from __future__ import annotations

from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from trtreg import attributes, load_choice, load_plan, native_operators, plugin_nodes
from trtreg import model as models
from trtreg import preferences as configured
from trtreg.errors import ModelError
from trtreg.scan_report import PluginNode, ScanReport, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from trtreg.collision import Collision
    from trtreg.discovery import InstalledPlugin
    from trtreg.environment import Environment
    from trtreg.manifest import Creator, CreatorKey
    from trtreg.packages.catalogue import Catalogues
    from trtreg.packages.offers import Offer, Shelf
    from trtreg.preferences import Preferences

__all__ = ["PluginNode", "ScanReport", "Status", "candidates", "needed_keys", "scan", "scan_model"]

OpenCatalogues: TypeAlias = "Callable[[], Catalogues | None]"
"""Opens the catalogues, or gives None where there are none."""


def scan(
    model: models.ModelSource,
    *,
    plugins: Iterable[InstalledPlugin] | None = None,
    environment: Environment | None = None,
    catalogues: OpenCatalogues | None = None,
) -> ScanReport:
    """Scan a model from a path, bytes or a ModelProto; external data is not read.

    `plugins` and `environment` default to what this machine has. `catalogues` is called at most once, when something
    is missing; the caller closes what it gives.
    """
    return scan_model(
        models.read(model, weights=False), plugins=plugins, environment=environment, catalogues=catalogues
    )


def scan_model(
    model: models.Model,
    *,
    plugins: Iterable[InstalledPlugin] | None = None,
    environment: Environment | None = None,
    is_native: Callable[[str], bool] | None = None,
    catalogues: OpenCatalogues | None = None,
    preferred: Mapping[str, str] = MappingProxyType({}),
    preferences: Preferences | None = None,
    own: Collection[CreatorKey] | None = None,
) -> ScanReport:
    """Scan a model that is read already; `is_native` defaults to the table of TensorRT-RTX that trtreg carries.

    `preferred` maps ops to the names of plugins that shall take their nodes, whoever else could. `preferences` say who
    is to have a creator that several have (default: as configured). `own` are the creators that TensorRT has of itself;
    None where that is not known, and what is preferred of them is believed.
    """
    from trtreg import discovery
    from trtreg import environment as environments

    installed = tuple(discovery.discover() if plugins is None else plugins)
    shop = _Shop(
        installed,
        environments.read() if environment is None else environment,
        native_operators.read().operators.__contains__ if is_native is None else is_native,
        catalogues,
        preferred,
        configured.read() if preferences is None else preferences,
        own,
    )
    total, nodes = _judge_all(model, shop)
    if shop.choose():
        total, nodes = _judge_all(model, shop)
    return ScanReport(label=model.label, total=total, nodes=nodes, collisions=shop.collisions())


def needed_keys(node: Any) -> tuple[CreatorKey, ...]:
    """The creators that the parser would take for the node, the preferred one first.

    It reads the node's attributes, and tries the node's domain as the namespace when that finds nothing.
    """
    from trtreg.manifest import CreatorKey

    op = plugin_nodes.named_op(node)
    name = op or node.op_type
    version = plugin_nodes.string_attribute(node, "plugin_version") or "1"
    namespaces = [plugin_nodes.string_attribute(node, "plugin_namespace") or ""]
    if op is None and node.domain not in namespaces:
        namespaces.append(node.domain)
    return tuple(CreatorKey(name, version, namespace) for namespace in namespaces)


def candidates(key: CreatorKey, plugins: Iterable[InstalledPlugin]) -> tuple[InstalledPlugin, ...]:
    """The packages that have the creator."""
    return tuple(p for p in plugins if p.manifest and any(c.key == key for c in p.manifest.library.creators))


def _judge_all(model: models.Model, shop: _Shop) -> tuple[int, tuple[PluginNode, ...]]:
    total = 0
    found = []
    for placed in models.walk(model, shop.is_opaque):
        total += 1
        node = shop.judge(placed)
        if node is not None:
            found.append(node)
    return total, tuple(found)


class _Shop:
    """What this machine offers; it judges one node at a time and remembers its judgements of packages."""

    def __init__(
        self,
        plugins: Sequence[InstalledPlugin],
        environment: Environment,
        is_native: Callable[[str], bool],
        catalogues: OpenCatalogues | None,
        preferred: Mapping[str, str],
        preferences: Preferences,
        own: Collection[CreatorKey] | None,
    ) -> None:
        self._preferences = preferences
        self._own = own
        self._options: dict[CreatorKey, Sequence[InstalledPlugin]] = {}
        self._chosen: dict[CreatorKey, InstalledPlugin] = {}
        self._is_native = is_native
        self._preferred = preferred
        self._catalogues = catalogues
        self._plugins = plugins
        self._environment = environment
        self._verdicts: dict[str, str | None] = {}
        self._keys = {c.key for p in plugins if p.manifest for c in p.manifest.library.creators}

    def is_opaque(self, op: str) -> bool:
        """Whether an op stays whole even where the model has a function of its name."""
        return op in self._preferred or self._is_native(op)

    def choose(self) -> bool:
        """Choose between packages that have the same, once all needs are known; tells whether there was a choice."""
        self._chosen = load_choice.choose(self._options, self._preferences)
        return any(len(plugins) > 1 for plugins in self._options.values())

    def collisions(self) -> tuple[Collision, ...]:
        """The creators that several of the packages have, as far as metadata tells."""
        plan = load_plan.make(self._chosen.values(), needed=self._chosen, preferences=self._preferences)
        return (*plan.collisions, *load_choice.passed_over(self._options, self._chosen, self._preferences))

    def judge(self, placed: models.PlacedNode) -> PluginNode | None:
        """Say what stands behind a node; None for a native operator that nobody else claims."""
        node = placed.node
        keys = needed_keys(node)
        op, by_name = keys[0].name, plugin_nodes.named_op(node) is not None
        if by_name:
            try:
                plugin_nodes.read_info(node)
            except ModelError as e:
                return self._node(placed, keys[0], Status.INVALID, reason=str(e))
        if op in self._preferred:
            return self._provider(placed, self._wanted(placed.node, keys), preferred=True)
        native = self._is_native(op)
        # The parser takes the plugin for a native name only where the node's attribute names a namespace that has it,
        # and never inside of a function.
        named = plugin_nodes.string_attribute(node, "plugin_namespace") is not None
        overridden = native and named and keys[0] in self._keys and not models.functions_around(placed.where)
        if native and not overridden:
            if not by_name and op not in {key.name for key in self._keys}:
                return None
            return self._node(placed, keys[0], Status.NATIVE, reason="TensorRT's parser imports this op itself")
        return self._provider(placed, keys)

    def _wanted(self, node: Any, keys: tuple[CreatorKey, ...]) -> tuple[CreatorKey, ...]:
        """The creators that may take a node of a preferred op: those that it names, else all of the plugin's name."""
        name = self._preferred[keys[0].name]
        exact = tuple(key._replace(name=name) for key in keys)
        if any(plugin_nodes.string_attribute(node, a) is not None for a in ("plugin_version", "plugin_namespace")):
            return exact
        return tuple(dict.fromkeys((*exact, *sorted(key for key in self._keys if key.name == name))))

    def _provider(
        self, placed: models.PlacedNode, keys: tuple[CreatorKey, ...], *, preferred: bool = False
    ) -> PluginNode:
        unfit: list[tuple[CreatorKey, InstalledPlugin, str]] = []
        for key in keys:
            if self._preferences.is_for_tensorrt(key) and (self._own is None or key in self._own):
                reason = f"{self._preferences.told(key)}: it is left to TensorRT's own plugin"
                return self._node(placed, key, Status.NATIVE, reason=reason, preferred=preferred)
            verdicts = [(plugin, self._unfitness(plugin)) for plugin in candidates(key, self._plugins)]
            if fitting := [plugin for plugin, reason in verdicts if reason is None]:
                self._options[key] = fitting
                plugin = self._chosen.get(key, fitting[0])
                return self._node(placed, key, Status.PROVIDED, plugin, preferred=preferred)
            unfit += [(key, plugin, reason) for plugin, reason in verdicts if reason is not None]
        if unfit:
            key, plugin, reason = unfit[0]
            offers = self._offers(keys)
            return self._node(
                placed, key, Status.INCOMPATIBLE, plugin, reason=reason, offers=offers, preferred=preferred
            )
        offers = self._offers(keys)
        reason = self._absence(placed.node, keys)
        if preferred and keys[0].name not in {key.name for key in self._keys}:
            reason = f"no installed plugin is called {keys[0].name}, and a plugin is preferred for this op"
        nearest = () if offers else self._nearest(keys[0].name)
        return self._node(
            placed, keys[0], Status.MISSING, reason=reason, nearest=nearest, offers=offers, preferred=preferred
        )

    @cached_property
    def _shelf(self) -> Shelf | None:
        """The catalogues; opened when the first thing is missing."""
        opened = None if self._catalogues is None else self._catalogues()
        if opened is None:
            return None
        from trtreg.packages.offers import Shelf

        return Shelf(opened, self._environment)

    def _offers(self, keys: tuple[CreatorKey, ...]) -> tuple[Offer, ...]:
        return () if self._shelf is None else self._shelf.offers(keys)

    def _unfitness(self, plugin: InstalledPlugin) -> str | None:
        """Why the package cannot be used here, in one line."""
        if plugin.distribution not in self._verdicts:
            self._verdicts[plugin.distribution] = unfitness(plugin, self._environment)
        return self._verdicts[plugin.distribution]

    def _absence(self, node: Any, keys: tuple[CreatorKey, ...]) -> str:
        name = keys[0].name
        if node.op_type == "Plugin" and plugin_nodes.named_op(node) is None:
            return "a node of op type Plugin needs a string attribute 'name'"
        others = sorted(key for key in self._keys if key.name == name)
        wanted = " or ".join(str(key) for key in keys)
        if others:
            return f"needs {wanted}; installed: {', '.join(str(key) for key in others)}"
        if self._shelf and not self._shelf.offers(keys) and (listed := self._shelf.namesakes(name)):
            return f"needs {wanted}; the indexes have {', '.join(listed)}"
        return "no installed plugin has it, and TensorRT's parser does not know it"

    def _nearest(self, name: str) -> tuple[str, ...]:
        from trtreg._nearest import nearest_ops

        known = {key.name for key in self._keys} | native_operators.read().operators
        if self._shelf is not None:
            known |= set(self._shelf.catalogues.op_names())
        if name in known:  # nothing is wrong with the name
            return ()
        return nearest_ops(name, known)

    def _node(
        self,
        placed: models.PlacedNode,
        key: CreatorKey,
        status: Status,
        plugin: InstalledPlugin | None = None,
        *,
        reason: str | None = None,
        nearest: tuple[str, ...] = (),
        offers: tuple[Offer, ...] = (),
        preferred: bool = False,
    ) -> PluginNode:
        node = placed.node
        by = _creator(plugin, key) or next((offer.op for offer in offers), None)
        checkable = by is not None and status is not Status.INVALID
        return PluginNode(
            name=node.name,
            op=plugin_nodes.named_op(node) or node.op_type,
            domain=node.domain,
            version=key.version,
            namespace=key.namespace,
            outputs=tuple(node.output),
            where=placed.where,
            convention="Plugin" if plugin_nodes.named_op(node) else "onnx",
            status=status,
            plugin=plugin,
            creator=key if plugin is not None else None,
            reason=reason,
            nearest=nearest,
            faults=attributes.check(node, by, complete=_is_complete(plugin)) if by and checkable else (),
            offers=offers,
            preferred=preferred,
            wanted=needed_keys(node),
        )


def _creator(plugin: InstalledPlugin | None, key: CreatorKey) -> Creator | None:
    creators = plugin.manifest.library.creators if plugin and plugin.manifest else ()
    return next((creator for creator in creators if creator.key == key), None)


def _is_complete(plugin: InstalledPlugin | None) -> bool:
    """Whether the manifest has every field and default: the SDK writes them, others only what they know."""
    return plugin is not None and plugin.manifest is not None and plugin.manifest.library.sdk is not None


def unfitness(plugin: InstalledPlugin, environment: Environment) -> str | None:
    """Every reason why an installed package does not fit, in one line; None when it does."""
    from trtreg import compatibility

    if plugin.manifest is None or plugin.problem is not None:
        return str(plugin.problem or "it has no manifest")
    verdict = compatibility.judge(plugin.manifest, environment)
    if isinstance(verdict, compatibility.Incompatible):
        return "; ".join(str(reason) for reason in verdict.reasons)
    return None
