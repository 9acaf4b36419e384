"""Errors of the plugins' kernels on a GPU: against float64 references, and against PyTorch's and torchvision's kernels.

Every configuration is random, every input fresh, and every output lies in memory filled with NaN, of which nothing but
the output may change. The exit status is 1 if one value is further off than rounding explains.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from support import device

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "plugin-packages" / "trtplugin-dcnv2" / "tests"))

from dcnv2_cases import EDGES, Case, random_case, to_tensors, tolerance  # noqa: E402
from trtplugin_dcnv2 import modulated_deform_conv2d  # noqa: E402

from trtreg.testing.compare import tolerance as allowed_error  # noqa: E402
from trtreg.testing.compare import wide  # noqa: E402
from trtreg.testing.device import DevicePlugin  # noqa: E402

try:
    from torchvision.ops import deform_conv2d
except ImportError:
    deform_conv2d = None

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
NOTES = """Largest absolute error over all configurations; results are of the order of 1. "of allowed" is the largest
ratio of an error to what rounding explains: one rounding to the type, and float32 arithmetic before it. "peer" is the
error of PyTorch's or torchvision's own kernel against the float64 reference on the same inputs, in the same type."""


@dataclass
class Errors:
    """The largest errors of one kind of comparison."""

    configurations: int = 0
    largest: float = 0.0
    of_allowed: float = 0.0
    peer: float | None = None

    def add(self, found: np.ndarray, expected: np.ndarray, allowed: np.ndarray | float) -> None:
        """Count one configuration; a NaN on one side only is an infinite error."""
        self.configurations += 1
        same = (np.isnan(found) & np.isnan(expected)) | (found == expected)
        error = np.where(same, 0.0, np.abs(found - expected))
        error = np.where(np.isnan(error), np.inf, error)
        self.largest = max(self.largest, float(error.max(initial=0)))
        ratio = np.where(same, 0.0, error / np.nan_to_num(allowed, nan=1.0))
        self.of_allowed = max(self.of_allowed, float(ratio.max(initial=0)))

    def add_peer(self, found: np.ndarray, expected: np.ndarray) -> None:
        """Keep the other kernel's error, where both are numbers."""
        error = np.nan_to_num(np.abs(found - expected), nan=0.0, posinf=0.0)
        self.peer = max(self.peer or 0.0, float(error.max(initial=0)))


def hswish(plugin: DevicePlugin, count: int) -> list[dict[str, Any]]:
    """Compare with float64, and with F.hardswish at the default attributes."""
    rows = []
    for dtype in DTYPES:
        exact, peer = Errors(), Errors()
        for seed in range(count):
            random = np.random.default_rng(seed)
            shape = tuple(random.integers(0, 40, size=random.integers(1, 4)).tolist())
            x = (torch.randn(shape, device="cuda") * 4).to(dtype)
            alpha, beta = random.uniform(-1, 1, size=2).astype(np.float32).tolist()
            (y,) = plugin.run("HSwish", [x], {"alpha": alpha, "beta": beta})
            exact.add(wide(y), *hswish_reference(x, alpha, beta))
            (y,), theirs = plugin.run("HSwish", [x]), wide(torch.nn.functional.hardswish(x))
            expected, allowed = hswish_reference(x, 1 / 6, 0.5)
            peer.add(wide(y), theirs, 2 * allowed)  # both sides are rounded
            peer.add_peer(theirs, expected)
        rows += [row("HSwish", dtype, "float64", exact), row("HSwish", dtype, "F.hardswish", peer)]
    return rows


def hswish_reference(x: torch.Tensor, alpha: float, beta: float) -> tuple[np.ndarray, np.ndarray]:
    """Give the exact result, and how far a kernel may be from it."""
    name, exact = device.name_of(x.dtype), wide(x)
    expected = exact * np.clip(alpha * exact + beta, 0, 1)
    # The gate is known to the roundings of the attributes, of alpha * x and of the sum; y to that times x.
    before = 2.0**-23 * np.abs(exact) * (np.abs(alpha * exact) + abs(beta) + 1)
    return expected, allowed_error(expected, name, before)


def dcnv2(plugin: DevicePlugin, count: int) -> list[dict[str, Any]]:
    """Compare with the CPU reference in float64, and with torchvision in float32 on the same values."""
    rows = []
    for dtype in DTYPES:
        exact, peer = Errors(), Errors()
        for seed in range(count):
            random = np.random.default_rng(seed)
            case = EDGES[seed] if seed < len(EDGES) else random_case(random, largest=24)
            compare(plugin, case, to_tensors(case.inputs(random), device.name_of(dtype)), exact, peer)
        name = "MMCVModulatedDeformConv2d"
        rows.append(row(name, dtype, "float64", exact))
        if deform_conv2d is not None:
            rows.append(row(name, dtype, "torchvision, float32", peer))
    return rows


def compare(plugin: DevicePlugin, case: Case, inputs: dict[str, torch.Tensor], exact: Errors, peer: Errors) -> None:
    """Add one configuration to both comparisons."""
    dtype = inputs["x"].dtype
    values = {key: each.double() for key, each in inputs.items()}
    arrays = {key: each.numpy() for key, each in values.items()}
    expected = modulated_deform_conv2d(**values, **case.attributes).numpy()
    allowed = tolerance(case, arrays, expected, device.name_of(dtype))
    on_gpu = {key: each.cuda() for key, each in inputs.items()}
    (y,) = plugin.run("MMCVModulatedDeformConv2d", list(on_gpu.values()), case.attributes)
    exact.add(wide(y), expected, allowed)
    # torchvision turns a NaN coordinate into an integer, which may be any.
    if deform_conv2d is None or case.offsets == "nan":
        return
    theirs = with_torchvision(case, {key: each.float() for key, each in on_gpu.items()})
    both = allowed + tolerance(case, arrays, expected, "float32")
    peer.add(wide(y), wide(theirs), both)
    if dtype != torch.bfloat16:  # which torchvision does not have
        peer.add_peer(wide(with_torchvision(case, on_gpu)), expected)


def with_torchvision(case: Case, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Run torchvision's kernel."""
    assert deform_conv2d is not None  # noqa: S101
    pairs = {"stride": case.stride, "padding": case.padding, "dilation": case.dilation}
    tensors = (inputs["x"], inputs["offset"], inputs["weight"], inputs.get("bias"))
    result: torch.Tensor = deform_conv2d(*tensors, **pairs, mask=inputs["mask"])
    return result


def row(op: str, dtype: torch.dtype, against: str, errors: Errors) -> dict[str, Any]:
    """Give one line of the table."""
    return {
        "op": op,
        "type": device.name_of(dtype),
        "against": against,
        "configurations": errors.configurations,
        "max error": errors.largest,
        "of allowed": errors.of_allowed,
        "peer": errors.peer,
    }


def main() -> int:
    """Run the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=240, help="configurations of each kind and type")
    parser.add_argument("--hswish", type=Path, help="library to use, instead of the installed package's")
    parser.add_argument("--dcnv2", type=Path, help="likewise")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    # A peer in float32 shall compute in float32.
    torch.backends.cuda.matmul.allow_tf32 = False
    rows = hswish(DevicePlugin("trtplugin_hswish", arguments.hswish), arguments.count)
    rows += dcnv2(DevicePlugin("trtplugin_dcnv2", arguments.dcnv2), arguments.count)
    device.write("correctness", "Errors on a GPU", NOTES, rows, arguments.output)
    return int(any(each["of allowed"] > 1 for each in rows))


if __name__ == "__main__":
    sys.exit(main())
