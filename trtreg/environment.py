"""The facts of this machine that decide whether a plugin fits, read once, at the edge."""

from __future__ import annotations

import os
import sys

import trtreg
from trtreg import flavour as flavours
from trtreg._dataclass import dataclass

TYPE_CHECKING = False  # `typing` takes longer to import than `trtreg list` may take
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Final

    from trtreg._metadata_scan import Scan
    from trtreg.flavour import Flavour, InstalledTensorRT

__all__ = ["Environment", "Gpu", "read"]

_NVML: Final = "libnvidia-ml.so.1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """A GPU that this process may use: NVML's index of it, and its compute capability, as "9.0"."""

    index: int
    name: str
    sm: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """The machine, its driver and GPUs, and the TensorRT in use; what is None is not there.

    `driver` is the driver's own version ("580.65.06"), `cuda_driver` the newest CUDA that it runs ("13.0"). The two
    problems say why there is no TensorRT or no driver.
    """

    flavour: Flavour | None
    tensorrt_version: str | None
    machine: str
    glibc: str | None
    driver: str | None = None
    cuda_driver: str | None = None
    gpus: tuple[Gpu, ...] = ()
    tensorrt_problem: str | None = None
    driver_problem: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Driver:
    driver: str | None = None
    cuda_driver: str | None = None
    gpus: tuple[Gpu, ...] = ()
    problem: str | None = None


def read(tensorrt: InstalledTensorRT | None = None, *, scan: Scan | None = None) -> Environment:
    """Read the facts; neither TensorRT is imported nor a CUDA context made.

    `tensorrt` defaults to the selected one, looked for in a scan if there is one. That none is installed is a fact, not
    an error.
    """
    problem = None
    if tensorrt is None:
        try:
            tensorrt = flavours.select(scan)
        except trtreg.errors.TensorRTNotFoundError as error:
            problem = error.message
    driver = _read_driver()
    return Environment(
        flavour=tensorrt.flavour if tensorrt else None,
        tensorrt_version=tensorrt.version if tensorrt else None,
        tensorrt_problem=problem,
        machine=os.uname().machine,
        glibc=_glibc(),
        driver=driver.driver,
        cuda_driver=driver.cuda_driver,
        gpus=driver.gpus,
        driver_problem=driver.problem,
    )


def _glibc() -> str | None:
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError):  # another C library
        return None
    return version if name == "glibc" and version else None


def _read_driver() -> _Driver:
    """Ask NVML, which is part of the driver: it starts no CUDA, so the process can still fork."""
    if "pynvml" not in sys.modules and not _is_there(_NVML):
        # What its Python module would say, which takes long to import.
        return _Driver(problem="NVML Shared Library Not Found")
    try:
        import pynvml
    except ImportError as error:
        return _Driver(problem=f"NVML's Python module is missing: {error}")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        # "not found" is a machine without a driver; others, as "version mismatch", are a driver out of order
        return _Driver(problem=str(error))
    try:
        cuda = pynvml.nvmlSystemGetCudaDriverVersion_v2()
        return _Driver(
            driver=_text(pynvml.nvmlSystemGetDriverVersion()),
            cuda_driver=f"{cuda // 1000}.{cuda % 1000 // 10}",
            gpus=tuple(_gpus(pynvml)),
        )
    except pynvml.NVMLError as error:
        return _Driver(problem=str(error))
    finally:
        pynvml.nvmlShutdown()


def _is_there(library: str) -> bool:
    from _ctypes import dlopen  # what ctypes.CDLL asks, but for the rest of ctypes

    try:
        dlopen(library, 0)
    except OSError:
        return False
    return True


def _gpus(nvml: Any) -> Iterable[Gpu]:
    for device in _visible(nvml):
        major, minor = nvml.nvmlDeviceGetCudaComputeCapability(device)
        index, name = nvml.nvmlDeviceGetIndex(device), _text(nvml.nvmlDeviceGetName(device))
        yield Gpu(index=index, name=name, sm=f"{major}.{minor}")


def _visible(nvml: Any) -> list[Any]:
    """The devices that CUDA_VISIBLE_DEVICES leaves; as for CUDA, the first entry that is no device ends the list.

    NVML counts in the order of the PCI bus. CUDA does so only with CUDA_DEVICE_ORDER=PCI_BUS_ID, so on a machine with
    different GPUs a number may mean another one.
    """
    count = nvml.nvmlDeviceGetCount()
    wish = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wish is None:
        return [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
    devices = []
    for entry in (text.strip() for text in wish.split(",")):
        try:
            devices.append(_device(nvml, entry, count))
        except (nvml.NVMLError, ValueError):  # noqa: PERF203 - a handful of entries
            break
    return devices


def _device(nvml: Any, entry: str, count: int) -> Any:
    if entry.startswith("MIG-"):
        return nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvml.nvmlDeviceGetHandleByUUID(entry.encode()))
    if entry.startswith("GPU-"):
        devices = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
        (device,) = (one for one in devices if _text(nvml.nvmlDeviceGetUUID(one)).startswith(entry))  # may be shortened
        return device
    if not entry.isdecimal() or int(entry) >= count:
        raise ValueError(entry)
    return nvml.nvmlDeviceGetHandleByIndex(int(entry))


def _text(value: str | bytes) -> str:
    """Older bindings of NVML give bytes."""
    return value.decode() if isinstance(value, bytes) else value
