"""A plugin project: what `[tool.trtreg]` of its pyproject.toml declares, checked once."""

from __future__ import annotations

import importlib
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trtreg.errors import ProjectError, SettingError
from trtreg.sdk.arch import DEFAULT, Targets, parse_targets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Project", "read"]

_KEYS: Final = (
    "archs", "cxx-flags", "include-dirs", "libraries", "library-dirs", "nvcc-flags", "package", "sources", "tensorrt",
)  # fmt: skip
_DEFAULT_SOURCES: Final = ("native/*.cu", "native/*.cpp")
_DEFAULT_TENSORRT: Final = {"full": ">=10.0", "lean": ">=10.0", "rtx": ">=1.7"}
_CUDA: Final = frozenset({".cu"})
_CXX: Final = frozenset({".cpp", ".cc", ".cxx"})
_HEADERS: Final = frozenset({".h", ".hh", ".hpp", ".hxx", ".cuh", ".inl", ".inc", ".ipp", ".tpp", ".def"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """A plugin project. `sources` are relative to `root` and sorted; folders of libraries are absolute."""

    root: Path
    package: str
    package_dir: Path
    sources: tuple[Path, ...]
    targets: Targets = DEFAULT
    tensorrt: Mapping[str, str] = field(default_factory=dict)
    include_dirs: tuple[Path, ...] = ()
    library_dirs: tuple[Path, ...] = ()
    libraries: tuple[str, ...] = ()
    nvcc_flags: tuple[str, ...] = ()
    cxx_flags: tuple[str, ...] = ()

    @property
    def library_name(self) -> str:
        """File name of the plugin library."""
        return f"lib{self.package.replace('.', '_')}.so"

    @property
    def build_dir(self) -> Path:
        """Where objects and libraries are kept from one build to the next."""
        return self.root / "build" / "trtreg"

    def headers(self) -> tuple[Path, ...]:
        """All files of the project that a source may include, relative to `root` and sorted; no declared source."""
        folders = {source.parent for source in self.sources}
        folders.update(path for path in self.include_dirs if not path.is_absolute())
        found = {path for folder in folders for path in _walk(self.root, folder)}
        return tuple(sorted(found - set(self.sources), key=Path.as_posix))

    @staticmethod
    def is_cuda(source: Path) -> bool:
        """Whether nvcc compiles the source (else the host compiler does)."""
        return source.suffix in _CUDA


def read(root: Path, environ: Mapping[str, str] = os.environ) -> Project:
    """Read pyproject.toml of the project at `root`; TRTREG_CUDA_ARCHS in `environ` overrides its architectures.

    Raises:
        ProjectError: `[tool.trtreg]` is not what it should be; the message names the key.
        SettingError: TRTREG_CUDA_ARCHS means nothing.
    """
    data = _load(root / "pyproject.toml")
    tables = _Table(data, "")
    name = tables.table("project").string("name", None)
    if name is None:
        raise ProjectError("pyproject.toml: missing 'project.name'", expected="the name of the distribution")
    table = tables.table("tool").table("trtreg")
    table.check_keys(_KEYS)
    package = table.string("package", re.sub(r"[-.]+", "_", name)) or ""
    package_dir = _package_dir(root, package, table)
    targets = _archs(table)
    if override := environ.get("TRTREG_CUDA_ARCHS"):
        targets = parse_targets(re.split(r"[;,\s]+", override.strip(" ;,")), "TRTREG_CUDA_ARCHS")
    nvcc_flags = table.strings("nvcc-flags")
    for flag in nvcc_flags:
        if flag.startswith(("-rdc=t", "-dc", "--relocatable-device-code=t", "--device-c")):
            raise ProjectError(
                f"pyproject.toml: {table.at('nvcc-flags')}",
                found=flag,
                expected="no relocatable device code",
                remedy="put kernels and the device functions that they call into one source",
            )
    return Project(
        root=root,
        package=package,
        package_dir=package_dir,
        sources=_sources(root, table),
        targets=targets,
        tensorrt=_tensorrt(table),
        include_dirs=table.folders("include-dirs", root),
        # The linker and auditwheel run elsewhere.
        library_dirs=tuple(root / path for path in table.folders("library-dirs", root)),
        libraries=table.strings("libraries"),
        nvcc_flags=nvcc_flags,
        cxx_flags=table.strings("cxx-flags"),
    )


class _Table:
    """A TOML table and its key path."""

    def __init__(self, data: Mapping[str, Any], path: str) -> None:
        self.data = data
        self.path = path

    def at(self, key: str) -> str:
        return f"'{self.path}.{key}'" if self.path else f"'{key}'"

    def wrong(self, key: str, found: object, expected: str) -> ProjectError:
        kind = {str: "string", dict: "table", list: "array", bool: "boolean", int: "integer"}.get(type(found))
        return ProjectError(
            f"pyproject.toml: unexpected value in {self.at(key)}",
            found=f"{kind or type(found).__name__} {found!r}",
            expected=expected,
        )

    def check_keys(self, known: tuple[str, ...]) -> None:
        for key in self.data:
            if key not in known:
                from trtreg._nearest import key_meant

                raise ProjectError(
                    f"pyproject.toml: unknown key {self.at(key)}",
                    expected=f"one of {', '.join(known)}",
                    remedy=key_meant(key, known),
                )

    def table(self, key: str) -> _Table:
        value = self.data.get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, value, "a table")
        return _Table(value, f"{self.path}.{key}" if self.path else key)

    def string(self, key: str, default: str | None) -> str | None:
        value = self.data.get(key, default)
        if value is not None and not isinstance(value, str):
            raise self.wrong(key, value, "a string")
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        values = self.data.get(key, [])
        if not isinstance(values, list):
            raise self.wrong(key, values, "an array of strings")
        for index, value in enumerate(values):
            if not isinstance(value, str) or not value:
                raise self.wrong(f"{key}[{index}]", value, "a string that is not empty")
        return tuple(values)

    def folders(self, key: str, root: Path) -> tuple[Path, ...]:
        folders = tuple(Path(value) for value in self.strings(key))
        for index, folder in enumerate(folders):
            if not (root / folder).is_dir():
                raise self.wrong(f"{key}[{index}]", str(folder), "a folder that exists")
        return folders


def _load(path: Path) -> dict[str, Any]:
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        data: dict[str, Any] = toml.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ProjectError(f"{path.parent} is no plugin project", expected="a pyproject.toml") from None
    except (OSError, ValueError) as error:
        raise ProjectError("pyproject.toml cannot be read", found=str(error)) from None
    return data


def _package_dir(root: Path, package: str, table: _Table) -> Path:
    if not all(part.isidentifier() for part in package.split(".")):
        raise table.wrong("package", package, "the name of an import package")
    candidates = [root / Path(*package.split(".")), root / "src" / Path(*package.split("."))]
    for candidate in candidates:
        if (candidate / "__init__.py").is_file():
            return candidate
    raise ProjectError(
        f"pyproject.toml: {table.at('package')} names no import package of this project",
        found=repr(package) + ("" if "package" in table.data else " (from the project's name)"),
        expected=f"{candidates[0].relative_to(root)}/__init__.py",
    )


def _sources(root: Path, table: _Table) -> tuple[Path, ...]:
    patterns = table.strings("sources") if "sources" in table.data else _DEFAULT_SOURCES
    found: set[Path] = set()
    for index, pattern in enumerate(patterns):
        key = f"sources[{index}]"
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            raise table.wrong(key, pattern, "a path inside of the project")
        matches = {path.relative_to(root) for path in root.glob(pattern) if path.is_file()}
        if not matches and "sources" in table.data:
            raise table.wrong(key, pattern, "a pattern that some file matches")
        for path in matches:
            if path.suffix not in _CUDA | _CXX:
                raise table.wrong(key, str(path), f"files that end in {', '.join(sorted(_CUDA | _CXX))}")
        found |= matches
    if not found:
        raise ProjectError(
            f"pyproject.toml: {table.at('sources')} gives no source", expected=" or ".join(patterns) or "a pattern"
        )
    return tuple(sorted(found, key=Path.as_posix))


def _archs(table: _Table) -> Targets:
    archs = table.data.get("archs")
    if archs is None:
        return DEFAULT
    expected = 'an array of GPU architectures such as [86, "90a", "12.0+PTX"]'
    if not isinstance(archs, list) or not archs:
        raise table.wrong("archs", archs, expected)
    for index, arch in enumerate(archs):
        if isinstance(arch, bool) or not isinstance(arch, int | str):
            raise table.wrong(f"archs[{index}]", arch, "an integer or a string")
    try:
        return parse_targets([str(arch) for arch in archs], f"pyproject.toml: {table.at('archs')}")
    except SettingError as error:
        raise ProjectError(error.message, found=error.found, expected=error.expected) from None


def _tensorrt(table: _Table) -> dict[str, str]:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    if "tensorrt" not in table.data:
        return dict(_DEFAULT_TENSORRT)
    flavours = table.table("tensorrt")
    flavours.check_keys(tuple(_DEFAULT_TENSORRT))
    if not flavours.data:
        raise table.wrong("tensorrt", {}, f"at least one of {', '.join(_DEFAULT_TENSORRT)}")
    specifiers = {}
    for flavour in flavours.data:
        specifier = flavours.string(flavour, None) or ""
        try:
            specifiers[flavour] = str(specifier)
            SpecifierSet(specifier)
        except InvalidSpecifier:
            raise flavours.wrong(flavour, specifier, "a version specifier such as '>=10.0'") from None
    return specifiers


def _walk(root: Path, folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(root / folder):
        # What builds and tools leave in the tree is no source.
        folders[:] = [name for name in folders if not name.startswith((".", "_")) and name not in {"build", "dist"}]
        for name in files:
            if Path(name).suffix in _HEADERS | _CUDA | _CXX:
                yield (Path(parent) / name).relative_to(root)
