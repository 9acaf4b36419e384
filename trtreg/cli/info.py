"""Show a plugin or an engine: what it is, and whether it fits this machine.

Of a plugin: its manifest, and its ops with their attributes. Of an engine: what its lock, ENGINE.lock.json, says it was
built with, what of that is different here, and which plugins it carries or needs.

Examples:
  trtreg info trtplugin-dcnv2
  trtreg info DCNv2            by the name of an op
  trtreg info DCNv2 --json
  trtreg info model.engine
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from trtreg.cli import _terminal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from trtreg.cli._plugins import Judged
    from trtreg.manifest import Creator, Field, Library

__all__ = ["configure_parser", "execute"]


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("name", metavar="NAME", help="a package, an op, or an engine file")
    parser.add_argument(
        "--json", action="store_true", help="print JSON (trtreg/schema/info.schema.json, engine.schema.json)"
    )


def execute(arguments: argparse.Namespace) -> int:
    """Print all that is known of one plugin, of each that has the op, or of an engine."""
    from trtreg import manifest as manifests
    from trtreg import runtime
    from trtreg.cli import _engine, _plugins

    if _is_engine(arguments.name):
        _engine.show(arguments.name, as_json=arguments.json)
        return 0
    judged = _plugins.judge_all()
    named = runtime.called(arguments.name, [one.plugin for one in judged])
    chosen = [one for one in judged if one.plugin in named]
    if arguments.json:
        documents = [
            {
                **_plugins.as_json(one),
                "manifest": json.loads(manifests.to_json(one.plugin.manifest)) if one.plugin.manifest else None,
            }
            for one in chosen
        ]
        _terminal.print_json({"schema": 1, "plugins": documents})
        return 0
    print("\n\n".join("\n".join(_lines(one)) for one in chosen))
    return 0


def _is_engine(name: str) -> bool:
    """Whether a path is meant: one that says so by itself, or a file; a package's name has neither."""
    path = Path(name)
    return path.suffix in {".engine", ".plan", ".trt"} or path.name != name or path.is_file()


def _lines(one: Judged) -> Iterator[str]:
    plugin = one.plugin
    yield f"{plugin.distribution} {plugin.version}"
    if plugin.manifest:
        if plugin.manifest.summary:
            yield f"  {plugin.manifest.summary}"
        wanted = ", ".join(f"{name} {versions}".rstrip() for name, versions in sorted(plugin.manifest.tensorrt.items()))
        yield f"  TensorRT  {wanted}"
        yield from _library(plugin.manifest.library, str(plugin.library_path))
        yield from _trials(plugin.manifest.library)
    if one.fits:
        yield f"  fits      {_terminal.good(one.verdict)}"
    elif plugin.problem is not None:
        yield f"  fits      {_terminal.bad('no')}, {one.verdict}"
    else:
        yield f"  fits      {_terminal.bad('no')}"
        yield from (f"    - {reason}" for reason in one.reasons)
    for creator in plugin.manifest.library.creators if plugin.manifest else ():
        yield ""
        yield from _creator(creator)


def _library(library: Library, path: str) -> Iterator[str]:
    yield f"  library   {path} ({_terminal.size(library.size)})"
    yield f"  sha256    {library.sha256}"
    kinds = (("sm", library.sms), ("PTX", library.ptx))
    code = " and ".join(f"{kind} {', '.join(targets)}" for kind, targets in kinds if targets) or "none"
    yield f"  GPU code  {code}" + (f", CUDA {library.cuda}" if library.cuda else "")
    needed = ", ".join(library.needed) or "no libraries"
    yield f"  needs     {library.machine}, glibc {library.glibc or 'any'}, {needed}"


def _trials(library: Library) -> Iterator[str]:
    from trtreg.trust import verdicts

    for verdict in verdicts.read_all():
        if verdict.sha256 == library.sha256:
            end = _terminal.bad(verdict.reason) if verdict.reason else _terminal.good("passed")
            yield f"  trial     {end}, {verdict.flavour} {verdict.tensorrt}, {verdict.seconds:.1f} s"


def _creator(creator: Creator) -> Iterator[str]:
    counts = [
        f"{_count(limits)} {word}" for word, limits in (("in", creator.inputs), ("out", creator.outputs)) if limits
    ]
    yield f"  op {creator.key}" + (f"  ({', '.join(counts)})" if counts else "")
    for field in creator.fields:
        yield f"    {field.name:20} {_type(field)}"
    for signature in creator.signatures or ():
        yield f"    {', '.join(signature.inputs)} -> {', '.join(signature.outputs)}"


def _count(limits: tuple[int, int]) -> str:
    low, high = limits
    return str(low) if low == high else f"{low} to {high}"


def _type(field: Field) -> str:
    length = "" if field.length == 1 else f"[{field.length or ''}]"
    if field.alias_of:
        return f"{field.type}{length}, another name of {field.alias_of}"
    if field.default is None:
        return f"{field.type}{length}, required"
    value = field.default if isinstance(field.default, str) else ", ".join(map(str, field.default))
    return f"{field.type}{length} = {value}"
