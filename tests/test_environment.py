import os
import platform
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from trtreg import environment, flavour
from trtreg.environment import Gpu
from trtreg.errors import SettingError


def test_the_facts_of_this_machine():
    facts = environment.read()
    tensorrt = flavour.select()
    assert (facts.flavour, facts.tensorrt_version) == (tensorrt.flavour, tensorrt.version)
    assert facts.machine == platform.machine()
    assert ("glibc", facts.glibc) == platform.libc_ver()
    assert (facts.driver is None) == (facts.driver_problem is not None)
    assert facts.tensorrt_problem is None


def test_a_given_tensorrt_is_taken():
    other = flavour.InstalledTensorRT(flavour=flavour.Flavour.LEAN, version="11.4", distribution=None)
    facts = environment.read(other)
    assert (facts.flavour, facts.tensorrt_version) == (flavour.Flavour.LEAN, "11.4")


def test_that_no_tensorrt_is_installed_is_a_fact(monkeypatch):
    monkeypatch.setattr(sys, "path", [path for path in sys.path if not path.endswith("site-packages")])
    for kind in flavour.FLAVOURS:
        monkeypatch.delitem(sys.modules, kind.module, raising=False)
    facts = environment.read()
    assert (facts.flavour, facts.tensorrt_version) == (None, None)
    assert "no TensorRT is installed" in facts.tensorrt_problem


def test_a_wrong_setting_is_an_error(monkeypatch):
    monkeypatch.setenv(flavour.SETTING, "nonsense")
    with pytest.raises(SettingError):
        environment.read()


def test_reading_makes_no_cuda_context_and_imports_no_tensorrt(run_python):
    code = """
import sys
from trtreg import environment
environment.read()
maps = open("/proc/self/maps").read()
print([name for name in ("libcudart", "libnvinfer", "libtensorrt") if name in maps])
print([name for name in sys.modules if name.startswith("tensorrt")])
"""
    assert run_python(code).stdout == "[]\n[]\n"


@pytest.mark.gpu
@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="no NVIDIA driver here")
def test_the_driver_and_the_gpus_are_those_of_nvidia_smi(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    query = ["nvidia-smi", "--query-gpu=driver_version,index,name,compute_cap", "--format=csv,noheader"]
    lines = subprocess.run(query, check=True, capture_output=True, text=True).stdout.splitlines()
    facts = environment.read()
    assert [f"{facts.driver}, {gpu.index}, {gpu.name}, {gpu.sm}" for gpu in facts.gpus] == lines
    assert facts.cuda_driver
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert environment.read().gpus == ()


# A machine with three GPUs, as NVML shows it: the part that does not exist here is NVML's C library.
class NVMLError(Exception):
    pass


def nvml(texts=str, failing=()):
    gpus = [("GPU-aaaa", "A100", (8, 0)), ("GPU-aabb", "H200", (9, 0)), ("GPU-cccc", "RTX 5090", (12, 0))]

    def fail(name):
        if name in failing:
            raise NVMLError("Driver/library version mismatch")

    def by_uuid(uuid):
        if uuid != b"MIG-1":
            raise NVMLError("Not Found")
        return "mig"

    return SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: fail("init"),
        nvmlShutdown=lambda: None,
        nvmlSystemGetCudaDriverVersion_v2=lambda: 13010,
        nvmlSystemGetDriverVersion=lambda: fail("driver") or texts("580.65.06"),
        nvmlDeviceGetCount=lambda: len(gpus),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetHandleByUUID=by_uuid,
        nvmlDeviceGetDeviceHandleFromMigDeviceHandle=lambda handle: {"mig": 1}[handle],
        nvmlDeviceGetIndex=lambda device: device,
        nvmlDeviceGetUUID=lambda device: texts(gpus[device][0]),
        nvmlDeviceGetName=lambda device: texts(gpus[device][1]),
        nvmlDeviceGetCudaComputeCapability=lambda device: gpus[device][2],
    )


@pytest.mark.parametrize("texts", [str, str.encode], ids=["str", "bytes of older bindings"])
def test_all_gpus_are_told(monkeypatch, texts):
    monkeypatch.setitem(sys.modules, "pynvml", nvml(texts))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    facts = environment.read()
    assert (facts.driver, facts.cuda_driver, facts.driver_problem) == ("580.65.06", "13.1", None)
    assert facts.gpus == (
        Gpu(index=0, name="A100", sm="8.0"),
        Gpu(index=1, name="H200", sm="9.0"),
        Gpu(index=2, name="RTX 5090", sm="12.0"),
    )


@pytest.mark.parametrize(
    ("visible", "indices"),
    [
        ("", []),
        ("-1", []),
        ("1", [1]),
        ("2, 0", [2, 0]),
        ("0,7,1", [0]),  # what follows an invalid entry is invisible
        ("GPU-cccc", [2]),
        ("GPU-aab", [1]),
        ("GPU-aa", []),  # goes for two
        ("GPU-cccc,0", [2, 0]),
        ("MIG-1", [1]),
        ("MIG-2", []),
        ("NoDevFiles", []),
    ],
)
def test_cuda_visible_devices_is_honoured(monkeypatch, visible, indices):
    monkeypatch.setitem(sys.modules, "pynvml", nvml())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpu.index for gpu in environment.read().gpus] == indices


@pytest.mark.parametrize("failing", ["init", "driver"])
def test_a_driver_that_is_out_of_order_is_no_driver_with_a_problem(monkeypatch, failing):
    monkeypatch.setitem(sys.modules, "pynvml", nvml(failing=failing))
    facts = environment.read()
    assert (facts.driver, facts.gpus) == (None, ())
    assert facts.driver_problem == "Driver/library version mismatch"


def test_without_the_bindings_of_nvml(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "NVML's Python module is missing" in environment.read().driver_problem


def test_another_c_library(monkeypatch):
    def confstr(_):
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "confstr", confstr)
    assert environment.read().glibc is None
