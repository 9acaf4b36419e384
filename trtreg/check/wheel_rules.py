"""Judging the wheel around the library, and the manifest. Pure."""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from trtreg import _versions
from trtreg import manifest as manifests
from trtreg.check import table
from trtreg.check.finding import Finding
from trtreg.check.tree import is_library
from trtreg.discovery import ENTRY_POINT_GROUP, same_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from trtreg.check.facts import PackageFacts, PluginFacts, Problem, WheelFacts
    from trtreg.check.finding import Rule

__all__ = ["judge"]

_MOST: Final = 10  # findings of one kind about one wheel: a hostile one could bring a hundred thousand
_MANYLINUX: Final = re.compile(r"manylinux(?:1|2010|2014|_\d+_\d+)_(\w+)")
_REBUILD: Final = "build the wheel again, and change nothing in it afterwards"
_REINSTALL: Final = "install it again"
_COMPILED: Final = re.compile(r"(^|/)__pycache__/|\.py[co]$")
_LONG: Final = 120


def judge(package: PackageFacts) -> Iterator[Finding]:
    """All findings about the wheel and the manifests in it."""
    wheel = package.wheel
    if wheel is not None:
        if wheel.unreadable is not None:
            yield _finding(table.UNREADABLE, wheel.unreadable, remedy=_REBUILD)
            return
        yield from _structure(wheel)
        yield from _limited(table.RECORD, wheel.record, _REINSTALL if wheel.unpacked else _REBUILD)
        yield from _contents(package, wheel)
        yield from _metadata(package, wheel)
        yield from _entry_points(package, wheel)
        if not wheel.unpacked:
            yield from _platform(package, wheel)
        if not package.plugins and not wheel.entry_points:
            remedy = "nothing, where the package is only to bring others"
            yield _finding(table.EMPTY, "there is no plugin in it", remedy=remedy)
    for plugin in package.plugins:
        yield from _manifest(package, plugin)


def _finding(
    rule: Rule,
    message: str,
    *,
    remedy: str,
    found: str | None = None,
    expected: str | None = None,
    where: str | None = None,
    foreign: bool = False,
) -> Finding:
    return Finding(
        rule=rule,
        level=rule.level_for(foreign=foreign),
        message=message,
        found=found,
        expected=expected,
        remedy=remedy,
        where=where,
    )


def _limited(rule: Rule, problems: Iterable[Problem], remedy: str = _REBUILD) -> Iterator[Finding]:
    left = iter(problems)
    for problem in islice(left, _MOST):
        yield _finding(rule, problem.text, where=problem.where, remedy=remedy)
    if more := sum(1 for _ in left):
        yield _finding(rule, f"{more} more files are like that", remedy=remedy)


def _structure(wheel: WheelFacts) -> Iterator[Finding]:
    is_manifest = [problem.where.rpartition("/")[2] == manifests.FILE_NAME for problem in wheel.problems]
    yield from _limited(table.STRUCTURE, (p for p, yes in zip(wheel.problems, is_manifest, strict=True) if not yes))
    yield from _limited(table.MANIFEST, (p for p, yes in zip(wheel.problems, is_manifest, strict=True) if yes))
    if wheel.refusal is not None:
        yield _finding(table.REFUSED, f"an index would refuse it: {wheel.refusal}", remedy=_REBUILD)


def _platform(package: PackageFacts, wheel: WheelFacts) -> Iterator[Finding]:
    machines = {one.library.machine for one in package.plugins if one.library and one.library.machine}
    machines |= {one.machine for one in package.companions if one.machine}
    for tag in wheel.tags:
        python, abi, platform = tag.split("-")
        remedy = "build it with `pip wheel`, or let auditwheel repair it, or `trtreg wrap` the library"
        if (python, abi) != ("py3", "none"):
            text = "the tag keeps other versions of Python out, which the library would serve as well"
            yield _finding(table.PLATFORM, text, found=tag, expected=f"py3-none-{platform}", remedy=remedy)
        match = _MANYLINUX.fullmatch(platform)
        if not machines:
            if platform != "any":
                text = "the tag is for one platform, and there is no library in the wheel"
                yield _finding(table.PLATFORM, text, found=tag, expected="py3-none-any", remedy=remedy)
        elif match is None or {match[1]} != machines:
            expected = " and ".join(f"py3-none-manylinux_*_{machine}" for machine in sorted(machines))
            text = "the tag does not say what the libraries in the wheel are for"
            yield _finding(table.PLATFORM, text, found=tag, expected=expected, remedy=remedy)


def _contents(package: PackageFacts, wheel: WheelFacts) -> Iterator[Finding]:
    own = {value.partition(".")[0] for _, value in wheel.entry_points}
    own |= {place.partition("/")[0] for one in package.plugins if (place := one.where) and "/" in place}
    remedy = "leave it out of the wheel"
    left = []
    for name in wheel.names:
        top = name.partition("/")[0]
        if name.endswith(".pth"):
            text = "it runs code at each start of Python, or changes what Python imports"
        elif ".data/" in name:
            text = "it is installed outside of the package"
        elif _COMPILED.search(name) and not wheel.unpacked:
            text = "it is compiled Python, which is made anew at installation"
        elif re.search(r"\.(?:cpython|abi3|pypy)[\w-]*\.so$", name):
            text = "it is an extension module of one Python, and the tag says any"
        elif is_library(name) and "/" not in name:
            text = "it is a library outside of every package"
        elif not top.endswith((".dist-info", ".libs")) and own and top not in own:
            text = "it is not in the package that the entry point names"
        else:
            continue
        left.append((name, text))
    for name, text in left[:_MOST]:
        yield _finding(table.CONTENTS, text, where=name, remedy=remedy)
    if len(left) > _MOST:
        yield _finding(table.CONTENTS, f"{len(left) - _MOST} more files are like that", remedy=remedy)


def _metadata(package: PackageFacts, wheel: WheelFacts) -> Iterator[Finding]:
    def first(key: str) -> str:
        return next(iter(wheel.metadata.get(key, ())), "")

    where = next((name for name in wheel.names if name.endswith(".dist-info/METADATA")), None)
    if where is None:
        return
    missing = [name for name in ("Summary", "Requires-Python") if not first(name.lower())]
    requires = [re.split(r"[\s;<>=!~\[(]", text, maxsplit=1)[0] for text in wheel.metadata.get("requires-dist", ())]
    if package.plugins and not any(same_name(name, "trtreg") for name in requires):
        missing.append("Requires-Dist: trtreg")
    for name in missing:
        remedy = "add it to [project] of pyproject.toml"
        yield _finding(table.METADATA, f"METADATA has no {name}", where=where, remedy=remedy)
    classifiers = [text for text in wheel.metadata.get("classifier", ()) if text.startswith("License ::")]
    if not (first("license-expression") or first("license") or classifiers):
        remedy = 'add license = "..." (SPDX) to [project] of pyproject.toml'
        yield _finding(table.LICENCE, "METADATA names no licence", where=where, remedy=remedy)
    elif package.plugins and not any(
        re.search(r"\.dist-info/(?:licenses?/.*|(?:LICEN[CS]E|COPYING|NOTICE)[^/]*)$", name, re.IGNORECASE)
        for name in wheel.names
    ):
        remedy = 'add the file and license-files = ["LICENSE"] to [project] of pyproject.toml'
        yield _finding(table.LICENCE, "the text of the licence is not in it", where=where, remedy=remedy)


def _entry_points(package: PackageFacts, wheel: WheelFacts) -> Iterator[Finding]:
    named = {value for _, value in wheel.entry_points}
    having = {
        plugin.manifest_path.rpartition("/")[0].replace("/", ".") for plugin in package.plugins if plugin.manifest_path
    }
    where = next((name for name in wheel.names if name.endswith(".dist-info/entry_points.txt")), None)
    remedy = f"name the package in [project.entry-points.{json.dumps(ENTRY_POINT_GROUP)}]"
    for name in sorted(having - named):
        text = f"no entry point of the group {ENTRY_POINT_GROUP} names {name or 'its folder'}, which has a manifest"
        yield _finding(table.ENTRY_POINT, text, where=where, remedy=remedy)
    for name in sorted(named - having):
        if not any(p.where == f"{name.replace('.', '/')}/{manifests.FILE_NAME}" for p in wheel.problems):
            text = f"an entry point of the group {ENTRY_POINT_GROUP} names {name}, which has no manifest"
            yield _finding(table.ENTRY_POINT, text, where=where, remedy="build it with trtreg's build backend")


def _manifest(package: PackageFacts, plugin: PluginFacts) -> Iterator[Finding]:
    library, manifest = plugin.library, plugin.manifest
    if manifest is None:
        if package.kind != "library":
            text = "it is a library of plugins, and no manifest names it"
            yield _finding(table.MANIFEST, text, where=plugin.where, remedy="build it with trtreg, or `trtreg wrap` it")
        return
    where = plugin.manifest_path
    if library is None:
        text = f"it names the library {manifest.library.file}, which is not there"
        yield _finding(table.MANIFEST, text, where=where, remedy=_REBUILD)
        return
    if plugin.silence is not None:
        text = f"the library does not describe itself: {plugin.silence}"
        yield _finding(table.SILENT, text, where=library.path, remedy="build it again with this version of the SDK")
    declared = json.loads(manifests.to_json(manifest))["library"]
    # As JSON: tuples are lists there.
    derived = json.loads(json.dumps(dict(plugin.derived)))
    differences = [
        one for key in sorted(derived) for one in _differences(f"library.{key}", declared[key], derived[key])
    ]
    for path, said, is_so in differences[:_MOST]:
        text = f"'{path}' is not what the library gives"
        yield _finding(table.DERIVED, text, found=said, expected=is_so, where=where, remedy=_REBUILD)
    if len(differences) > _MOST:
        text = f"{len(differences) - _MOST} more fields are like that"
        yield _finding(table.DERIVED, text, where=where, remedy=_REBUILD)
    if package.wheel is not None and package.wheel.project:
        yield from _identity(package.wheel, manifest, where)


def _identity(wheel: WheelFacts, manifest: manifests.Manifest, where: str | None) -> Iterator[Finding]:
    summary = " ".join(next(iter(wheel.metadata.get("summary", ())), "").split())
    pairs: Mapping[str, tuple[str, str, bool]] = {
        "package": (manifest.package, wheel.project, same_name(manifest.package, wheel.project)),
        "version": (manifest.version, wheel.version, _same_version(manifest.version, wheel.version)),
        # `trtreg wrap` writes one into METADATA where nobody gave one.
        "summary": (manifest.summary, summary, not manifest.summary or " ".join(manifest.summary.split()) == summary),
    }
    for key, (said, is_so, same) in pairs.items():
        if not same:
            text = f"'{key}' is not that of METADATA"
            yield _finding(table.IDENTITY, text, found=repr(said), expected=repr(is_so), where=where, remedy=_REBUILD)


def _same_version(one: str, other: str) -> bool:
    return one == other or _versions.are_equal(one, other)


def _differences(path: str, said: Any, is_so: Any) -> Iterator[tuple[str, str, str]]:
    """Where two JSON values differ, as deep as it goes."""
    if isinstance(said, dict) and isinstance(is_so, dict):
        for key in sorted(said.keys() | is_so.keys()):
            yield from _differences(f"{path}.{key}", said.get(key), is_so.get(key))
    elif isinstance(said, list) and isinstance(is_so, list) and len(said) == len(is_so):
        for index, (one, other) in enumerate(zip(said, is_so, strict=True)):
            yield from _differences(f"{path}[{index}]", one, other)
    elif said != is_so:
        yield path, _short(said), _short(is_so)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"
