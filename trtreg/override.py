"""Plugins that take nodes which TensorRT's parser, or a function of the model, would stand for.

The parser takes a plugin for any op where the node's attribute `plugin_namespace` names a namespace that has it, be it
"" (seen with TensorRT-RTX 1.7.1). Its flag ENABLE_PLUGIN_OVERRIDE does the same without the attribute, but for every
op of the model that some plugin shares its name with. So the flag serves where it reaches just the nodes that are
meant; else those nodes get the attribute, on a copy of the model. Inside of a model's functions the parser heeds
neither: on that copy their calls are written out.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from trtreg import model as models
from trtreg.engine import TakenNode
from trtreg.errors import PreferenceError
from trtreg.manifest import CreatorKey
from trtreg.scan_report import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from trtreg.scan_report import PluginNode, ScanReport

__all__ = [
    "check_names",
    "flag_suffices",
    "prove",
    "read",
    "set_flag",
    "take",
    "taken",
    "taker",
    "takers",
    "written_out",
]

_FLAG: Final = "ENABLE_PLUGIN_OVERRIDE"
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


def read(wishes: Iterable[str]) -> Mapping[str, str]:
    """Read "ScatterND", or "ScatterND=MyScatter" for a plugin of another name, as {op: name of the plugin}."""
    preferred: dict[str, str] = {}
    for wish in (wishes,) if isinstance(wishes, str) else wishes:
        op, _, name = (part.strip() for part in str(wish).partition("="))
        if not op or ("=" in str(wish) and not name):
            raise PreferenceError(
                "a preference is malformed", found=repr(wish), expected="an op as ScatterND, or ScatterND=MyScatter"
            )
        if preferred.setdefault(op, name or op) != (name or op):
            raise PreferenceError(f"two plugins are preferred for {op}", found=f"{preferred[op]} and {name or op}")
    return MappingProxyType(preferred) if preferred else _NONE


def check_names(preferred: Mapping[str, str], report: ScanReport, known: Collection[CreatorKey]) -> None:
    """Raise PreferenceError for an op that the model has not and a plugin that nobody has: a slip of the pen."""
    ops = {node.op for node in report.nodes if node.preferred}
    names = {key.name for key in known}
    for op, name in preferred.items():
        if op not in ops and name not in names:
            from trtreg._nearest import nearest, remedy

            raise PreferenceError(
                f"{report.label} has no {op}, and no plugin is called {name}",
                remedy=remedy(nearest(name, names)),
            )


def taker(node: PluginNode, preferred: Mapping[str, str], registered: Collection[CreatorKey]) -> CreatorKey | None:
    """The creator that takes a node of a preferred op; the program itself may have registered it."""
    if node.status is Status.PROVIDED:
        return node.creator
    keys = (CreatorKey(preferred[node.op], node.version, space) for space in (node.namespace, node.domain))
    return next((key for key in keys if key in registered), None)


def taken(
    report: ScanReport, preferred: Mapping[str, str], registered: Collection[CreatorKey]
) -> tuple[TakenNode, ...]:
    """The nodes of preferred ops, in the order of the graph, and who takes each."""
    pairs = ((node, taker(node, preferred, registered)) for node in report.nodes if node.preferred)
    return tuple(
        TakenNode(title=node.title, op=node.op, creator=key, package=node.plugin.distribution if node.plugin else "")
        for node, key in pairs
        if key is not None
    )


def takers(
    report: ScanReport, preferred: Mapping[str, str], registered: Collection[CreatorKey]
) -> dict[tuple[CreatorKey, ...], CreatorKey]:
    """The creator for each kind of node of a preferred op, by the creators that such a node names itself."""
    pairs = ((node.wanted, taker(node, preferred, registered)) for node in report.nodes if node.preferred)
    return {wanted: key for wanted, key in pairs if key is not None}


def written_out(model: models.Model, report: ScanReport) -> models.Model:
    """Give the model without the functions that have nodes of preferred ops; itself where there are none."""
    names = {name for node in report.nodes if node.preferred for name in models.functions_around(node.where)}
    return models.inlined(model, names) if names else model


def flag_suffices(
    trt: Any,
    model: models.Model,
    report: ScanReport,
    nodes: Sequence[TakenNode],
    registered: Collection[CreatorKey],
    is_native: Callable[[str], bool],
) -> bool:
    """Whether the parser has the flag, and would take plugins for these nodes and for no others."""
    if _FLAG not in trt.OnnxParserFlag.__members__:
        return False
    meant = [node for node in report.nodes if node.preferred]
    if any(
        node.convention != "onnx" or node.wanted[0] != one.creator or models.functions_around(node.where)
        for node, one in zip(meant, nodes, strict=True)
    ):
        return False
    functions = {function.name for function in model.proto.functions}
    ops = {placed.node.op_type for placed in models.walk(model, lambda _: False)} | functions
    others = ops & {key.name for key in registered} - {node.op for node in meant}
    return not any(op in functions or is_native(op) for op in others)


def set_flag(trt: Any, parser: Any) -> None:
    """Make the parser take a plugin wherever one has the name of an op."""
    parser.set_flag(trt.OnnxParserFlag.__members__[_FLAG])


def take(node: Any, creator: CreatorKey) -> None:
    """Change a node of the parsed copy so that the parser takes this creator for it."""
    from onnx import helper

    others = [attribute for attribute in node.attribute if attribute.name not in {"plugin_version", "plugin_namespace"}]
    named = [
        helper.make_attribute("plugin_version", creator.version),
        helper.make_attribute("plugin_namespace", creator.namespace),
    ]
    kept = [type(attribute).FromString(attribute.SerializeToString()) for attribute in others]
    del node.attribute[:]
    node.attribute.extend([*kept, *named])
    node.op_type = creator.name


def prove(trt: Any, network: Any, nodes: Sequence[TakenNode], expected: int) -> None:
    """Raise PreferenceError if the network has fewer plugins than the model has nodes for them."""
    layers = map(network.get_layer, range(network.num_layers))
    count = sum(layer.type.name.startswith("PLUGIN") for layer in layers)
    if nodes and count < expected:
        ops = ", ".join(dict.fromkeys(node.op for node in nodes))
        raise PreferenceError(
            f"the parser of {trt.__name__} {trt.__version__} imports {ops} itself all the same",
            found=f"{count} plugin layers",
            expected=f"{expected} or more",
            remedy="give the nodes the name of a plugin that the parser does not know: --prefer-plugin OP=NAME",
        )
