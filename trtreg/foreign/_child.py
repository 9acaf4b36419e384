"""Opens a library in the way it is told, and writes what came into the registry: LIBRARY REGISTRATION INIT ANSWER."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from trtreg import _library_file, flavour
from trtreg.errors import TrtregError
from trtreg.foreign import opening

__all__: list[str] = []


def _main(library: Path, registration: str, init: str, answer: Path) -> None:
    try:
        data: dict[str, Any] = {"creators": _creators(library, registration, init or None)}
    except TrtregError as error:
        words = {"message": error.message, "found": error.found, "expected": error.expected, "remedy": error.remedy}
        data = {"error": {"type": type(error).__name__, **words}}
    answer.write_text(json.dumps(data), encoding="utf-8")


def _creators(library: Path, registration: str, init: str | None) -> list[dict[str, Any]]:
    tensorrt = flavour.select()
    registry = flavour.load(tensorrt).get_plugin_registry()
    flavour.logger(tensorrt)
    before = {_key(creator) for creator in registry.all_creators}
    with flavour.capture() as messages:
        if registration != "dynamic":
            opening.open_library(library, tensorrt, init)
        elif registry.load_library(str(library)) is None:
            raise _library_file.explain_refusal(library, messages, owner=library.name)
    return [_describe(creator) for creator in registry.all_creators if _key(creator) not in before]


def _key(creator: Any) -> tuple[str, str, str]:
    return creator.name, creator.plugin_version, creator.plugin_namespace


def _describe(creator: Any) -> dict[str, Any]:
    name, version, namespace = _key(creator)
    return {
        "name": name,
        "version": version,
        "namespace": namespace,
        "interface": _interface(creator),
        "fields": [
            {"name": field.name, "type": field.type.name.lower(), "length": max(int(field.size), 0)}
            for field in creator.field_names or ()
            if field.name
        ],
    }


def _interface(creator: Any) -> str | None:
    # "PLUGIN CREATOR_V1" is the creator of the V2 plugin interface, "PLUGIN CREATOR_V3ONE" that of V3.
    info = getattr(creator, "interface_info", None)
    kind = getattr(info, "kind", "")
    return {"PLUGIN CREATOR_V1": "v2", "PLUGIN CREATOR_V3ONE": "v3"}.get(kind)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4]))
    # Not the usual end: static destructors of a library may fault, and all that is asked for is known.
    os._exit(0)
