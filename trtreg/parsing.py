"""Importing a model into a TensorRT network, and one readable report of all that TensorRT refuses."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from trtreg import _complaints, override, plugin_nodes
from trtreg import model as models
from trtreg.errors import FaceError, ModelError, TrtregError, UnsupportedNodesError
from trtreg.manifest import CreatorKey
from trtreg.scan import ScanReport, Status, needed_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from trtreg.discovery import InstalledPlugin
    from trtreg.flavour import Message
    from trtreg.packages.offers import Offer
    from trtreg.scan import PluginNode

__all__ = ["check_nodes", "describe", "import_model", "with_named_nodes"]

_NAMED: Final = 3
_ADVICE: Final = {
    Status.MISSING: "install a plugin package that has it",
    Status.INCOMPATIBLE: "see `trtreg info {package}`",
    Status.INVALID: "export the model again",
}


def check_nodes(report: ScanReport, registered: Collection[CreatorKey], preferred: Mapping[str, str]) -> None:
    """Raise UnsupportedNodesError if the model has a node that nobody provides.

    `registered` are the creators that TensorRT has of itself, or that the program registered.
    """
    bad = [node for node in report.missing if not _is_registered(node, registered, preferred)]
    if not bad:
        return
    kind = ModelError if all(node.status is Status.INVALID for node in bad) else UnsupportedNodesError
    lines = [f"{report.label} has {_nodes(len(bad))} that cannot be imported", *describe(bad)]
    raise kind("\n- ".join(lines))


def describe(nodes: Iterable[PluginNode]) -> list[str]:
    """Say where the nodes are, why they are not provided, and what to do: one line for all that share these."""
    groups: dict[tuple[str, str], list[str]] = {}
    for node in nodes:
        place = f" in {' > '.join(node.where)}" if node.where else ""
        groups.setdefault((node.op, _why(node)), []).append(f"'{node.title}'{place}")
    return [f"{_some(titles)} ({op}): {why}" for (op, why), titles in groups.items()]


def _why(node: PluginNode) -> str:
    text = str(node.reason)
    if node.offers:
        text += f"; {_offered(node.offers)}"
    elif node.nearest:
        text += f"; did you mean {' or '.join(node.nearest)}?"
    elif node.status in _ADVICE:
        text += "; " + _ADVICE[node.status].format(package=node.plugin.distribution if node.plugin else "")
    return text


def _some(titles: Sequence[str]) -> str:
    if len(titles) == 1:
        return f"node {titles[0]}"
    more = f" and {len(titles) - _NAMED} more" if len(titles) > _NAMED else ""
    return f"nodes {', '.join(titles[:_NAMED])}{more}"


def _offered(offers: Sequence[Offer]) -> str:
    """Which releases of the indexes have it: those that fit, else all with what is against each."""
    fit = [offer for offer in offers if offer.fits]
    if not fit:
        return "; ".join(f"{offer} has it, and does not fit: {', '.join(offer.reasons)}" for offer in offers)
    commands = " or ".join(f"`trtreg install {offer.release.project}`" for offer in fit)
    return f"{' and '.join(map(str, fit))} {'has' if len(fit) == 1 else 'have'} it: {commands}"


def with_named_nodes(
    model: models.Model,
    report: ScanReport,
    is_native: Callable[[str], bool],
    takers: Mapping[tuple[CreatorKey, ...], CreatorKey],
) -> models.Model:
    """Give the model with its `Plugin` nodes turned into the named ops: a copy, or itself where nothing is to do.

    `takers` are the creators for nodes of preferred ops, where the parser has to be told node by node.
    """
    if not takers and not any(node.convention == "Plugin" for node in report.nodes):
        return model
    creators = {
        (plugin.distribution, creator.key): creator
        for plugin in report.plugins
        if plugin.manifest
        for creator in plugin.manifest.library.creators
    }
    chosen = {
        node.wanted: creators.get((node.plugin.distribution, node.creator))
        for node in report.nodes
        if node.plugin and node.creator
    }
    source = override.written_out(model, report) if takers else model
    proto = type(model.proto)()
    proto.CopyFrom(source.proto)
    copy = models.Model(proto=proto, path=model.path, label=model.label)
    for placed in list(models.walk(copy, is_native)):
        wanted = needed_keys(placed.node)
        if plugin_nodes.named_op(placed.node):
            placed.node.CopyFrom(plugin_nodes.translate(placed.node, chosen.get(wanted)))
        if wanted in takers:
            override.take(placed.node, takers[wanted])
    return copy


def import_model(
    parser: Any, model: models.Model, report: ScanReport, *, unmodified: bool, said: Sequence[Message]
) -> None:
    """Run the parser; `said` is where TensorRT's messages are being collected."""
    if model.path is not None and unmodified:
        # From the file itself: there is no limit of 2 GiB to it, and external data is found beside it.
        done = parser.parse_from_file(str(model.path.resolve()))
    else:
        done = parser.parse(_serialised(model), *([str(model.path.resolve())] if model.path else []))
    if not done:
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        raise _refusal(model, report, errors, said)


def _last_words(plugins: Iterable[InstalledPlugin]) -> list[str]:
    """What the plugins last complained of in this thread, where they are made with trtreg's SDK.

    They log it too, but TensorRT-RTX 1.7.1 gives a plugin no logger while a network is made.
    """
    from trtreg import loader
    from trtreg.sdk.face import Face

    opened = {known.plugin.distribution: known.opened_as for known in loader.loaded()}
    said = []
    for plugin in plugins:
        # By the path that it was loaded by: by another it would be a second library, which has said nothing.
        path = opened.get(plugin.distribution)
        if path is None:
            continue
        with suppress(FaceError):
            if words := Face(path).table.last_error():
                said.append(f"{plugin.distribution} says: {words.decode(errors='replace')}")
    return said


def _serialised(model: models.Model) -> bytes:
    from google.protobuf.message import EncodeError

    try:
        return bytes(model.proto.SerializeToString())
    except (EncodeError, ValueError) as e:
        raise ModelError(
            f"{model.label} cannot be serialised",
            found=str(e),
            remedy="save it with external data (onnx.save_model(..., save_as_external_data=True)) and give its path",
        ) from e


def _refusal(model: models.Model, report: ScanReport, errors: Sequence[Any], said: Sequence[Message]) -> TrtregError:
    providers = {
        op: node.plugin.distribution
        for node in report.nodes
        if node.plugin
        for op in (node.op, node.creator.name if node.creator else node.op)
    }
    lines = [_line(error, model, providers) for error in errors]
    refused = {providers[error.node_operator()] for error in errors if error.node_operator() in providers}
    lines += _last_words(plugin for plugin in report.plugins if plugin.distribution in refused)
    about_nodes = any(error.node() >= 0 for error in errors)
    # The parser's own list leaves out the cause at times, as the name of a data file that is not there.
    known = " ".join(lines)
    lines += [cause for cause in _complaints.errors(said) if cause not in known]
    kind = UnsupportedNodesError if about_nodes else ModelError
    return kind("\n- ".join([f"TensorRT's parser refuses {model.label}", *dict.fromkeys(lines)]))


def _line(error: Any, model: models.Model, providers: dict[str, str]) -> str:
    reason = _complaints.readable(error.desc()) or error.code().name
    if error.node() < 0:
        return reason
    op = error.node_operator()
    # Older TensorRTs do not tell of local functions.
    stack = error.local_function_stack() if hasattr(error, "local_function_stack") else []
    title = error.node_name()
    if not title and not stack and error.node() < len(model.proto.graph.node):
        title = ", ".join(model.proto.graph.node[error.node()].output)
    place = f" in {' > '.join(stack)}" if stack else ""
    package = f" (from {providers[op]})" if op in providers else ""
    return f"node '{title or error.node()}' ({op}){package}{place}: {reason}"


def _is_registered(node: PluginNode, registered: Collection[CreatorKey], preferred: Mapping[str, str]) -> bool:
    if node.status is Status.INVALID:
        return False
    if node.preferred:
        return override.taker(node, preferred, registered) is not None
    return any(CreatorKey(node.op, node.version, space) in registered for space in (node.namespace, node.domain))


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"
