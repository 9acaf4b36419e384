"""Made by trtreg: lets trtreg load its plugins when this Python imports TensorRT.

`trtreg autoload enable` copies this file into site-packages, where Python imports it at every start, and `trtreg run`
puts its folder in front of the path. So it stands alone, imports nothing that Python has not imported by then, and does
nothing where trtreg is not installed any more.
"""

# ruff: noqa: INP001 - in no package, by design
import sys

TYPE_CHECKING = False  # `typing` takes longer to import than all the rest
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

__all__ = ["install"]

_NAMES = ("tensorrt", "tensorrt_rtx", "tensorrt_lean")


class _Finder:
    """Finds TensorRT's modules as the other finders do, and has them followed by the plugins."""

    def __init__(self) -> None:
        self.asked = False

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """Give the spec of another finder, with a loader of ours around its loader; None for every other module."""
        # The commands of trtreg load what they need themselves.
        if name not in _NAMES or "trtreg.cli" in sys.modules:
            return None
        for finder in list(sys.meta_path):
            find = None if isinstance(finder, _Finder) else getattr(finder, "find_spec", None)
            spec = find and find(name, path, target)
            if spec is not None:
                # A folder without a module in it, as an uninstall may leave, has no origin.
                if spec.origin and hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader, asked=self.asked)
                return spec  # type: ignore[no-any-return]
        return None


class _Loader:
    """A loader that does what the real one does; when the module is there, trtreg is told."""

    def __init__(self, real: "Any", *, asked: bool) -> None:
        self._real = real
        self._asked = asked

    def __getattr__(self, name: str) -> "Any":
        if name == "_real":  # not set yet, as in a copy
            raise AttributeError(name)
        return getattr(self._real, name)

    def exec_module(self, module: "ModuleType") -> None:
        """Execute the module under its real loader, then have the plugins loaded."""
        module.__loader__ = self._real
        if module.__spec__ is not None:
            module.__spec__.loader = self._real
        self._real.exec_module(module)
        _tell(module, asked=self._asked)


def install(*, asked: bool = False) -> None:
    """Watch for TensorRT; `asked` says that a user wants it for this very process, so that a failure is told."""
    for finder in sys.meta_path:
        # By name: the copies in an environment and in front of a program are two modules.
        if type(finder).__module__ == __name__ and type(finder).__name__ == "_Finder":
            finder.asked = asked or finder.asked  # type: ignore[attr-defined]
            return
    finder = _Finder()
    finder.asked = asked
    sys.meta_path.insert(0, finder)


def _tell(module: "ModuleType", *, asked: bool) -> None:
    try:
        from trtreg.autoload import loading
    except Exception as error:  # noqa: BLE001 - whatever is wrong with trtreg, TensorRT has been imported
        gone = isinstance(error, ModuleNotFoundError) and error.name in ("trtreg", "trtreg.autoload")
        if asked or not gone:
            import logging

            logging.getLogger("trtreg.autoload").warning(
                "trtreg autoload: no plugins for %s: %s cannot import trtreg: %s",
                module.__name__,
                sys.executable,
                error,
            )
        return
    loading.load_plugins(module)
