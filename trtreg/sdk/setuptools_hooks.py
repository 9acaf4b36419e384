"""setuptools, told what it cannot guess of a plugin project: its packages, its native files, where to build."""

from __future__ import annotations

import importlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trtreg.sdk.project import Project

__all__ = ["configured"]


@contextmanager
def configured(project: Project, scratch: Path | None = None) -> Iterator[Any]:
    """Give setuptools.build_meta, set up for the project; with `scratch` it leaves nothing in the project's folder.

    What pyproject.toml says under `[tool.setuptools]` goes before these defaults.
    """
    from setuptools import build_meta

    # setuptools.build_meta itself changes this class while it works (its Distribution.patch).
    core: Any = importlib.import_module("distutils.core")
    original = core.Distribution
    core.Distribution = _distribution(project, scratch)
    try:
        yield build_meta
    finally:
        core.Distribution = original


def _distribution(project: Project, scratch: Path | None) -> type:
    from setuptools import find_namespace_packages
    from setuptools.command.sdist import sdist
    from setuptools.dist import Distribution

    top = project.package.partition(".")[0]
    base = project.package_dir.parents[project.package.count(".")]
    derived = {(project.package_dir / name).relative_to(project.root) for name in _derived(project)}

    class PluginSdist(sdist):  # type: ignore[misc]
        """The sdist, with the native files, and without what an editable install left in the package."""

        def make_distribution(self) -> None:
            native = [path.as_posix() for path in (*project.sources, *project.headers())]
            kept = set(self.filelist.files) - {path.as_posix() for path in derived}
            self.filelist.files = sorted(kept | set(native))
            super().make_distribution()

    class PluginDistribution(Distribution):  # type: ignore[misc]
        """A distribution whose defaults fit a plugin project."""

        def __init__(self, attrs: dict[str, Any] | None = None) -> None:
            defaults = {
                # setuptools would take native/ for a second package and refuse to guess.
                "packages": find_namespace_packages(str(base), include=[top, f"{top}.*"]),
                "package_dir": {} if base == project.root else {"": base.relative_to(project.root).as_posix()},
                "cmdclass": {"sdist": PluginSdist},
            }
            super().__init__({**defaults, **(attrs or {})})
            if scratch is not None:
                # build/lib and SOURCES.txt of an earlier build would bring back files that were deleted since.
                self.get_option_dict("build")["build_base"] = ("trtreg", str(scratch / "build"))
                (scratch / "egg-info").mkdir(exist_ok=True)
                self.get_option_dict("egg_info")["egg_base"] = ("trtreg", str(scratch / "egg-info"))

    return PluginDistribution


def _derived(project: Project) -> tuple[str, str]:
    return project.library_name, "trtplugin.json"
