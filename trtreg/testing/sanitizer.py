"""A plugin's kernels on a GPU under compute-sanitizer: nothing but the library runs, each tensor its own allocation."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtreg.errors import CompileError
from trtreg.sdk import toolchain
from trtreg.sdk.compile import INCLUDE_DIR
from trtreg.testing._driver import Request, read_answer
from trtreg.testing.host import NATIVE_DIR

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

__all__ = ["Request", "each_tool", "run"]

TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")


def each_tool(test: Callable[..., None]) -> Any:
    """Mark a test of one parameter `tool`: it runs with each of them, and skips where there is no compute-sanitizer."""
    import shutil

    import pytest

    missing = shutil.which("compute-sanitizer") is None
    marked = pytest.mark.skipif(missing, reason="compute-sanitizer is not on PATH")(test)
    return pytest.mark.parametrize("tool", TOOLS)(marked)


def run(
    library: Path, requests: Sequence[Request], *, tool: str = "memcheck", sanitizer: str = "compute-sanitizer"
) -> list[tuple[torch.Tensor, ...]]:
    """Run `requests` one after another and give the outputs of each.

    Args:
        library: of an installed package, as :func:`trtreg.testing.device.library_of` finds it.
        requests: the calls; their tensors may lie anywhere.
        tool: memcheck, racecheck, synccheck or initcheck.
        sanitizer: the program.

    Raises:
        AssertionError: the sanitizer found something, with its words; or an input was changed.
        FaceError: the plugin refused a request.
    """
    with tempfile.TemporaryDirectory() as folder:
        driver = Path(folder) / "driver"
        _compile(driver)
        asked = Path(folder) / "requests"
        asked.write_bytes(b"".join(request.encode(poison=0xFF) for request in requests))
        answers, words = Path(folder) / "answers", Path(folder) / "words"
        with asked.open("rb") as source, answers.open("wb") as target:
            command = [sanitizer, "--tool", tool, "--error-exitcode", "8", "--log-file", words, driver, library]
            done = subprocess.run(  # noqa: S603 - a list of arguments, no shell
                list(map(str, command)), check=False, stdin=source, stdout=target, stderr=subprocess.PIPE
            )
        if done.returncode:
            said = words.read_text(encoding="utf-8", errors="replace") if words.exists() else ""
            said += done.stderr.decode(errors="replace")
            raise AssertionError(f"{tool} ended with {done.returncode}:\n{said}")
        with answers.open("rb") as stream:
            results = [read_answer(stream) for _ in requests]
    missing = results.index(None) if None in results else None
    if missing is not None:
        raise AssertionError(f"the driver ended before request {missing}")
    return [each for each in results if each is not None]


def _compile(driver: Path) -> None:
    nvcc = toolchain.find().nvcc
    command = [nvcc.path, "-std=c++17", "-O1", "-DTRTREG_ON_DEVICE", f"-I{INCLUDE_DIR}", NATIVE_DIR / "driver.cpp"]
    done = subprocess.run(  # noqa: S603 - a list of arguments, no shell
        [*map(str, command), f"-L{nvcc.cudart.parent}", "-o", str(driver), "-ldl"],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise CompileError(f"the driver does not compile:\n{done.stdout}{done.stderr}")
