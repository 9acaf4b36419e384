"""The operators that TensorRT's own ONNX parser imports, as a data file made by asking the parser.

`python -m trtreg.native_operators` asks the installed TensorRT and writes the file anew. A plugin of such a name is
bypassed by the parser, whatever its domain, unless the node has a `plugin_namespace` (seen with TensorRT-RTX 1.7.1).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["NativeOperators", "probe", "read", "to_json"]

_FILE = Path(__file__).parent / "data" / "native_operators.json"
_SOURCE = "OnnxParser.supports_operator over all names of ONNX schemas and all names in the parser library"
# Catch-all importers that stand in the parser's table under a name, and are no operators.
_NO_OPERATORS = frozenset({"FallbackPluginImporter", "LocalFunctionImporter"})


@dataclass(frozen=True, kw_only=True, slots=True)
class NativeOperators:
    """What one parser imports by itself, and which parser was asked."""

    source: str
    flavour: str
    version: str
    operators: frozenset[str]


@cache
def read() -> NativeOperators:
    """Read the file that trtreg carries."""
    data = json.loads(_FILE.read_text(encoding="utf-8"))
    return NativeOperators(
        source=data["source"],
        flavour=data["tensorrt"]["flavour"],
        version=data["tensorrt"]["version"],
        operators=frozenset(data["operators"]),
    )


def probe(trt: Any, flavour: str) -> NativeOperators:
    """Ask the parser of the TensorRT module `trt`."""
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    names = {name for name in _candidates() if parser.supports_operator(name)} - _NO_OPERATORS
    return NativeOperators(source=_SOURCE, flavour=flavour, version=trt.__version__, operators=frozenset(names))


def to_json(native: NativeOperators) -> str:
    """Give the text of the data file: deterministic, sorted, ends in a newline."""
    data = {
        "schema": 1,
        "source": native.source,
        "tensorrt": {"flavour": native.flavour, "version": native.version},
        "operators": sorted(native.operators),
    }
    return json.dumps(data, indent=1) + "\n"


def _candidates() -> Iterable[str]:
    """All names worth asking for: ONNX's, and every word of the loaded parser library (`importFoo` names Foo)."""
    import onnx

    names = {schema.name for schema in onnx.defs.get_all_schemas_with_history()}
    for library in _parser_libraries():
        for match in re.finditer(rb"[A-Za-z_][A-Za-z0-9_]{0,80}", library.read_bytes()):
            word = match.group().decode()
            names |= {word, re.sub("^(?:import|check)", "", word)}
    return names


def _parser_libraries() -> set[Path]:
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    return {Path(line.split(maxsplit=5)[5]) for line in maps if "onnxparser" in line}


if __name__ == "__main__":
    from trtreg import flavour as _flavour

    _installed = _flavour.select()
    _FILE.write_text(to_json(probe(_flavour.load(_installed), _installed.flavour.value)), encoding="utf-8")
