"""For the deformable convolutions: random configurations, an oracle in float64, and how far a result may be from it."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from trtreg.sdk import torch_layout
from trtreg.testing import compare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = [
    "EDGES", "Array", "Case", "assert_close", "oracle", "random_case", "timed", "to_tensors", "tolerance",
]  # fmt: skip

Array: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"

_LEAST_ROWS = 16  # of the weight in a group, for which the plugins use tensor cores


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One configuration: sizes, attributes, and how far the offsets go."""

    batch: int = 1
    channels: int = 1
    out_channels: int = 1
    groups: int = 1
    deform_groups: int = 1
    size: tuple[int, int] = (5, 5)
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    mask: bool = False
    bias: bool = False
    #: "none", "grid" (whole pixels), "near" (about one), "far", "huge" (some infinite), "nan" (one in 50)
    offsets: str = "near"
    #: of float32: products on tensor cores
    allow_tf32: bool = False

    def fits_tensor_cores(self, dtype: str) -> bool:
        """Whether the channels and groups are such as tensor cores can take."""
        apart = sorted((self.channels // self.groups, self.channels // self.deform_groups))
        taken = 4 if dtype == "float32" else 8
        return apart[1] % apart[0] == apart[0] % taken == 0 and self.out_channels // self.groups >= _LEAST_ROWS

    def on_tensor_cores(self, dtype: str) -> bool:
        """Whether samples are rounded before they are multiplied, on a GPU that can."""
        return (dtype != "float32" or self.allow_tf32) and self.fits_tensor_cores(dtype)

    @property
    def points(self) -> int:
        """How many places are sampled for one pixel of the output."""
        return self.deform_groups * math.prod(self.kernel)

    @property
    def extent(self) -> tuple[int, int]:
        """Size of the output."""
        return tuple(  # type: ignore[return-value]
            (self.size[i] + 2 * self.padding[i] - self.dilation[i] * (self.kernel[i] - 1) - 1) // self.stride[i] + 1
            for i in range(2)
        )

    @property
    def attributes(self) -> dict[str, int | list[int]]:
        """The operator's attributes, by MMCV's names."""
        pairs = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}
        return {
            **{name: list(pair) for name, pair in pairs.items()},
            "groups": self.groups,
            "deform_groups": self.deform_groups,
        }

    @property
    def of_node(self) -> dict[str, int | list[int]]:
        """And those that only the plugin has."""
        return {**self.attributes, "allow_tf32": int(self.allow_tf32)}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the inputs, in order."""
        return {
            "x": (self.batch, self.channels, *self.size),
            "offset": (self.batch, 2 * self.points, *self.extent),
            **({"mask": (self.batch, self.points, *self.extent)} if self.mask else {}),
            "weight": (self.out_channels, self.channels // self.groups, *self.kernel),
            **({"bias": (self.out_channels,)} if self.bias else {}),
        }

    def inputs(self, random: np.random.Generator) -> dict[str, Array]:
        """Fresh random inputs; results are of the order of 1."""
        arrays = {name: random.standard_normal(shape) for name, shape in self.shapes.items()}
        arrays["weight"] /= math.sqrt(max(math.prod(self.shapes["weight"][1:]), 1))
        if self.mask:
            arrays["mask"] = random.uniform(0, 1, self.shapes["mask"])
        offset = arrays["offset"]

        def some(share: float) -> Any:
            return random.uniform(size=offset.shape) < share

        if self.offsets == "none":
            offset[:] = 0
        elif self.offsets == "grid":
            offset[:] = np.round(offset * 3)
        elif self.offsets == "far":
            offset *= 30
        elif self.offsets == "huge":
            offset *= 10.0 ** random.uniform(0, 4, offset.shape)
            offset[some(0.1)] = math.inf
            offset[some(0.1)] = -math.inf
        elif self.offsets == "nan":
            offset[some(0.02)] = math.nan
        return arrays


def random_case(random: np.random.Generator, *, largest: int = 12, modulated: bool = False) -> Case:
    """Draw every attribute at random, for images of up to `largest` pixels a side; `modulated` has masks."""

    def draw(low: int, high: int) -> int:
        return int(random.integers(low, high + 1))

    def pair(low: int, high: int) -> tuple[int, int]:
        return (draw(low, high), draw(low, high))

    def by_chance(share: float) -> bool:
        return bool(random.uniform() < share)

    groups = draw(1, 3) if by_chance(0.5) else 1
    deform_groups = draw(1, 4) if by_chance(0.5) else 1
    # Half of them for the tensor cores, which take 8 channels at once.
    wide = by_chance(0.5)
    channels = 8 * draw(1, 4) * max(groups, deform_groups) if wide else draw(1, 1 + largest // 3)
    if wide and max(groups, deform_groups) % min(groups, deform_groups):
        groups = 1
    kernel, stride, padding, dilation = pair(1, 4), pair(1, 3), pair(0, 3), pair(1, 3)
    smallest = [max(dilation[i] * (kernel[i] - 1) + 1 - 2 * padding[i], 1) for i in range(2)]
    return Case(
        batch=0 if by_chance(0.05) else draw(1, 3),
        channels=channels if wide else math.lcm(groups, deform_groups) * channels,
        out_channels=groups * (draw(1, 9) if by_chance(0.7) and not wide else draw(16, 140)),
        groups=groups,
        deform_groups=deform_groups,
        size=(draw(smallest[0], max(largest, smallest[0])), draw(smallest[1], max(largest, smallest[1]))),
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        mask=modulated,
        bias=modulated and by_chance(0.7),
        offsets=str(random.choice(["none", "grid", "near", "near", "far", "huge", "nan"])),
    )


#: What chance may miss.
EDGES = (
    Case(batch=0),
    Case(kernel=(1, 1), size=(1, 1)),
    Case(size=(1, 9), kernel=(1, 3), padding=(0, 1)),
    Case(batch=5, size=(4, 4), padding=(1, 1), out_channels=3),  # a tile of pixels spans images
    Case(channels=1, out_channels=1, kernel=(7, 7), size=(7, 9), padding=(3, 3)),
    Case(channels=16, out_channels=32, size=(8, 8), padding=(1, 1)),  # exactly one tile, one slice
    Case(channels=17, out_channels=33, size=(5, 13), padding=(1, 1)),  # one more of each
    Case(channels=33, out_channels=129, size=(6, 7), padding=(1, 1)),
    Case(channels=12, out_channels=8, groups=4, deform_groups=3, padding=(1, 1)),  # groups end inside deform groups
    Case(channels=30, out_channels=4, groups=2, deform_groups=3, padding=(1, 1)),
    Case(channels=40, out_channels=4, deform_groups=2, padding=(1, 1)),  # deform groups end inside a slice
    Case(channels=6, out_channels=6, groups=6, deform_groups=6, padding=(1, 1)),  # depthwise
    Case(size=(6, 6), stride=(2, 3), padding=(2, 0), dilation=(2, 1), kernel=(2, 3)),
    Case(batch=2, channels=64, out_channels=16, size=(4, 9), padding=(1, 1)),  # for tensor cores: one slice, one tile
    Case(batch=3, channels=72, out_channels=130, size=(5, 5), padding=(1, 1)),  # one more of each, and odd areas
    Case(channels=80, out_channels=32, groups=2, deform_groups=1, size=(6, 6), padding=(1, 1)),
    Case(channels=80, out_channels=48, groups=1, deform_groups=2, size=(6, 6), padding=(1, 1), offsets="nan"),
    Case(channels=32, out_channels=64, groups=4, deform_groups=2, size=(6, 6), padding=(1, 1), offsets="huge"),
    Case(channels=64, out_channels=256, kernel=(1, 1), size=(23, 23)),  # the large tile
    Case(channels=44, out_channels=33, size=(5, 7), padding=(1, 1), allow_tf32=True),
    Case(channels=64, out_channels=256, kernel=(1, 1), size=(23, 23), allow_tf32=True, offsets="nan"),
    Case(size=(9, 9), padding=(1, 1), offsets="nan"),
    Case(size=(9, 9), padding=(1, 1), offsets="huge"),
    Case(size=(9, 9), padding=(1, 1), offsets="grid"),
)


def oracle(case: Case, inputs: Mapping[str, Array]) -> Array:
    """Compute the definition in the papers, term by term; without masks, every dm_k is 1.

    y(p) = sum over k of w_k * x(p + p_k + dp_k) * dm_k         (arXiv:1703.06211, equation 2; 1811.11168, equation 1)
    x(q) = sum over r of max(0, 1 - |q_y - r_y|) * max(0, 1 - |q_x - r_x|) * x(r)   (arXiv:1703.06211, equations 3, 4)
    """
    x, offset, weight = (inputs[name] for name in ("x", "offset", "weight"))
    mask = inputs["mask"] if case.mask else np.ones((case.batch, case.points, *case.extent))
    y = np.zeros((case.batch, case.out_channels, *case.extent))
    points = math.prod(case.kernel)
    channels, out_channels = case.channels // case.groups, case.out_channels // case.groups
    per_deform_group = case.channels // case.deform_groups
    for image, *p in np.ndindex(case.batch, *case.extent):
        pixel = (image, slice(None), *p)
        for k, p_k in enumerate(np.ndindex(*case.kernel)):
            sampled = np.empty(case.channels)
            taps = weight[:, :, p_k[0], p_k[1]]
            moved, scale = offset[pixel], mask[pixel]
            for group in range(case.deform_groups):
                at = group * points + k
                q = [
                    p[i] * case.stride[i] - case.padding[i] + p_k[i] * case.dilation[i] + moved[2 * at + i]
                    for i in range(2)
                ]
                share = [np.maximum(0, 1 - np.abs(q[i] - np.arange(case.size[i]))) for i in range(2)]
                for channel in range(group * per_deform_group, (group + 1) * per_deform_group):
                    sampled[channel] = share[0] @ x[image, channel] @ share[1] * scale[at]
            for group, channel in itertools.product(range(case.groups), range(out_channels)):
                out = group * out_channels + channel
                y[pixel][out] += taps[out] @ sampled[group * channels : (group + 1) * channels]
    return y + inputs["bias"][:, None, None] if case.bias else y


def tolerance(case: Case, inputs: Mapping[str, Array], expected: Array, dtype: str) -> Array:
    """Give how far each value may be from `expected`: one rounding to `dtype`, and the errors of float32 before it.

    Those are relative to the sum of all terms with every sample at the largest value of x. A coordinate below 64 is
    known to 2**-19, so a sample to 2**-18 of the values around it, in each direction; the products and their sum add
    less. Where products are those of tensor cores, samples are rounded before, and chance adds up the errors as the
    root of their squares.
    """
    weight, largest = np.abs(inputs["weight"]), np.abs(inputs["x"]).max(initial=0)
    if case.mask:
        largest = largest * np.abs(inputs["mask"]).max(initial=0)
    scale = weight.sum(axis=(1, 2, 3)) * largest
    if case.bias:
        scale = scale + np.abs(inputs["bias"])
    before = 2.0**-17 * scale
    if case.on_tensor_cores(dtype):
        # Of one sample, relative to it: float32 is rounded to TF32, which has float16's precision.
        rounding = compare.ROUNDING["float16" if dtype == "float32" else dtype]
        before = before + 5 * rounding * largest * np.sqrt((weight**2).sum(axis=(1, 2, 3)))
    return compare.tolerance(expected, dtype, before[:, None, None])


def assert_close(case: Case, inputs: Mapping[str, Array], y: Array, expected: Array, dtype: str) -> None:
    """Fail with the configuration where `y` is further from `expected` than it may be, or NaN elsewhere."""
    if y.shape != expected.shape:
        raise AssertionError(f"shape {y.shape}, expected {expected.shape} {case}")
    if (np.isnan(y) != np.isnan(expected)).any():
        raise AssertionError(f"{dtype}: NaN in other places than expected: {case}")
    excess = np.nan_to_num(np.abs(y - expected) - tolerance(case, inputs, expected, dtype), nan=0.0).max(initial=0)
    if excess > 0:
        raise AssertionError(f"{dtype}: {excess} more than the error that is allowed: {case}")


def to_tensors(
    inputs: Mapping[str, Array], dtype: str, device: str = "cpu", *, channels_last: bool = False
) -> dict[str, torch.Tensor]:
    """Give the same inputs for PyTorch, rounded to `dtype`; with `channels_last`, x lies so."""
    tensors = {name: torch.from_numpy(each).to(device, getattr(torch, dtype)) for name, each in inputs.items()}
    if channels_last:
        x = tensors["x"]
        tensors["x"] = torch_layout.empty(x.shape, x.dtype, device, "hwc" if dtype == "float32" else "hwc8").copy_(x)
    return tensors


def timed(
    creator: str, theirs: Callable[..., torch.Tensor], undeformed: Callable[..., torch.Tensor], *, modulated: bool
) -> Iterator[dict[str, Any]]:
    """Give what a package's benchmark.py times: a layer of a detector's head, in all types, and with channels last.

    Args:
        creator: the plugin; its inputs are x, offset, with masks the mask, weight, and with masks a bias.
        theirs: torchvision's op, on the same inputs.
        undeformed: the convolution without offsets.
        modulated: with masks and a bias.
    """
    channels, side, taps = 256, 64, 9

    def inputs(batch: int, dtype: torch.dtype, last: bool) -> list[torch.Tensor]:
        def some(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, device="cuda")

        x = some(batch, channels, side, side)
        maps = [some(batch, 2 * taps, side, side)]
        weights = [some(channels, channels, 3, 3) / 48]
        if modulated:
            maps.append(some(batch, taps, side, side).sigmoid())
            weights.append(some(channels))
        x = x.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
        return [each.to(dtype) for each in (x, *maps, *weights)]

    torchvision, convolution = ("torchvision deform_conv2d", theirs), ("F.conv2d", undeformed)
    for batch, (dtype, tf32, last, peer) in itertools.product(
        (1, 8),
        (
            (torch.float32, 0, False, torchvision),
            (torch.float32, 1, False, torchvision),
            (torch.float32, 1, True, None),
            (torch.float16, 0, False, torchvision),
            (torch.float16, 0, False, convolution),
            (torch.float16, 0, True, convolution),
            (torch.bfloat16, 0, False, convolution),
            (torch.bfloat16, 0, True, convolution),
        ),
    ):
        area = batch * side * side
        maps = (3 if modulated else 2) * taps
        yield {
            "op": creator + ", TF32" * tf32 + ", channels last" * last,
            "size": f"{batch}x{channels}x{side}x{side}, 3x3",
            "dtype": compare.name_of(dtype),
            "creator": creator,
            "attributes": {"padding": [1, 1], "allow_tf32": tf32},
            "inputs": functools.partial(inputs, batch, dtype, last),
            "outputs": lambda given: [torch.empty_like(given[0])],
            "peer": peer,
            "bytes": (area * (2 * channels + maps) + channels**2 * taps) * dtype.itemsize,
            "flops": 2 * area * channels**2 * taps,
        }
