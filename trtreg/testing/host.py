"""A plugin's kernels on the CPU, under the address and the undefined-behaviour sanitizer.

The package's sources are compiled as C++: each thread of a block is a fiber, in an order that changes at every barrier,
and blocks follow one another. So a missing barrier gives wrong numbers, and every access outside a tensor is found; all
of a plugin takes part, from its attributes to its grid. Kernels have to be launched by ``trtreg::launch`` and take
dynamic shared memory from ``trtreg::dynamic_shared``; code for tensor cores, asynchronous copies or CUB needs a plain
branch under ``#ifdef TRTREG_ON_HOST``.
"""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trtreg.errors import CompileError
from trtreg.sdk import cache, project, toolchain
from trtreg.sdk.compile import INCLUDE_DIR
from trtreg.testing._driver import Driver, Request
from trtreg.testing.compare import assert_same

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from trtreg.sdk.face import AttributeValue

__all__ = ["NATIVE_DIR", "HostPlugin"]

NATIVE_DIR: Final = Path(__file__).parent / "native"
_FLAGS: Final = (
    "-std=c++17", "-O1", "-g", "-fPIC", "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
    "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas",
)  # fmt: skip
_POISONS: Final = (0xFF, 0x55)  # NaN in every floating type, and not


class HostPlugin:
    """The plugin project at `root`, made for the CPU; what was compiled is kept in its build folder.

    Raises:
        CompileError: a source does not compile as C++; the message has the compiler's words.
        ProjectError: `root` is no plugin project.
    """

    def __init__(self, root: str | Path) -> None:
        self._driver = Driver(*_build(project.read(Path(root))))

    def run(
        self,
        creator: str,
        inputs: Sequence[torch.Tensor],
        attributes: Mapping[str, AttributeValue] | None = None,
        *,
        shape_inputs: Sequence[Sequence[int]] = (),
        misalign: int = 0,
        repeats: bool = True,
    ) -> tuple[torch.Tensor, ...]:
        """Run the plugin and give its outputs.

        It runs twice, into memory with different contents: an element that is not written shows, and so does a result
        that depends on memory that nobody has set. `repeats=False` is for an operator whose bits may change from run to
        run.

        Args:
            creator: which of the library's plugins.
            inputs: tensors; none may be changed.
            attributes: those that differ from the defaults.
            shape_inputs: values of inputs that are shape tensors.
            misalign: elements by which all tensors begin off an address that is a multiple of 16.
            repeats: whether the same inputs have to give the same bits.

        Raises:
            FaceError: the plugin refused.
            AssertionError: a sanitizer's find, a changed input, or outputs that do not repeat.
        """
        request = Request(
            creator=creator,
            inputs=inputs,
            attributes=attributes or {},
            shape_inputs=shape_inputs,
            misalign=misalign,
        )
        first, second = (self._driver.ask(request, poison) for poison in _POISONS)
        if repeats:
            assert_same(second, first, context="in memory with other contents: an element that was not written?")
        return first

    def close(self) -> None:
        """End the process that the plugin runs in."""
        self._driver.close()


def _build(plugin: project.Project) -> tuple[Path, Path]:
    """Compile driver and library, unless they are there."""
    tools = toolchain.find()
    folder = plugin.build_dir / "on-host"
    sources = [plugin.root / path for path in plugin.sources]
    headers = sorted([*NATIVE_DIR.iterdir(), *(INCLUDE_DIR / "trtreg").iterdir()])
    own = [plugin.root / path for path in (*plugin.sources, *plugin.headers())]
    common = [tools.cxx.version, tools.nvcc.version, _FLAGS, plugin.cxx_flags]
    key = cache.key(common, [(path.name, cache.digest(path)) for path in (*headers, *own)])
    driver, library = folder / f"driver-{key}", folder / f"lib-{key}.so"
    with cache.locked(folder):
        if driver.exists() and library.exists():
            return driver, library
        for old in (*folder.glob("driver-*"), *folder.glob("lib-*"), *folder.glob("*.o")):
            old.unlink()
        includes = [f"-I{plugin.root / path}" for path in plugin.include_dirs]
        includes += [word for path in (INCLUDE_DIR, *tools.nvcc.include_dirs) for word in ("-isystem", str(path))]
        compiler = [str(tools.cxx.path), *_FLAGS, *includes]
        objects = [folder / f"{number}.o" for number in range(len(sources) + 1)]
        commands = [[*compiler, str(NATIVE_DIR / "driver.cpp"), "-ldl", "-o", str(driver)]]
        for source, result in zip([NATIVE_DIR / "on_host.cpp", *sources], objects, strict=True):
            first = ["-include", str(NATIVE_DIR / "on_host.h")]
            commands.append([*compiler, *plugin.cxx_flags, *first, "-x", "c++", "-c", str(source), "-o", str(result)])
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(_compile, commands))
        # Last, and whole at once: it is what says that all is there.
        _compile([str(tools.cxx.path), *_FLAGS, "-shared", *map(str, objects), "-o", str(library.with_suffix(".new"))])
        library.with_suffix(".new").rename(library)
    return driver, library


def _compile(command: list[str]) -> None:
    done = subprocess.run(  # noqa: S603 - a list of arguments, no shell
        command, text=True, errors="replace", check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        raise CompileError(f"the plugin does not compile for the host:\n{' '.join(command)}\n{done.stdout}")
