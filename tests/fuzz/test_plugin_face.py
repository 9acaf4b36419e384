"""The plugins' two faces under the sanitizers, for a few seconds; `make fuzz` takes all packages, and longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from . import plugins

if TYPE_CHECKING:
    from pathlib import Path

PROBE = plugins.ROOT / "tests" / "testing" / "trtplugin-probe"
SECONDS, MOST = 3, 4000


@pytest.fixture(scope="module")
def driver() -> Path:
    return plugins.build_driver(plugins.ROOT / "build" / "fuzz" / "driver")


@pytest.mark.parametrize("name", ["trtplugin-scatter", "trtplugin-split"])
def test_no_attribute_and_no_shape_breaks_a_plugin(name: str, driver: Path, tmp_path: Path) -> None:
    last = tmp_path / "last"
    found = plugins.run_driver(driver, plugins.host_library(plugins.PACKAGES[name]), last, 1, SECONDS, MOST)
    assert found.counts is not None, f"{found.words}\nthe input: {last.read_bytes().hex()}"
    # An input of a few hundred bytes is a plugin with its tensors; many have to get through to the kernels.
    assert found.counts["run"] > 10


def test_a_plugin_that_is_broken_is_found(driver: Path, tmp_path: Path) -> None:
    # The probe has an attribute that lets it read and write where it should not.
    last = tmp_path / "last"
    library = plugins.host_library(PROBE)
    found = plugins.run_driver(driver, library, last, 1, 60, 100_000)
    assert found.counts is None
    # The input alone shows it again.
    again = plugins.run_driver(driver, library, tmp_path / "unused", last)
    assert again.counts is None
    assert "ERROR: AddressSanitizer" in again.words or "runtime error" in again.words or "on_host:" in again.words
