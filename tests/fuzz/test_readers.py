"""Every reader, given a few hundred inputs; the same ones at each run. `make fuzz` looks longer, and elsewhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .inputs import inputs
from .readers import TARGETS, BrokenRuleError, Target, attempt

if TYPE_CHECKING:
    from pathlib import Path

    from hypothesis.strategies import DataObject

EXAMPLES = int(os.environ.get("TRTREG_FUZZ_EXAMPLES", "120"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("name", TARGETS)
@settings(
    max_examples=EXAMPLES,
    derandomize="TRTREG_FUZZ_EXAMPLES" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_any_input_gives_a_result_or_an_error_of_ours(name: str, folder: Path, data: DataObject) -> None:
    attempt(TARGETS[name], data.draw(inputs(TARGETS[name])), folder)


@pytest.mark.parametrize("name", TARGETS)
def test_sound_inputs_are_taken(name: str, folder: Path) -> None:
    # Otherwise nothing but the first lines of a reader would be tried.
    for seed in TARGETS[name].seeds():
        taken = attempt(TARGETS[name], seed, folder)
        assert taken or name == "index-wheel", seed[:200]


def a_reader(body):
    return Target(name="a reader", run=body, seeds=lambda: (b"sound",))


def writes(data: bytes, folder: Path) -> None:
    if data != b"sound":
        (folder / "other").write_bytes(data)


def starts(data: bytes, folder: Path) -> None:
    if data != b"sound":
        os.system("true")  # noqa: S605


def eats(data: bytes, folder: Path) -> None:
    if data != b"sound":
        bytes(1 << 29)


def lets_through(data: bytes, folder: Path) -> None:
    if data != b"sound":
        raise KeyError(data)


@pytest.mark.parametrize(
    ("body", "error"),
    [(writes, BrokenRuleError), (starts, BrokenRuleError), (eats, BrokenRuleError), (lets_through, KeyError)],
)
def test_a_broken_rule_is_seen(body, error: type[Exception], folder: Path) -> None:
    attempt(a_reader(body), b"sound", folder)
    with pytest.raises(error):
        attempt(a_reader(body), b"hostile", folder)
