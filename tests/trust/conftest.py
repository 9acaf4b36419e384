"""Libraries that do what no library should, and the folders of a user of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pythons import python_of

from trtreg.manifest import CreatorKey

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trtreg.discovery import InstalledPlugin

KEY = CreatorKey("TrtregTrustOne", "1")

# A library that TensorRT would take, but for what START and BODY do.
SOURCE = """
#include "trtreg/abi.h"
#include <signal.h>
#include <unistd.h>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
namespace abi = trtreg::abi;
#define API extern "C" __attribute__((visibility("default")))
__attribute__((constructor)) static void start() { START; }
API abi::IPluginCreatorInterface* const* getCreators(int32_t& count) { BODY; }
API void setLoggerFinder(abi::ILoggerFinder*) {}
"""


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Trials of each test are its own; gives the folder of the verdicts."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "trtreg" / "trials"


@pytest.fixture
def policy_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    """Write the policy of this process."""

    def policy_file(text: str) -> Path:
        path = tmp_path / "policy.toml"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setenv("TRTREG_POLICY", str(path))
        return path

    return policy_file


@pytest.fixture
def one(compile_creators, install) -> InstalledPlugin:
    return install(compile_creators([KEY]), [KEY])


@pytest.fixture
def bad(compile_library, install) -> Callable[..., InstalledPlugin]:
    """Install a plugin that does `start` when it is opened, and `body` when it is asked for its creators."""

    def bad(start: str = "", body: str = "count = 0; return nullptr", name: str = "trtplugin-bad", **changes: object):
        source = SOURCE.replace("START", start).replace("BODY", body)
        return install(compile_library(source), [KEY], name, **changes)

    return bad


@pytest.fixture(params=["TRTREG_TEST_LEAN_10_16", "TRTREG_TEST_LEAN_11_4"])
def lean_python(request: pytest.FixtureRequest) -> str:
    """The Python of an environment with this TensorRT-lean, as `make test` makes it."""
    return python_of(request.param)
