"""The same library, byte for byte, works in RTX 1.7, lean 10.16 and lean 11.4, each in an environment of its own.

``make test`` makes the environments and names their Pythons in TRTREG_TEST_*. They hold the plugins' wheels, so what is
tested here is what a user installs.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pythons import python_of

# Every plugin package of this repository, and the ops that its sources name.
PACKAGES = Path(__file__).resolve().parent.parent / "plugin-packages"
NAME = re.compile(r'char const\* name = "(\w+)"')


def ops_of(package: Path) -> set[str]:
    sources = [path.read_text(encoding="utf-8") for path in (package / "native").rglob("*") if path.is_file()]
    return {name for text in sources for name in NAME.findall(text)}


PLUGINS = {path.parent.name: ops_of(path.parent) for path in sorted(PACKAGES.glob("*/pyproject.toml"))}
PLUGINS = {name: ops for name, ops in PLUGINS.items() if ops}  # a meta package has none

# Runs in each environment. Not trtreg's word but the registry's own, and the file that the process has mapped.
PROBE = """
import hashlib, json, pathlib
from trtreg import discovery, flavour, loader

tensorrt = flavour.load()
registry = tensorrt.get_plugin_registry()
has = lambda key: registry.get_creator(key.name, key.version, key.namespace) is not None
found = {}
for plugin in discovery.discover():
    keys = [creator.key for creator in plugin.manifest.library.creators]
    before = [key.name for key in keys if has(key)]
    loader.load(plugin)
    mapped = [line.split()[5] for line in open("/proc/self/maps") if len(line.split()) > 5]
    library = pathlib.Path(plugin.library_path)
    found[plugin.distribution] = {
        "before": before,
        "creators": [key.name for key in keys if has(key)],
        # Its bytes in memory, under a name that ends in the file's.
        "mapped": any(path.startswith("/memfd:trtreg-") and path.endswith(library.name) for path in mapped),
        "sha256": hashlib.sha256(library.read_bytes()).hexdigest(),
    }
print(json.dumps({"module": tensorrt.__name__, "version": tensorrt.__version__, "plugins": found}))
"""


class Flavour(NamedTuple):
    variable: str
    module: str
    version: str


FLAVOURS = [
    Flavour("TRTREG_TEST_RTX_1_7", "tensorrt_rtx", "1.7."),
    Flavour("TRTREG_TEST_LEAN_10_16", "tensorrt_lean", "10.16."),
    Flavour("TRTREG_TEST_LEAN_11_4", "tensorrt_lean", "11.4."),
]
each_flavour = pytest.mark.parametrize(
    "flavour", FLAVOURS, ids=lambda flavour: flavour.variable[len("TRTREG_TEST_") :].lower()
)
_probed: dict[Flavour, dict[str, Any]] = {}


def run(flavour: Flavour, *arguments: str) -> dict[str, Any]:
    """What a command prints as JSON in the environment of this flavour."""
    python = python_of(flavour.variable)
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "TRTREG_TENSORRT")}
    done = subprocess.run([python, *arguments], check=False, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def probe(flavour: Flavour) -> dict[str, Any]:
    if flavour not in _probed:
        _probed[flavour] = run(flavour, "-c", PROBE)
    return _probed[flavour]


@each_flavour
def test_list_shows_every_plugin_as_fitting(flavour):
    listed = run(flavour, "-m", "trtreg", "list", "--json")["plugins"]
    assert {each["package"]: (each["fits"], each["reasons"], each["problem"]) for each in listed} == {
        name: (True, [], None) for name in PLUGINS
    }


@each_flavour
def test_the_environment_has_the_tensorrt_that_it_is_for(flavour):
    found = probe(flavour)
    assert found["module"] == flavour.module
    assert found["version"].startswith(flavour.version)


@each_flavour
@pytest.mark.parametrize("name", PLUGINS)
def test_loading_puts_the_declared_creators_into_the_registry(flavour, name):
    plugin = probe(flavour)["plugins"][name]
    assert plugin["before"] == []
    assert set(plugin["creators"]) == PLUGINS[name]
    assert plugin["mapped"]


@pytest.mark.parametrize("name", PLUGINS)
def test_the_same_bytes_serve_every_tensorrt(name):
    assert len({probe(flavour)["plugins"][name]["sha256"] for flavour in FLAVOURS}) == 1
