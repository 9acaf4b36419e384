"""Judging what the library did when it was loaded, and whether it would do so on another machine. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from trtreg import compatibility
from trtreg import manifest as manifests
from trtreg.check import table
from trtreg.check.finding import Finding
from trtreg.environment import Environment
from trtreg.foreign import linkage
from trtreg.manifest import CreatorKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from trtreg.check.facts import LibraryFacts, Load, PackageFacts, PluginFacts
    from trtreg.check.finding import Rule
    from trtreg.check.target import Targets
    from trtreg.manifest import Manifest

__all__ = ["judge", "judge_targets"]

_TITLES: Final = {"tensorrt": "TensorRT", "glibc": "glibc", "machine": "machine", "driver": "driver"}


def judge(package: PackageFacts) -> Iterator[Finding]:
    """All findings about the children that loaded the libraries."""
    for plugin in package.plugins:
        if plugin.library is None or plugin.library.damage is not None:
            continue
        for load in plugin.loads:
            yield from _load(plugin, load)
        if not any(load.status != "skipped" for load in plugin.loads):
            reasons = [f"{_title(load)}: {load.reason}" for load in plugin.loads]
            yield _finding(
                table.NOT_LOADED,
                plugin,
                f"it was loaded into no TensorRT: {'; '.join(reasons) or 'none was tried'}",
                remedy="check it also where the TensorRT is that it is for: pip install 'trtreg[rtx]' brings one",
            )


def _finding(
    rule: Rule,
    plugin: PluginFacts,
    message: str,
    *,
    remedy: str,
    found: str | None = None,
    expected: str | None = None,
) -> Finding:
    return Finding(
        rule=rule,
        level=rule.level,
        message=message,
        found=found,
        expected=expected,
        remedy=remedy,
        where=plugin.where,
    )


def _load(plugin: PluginFacts, load: Load) -> Iterator[Finding]:
    if load.status == "failed":
        text = f"{_title(load)} does not take it: {load.reason}"
        remedy = load.remedy or "see what it registers and needs, with `trtreg add` in that environment"
        yield _finding(table.LOADS, plugin, text, remedy=remedy)
    manifest = plugin.manifest
    if load.status != "loaded" or manifest is None:
        return
    declared = {creator.key: creator for creator in manifest.library.creators}
    found = {
        CreatorKey(str(one["name"]), str(one["version"]), str(one.get("namespace", ""))): one for one in load.creators
    }
    remedy = "build the wheel again, so that its manifest is derived from this library"
    for rule, keys, text in (
        (table.CREATORS, declared.keys() - found.keys(), "does not get creators that the manifest declares"),
        (table.CREATORS, found.keys() - declared.keys(), "gets creators that the manifest does not declare"),
    ):
        if keys:
            yield _finding(
                rule,
                plugin,
                f"{_title(load)} {text}: {CreatorKey.listed(keys)}",
                found=CreatorKey.listed(found) or "no creator",
                expected=CreatorKey.listed(declared) or "no creator",
                remedy=remedy,
            )
    for key in sorted(declared.keys() & found.keys()):
        fields = {field.name: (field.type, field.length) for field in declared[key].fields}
        real = {str(one["name"]): (str(one["type"]), int(one["length"])) for one in found[key].get("fields", ())}
        if fields != real:
            differing = sorted(name for name in fields.keys() | real.keys() if fields.get(name) != real.get(name))
            yield _finding(
                table.FIELDS,
                plugin,
                f"{_title(load)} gets other attributes of {key} than the manifest declares: {', '.join(differing)}",
                found=", ".join(_field(name, real) for name in differing),
                expected=", ".join(_field(name, fields) for name in differing),
                remedy=remedy,
            )


def _field(name: str, fields: dict[str, tuple[str, int]]) -> str:
    if name not in fields:
        return f"no {name}"
    kind, length = fields[name]
    return f"{name}: {kind}[{length or ''}]"


def _title(load: Load) -> str:
    return f"{load.flavour.module} {load.version}"


def judge_targets(package: PackageFacts, targets: Targets) -> Iterator[Finding]:
    """All findings about machines that are not here."""
    for plugin in package.plugins:
        if plugin.library is not None and plugin.library.damage is None:
            yield from _elsewhere(plugin, plugin.library, targets)
    if package.wheel is not None and package.wheel.unreadable is None:
        yield from _installs(package, targets)


def _elsewhere(plugin: PluginFacts, library: LibraryFacts, targets: Targets) -> Iterator[Finding]:
    own = _as_read(plugin, library)
    nowhere = Environment(flavour=None, tensorrt_version=None, machine=library.machine, glibc="999.0")
    for flavour, version in targets.tensorrt:
        there = replace(nowhere, flavour=flavour, tensorrt_version=version)
        conflict = linkage.conflict(library.needed, _interface(plugin, library), flavour, version)
        specifiers = dict(own.tensorrt) or linkage.specifiers(
            library.needed, _interface(plugin, library), own.library.registration, flavour, version
        )
        yield from _reasons(table.OTHER_TENSORRT, plugin, replace(own, tensorrt=specifiers), there, "tensorrt")
        if conflict is not None:
            text = f"it cannot go into {flavour.module} {version}"
            remedy = "build it for that TensorRT, or against none"
            yield _finding(
                table.OTHER_TENSORRT, plugin, text, found=conflict.wanted, expected=conflict.here, remedy=remedy
            )
    for glibc in targets.glibc:
        yield from _reasons(table.OTHER_GLIBC, plugin, own, replace(nowhere, glibc=glibc), "glibc")
    for machine in targets.machine:
        yield from _reasons(table.OTHER_MACHINE, plugin, own, replace(nowhere, machine=machine), "machine")
    for driver in targets.driver:
        yield from _reasons(table.OTHER_DRIVER, plugin, own, replace(nowhere, driver=driver), "driver")
    for sm in targets.sms if library.gpu_problem is None else ():
        if not compatibility.serves(own.library, sm, None):
            targets_here = f"sm {', '.join(library.sms) or 'none'}; PTX {', '.join(library.ptx) or 'none'}"
            remedy = f"compile it for {sm} too: TRTREG_CUDA_ARCHS or 'archs' of [tool.trtreg]"
            text = f"it has no code for a GPU of compute capability {sm}"
            yield _finding(table.OTHER_GPU, plugin, text, found=targets_here, expected=f"sm {sm}", remedy=remedy)
        elif library.ptx and not compatibility.serves(replace(own.library, ptx=()), sm, None):
            text = f"a GPU of compute capability {sm} runs it by PTX only"
            found = f"PTX {', '.join(library.ptx)}"
            remedy = f"compile it for {sm} too, where the first use must not wait for the driver's compiler"
            yield _finding(table.BY_PTX, plugin, text, found=found, expected=f"sm {sm}", remedy=remedy)


def _as_read(plugin: PluginFacts, library: LibraryFacts) -> Manifest:
    """The manifest as it ought to be: where it contradicts the library, the library is right."""
    declared = plugin.manifest or manifests.Manifest(
        package=library.path.rpartition("/")[2],
        version="0",
        library=manifests.Library(
            file=library.path.rpartition("/")[2], sha256=library.sha256, size=library.size, machine=library.machine
        ),
    )
    return replace(
        declared,
        library=replace(
            declared.library,
            machine=library.machine,
            glibc=None if library.glibc is None else f"{library.glibc[0]}.{library.glibc[1]}",
            needed=library.needed,
            sms=library.sms,
            ptx=library.ptx,
        ),
    )


def _interface(plugin: PluginFacts, library: LibraryFacts) -> manifests.Interface | None:
    loaded = next((load.interface for load in plugin.loads if load.interface), None)
    return loaded or (plugin.manifest.library.interface if plugin.manifest else None) or library.interface


def _reasons(rule: Rule, plugin: PluginFacts, own: Manifest, there: Environment, code: str) -> Iterator[Finding]:
    verdict = compatibility.judge(own, there)
    for reason in verdict.reasons if isinstance(verdict, compatibility.Incompatible) else ():
        if reason.code.startswith(code):
            # The machine has what was found, and the library expects: of the library it is the other way round.
            text = f"it does not fit {_TITLES[code]} {reason.found}"
            yield _finding(rule, plugin, text, found=reason.expected, expected=reason.found, remedy=reason.remedy)


def _installs(package: PackageFacts, targets: Targets) -> Iterator[Finding]:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.tags import compatible_tags, cpython_tags, parse_tag

    wheel = package.wheel
    if wheel is None:
        return
    plugin = package.plugins[0] if package.plugins else None
    requires = next(iter(wheel.metadata.get("requires-python", ())), "")
    for version in targets.python:
        numbers = tuple(int(part) for part in version.split(".")[:2])
        platforms = [tag.rpartition("-")[2] for tag in wheel.tags]
        fitting = {*cpython_tags(numbers, platforms=platforms), *compatible_tags(numbers, platforms=platforms)}
        if wheel.tags and not any(tag in fitting for text in wheel.tags for tag in parse_tag(text)):
            yield _about_wheel(table.OTHER_PYTHON, f"it does not install into Python {version}", wheel.tags, "py3-none")
        try:
            fits = SpecifierSet(requires).contains(version if version.count(".") > 1 else f"{version}.99")
        except InvalidSpecifier:
            fits = True  # an index refuses it, which is another rule's
        if not fits:
            text = f"it does not install into Python {version}"
            yield _about_wheel(table.OTHER_PYTHON, text, [f"Requires-Python {requires}"], version)
    promised = package.glibc
    for glibc in targets.glibc if promised is not None else ():
        floor = plugin.library.glibc if plugin is not None and plugin.library else None
        there = tuple(int(part) for part in glibc.split(".")[:2])
        # Where the library itself needs more, that has been said.
        if promised is not None and promised > there and not (floor is not None and floor > there):
            text = f"installers refuse it on a machine with glibc {glibc}"
            yield _about_wheel(table.OTHER_GLIBC, text, wheel.tags, f"a tag of glibc {glibc} or older")


def _about_wheel(rule: Rule, text: str, found: Iterable[str], expected: str) -> Finding:
    remedy = "build the wheel for it; a tag of py3-none serves every Python"
    return Finding(rule=rule, level=rule.level, message=text, found=", ".join(found), expected=expected, remedy=remedy)
