"""A library that nobody here wrote: NVIDIA's plugins inside the wheel of ONNX Runtime's TensorRT-RTX provider.

The wheel is 140 MiB, and downloaded once into build/. Its library wants the driver: on a machine without one, an empty
libcuda.so.1 beside it stands in, for registering plugins calls nothing of the driver.
"""

import ctypes
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from trtreg import discovery

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "third-party"
WHEEL = "onnxruntime-ep-nv-tensorrt-rtx-cu13==0.5.0"
OPS = {
    *("CausalConvWithState", "GroupQueryAttention", "LinearAttention", "MatMulNBits"),
    *("NonZero", "QuantizedMixtureOfExperts", "RotaryEmbedding"),
}
DRIVER = "".join(
    f'extern "C" __attribute__((visibility("default"))) int {name}() {{ return 100; }}\n'
    for name in (
        *("cuFuncSetAttribute", "cuGetErrorName", "cuInit", "cuLaunchKernel"),
        *("cuModuleGetFunction", "cuModuleLoadData", "cuModuleUnload"),
    )
)


@pytest.fixture(scope="session")
def provider():
    if os.uname().machine != "x86_64":
        pytest.skip("its wheel for this machine is another")
    folder = CACHE / "onnxruntime_ep_nv_tensorrt_rtx"
    if not (folder / "libtensorrt_plugins.so").is_file():
        CACHE.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(CACHE), WHEEL]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.fail(done.stderr) if os.environ.get("CI") else pytest.skip(f"no {WHEEL}: {done.stderr.strip()}")
        (wheel,) = CACHE.glob("onnxruntime_ep_*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if Path(name).name.startswith(("libtensorrt_plugins", "libcudart")):
                    archive.extract(name, CACHE)
        wheel.unlink()
    return folder


@pytest.mark.slow
def test_the_plugins_of_onnx_runtimes_provider(provider, compile_library, cli, tmp_path, data_home, run_python):
    folder = tmp_path / "provider"
    folder.mkdir()
    for file in provider.iterdir():
        (folder / file.name).symlink_to(file)
    library = folder / "libtensorrt_plugins.so"
    library.unlink()
    shutil.copy(provider / library.name, library)  # its neighbours are looked for where the real file lies
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        driver = compile_library(DRIVER, "-Wl,-soname,libcuda.so.1")
        (folder / "libcuda.so.1").write_bytes(driver.read_bytes())
    code, out, err = cli("add", library, "--name", "ort-rtx-plugins", "--version", "0.5.0")
    assert code == 0, err
    assert "registers in its function initLibNvTensorRTRtxPlugins, V3 interface" in out
    plugin = discovery.find("ort-rtx-plugins")
    assert dict(plugin.manifest.tensorrt) == {"rtx": ">=1.7,<2"}
    assert "8.9" in plugin.manifest.library.sms
    # In another process: it stays for good, and so would the driver's stand-in.
    code = """
from trtreg import discovery, loader
print(*(key.name for key in loader.load(discovery.find("ort-rtx-plugins")).creators))
"""
    done = run_python(code)
    assert set(done.stdout.split()) == OPS, done.stderr
