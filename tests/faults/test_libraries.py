"""Broken plugin packages, loaded one after the other by a process that has to stay alive and in order."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import broken_libraries as libraries
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]

TABLES = [libraries.of_behaviour, libraries.of_elf, libraries.changed_files, libraries.of_dependencies,
          libraries.of_manifests]  # fmt: skip


def loss(fault: libraries.Fault, answer: dict[str, Any]) -> str | None:
    """What is wrong with how a fault was met: None where it was survived, and refused with a reason."""
    if "died" in answer:
        return f"the process ended ({answer['died']}): {answer['reason']}"
    if "harm" in answer:
        return f"{answer['harm']} after {answer}"
    if "raised" in answer:
        return f"no error of trtreg's: {answer['raised']}"
    if "loaded" in answer:
        return None if fault.may_load else f"it was loaded: {answer['loaded']}"
    return None if len(answer["reason"]) > len(fault.name) else f"no reason: {answer['reason']!r}"


def meet(faults: list[libraries.Fault], host: Any, folder: Path) -> Iterator[tuple[libraries.Fault, dict[str, Any]]]:
    """Let the process meet the faults; those that take their time, each in one of its own beside it."""
    end = libraries.Fault(kind=faults[0].kind, name="the end of the process", write=lambda site: None)
    named = {str(number): fault for number, fault in enumerate(faults)}
    for number, fault in named.items():
        fault.write(folder / number)
    quick = [(number, folder / number) for number, fault in named.items() if not fault.hangs]
    lanes = [quick, *([(number, folder / number)] for number, fault in named.items() if fault.hangs)]
    with ThreadPoolExecutor(8) as pool:
        for answers in pool.map(lambda jobs: list(host.run(jobs)), filter(None, lanes)):
            for number, answer in answers:
                yield named.get(number, end), answer


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_broken_packages(table, sources, host, scratch, tally, full):
    faults = [fault for fault in table(sources) if full or fault.quick]
    for fault, answer in meet(faults, host, scratch):
        tally.add(fault.kind, fault.name, loss(fault, answer))
    assert sum(tally.tried.values()) >= len(faults)


@pytest.mark.parametrize("variable", ["TRTREG_TEST_LEAN_10_16", "TRTREG_TEST_LEAN_11_4"])
def test_broken_packages_under_an_enterprise_tensorrt(variable, sources, host, scratch, tally, full):
    """The registry of the enterprise TensorRT, which `make faults` has."""
    if not full:
        pytest.skip("`make faults` does it")
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"{variable} names no Python with this TensorRT; `make faults` makes one")
    faults = [fault for fault in libraries.of_behaviour(sources) if not fault.hangs]
    faults += [fault for fault in libraries.of_elf(sources) if fault.kind == "wrong ELF file"]
    environ = {**host.environ, "TRTREG_TENSORRT": "lean", "PYTHONPATH": str(ROOT)}
    other = replace(host, environ=environ, python=python)
    for fault, answer in meet(faults, other, scratch):
        tally.add(
            f"tensorrt-lean {variable[-5:].strip('_').replace('_', '.')}: all of these", fault.name, loss(fault, answer)
        )


def powerless(environ: dict[str, str], folder: Path, compile_library: Callable[..., Path]) -> dict[str, str]:
    """Let the process be bound by permissions, as root is not."""
    if os.geteuid() != 0:
        return environ
    source = r"""
        #include <linux/capability.h>
        #include <sys/syscall.h>
        #include <unistd.h>
        __attribute__((constructor)) static void drop() {
          __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
          __user_cap_data_struct data[2] = {};
          syscall(SYS_capset, &header, data);
        }
    """
    return {**environ, "LD_PRELOAD": str(compile_library(source))}


def test_what_is_no_plain_file(sources, host, scratch, tally, compile_library):
    bound = replace(host, environ=powerless(host.environ, scratch, compile_library))
    faults = list(libraries.of_files(sources))
    for fault, answer in meet(faults, bound, scratch):
        tally.add(fault.kind, fault.name, loss(fault, answer))


def test_a_fault_that_is_not_refused_is_lost():
    """The judge himself."""
    fault = libraries.Fault(kind="k", name="n", write=lambda site: None)
    assert loss(fault, {"died": -6, "reason": ""})
    assert loss(fault, {"raised": "KeyError()"})
    assert loss(fault, {"loaded": ["X 1"]})
    assert loss(fault, {"refused": "LoadError", "reason": "it is broken", "harm": "a file is open"})
    assert loss(fault, {"refused": "LoadError", "reason": ""})
    assert not loss(fault, {"refused": "LoadError", "reason": "it is broken"})
    assert not loss(replace(fault, may_load=True), {"loaded": ["X 1"]})
