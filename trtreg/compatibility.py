"""Whether a plugin fits a machine: a pure verdict on the manifest and the environment, with every reason at once."""

from __future__ import annotations

import os

from trtreg import _json_text, _versions
from trtreg._dataclass import dataclass

TYPE_CHECKING = False  # `typing` takes longer to import than `trtreg list` may take
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final, Literal

    from trtreg.environment import Environment, Gpu
    from trtreg.manifest import Library, Manifest

    Code = Literal["tensorrt-missing", "tensorrt-flavour", "tensorrt-version", "machine", "glibc", "driver", "gpu"]

__all__ = ["Compatible", "Incompatible", "Reason", "judge", "serves"]

_TITLES: Final[dict[Code, str]] = {
    "tensorrt-missing": "TensorRT",
    "tensorrt-flavour": "TensorRT flavour",
    "tensorrt-version": "TensorRT version",
    "machine": "machine",
    "glibc": "glibc",
    "driver": "NVIDIA driver",
    "gpu": "GPU",
}
_branches: Final[dict[str, int]] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """One thing that does not fit, and what to do about it; `code` is for programs."""

    code: Code
    found: str
    expected: str
    remedy: str

    def __str__(self) -> str:
        return f"{_TITLES[self.code]}: found {self.found}, expected {self.expected}; {self.remedy}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Compatible:
    """The plugin fits; the notes say what will not work all the same."""

    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Incompatible:
    """The plugin does not fit, for all of these reasons."""

    reasons: tuple[Reason, ...]


def judge(manifest: Manifest, environment: Environment) -> Compatible | Incompatible:
    """Judge without touching the machine."""
    reasons = tuple(
        reason
        for rule in (_judge_tensorrt, _judge_machine, _judge_glibc, _judge_driver, _judge_gpus)
        for reason in rule(manifest, environment)
    )
    return Incompatible(reasons=reasons) if reasons else Compatible(notes=tuple(_notes(manifest.library, environment)))


def serves(library: Library, sm: str, cuda_driver: str | None) -> bool:
    """Whether the library has code for a GPU of compute capability `sm`; one without any GPU code serves all.

    Machine code runs on its own major generation from its own minor on; PTX on anything newer, if the driver's
    compiler is not older than the PTX. An "a" target runs on that very GPU only, an "f" target on its generation. See
    https://docs.nvidia.com/cuda/cuda-compiler-driver-nvcc/#gpu-compilation and its "Virtual Architecture Feature List".
    """
    if not library.sms and not library.ptx:
        return True
    if any(_runs_on(target, sm, portable=False) for target in library.sms):
        return True
    if cuda_driver and library.cuda and _numbers(cuda_driver) < _numbers(library.cuda):
        return False
    return any(_runs_on(target, sm, portable=True) for target in library.ptx)


def _runs_on(target: str, sm: str, *, portable: bool) -> bool:
    built, gpu = _numbers(target.rstrip("af")), _numbers(sm)
    if target.endswith("a"):
        return built == gpu
    same_generation = built[0] == gpu[0]
    return built <= gpu and (same_generation or (portable and not target.endswith("f")))


def _judge_tensorrt(manifest: Manifest, environment: Environment) -> Iterator[Reason]:
    wanted = ", ".join(f"{flavour} {versions}".rstrip() for flavour, versions in sorted(manifest.tensorrt.items()))
    if environment.flavour is None or environment.tensorrt_version is None:
        found = environment.tensorrt_problem or "no TensorRT"
        remedy = "pip install 'trtreg[rtx]' or 'trtreg[tensorrt]'"
        yield Reason(code="tensorrt-missing", found=found, expected=wanted, remedy=remedy)
        return
    found = f"{environment.flavour.value} {environment.tensorrt_version}"
    versions = manifest.tensorrt.get(environment.flavour.value)
    if versions is None:
        remedy = f"use a TensorRT that {manifest.package} supports, with TRTREG_TENSORRT if several are installed"
        yield Reason(code="tensorrt-flavour", found=found, expected=wanted or "none of this package", remedy=remedy)
        return
    if not _versions.is_in(environment.tensorrt_version, versions):
        remedy = f"pip install '{environment.flavour.module}{versions}', or another version of {manifest.package}"
        yield Reason(
            code="tensorrt-version", found=found, expected=f"{environment.flavour.value} {versions}", remedy=remedy
        )


def _judge_machine(manifest: Manifest, environment: Environment) -> Iterator[Reason]:
    if manifest.library.machine != environment.machine:
        remedy = f"install the wheel of {manifest.package} for {environment.machine}, or build it here"
        yield Reason(code="machine", found=environment.machine, expected=manifest.library.machine, remedy=remedy)


def _judge_glibc(manifest: Manifest, environment: Environment) -> Iterator[Reason]:
    floor = manifest.library.glibc
    if floor and (environment.glibc is None or _numbers(environment.glibc) < _numbers(floor)):
        yield Reason(
            code="glibc",
            found=environment.glibc or "another C library",
            expected=f"{floor} or newer",
            remedy=f"use a newer Linux distribution, or build {manifest.package} here from source",
        )


def _judge_driver(manifest: Manifest, environment: Environment) -> Iterator[Reason]:
    cuda = manifest.library.cuda
    if cuda is None or environment.driver is None:
        return
    floor = _minimum_branch(cuda)
    if floor is not None and _numbers(environment.driver)[0] >= floor:
        return
    # A generation that the table does not know, or NVIDIA's forward compatibility package over an older driver:
    # what counts is what the driver says that it runs.
    if environment.cuda_driver and _numbers(environment.cuda_driver)[0] >= _numbers(cuda)[0]:
        return
    yield Reason(
        code="driver",
        found=environment.driver,
        expected=f"{floor} or newer, for CUDA {cuda}" if floor else f"one for CUDA {cuda}",
        remedy="update the NVIDIA driver",
    )


def _judge_gpus(manifest: Manifest, environment: Environment) -> Iterator[Reason]:
    if environment.gpus and not _split(manifest.library, environment)[0]:
        yield Reason(
            code="gpu",
            found=", ".join(f"{gpu.name} (sm {gpu.sm})" for gpu in environment.gpus),
            expected=_targets(manifest.library),
            remedy=f"build {manifest.package} with TRTREG_CUDA_ARCHS for this GPU",
        )


def _notes(library: Library, environment: Environment) -> Iterator[str]:
    if not environment.gpus:
        # Only TensorRT-RTX builds engines without a GPU.
        builds = "; engines can be built" if environment.flavour and environment.flavour.value == "rtx" else ""
        yield f"no GPU here{builds}" if environment.driver is None else "the driver shows no GPU"
    for gpu in _split(library, environment)[1]:
        yield f"no code for GPU {gpu.index}, {gpu.name} (sm {gpu.sm})"


def _split(library: Library, environment: Environment) -> tuple[list[Gpu], list[Gpu]]:
    """The GPUs that the library serves, and the others."""
    served = [gpu for gpu in environment.gpus if serves(library, gpu.sm, environment.cuda_driver)]
    return served, [gpu for gpu in environment.gpus if gpu not in served]


def _targets(library: Library) -> str:
    kinds = (("sm", library.sms), ("PTX", library.ptx))
    return " or ".join(f"{kind} {', '.join(targets)}" for kind, targets in kinds if targets)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _minimum_branch(cuda: str) -> int | None:
    """The oldest driver branch that runs code of this toolkit; see the source that the data file names."""
    if not _branches:
        # Neither importlib.resources nor pathlib, which take longer to import than all of this.
        path = os.path.join(os.path.dirname(__file__), "data", "cuda_drivers.json")  # noqa: PTH118, PTH120
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            _branches.update(_json_text.loads(file.read())["minimum_branch"])
    return _branches.get(cuda.split(".", maxsplit=1)[0])
