"""GPU architectures to build for, on the flavours that build for a GPU that is not here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from trtreg.errors import IncompatiblePluginError, SettingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trtreg.discovery import InstalledPlugin

__all__ = ["apply", "check_plugins", "normalise"]


def normalise(targets: Iterable[str | int]) -> tuple[str, ...]:
    """Read "8.6", "sm_89", "SM120" or 86 as "8.6", "8.9", "12.0", "8.6", each once."""
    result: dict[str, None] = {}
    for target in targets:
        match = re.fullmatch(r"(?:sm_?)?([0-9]{1,2})\.?([0-9])", str(target).strip(), re.IGNORECASE)
        if match is None:
            expected = "a compute capability, as 8.6 or sm_89"
            raise SettingError("a target is malformed", found=repr(target), expected=expected)
        result[f"{match[1]}.{match[2]}"] = None
    return tuple(result)


def apply(trt: Any, config: Any, targets: Sequence[str]) -> None:
    """Make the builder's configuration build for these architectures."""
    if not targets:
        return
    if not hasattr(config, "num_compute_capabilities"):
        raise SettingError(
            f"{trt.__name__} {trt.__version__} builds for the GPU of this machine only",
            found=f"targets {', '.join(targets)}",
            remedy="leave targets out and build on a machine with such a GPU, or use TensorRT-RTX",
        )
    known = trt.ComputeCapability.__members__
    config.num_compute_capabilities = len(targets)
    for index, target in enumerate(targets):
        capability = known.get(f"SM{target.replace('.', '')}")
        if capability is None or not config.set_compute_capability(capability, index):
            raise SettingError(
                f"{trt.__name__} {trt.__version__} cannot build for {target}",
                expected=f"one of {', '.join(_names(known))}",
            )


def check_plugins(plugins: Iterable[InstalledPlugin], targets: Sequence[str]) -> None:
    """Refuse plugin libraries that have no code for a target: the engine would fail only where it is used."""
    from trtreg.compatibility import serves

    for plugin in plugins:
        library = plugin.manifest.library if plugin.manifest else None
        # None for the driver: the one of the machine where the engine will run is not known here.
        lacking = [target for target in targets if library and not serves(library, target, None)]
        if lacking:
            raise IncompatiblePluginError(
                f"{plugin.distribution} has no code for {', '.join(lacking)}",
                remedy=f"leave the target out, or build {plugin.distribution} with TRTREG_CUDA_ARCHS for it",
            )


def _names(known: Iterable[str]) -> list[str]:
    numbers = sorted(int(name[2:]) for name in known if re.fullmatch("SM[0-9]+", name))
    return [f"{number // 10}.{number % 10}" for number in numbers]
