"""Print what another tool must be told to load the plugins: its arguments, in its own quoting.

Without --for and --plugin: for all installed plugins that fit this machine. The tool may work with another TensorRT
than the one here; TRTREG_TENSORRT chooses the flavour. Ends with an exit code of its own if the tool cannot load a
plugin.

Examples:
  trtreg flags trtexec                         all plugins that fit
  trtreg flags trtexec --for model.onnx        those that the model needs
  trtreg flags triton --for model.engine --plugin trtplugin-dcnv2
  trtreg flags cmake > plugins.cmake
  trtreg flags polygraphy --verbose            with the tool's own documentation
  trtreg flags onnxruntime --format json

Triton, ONNX Runtime and DeepStream only open a library, and most plugins register in another way. --adapter compiles a
small library that registers them when it is opened; it needs a C++ compiler:
  trtreg flags triton --adapter libplugins.so
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trtreg.cli import _terminal
from trtreg.errors import ToolFlagsError, UnsupportedNodesError
from trtreg.tools import TOOLS

if TYPE_CHECKING:
    import argparse

    from trtreg.tools import Flags

__all__ = ["configure_parser", "execute"]

_OPENERS = ("triton", "onnxruntime", "deepstream")  # they open libraries and call nothing in them


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("tool", metavar="TOOL", choices=TOOLS, help=f"one of {', '.join(TOOLS)}")
    parser.add_argument(
        "--for", dest="files", metavar="FILE", action="append", default=[], help="plugins that a model or engine needs"
    )
    parser.add_argument(
        "--plugin", metavar="NAME", action="append", default=[], help="a package or an op; may be repeated"
    )
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        help="text to paste, or JSON (schema: trtreg/schema/flags.schema.json)",
    )
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")
    parser.add_argument(
        "--adapter",
        metavar="FILE",
        help="write a library to FILE that registers the plugins when it is opened, and use it in their place",
    )
    parser.add_argument("--verbose", action="store_true", help="name the tool's documentation")
    parser.set_defaults(usage_error=parser.error)


def execute(arguments: argparse.Namespace) -> int:
    """Print the text on stdout, and all that is about it on stderr."""
    from trtreg import discovery, environment

    if arguments.adapter and arguments.tool not in _OPENERS:
        arguments.usage_error(f"--adapter: {arguments.tool} needs none; it is for {', '.join(_OPENERS)}")
    from trtreg.tools import flags_for, selection
    from trtreg.tools.library import of

    here = environment.read()
    chosen = selection.select(discovery.discover(), here, names=arguments.plugin, files=arguments.files)
    libraries = []
    for plugin in chosen.plugins:
        library = of(plugin)
        if library is None:
            problem = plugin.problem or "it has no manifest"
            raise ToolFlagsError(f"{plugin.distribution} is broken", found=str(problem), remedy="reinstall it")
        libraries.append(library)
    if arguments.adapter:
        from trtreg.tools import adapter

        libraries = [*adapter.write(libraries, arguments.adapter)]
    flags = flags_for(arguments.tool, libraries, flavour=here.flavour.value if here.flavour else "full")
    if arguments.format == "json":
        _terminal.print_json(_as_json(flags, chosen.lacking))
    else:
        _print(flags, verbose=arguments.verbose)
        for line in chosen.lacking:
            _terminal.print_line(f"trtreg: warning: {line}")
    if arguments.files and chosen.lacking:
        return UnsupportedNodesError.exit_code
    return ToolFlagsError.exit_code if flags.unloadable else 0


def _print(flags: Flags, *, verbose: bool) -> None:
    for line in flags.text:
        print(line)
    if not flags.libraries:
        _terminal.print_line("trtreg: no plugin is needed, or none is installed that fits")
    for note in flags.notes:
        _terminal.print_line(f"trtreg: note: {note}")
    for one in flags.unloadable:
        _terminal.print_line(f"trtreg: {one.package}: {one.reason}")
        _terminal.print_line(f"trtreg: {one.package}: instead, {one.instead}")
    if verbose:
        for source in flags.sources:
            _terminal.print_line(f"trtreg: see {source.title}: {source.url}")


def _as_json(flags: Flags, lacking: tuple[str, ...]) -> dict[str, Any]:
    return {
        "schema": 1,
        "tool": flags.tool,
        "plugins": [
            {
                "package": library.package,
                "version": library.version,
                "library": str(library.path),
                "registration": library.style.value,
                "init": library.init,
            }
            for library in flags.libraries
        ],
        "text": [*flags.text],
        "arguments": [*flags.arguments],
        "environment": dict(flags.environment),
        "options": dict(flags.options),
        "unloadable": [
            {"package": one.package, "reason": one.reason, "instead": one.instead} for one in flags.unloadable
        ],
        "lacking": [*lacking],
        "notes": [*flags.notes],
        "sources": [{"title": source.title, "url": source.url} for source in flags.sources],
    }
