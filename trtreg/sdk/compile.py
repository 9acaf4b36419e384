"""From sources to one shared library: nvcc and the host compiler, in parallel, and only for what has changed.

Every path in a command is relative to the project, and every name that a compiler would derive from the place of the
build is given to it, so the same sources make the same bytes anywhere.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trtreg.errors import CompileError, PluginBuildError
from trtreg.sdk import cache

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trtreg.sdk.project import Project
    from trtreg.sdk.toolchain import Toolchain

__all__ = ["EXPORTS", "INCLUDE_DIR", "build"]

INCLUDE_DIR: Final = Path(__file__).parent / "include"
EXPORTS: Final = ("getCreators", "setLoggerFinder", "trtreg_get_face")

_HOST_FLAGS: Final = (
    "-fPIC", "-fvisibility=hidden", "-fvisibility-inlines-hidden", "-ffunction-sections", "-fdata-sections",
    "-Wall", "-Wextra", "-Werror",
)  # fmt: skip
_COMMON_FLAGS: Final = ("-std=c++17", "-O3")
_LINK_FLAGS: Final = (
    "-shared", "-s", "-static-libstdc++", "-static-libgcc",
    "-Wl,--exclude-libs,ALL", "-Wl,--no-undefined", "-Wl,--as-needed", "-Wl,--gc-sections", "-Wl,--build-id=sha1",
    "-Wl,-z,now", "-Wl,-z,relro", "-Wl,-z,noexecstack",
)  # fmt: skip
_SYSTEM_LIBRARIES: Final = ("-lpthread", "-ldl", "-lrt")  # of the static CUDA runtime
# Environment variables that nvcc and gcc take options from.
_VARIABLES: Final = ("NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS", "CPATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH")


def build(
    project: Project, toolchain: Toolchain, *, run_path: bool = False, report: Callable[[str], None] | None = None
) -> Path:
    """Make the plugin library and return where it lies, below the project's build folder.

    With `run_path` the library finds the libraries of `library-dirs` where they are now, for use in place.

    Raises:
        UnknownArchError: nvcc does not know an architecture.
        CompileError: a source does not compile, or the library does not link.
    """
    return _Build(project, toolchain, report or _print).library(run_path=run_path)


class _Build:
    def __init__(self, project: Project, toolchain: Toolchain, report: Callable[[str], None]) -> None:
        self.project = project
        self.toolchain = toolchain
        self.report = report
        nvcc = toolchain.nvcc
        roots = {"project": project.root, "sdk": INCLUDE_DIR}
        roots |= {f"cuda{index}": path for index, path in enumerate(nvcc.include_dirs)}
        self.cache = cache.Cache(project.build_dir / "objects", roots, project.root)
        self.common: list[object] = [nvcc.version, toolchain.cxx.version, [os.environ.get(name) for name in _VARIABLES]]

    def library(self, *, run_path: bool) -> Path:
        project = self.project
        with cache.locked(project.build_dir):
            self._link_headers()
            # A header that appears can hide another one, so their list is a part of every object's key.
            headers = [(path.as_posix(), cache.digest(project.root / path)) for path in project.headers()]
            return self._link(self._objects(headers), run_path=run_path)

    def _link_headers(self) -> None:
        """Make the SDK's headers reachable by a path that is the same in every build: it ends up in `__FILE__`."""
        link = self.project.build_dir / "include"
        if not (link.is_symlink() and link.readlink() == INCLUDE_DIR):
            link.unlink(missing_ok=True)
            link.symlink_to(INCLUDE_DIR)

    def _objects(self, headers: list[tuple[str, str]]) -> list[Path]:
        names = {
            source: f"{source.stem}-{cache.key(source.as_posix(), self._flags(source), self.common, headers)}.o"
            for source in self.project.sources
        }
        stale = [source for source, name in names.items() if self.cache.find(name) is None]
        if stale:
            if any(self.project.is_cuda(source) for source in stale):
                self.toolchain.nvcc.check(self.project.targets)
            self._compile(stale, names)
        else:
            self.report(f"{len(names)} sources are compiled already" if len(names) > 1 else "nothing to compile")
        return [self.cache.folder / name for name in names.values()]

    def _compile(self, sources: list[Path], names: dict[Path, str]) -> None:
        nvcc, cpus = self.toolchain.nvcc, len(os.sched_getaffinity(0))
        self.report(f"nvcc {nvcc.version} from {nvcc.origin} ({nvcc.path}), {self.toolchain.cxx.version}")
        workers = min(len(sources), cpus)
        threads = str(max(1, cpus // workers))

        def compile_one(numbered: tuple[int, Path]) -> None:
            number, source = numbered
            targets = f" for {self.project.targets}" if self.project.is_cuda(source) else ""
            self.report(f"[{number}/{len(sources)}] compiling {source}{targets}")
            self.cache.make(names[source], lambda path: self._compile_one(source, path, threads))

        with ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(compile_one, numbered) for numbered in enumerate(sources, 1)]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _flags(self, source: Path) -> list[str]:
        project = self.project
        folders = [f"-I{folder}" for folder in project.include_dirs]
        folders += ["-isystem", (project.build_dir / "include").relative_to(project.root).as_posix()]
        if not project.is_cuda(source):
            return [*_COMMON_FLAGS, *_HOST_FLAGS, *folders, *project.cxx_flags]
        return [
            *_COMMON_FLAGS,
            *project.targets.nvcc_flags,
            "-Werror=all-warnings",
            "-Wno-deprecated-gpu-targets",  # that an architecture will go is no fault of the source
            f"-Xcompiler={','.join(_HOST_FLAGS)}",
            # The names of file-local kernels have in them a hash of the source's absolute path, and a process number
            # where the source defines nothing else to tell it by: give both.
            f"-Xcudafe=--orig_src_path_name={source.as_posix()}",
            f"-frandom-seed=0x{cache.key(source.as_posix())[:8]}",
            *folders,
            *project.nvcc_flags,
        ]

    def _compile_one(self, source: Path, output: Path, threads: str) -> list[str]:
        nvcc, cxx = self.toolchain.nvcc, self.toolchain.cxx
        dependencies = output.with_suffix(".d")
        last = ["-MD", "-MF", self._relative(dependencies), "-c", source.as_posix(), "-o", self._relative(output)]
        if self.project.is_cuda(source):
            command = [str(nvcc.path), "-ccbin", str(cxx.path), f"--threads={threads}", *self._flags(source), *last]
        else:
            cuda = [word for folder in nvcc.include_dirs for word in ("-isystem", str(folder))]
            command = [str(cxx.path), *self._flags(source), *cuda, *last]
        words = self._run(command, f"{source} does not compile")
        if words:
            self.report(words)
        return _prerequisites(dependencies.read_text(encoding="utf-8", errors="surrogateescape"))

    def _link(self, objects: Sequence[Path], *, run_path: bool) -> Path:
        project, nvcc = self.project, self.toolchain.nvcc
        folders = [f"-L{folder}" for folder in project.library_dirs]
        if run_path:
            folders += [
                word for folder in project.library_dirs for word in ("-Xlinker", "-rpath", "-Xlinker", str(folder))
            ]
        libraries = [f"-l{name}" for name in project.libraries]
        own = [folder / f"lib{name}{end}" for folder in project.library_dirs for name in project.libraries
               for end in (".so", ".a")]  # fmt: skip
        inputs = [*objects, nvcc.cudart, *(path for path in own if path.is_file())]
        script = "{ global: " + " ".join(f"{name};" for name in EXPORTS) + " local: *; };\n"
        flags = [*_LINK_FLAGS, *(folders if run_path else ()), *libraries, *_SYSTEM_LIBRARIES]
        stem = project.library_name.removesuffix(".so")
        name = f"{stem}-{cache.key([cache.digest(path) for path in inputs], flags, script, self.common)}.so"
        found = self.cache.find(name)
        if found is not None:
            return found

        def link(path: Path) -> list[str]:
            exports = path.with_suffix(".map")
            exports.write_text(script, encoding="utf-8")
            self.report(f"linking {project.library_name}")
            command = [str(self.toolchain.cxx.path), *_LINK_FLAGS, f"-Wl,--version-script={self._relative(exports)}"]
            command += [*map(self._relative, objects), *folders, *libraries, str(nvcc.cudart), *_SYSTEM_LIBRARIES]
            command += ["-o", self._relative(path)]
            self._run(command, f"{project.library_name} does not link")
            return []

        return self.cache.make(name, link)

    def _relative(self, path: Path) -> str:
        # The folder of the project may have a name that an option takes apart (-Wl splits at commas).
        return path.relative_to(self.project.root).as_posix()

    def _run(self, command: list[str], failure: str) -> str:
        try:
            done = subprocess.run(  # noqa: S603 - a list of arguments, no shell
                command, cwd=self.project.root, text=True, errors="replace", check=False,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
        except OSError as error:
            raise PluginBuildError(f"{command[0]} does not run", found=str(error)) from error
        words = done.stdout.strip()
        if done.returncode != 0:
            raise CompileError(f"{failure}. The command was\n  {shlex.join(command)}\nand its words are\n{words}")
        return words


def _prerequisites(rule: str) -> list[str]:
    """Give the files that a make rule of -MD names, in which blanks are escaped."""
    _, _, files = rule.replace("\\\n", " ").partition(" : " if " : " in rule else ": ")
    return [re.sub(r"\\(.)", r"\1", word).replace("$$", "$") for word in re.findall(r"(?:\\.|[^\s\\])+", files)]


def _print(line: str) -> None:
    sys.stdout.write(f"trtreg: {line}\n")
    sys.stdout.flush()
