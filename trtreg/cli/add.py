"""Register a finished plugin library, without a wheel.

The library is opened in a process of its own to see what it registers: through getCreators, a function like
initLibMyPlugins, or by itself when it is opened. From then on it is a plugin as any other, for this user. It stays
where it is, and has to be added again when it was rebuilt; --copy keeps what it is now.

Examples:
  trtreg add libmy_plugins.so
  trtreg add libmy_plugins.so --name my-plugins --version 1.2 --tensorrt 'full>=10,<11'
  trtreg add libmy_plugins.so --init register_my_plugins
  trtreg add --remove my-plugins
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trtreg.cli import _libraries, _terminal

if TYPE_CHECKING:
    import argparse

__all__ = ["configure_parser", "execute"]


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("library", metavar="LIBRARY", nargs="?", help="a shared library")
    chosen.add_argument("--remove", metavar="NAME", help="forget an added library; its file stays")
    _libraries.add_options(parser)
    parser.add_argument("--copy", action="store_true", help="keep a copy of the library instead of a link")


def execute(arguments: argparse.Namespace) -> int:
    """Examine the library and register it, or forget one."""
    from trtreg.foreign import added, describe, examine

    if arguments.remove is not None:
        gone = added.remove(arguments.remove)
        if arguments.json and gone.manifest is not None:
            _terminal.print_json(_libraries.as_json(gone.manifest, "remove", str(gone.library_path)))
        else:
            print(f"{gone.distribution} is forgotten")
        return 0
    path = Path(arguments.library)
    specifiers = describe.parse_specifiers(arguments.tensorrt)
    examination = examine.examine(path, init=arguments.init)
    described = describe.describe(
        examination,
        name=describe.default_name(path) if arguments.name is None else arguments.name,
        version=arguments.version,
        summary=arguments.summary,
        tensorrt=specifiers,
    )
    plugin = added.add(examination.library, described, copy=arguments.copy)
    if arguments.json:
        _terminal.print_json(_libraries.as_json(described, "add", str(plugin.library_path)))
        return 0
    print(f"{plugin.distribution} {plugin.version} added from {path}")
    for line in _libraries.lines(described):
        print(line)
    return 0
