"""Say which nodes of an ONNX model need a plugin, which package has it, and what is missing.

Ends with the exit code of unsupported nodes if something is missing.

Examples:
  trtreg scan model.onnx
  trtreg scan model.onnx --json
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trtreg.cli import _terminal
from trtreg.errors import UnsupportedNodesError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from trtreg.scan import PluginNode, ScanReport

__all__ = ["configure_parser", "execute"]


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("model", metavar="MODEL", help="an ONNX file; its external data is not read")
    parser.add_argument("--json", action="store_true", help="print JSON (schema: trtreg/schema/scan.schema.json)")


def execute(arguments: argparse.Namespace) -> int:
    """Print what the scan found."""
    from trtreg.scan import scan

    report = scan(arguments.model)
    if arguments.json:
        _terminal.print_json(_as_json(report))
    else:
        _print(report)
    return UnsupportedNodesError.exit_code if report.missing else 0


def _print(report: ScanReport) -> None:
    from trtreg.scan import Status

    print(
        f"{report.label}: {report.total} nodes, {sum(n.status is not Status.NATIVE for n in report.nodes)} for plugins"
    )
    if report.nodes:
        print()
        _terminal.print_table(("OP", "NODES", "STATUS", "BY"), [_row(nodes) for nodes in _grouped(report.nodes)])
    if report.missing:
        print(f"\n{_terminal.bad('Not importable')}:")
        from trtreg.parsing import describe

        for line in dict.fromkeys(map(describe, report.missing)):
            print(f"- {line}")


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
    return op, str(len(nodes)), node.status.value, provider or "-"


def _as_json(report: ScanReport) -> dict[str, Any]:
    return {
        "schema": 1,
        "model": report.label,
        "total_nodes": report.total,
        "complete": not report.missing,
        "plugins": [{"package": plugin.distribution, "version": plugin.version} for plugin in report.plugins],
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
            }
            for node in report.nodes
        ],
    }
