"""The build backend of plugin packages (PEP 517, PEP 660): `build-backend = "trtreg.sdk.build"`.

setuptools makes the Python part as for any project. The library and its manifest are added to the wheel that it gives,
so no command of setuptools is replaced or patched; the wheel is then written anew, byte for byte the same each time.
"""

from __future__ import annotations

import errno
import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from trtreg.errors import TrtregError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trtreg.manifest import Manifest
    from trtreg.sdk.project import Project
    from trtreg.sdk.wheel import Wheel

    ConfigSettings = Mapping[str, Any] | None

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

_GROUP: Final = "trtreg.plugins"
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_P = ParamSpec("_P")
_T = TypeVar("_T")


def _hook(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Let a failure that trtreg foresaw end the build with its message, not with a traceback around it."""

    @functools.wraps(function)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return function(*args, **kwargs)
        except TrtregError as error:
            raise SystemExit(f"\nerror: {error}") from None
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            raise SystemExit(f"\nerror: the build cannot write its files: {error}") from None

    return wrapped


@_hook
def get_requires_for_build_wheel(config_settings: ConfigSettings = None) -> list[str]:  # noqa: ARG001 - PEP 517
    """Ask for nvcc's packages if the machine has no usable nvcc."""
    from trtreg.sdk import project, toolchain

    project.read(Path.cwd())
    return list(toolchain.missing_requirements())


@_hook
def get_requires_for_build_editable(config_settings: ConfigSettings = None) -> list[str]:
    """Ask for what a wheel asks for."""
    return get_requires_for_build_wheel(config_settings)


def get_requires_for_build_sdist(config_settings: ConfigSettings = None) -> list[str]:  # noqa: ARG001 - PEP 517
    """Ask for nothing: an sdist is made without a compiler."""
    return []


@_hook
def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: ConfigSettings = None) -> str:
    """Make the metadata; nothing is compiled."""
    return _prepare_metadata("prepare_metadata_for_build_wheel", metadata_directory, config_settings)


@_hook
def prepare_metadata_for_build_editable(metadata_directory: str, config_settings: ConfigSettings = None) -> str:
    """Make the metadata; nothing is compiled."""
    return _prepare_metadata("prepare_metadata_for_build_editable", metadata_directory, config_settings)


@_hook
def build_sdist(sdist_directory: str, config_settings: ConfigSettings = None) -> str:
    """Make the sdist, with native sources and headers."""
    from trtreg.sdk import project, setuptools_hooks

    with setuptools_hooks.configured(project.read(Path.cwd())) as build_meta:
        return str(build_meta.build_sdist(sdist_directory, config_settings))


@_hook
def build_wheel(
    wheel_directory: str, config_settings: ConfigSettings = None, metadata_directory: str | None = None
) -> str:
    """Compile the library and make a manylinux wheel of it, its manifest and the Python package."""
    from trtreg.sdk import compile as compiling
    from trtreg.sdk import project, repair, sbom, setuptools_hooks, toolchain, wheel
    from trtreg.sdk.elf import glibc_floor

    plugin = project.read(Path.cwd())
    tools = toolchain.find()
    with tempfile.TemporaryDirectory(prefix="trtreg-") as name:
        scratch = Path(name)
        with setuptools_hooks.configured(plugin, scratch) as build_meta:
            pure = wheel.read(scratch / build_meta.build_wheel(str(scratch), config_settings, metadata_directory))
        library = compiling.build(plugin, tools)
        manifest = _manifest(plugin, pure, library)
        raw = _with_entry_point(pure, plugin)
        raw = raw.with_files({_in_package(plugin, plugin.library_name): library.read_bytes()})
        machine = manifest.library.machine
        if repair.is_needed(manifest.library.needed):
            repaired = repair.repair(raw, machine, plugin.library_dirs, scratch)
            # auditwheel has changed the library, so its facts are derived from what is in the wheel now.
            unpacked = repaired.unpack(scratch / "unpacked")
            manifest = _manifest(plugin, pure, unpacked / _in_package(plugin, plugin.library_name))
        else:
            repaired = raw.with_tag(repair.manylinux_tag(glibc_floor(library), machine))
        made = repaired.with_files({_in_package(plugin, "trtplugin.json"): _json(manifest)})
        parts = sbom.linked(plugin, tools, manifest)
        made = sbom.with_sbom(made, manifest, parts=parts, tools=sbom.tools_of(tools))
        return made.write(Path(wheel_directory)).name


@_hook
def build_editable(
    wheel_directory: str, config_settings: ConfigSettings = None, metadata_directory: str | None = None
) -> str:
    """Put the library and its manifest into the package's own folder, and make a wheel that leads to it."""
    from trtreg.sdk import compile as compiling
    from trtreg.sdk import project, setuptools_hooks, toolchain, wheel

    plugin = project.read(Path.cwd())
    tools = toolchain.find()
    with tempfile.TemporaryDirectory(prefix="trtreg-") as name:
        scratch = Path(name)
        with setuptools_hooks.configured(plugin) as build_meta:
            link = wheel.read(scratch / build_meta.build_editable(str(scratch), config_settings, metadata_directory))
        library = compiling.build(plugin, tools, run_path=True)
        manifest = _manifest(plugin, link, library)
        for file, data in ((plugin.library_name, library.read_bytes()), ("trtplugin.json", _json(manifest))):
            # Never written over: the old library may be loaded in some process.
            fresh = plugin.package_dir / f".{file}.new"
            fresh.write_bytes(data)
            fresh.replace(plugin.package_dir / file)
        return _with_entry_point(link, plugin).write(Path(wheel_directory)).name


def _prepare_metadata(hook: str, metadata_directory: str, config_settings: ConfigSettings) -> str:
    from trtreg.sdk import project, setuptools_hooks, wheel

    plugin = project.read(Path.cwd())
    with setuptools_hooks.configured(plugin) as build_meta:
        name = str(getattr(build_meta, hook)(metadata_directory, config_settings))
    info = Path(metadata_directory, name)
    path = info / "entry_points.txt"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    distribution = wheel.parse_metadata((info / "METADATA").read_text(encoding="utf-8"))["Name"]
    path.write_text(wheel.add_entry_point(text, _GROUP, distribution, plugin.package), encoding="utf-8")
    return name


def _with_entry_point(made: Wheel, plugin: Project) -> Wheel:
    return made.with_entry_point(_GROUP, made.metadata["Name"], plugin.package)


def _manifest(plugin: Project, made: Wheel, library: Path) -> Manifest:
    from trtreg.sdk.derive import derive

    metadata = made.metadata
    return derive(
        library,
        file=plugin.library_name,
        package=metadata["Name"],
        version=metadata["Version"],
        summary=metadata.get("Summary", ""),
        tensorrt=plugin.tensorrt,
        library_dirs=plugin.library_dirs,
    )


def _in_package(plugin: Project, file: str) -> str:
    return "/".join([*plugin.package.split("."), file])


def _json(manifest: Manifest) -> bytes:
    from trtreg.manifest import to_json

    return to_json(manifest).encode("utf-8")
