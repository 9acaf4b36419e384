"""Making another CUDA device current for a while, through the driver: TensorRT works on the current one."""

from __future__ import annotations

import ctypes
from contextlib import contextmanager
from typing import TYPE_CHECKING

from trtreg.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["current"]


@contextmanager
def current(device_id: int) -> Iterator[None]:
    """Work on device `device_id`; 0 leaves the device of the caller, and needs no driver."""
    if device_id == 0:
        yield
        return
    driver = _driver(device_id)
    device = ctypes.c_int()
    context = ctypes.c_void_p()
    _checked(driver.cuInit(0), device_id)
    _checked(driver.cuDeviceGet(ctypes.byref(device), device_id), device_id)
    _checked(driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device), device_id)
    try:
        _checked(driver.cuCtxPushCurrent_v2(context), device_id)
        try:
            yield
        finally:
            driver.cuCtxPopCurrent_v2(ctypes.byref(context))
    finally:
        driver.cuDevicePrimaryCtxRelease_v2(device)


def _driver(device_id: int) -> ctypes.CDLL:
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError as e:
        raise SettingError(
            f"device_id={device_id} needs an NVIDIA driver", found=str(e), remedy="leave device_id at 0"
        ) from e


def _checked(status: int, device_id: int) -> None:
    if status:
        raise SettingError(
            f"CUDA device {device_id} cannot be used", found=f"CUDA error {status}", remedy="see `trtreg doctor`"
        )
