"""Pure rules: what a TensorRT would break, judged from manifests, scan reports and the headers of engines."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from packaging.version import Version

from trtreg import _nearest, compatibility
from trtreg.flavour import Flavour
from trtreg.scan_report import Status
from trtreg.upgrade.finding import Finding
from trtreg.upgrade.plan_header import SOURCE as HEADER_SOURCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trtreg.discovery import InstalledPlugin
    from trtreg.environment import Environment
    from trtreg.scan_report import PluginNode, ScanReport
    from trtreg.upgrade.builtin_plugins import BuiltinPlugins
    from trtreg.upgrade.finding import Target
    from trtreg.upgrade.plan_header import PlanHeader

__all__ = ["environment_for", "judge_engine", "judge_model", "judge_plugin"]

_MIGRATION: Final = (
    "https://docs.nvidia.com/deeplearning/tensorrt/11.4.0/api/migration/tensorrt-10x-to-11x-c-api-reference.html"
)
_REGISTRY: Final = "https://github.com/NVIDIA/TensorRT/blob/release/11.1/include/NvInferRuntimeCommon.h"
_PORTABILITY: Final = "https://docs.nvidia.com/deeplearning/tensorrt/11.4.0/getting-started/support-matrix.html"
_RTX_ENGINES: Final = (
    "https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/inference-library/engine-compatibility.html"
)
_NO_V2: Final = 11  # the first major whose registry has no functions for V2 creators in its table

# "Two combinations are supported across major versions" (_PORTABILITY).
_ACROSS_MAJORS: Final = frozenset({(10, 11), (8, 10)})


def environment_for(target: Target, here: Environment) -> Environment:
    """This machine with the other TensorRT on it."""
    return replace(here, flavour=target.flavour, tensorrt_version=target.version, tensorrt_problem=None)


def judge_plugin(plugin: InstalledPlugin, target: Target, here: Environment) -> Iterator[Finding]:
    """Judge an installed package: its range of TensorRTs, the libraries it needs, its way into the registry."""
    if plugin.manifest is None or plugin.problem is not None:
        return  # broken with any TensorRT; `trtreg list` says so
    name, library = plugin.distribution, plugin.manifest.library
    anew = f"ask its author for a build for {target.title}"
    verdict = compatibility.judge(plugin.manifest, environment_for(target, here))
    for reason in verdict.reasons if isinstance(verdict, compatibility.Incompatible) else ():
        if reason.code.startswith("tensorrt"):
            text = f"is for {reason.expected}, by its own manifest"
            yield Finding(kind="plugin", subject=name, breaks=True, code=reason.code, text=text, remedy=anew)
    for needed in library.needed:
        major = re.fullmatch(r"libnvinfer(?:_lean|_plugin|_dispatch)?\.so\.(\d+)", needed)
        if major and target.flavour is not Flavour.RTX and int(major[1]) != target.major:
            text = f"needs {needed}, which {target.title} does not have"
            yield Finding(kind="plugin", subject=name, breaks=True, code="library", text=text, remedy=anew)
    if target.flavour is Flavour.RTX or target.major < _NO_V2:
        return
    if library.registration != "dynamic" and _built_before(plugin):
        yield Finding(
            kind="plugin",
            subject=name,
            breaks=True,
            code="registration",
            text="registers itself through IPluginRegistry, whose table of functions is shorter in TensorRT 11: a "
            "library compiled with older headers calls the wrong one",
            remedy="recompile it with the headers of TensorRT 11, or export getCreators instead",
            source=_REGISTRY,
        )
    if library.interface == "v2":
        yield Finding(
            kind="plugin",
            subject=name,
            breaks=False,
            code="interface",
            text="implements the V2 plugin interface, which TensorRT 11 deprecates",
            remedy="plan its move to IPluginV3",
            source=_MIGRATION,
        )


def judge_model(report: ScanReport, target: Target, builtin: BuiltinPlugins) -> Iterator[Finding]:
    """Judge a model by a scan against the machine as it would be."""
    groups: dict[tuple[object, ...], list[PluginNode]] = {}
    for node in report.nodes:
        if node.status not in {Status.PROVIDED, Status.NATIVE, Status.INVALID}:
            groups.setdefault((node.op, node.version, node.namespace, node.status), []).append(node)
    for nodes in groups.values():
        yield from _judge_nodes(nodes, report.label, target, builtin)


def _judge_nodes(nodes: list[PluginNode], label: str, target: Target, builtin: BuiltinPlugins) -> Iterator[Finding]:
    node, count = nodes[0], f"{len(nodes)} node{'s' * (len(nodes) > 1)}"
    finding = Finding(
        kind="model",
        subject=label,
        breaks=True,
        code="missing",
        text=f"{count} of the op {node.op} {node.version}: {node.reason}",
        remedy=_nearest.remedy(node.nearest, otherwise="install a plugin that has it"),
        replacements=tuple(map(str, node.offers)),
    )
    if node.status is Status.INCOMPATIBLE and node.plugin is not None:
        remedy = f"replace {node.plugin.distribution}"
        yield replace(finding, code="plugin", remedy=remedy)
        return
    key = (node.op, node.version)
    removed = builtin.removed.get(key) if node.namespace == "" else None
    if target.flavour is not Flavour.RTX and removed is not None and target.is_at_least(removed.removed):
        yield replace(
            finding,
            code="removed",
            text=f"{count} of the op {node.op} {node.version}, which TensorRT {removed.removed} has removed",
            remedy=f"use {removed.instead}" if removed.instead else "NVIDIA names nothing instead: it takes a plugin",
            source=removed.source,
        )
    elif target.flavour is not Flavour.RTX and (removed is not None or (node.namespace == "" and key in builtin.left)):
        if removed is not None or builtin.left[key]:
            yield replace(
                finding,
                breaks=False,
                code="deprecated",
                text=f"{count} of the op {node.op} {node.version}, a plugin of TensorRT's own that is deprecated",
                remedy=f"use {removed.instead}" if removed and removed.instead else "plan to replace it",
                source=removed.source if removed else builtin.sources[-1],
            )
    else:
        yield finding


def judge_engine(
    path: str, header: PlanHeader, target: Target, *, version_compatible: bool | None
) -> Iterator[Finding]:
    """Judge an engine by its header; `version_compatible` is whether it was built so, None where nobody says."""
    finding = Finding(
        kind="engine", subject=path, breaks=True, code="version", text="", remedy=f"build it again with {target.title}"
    )
    wanted = "rtx" if target.flavour is Flavour.RTX else "full"
    if header.family != wanted:
        made = "TensorRT-RTX" if header.family == "rtx" else "TensorRT"
        yield replace(
            finding,
            code="flavour",
            text=f"is an engine of {made}, which {target.title} cannot read",
            source=HEADER_SOURCE,
        )
        return
    if header.version is None:
        yield replace(finding, code="header", text="does not say which version made it", source=HEADER_SOURCE)
        return
    made = f"was built by {header.version}"
    if wanted == "rtx":
        if not target.covers(header.version):
            text = f"{made}, and engines of TensorRT-RTX run with the release that built them only"
            yield replace(finding, text=text, source=_RTX_ENGINES)
        return
    same = target.covers(header.version) and target.flavour is Flavour.FULL
    if same or (version_compatible and _runs_on(header.version, target)):
        return
    if version_compatible:
        yield replace(finding, text=f"{made}, and is version-compatible, but not as far as that", source=_PORTABILITY)
        return
    if target.flavour is Flavour.LEAN:
        text = f"{made}, and the lean runtime runs version-compatible engines only"
    else:
        text = f"{made}, and engines run with the version that built them only"
    unknown = version_compatible is None and _runs_on(header.version, target)
    also = "; if it was built version-compatible (VERSION_COMPATIBLE), say so: --version-compatible" * unknown
    yield replace(finding, text=text, remedy=finding.remedy + also, source=_PORTABILITY)


def _runs_on(built: str, target: Target) -> bool:
    """Whether a version-compatible engine runs there: newer releases of its major, and the pairs that NVIDIA names."""
    major = Version(built).major
    if major != target.major:
        return (major, target.major) in _ACROSS_MAJORS
    return target.covers(built) or target.is_at_least(built)


def _built_before(plugin: InstalledPlugin) -> bool:
    """Whether the library may come from the time before TensorRT 11: nothing in it says that it is newer."""
    needed = plugin.manifest.library.needed if plugin.manifest else ()
    return not any(re.fullmatch(rf"libnvinfer(?:_lean)?\.so\.({_NO_V2}|[2-9]\d|1[2-9])", name) for name in needed)
