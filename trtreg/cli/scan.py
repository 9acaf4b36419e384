"""Say which nodes of an ONNX model need a plugin, which package has it, and what is missing.

Installed packages come first; what they lack is looked up in the configured indexes, and only then is an index asked.
Attributes of the nodes are compared with the fields of the plugin. Where several packages have what the model needs, or
cannot be loaded together, that is told, and how to say which is preferred.

Ends with the exit code of unsupported nodes if something is missing, or would be refused.

Examples:
  trtreg scan model.onnx
  trtreg scan model.onnx --json
  trtreg scan model.onnx --no-index            installed packages only
  trtreg scan model.onnx --offline             indexes from the cache
  trtreg scan model.onnx --index https://plugins.example.com/trt/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trtreg.cli import _indexes, _terminal
from trtreg.errors import IndexSettingError, TrtregError, UnsupportedNodesError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from trtreg.collision import Collision
    from trtreg.packages.catalogue import Catalogues, State
    from trtreg.packages.offers import Offer
    from trtreg.scan import PluginNode, ScanReport

__all__ = ["configure_parser", "execute"]


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("model", metavar="MODEL", help="an ONNX file; its external data is not read")
    parser.add_argument("--json", action="store_true", help="print JSON (schema: trtreg/schema/scan.schema.json)")
    _indexes.add_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Print what the scan found."""
    from trtreg.scan import scan

    states: list[State] = []

    def catalogues() -> Catalogues | None:
        try:
            opened = _indexes.open_catalogues(arguments)
        except TrtregError as e:
            if arguments.index or isinstance(e, IndexSettingError):  # what the user wrote
                raise
            # What is installed can be told all the same.
            _terminal.print_line(f"trtreg: warning: {e}")
            _terminal.print_line("trtreg: warning: the indexes are left out")
            return None
        states.extend(opened.states)
        return opened

    report = scan(arguments.model, catalogues=catalogues)
    if arguments.json:
        _terminal.print_json(_as_json(report, states))
    else:
        _print(report, arguments.index or ())
        if states:
            print(_terminal.dim(f"\n{_indexes.describe(states)}"))
    return 0 if report.complete else UnsupportedNodesError.exit_code


def _print(report: ScanReport, indexes: Iterable[str]) -> None:
    from trtreg.scan import Status

    print(
        f"{report.label}: {report.total} nodes, {sum(n.status is not Status.NATIVE for n in report.nodes)} for plugins"
    )
    if report.nodes:
        print()
        _terminal.print_table(("OP", "NODES", "STATUS", "BY"), [_row(nodes) for nodes in _grouped(report.nodes)])
    if report.missing:
        print(f"\n{_terminal.bad('Not importable')}:")
        import shlex

        from trtreg.parsing import describe

        for line in describe(report.missing):
            print(f"- {line}")
        if any(offer.fits for node in report.missing for offer in node.offers):
            asked = [f"--index={index}" for index in indexes]
            command = shlex.join(["trtreg", "install", "--for", report.label, *asked])
            print(f"\nInstall what the model lacks: {command}")
    faults = dict.fromkeys(
        (fault.fatal, f"node '{node.title}' ({node.op}): {fault}") for node in report.nodes for fault in node.faults
    )
    if faults:
        print(f"\n{_terminal.bad('Attributes')}:")
        for fatal, line in faults:
            print(f"- {line}" if fatal else f"- warning: {line}")
    _print_collisions(report.collisions)


def _print_collisions(collisions: Sequence[Collision]) -> None:
    conflicts = [one for one in collisions if one.fatal]
    if conflicts:
        print(f"\n{_terminal.bad('Conflicts')}:")
        for one in conflicts:
            print(f"- {one}")
    if len(conflicts) < len(collisions):
        print("\nIn several packages:")
        for one in collisions:
            if not one.fatal:
                print(f"- {one}")


def _grouped(nodes: Iterable[PluginNode]) -> list[list[PluginNode]]:
    groups: dict[tuple[object, ...], list[PluginNode]] = {}
    for node in nodes:
        package = node.plugin.distribution if node.plugin else None
        groups.setdefault((node.op, node.version, node.namespace, node.status, package), []).append(node)
    return [*groups.values()]


def _row(nodes: list[PluginNode]) -> tuple[str, str, str, str]:
    node = nodes[0]
    provider = f"{node.plugin.distribution} {node.plugin.version}" if node.plugin else ""
    op = str(node.creator) if node.creator else node.op
    if node.status.value == "native":
        provider = node.reason or ""
    if not provider and node.offers:
        provider = f"index: {', '.join(f'{o.release.project} {o.release.version}' for o in node.offers)}"
    return op, str(len(nodes)), node.status.value, provider or "-"


def _as_json(report: ScanReport, states: Iterable[State]) -> dict[str, Any]:
    return {
        "schema": 1,
        "model": report.label,
        "total_nodes": report.total,
        "complete": report.complete,
        "plugins": [{"package": plugin.distribution, "version": plugin.version} for plugin in report.plugins],
        "indexes": _indexes.as_json(states),
        "conflicts": [
            {
                "creator": one.key._asdict(),
                "holders": [
                    {"kind": holder.kind, "name": holder.name, "place": holder.place} for holder in one.holders
                ],
                "outcome": one.outcome,
                "fatal": one.fatal,
                "why": one.why,
                "remedy": one.remedy or None,
            }
            for one in report.collisions
        ],
        "nodes": [
            {
                "name": node.name,
                "op": node.op,
                "domain": node.domain,
                "version": node.version,
                "namespace": node.namespace,
                "outputs": [*node.outputs],
                "where": [*node.where],
                "convention": node.convention,
                "status": node.status.value,
                "package": node.plugin.distribution if node.plugin else None,
                "package_version": node.plugin.version if node.plugin else None,
                "reason": node.reason,
                "nearest": [*node.nearest],
                "faults": [
                    {"attribute": f.attribute, "kind": f.kind, "text": f.text, "fatal": f.fatal} for f in node.faults
                ],
                "offers": [_offer(offer) for offer in node.offers],
            }
            for node in report.nodes
        ],
    }


def _offer(offer: Offer) -> dict[str, Any]:
    release = offer.release
    return {
        "package": release.project,
        "package_version": release.version,
        "index": release.index,
        "fits": offer.fits,
        "reasons": [*offer.reasons],
    }
