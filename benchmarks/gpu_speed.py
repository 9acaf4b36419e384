"""Times of the plugins' kernels on a GPU beside PyTorch's and torchvision's, in the same run.

Each side is captured in a CUDA graph that goes through several sets of inputs, more than the L2 cache holds. The graphs
are replayed in turns; the figure is the median of the turns, over the number of sets.
"""

from __future__ import annotations

import argparse
import math
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from support import device

from trtreg.testing.peer import measure, rotation

try:
    from torchvision.ops import deform_conv2d
except ImportError:
    deform_conv2d = None

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trtreg.sdk.face import Face

ROOT = Path(__file__).resolve().parent.parent
NOTES = """Median time of one call in microseconds: CUDA graph replay over rotating inputs beyond the L2 cache, both
sides in turns. "x peer" above 1 means that ours is faster."""


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Let float32 matrix products of the peer use TF32, or not."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = allowed
    yield
    torch.backends.cuda.matmul.allow_tf32 = before


def hswish(face: Face) -> list[dict[str, Any]]:
    """Compare with F.hardswish on 64 Mi elements."""
    rows = []
    size = 64 * 2**20
    plugin = face.create("HSwish")
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        traffic = 2 * size * dtype.itemsize
        sets = [torch.randn(size, device="cuda").to(dtype) for _ in range(rotation(traffic))]
        y = torch.empty_like(sets[0])
        ours, theirs = measure(
            [lambda x=x, y=y: device.run(plugin, [x], y) for x in sets],
            [lambda x=x, y=y: torch.ops.aten.hardswish.out(x, out=y) for x in sets],
        )
        rate = f"{traffic / ours / 1e6:.2f} TB/s"
        rows.append(row("HSwish", "64 Mi elements", dtype, ours, rate, "F.hardswish", theirs))
    return rows


def dcnv2(face: Face) -> list[dict[str, Any]]:
    """Compare with torchvision, C = 256 -> 256, 64 x 64, 3 x 3."""
    rows = []
    plugin = face.create("MMCVModulatedDeformConv2d", {"padding": 1})
    channels, side, taps = 256, 64, 9
    for batch in (8, 1):
        for dtype in (torch.float32, torch.float16, torch.bfloat16):
            shapes = [(batch, channels, side, side), (batch, 2 * taps, side, side), (batch, taps, side, side)]
            shapes += [(channels, channels, 3, 3), (channels,)]
            bytes_of_set = dtype.itemsize * (sum(map(math.prod, shapes)) + math.prod(shapes[0]))
            sets = [
                [(torch.randn(shape, device="cuda") * 0.5).to(dtype) for shape in shapes]
                for _ in range(rotation(bytes_of_set))
            ]
            outputs = [torch.empty_like(inputs[0]) for inputs in sets]
            calls = [
                lambda inputs=inputs, y=y: device.run(plugin, inputs, y)
                for inputs, y in zip(sets, outputs, strict=True)
            ]
            peers = [lambda inputs=inputs: with_torchvision(*inputs) for inputs in sets]
            flops = 2 * batch * side * side * channels * channels * taps
            size = f"N={batch}, 256 -> 256, 64x64, 3x3"
            peer = deform_conv2d is not None and dtype != torch.bfloat16  # which torchvision does not have
            for allowed in (False, True) if peer and dtype == torch.float32 else (False,):
                with tf32(allowed):
                    times = measure(calls, peers) if peer else [*measure(calls), None]
                name = ("torchvision" + ", TF32" * allowed) if peer else None
                rate = f"{flops / times[0] / 1e6:.1f} TFLOP/s"
                rows.append(row("MMCVModulatedDeformConv2d", size, dtype, times[0], rate, name, times[1]))
    return rows


def with_torchvision(
    x: torch.Tensor, offset: torch.Tensor, mask: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """Run torchvision's kernel."""
    result: torch.Tensor = deform_conv2d(x, offset, weight, bias, padding=1, mask=mask)
    return result


def row(
    op: str, size: str, dtype: torch.dtype, ours: float, rate: str, peer: str | None, theirs: float | None
) -> dict[str, Any]:
    """Give one line of the table."""
    return {
        "op": op,
        "size": size,
        "type": device.name_of(dtype),
        "us": round(ours, 1),
        "rate": rate,
        "peer": peer,
        "peer us": None if theirs is None else round(theirs, 1),
        "x peer": None if theirs is None else theirs / ours,
    }


def main() -> int:
    """Run the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hswish", type=Path, help="library to use, instead of the installed package's")
    parser.add_argument("--dcnv2", type=Path, help="likewise")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    with torch.no_grad():
        rows = hswish(device.open_library("trtplugin_hswish", arguments.hswish))
        rows += dcnv2(device.open_library("trtplugin_dcnv2", arguments.dcnv2))
    device.write("speed", "Times on a GPU", NOTES, rows, arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
