"""The CUDA kernel, run by the host compiler under the address sanitizer: its numbers, and every read and write."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from dcnv2_cases import EDGES, Case, assert_close, oracle, random_case

from trtreg.sdk import toolchain

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    Inputs: TypeAlias = dict[str, np.ndarray]
    Run: TypeAlias = Callable[[Case, Inputs, str, int], np.ndarray]

HERE = Path(__file__).parent
TYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    program = tmp_path_factory.mktemp("kernel") / "kernel_on_host"
    tools = toolchain.find()
    includes = [f"-I{path}" for path in (HERE.parent / "native", *tools.nvcc.include_dirs)]
    source = HERE / "native" / "kernel_on_host.cpp"
    command = [tools.cxx.path, "-std=c++17", "-O1", "-g", *SANITIZERS, *includes, source, "-o", program]
    subprocess.run(command, check=True)

    def run(case: Case, inputs: Inputs, dtype: str, tile: int) -> np.ndarray:
        axes = zip(case.size, case.extent, case.kernel, case.stride, case.padding, case.dilation, strict=True)
        sizes = [case.batch, case.channels, case.out_channels, case.groups, case.deform_groups]
        header = [list(TYPES).index(dtype), tile, case.bias, *sizes, *(number for axis in axes for number in axis)]
        tensors = (torch.from_numpy(each).to(TYPES[dtype]) for each in inputs.values())
        bits = torch.int32 if dtype == "float32" else torch.int16  # NumPy has no bfloat16
        data = b"".join(each.view(bits).numpy().tobytes() for each in tensors)
        result = subprocess.run(
            [program],
            input=np.array(header, dtype=np.int64).tobytes() + data,
            capture_output=True,
            check=False,
            # The program is small: no leak is worth a search at the end of each run.
            env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},
        )
        assert result.returncode == 0, (case, result.stderr.decode())
        y = torch.frombuffer(bytearray(result.stdout), dtype=TYPES[dtype]) if result.stdout else torch.empty(0)
        return y.reshape(case.batch, case.out_channels, *case.extent).double().numpy()

    return run


def rounded(inputs: Inputs, dtype: str) -> Inputs:
    return {name: torch.from_numpy(each).to(TYPES[dtype]).double().numpy() for name, each in inputs.items()}


def check(run: Run, case: Case, random: np.random.Generator, dtype: str) -> None:
    inputs = rounded(case.inputs(random), dtype)
    expected = oracle(case, inputs)
    for tile in (32, 128):
        assert_close(case, inputs, run(case, inputs, dtype, tile), expected, dtype)


@pytest.mark.parametrize("case", EDGES, ids=range(len(EDGES)))
def test_edges(run: Run, case: Case) -> None:
    check(run, case, np.random.default_rng(0), "float32")


@pytest.mark.parametrize("seed", range(40))
def test_random_configurations(run: Run, seed: int) -> None:
    random = np.random.default_rng(seed)
    check(run, random_case(random, largest=8), random, list(TYPES)[seed % 3])


def test_outside_pixels_are_never_read(run: Run) -> None:
    # A neighbour outside counts as 0 even where an infinity would turn a weight of 0 to NaN.
    case = Case(channels=2, size=(3, 3), padding=(1, 1), bias=False)
    inputs = case.inputs(np.random.default_rng(0))
    inputs["x"][:] = np.inf
    inputs["weight"][:] = 1
    inputs["offset"][:] = 100
    assert (run(case, inputs, "float32", 32) == 0).all()
