"""The PyTorch ops: imports torch, so it is loaded on first use."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from trtreg.errors import ShapeError
from trtreg.sdk.torch_op import TorchOp, pair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trtreg.sdk.torch_op import IntOrPair

__all__ = ["multi_level_roi_align", "roi_align"]

_BOX = 5  # image, x1, y1, x2, y2
_MAX_LEVELS = 10


class _Axis(NamedTuple):
    """The samples of one direction, each [bins, samples]: the two pixels next to one, and the share of the second."""

    low: torch.Tensor
    high: torch.Tensor
    share: torch.Tensor
    exists: torch.Tensor
    count: float  # of the samples of a bin, those that are left out included


def _axis(low: float, length: float, bins: int, ratio: int, extent: int) -> _Axis:
    size = length / bins
    count = ratio if ratio > 0 else max(math.ceil(size), 0)
    step = size / count if count else 0.0
    first = torch.arange(bins, dtype=torch.float64)[:, None] * size + low
    begin, most = torch.zeros_like(first), count
    if step > 0:  # a box may be much larger than the image: only samples that can lie in it
        begin = ((-1 - first) / step).floor().sub(1).clamp(0, float(count))
        most = min(count, math.ceil((extent + 1) / step) + 4)
    index = begin + torch.arange(most, dtype=torch.float64)
    at = first + (index + 0.5) * step
    exists = (at >= -1) & (at <= extent) & (index < float(count)) & (extent > 0)
    inside = torch.where(exists, at, 0).clamp(min=0)
    floor = inside.floor().clamp(max=max(extent - 1, 0))
    share = torch.where(floor < extent - 1, inside - floor, 0)
    return _Axis(floor.long(), (floor + 1).clamp(max=max(extent - 1, 0)).long(), share, exists, float(count))


def _pool(x: torch.Tensor, box: Sequence[float], size: Sequence[int], ratio: int, *, largest: bool) -> torch.Tensor:
    """Pool one image [C, H, W] over the box (x, y, width, height) in its pixels."""
    shape = (x.shape[0], *size)
    if not math.isfinite(sum(box)):
        return x.new_full(shape, torch.nan)
    rows = _axis(box[1], box[3], size[0], ratio, x.shape[1])
    columns = _axis(box[0], box[2], size[1], ratio, x.shape[2])
    if rows.count == 0 or columns.count == 0 or x.numel() == 0:
        return x.new_zeros(shape)
    samples: torch.Tensor | float = 0.0
    for row, row_share in ((rows.low, 1 - rows.share), (rows.high, rows.share)):
        for column, column_share in ((columns.low, 1 - columns.share), (columns.high, columns.share)):
            share = row_share[:, :, None, None] * column_share
            samples = samples + share.to(x) * x[:, row[:, :, None, None], column]
    exists = rows.exists[:, :, None, None] & columns.exists
    samples = torch.where(exists, samples, 0)  # [C, bins, samples, bins, samples]
    if not largest:
        return samples.sum((2, 4)) / (rows.count * columns.count)
    if rows.low.shape[1] < rows.count or columns.low.shape[1] < columns.count:
        samples = torch.nn.functional.pad(samples, (0, 1))  # those that are left out are 0
    return samples.amax((2, 4))


def _pool_all(
    rois: torch.Tensor, x: torch.Tensor, boxes: torch.Tensor, size: Sequence[int], ratio: int, *, largest: bool
) -> torch.Tensor:
    """Pool every box of [K, 4] (x, y, width, height) in pixels of `x`, from the image that `rois` names."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    results = [wide.new_zeros(0, x.shape[1], *size)]
    for image, box in zip(rois[:, 0].tolist(), boxes.tolist(), strict=True):
        known = -1 < image < x.shape[0]
        nothing = wide.new_zeros(x.shape[1], *size)
        results.append((_pool(wide[int(image)], box, size, ratio, largest=largest) if known else nothing)[None])
    return torch.cat(results).to(x.dtype)


def _expect(op: str, what: str, found: object, expected: object, *, fits: bool | None = None) -> None:
    if not (found == expected if fits is None else fits):
        raise ShapeError(f"{op}: {what}", found=str(found), expected=str(expected))


def _check(op: str, rois: torch.Tensor, maps: Sequence[torch.Tensor], size: Sequence[int], ratio: int) -> None:
    """Refuse on the CPU what the plugins refuse on a GPU."""
    _expect(op, "size of the output is too small", min(size), "at least 1", fits=min(size) >= 1)
    _expect(op, "'sampling_ratio' is too small", ratio, "at least 0", fits=ratio >= 0)
    _expect(op, "rank of 'rois'", rois.dim(), 2)
    _expect(op, "length of a RoI", rois.shape[1], _BOX)
    _expect(op, "dtype of 'rois'", rois.dtype, "x's or float32", fits=rois.dtype in {maps[0].dtype, torch.float32})
    for x in maps:
        _expect(op, "rank of a feature map", x.dim(), 4)
        _expect(op, "dtype of a feature map", x.dtype, maps[0].dtype)
        _expect(op, "batch and channels of a feature map", list(x.shape[:2]), list(maps[0].shape[:2]))


def _reference(
    x: torch.Tensor,
    rois: torch.Tensor,
    height: int,
    width: int,
    spatial_scale: float,
    sampling_ratio: int,
    mode: str,
    aligned: int,
) -> torch.Tensor:
    _check("roi_align", rois, [x], (height, width), sampling_ratio)
    _expect("roi_align", "'mode'", mode, "'avg' or 'max'", fits=mode in {"avg", "max"})
    corners = rois[:, 1:].double() * spatial_scale
    low, size = corners[:, :2], corners[:, 2:] - corners[:, :2]
    low, size = (low - 0.5, size) if aligned else (low, size.clamp(min=1))
    boxes = torch.cat([low, size], dim=1)
    return _pool_all(rois, x, boxes, (height, width), sampling_ratio, largest=mode == "max")


def _fake(x: torch.Tensor, rois: torch.Tensor, height: int, width: int, *_: object) -> torch.Tensor:
    return torch.empty((rois.shape[0], x.shape[1], height, width), dtype=x.dtype, device=x.device)


def _multi_level_reference(rois: torch.Tensor, *arguments: Any) -> torch.Tensor:
    maps = [each for each in arguments[:_MAX_LEVELS] if isinstance(each, torch.Tensor)]
    height, width, pool_mode, ratio, strides, scale_factor, finest_scale, aligned = arguments[_MAX_LEVELS:]
    _check("multi_level_roi_align", rois, maps, (height, width), ratio)
    _expect("multi_level_roi_align", "number of 'featmap_strides'", len(strides), len(maps))
    _expect("multi_level_roi_align", "'pool_mode'", pool_mode, "0 or 1", fits=pool_mode in {0, 1})
    # In float32 as on the GPU, where a box at the border of two levels shall get the same one.
    narrow = rois.float()
    size = narrow[:, 3:] - narrow[:, 1:3]
    area = (size[:, 0] * size[:, 1]).sqrt() / finest_scale + 1e-6
    level = (area[:, None] >= 2.0 ** torch.arange(1, len(maps))).sum(1)
    corners = rois[:, 1:].double()
    low, size = corners[:, :2], corners[:, 2:] - corners[:, :2]
    if scale_factor > 0:
        size = (size + 1) * scale_factor - 1
        low = (corners[:, :2] + corners[:, 2:]) / 2 - size / 2
    result = maps[0].new_empty(rois.shape[0], maps[0].shape[1], height, width)
    for index, (x, stride) in enumerate(zip(maps, strides, strict=True)):
        offset = 0.5 if aligned else 0.0
        boxes = torch.cat([low / stride - offset, (size / stride).clamp(min=0 if aligned else 1)], dim=1)
        here = level == index
        result[here] = _pool_all(rois[here], x, boxes[here], (height, width), ratio, largest=pool_mode == 0)
    return result


def _multi_level_fake(rois: torch.Tensor, x: torch.Tensor, *arguments: Any) -> torch.Tensor:
    height, width = arguments[_MAX_LEVELS - 1 : _MAX_LEVELS + 1]
    return torch.empty((rois.shape[0], x.shape[1], height, width), dtype=x.dtype, device=x.device)


_OP = TorchOp(
    package="trtplugin_roi_align",
    name="roi_align",
    creator="MMCVRoiAlign",
    domain="mmcv",
    inputs=["x", "rois"],
    attributes={
        "output_height": "int",
        "output_width": "int",
        "spatial_scale": "float",
        "sampling_ratio": "int",
        "mode": "str",
        "aligned": "int",
    },
    reference=_reference,
    fake=_fake,
)

_MULTI_LEVEL_OP = TorchOp(
    package="trtplugin_roi_align",
    name="multi_level_roi_align",
    creator="MMCVMultiLevelRoiAlign",
    domain="mmdeploy",
    inputs=["rois", "x0", *(f"x{level}?" for level in range(1, _MAX_LEVELS))],
    attributes={
        "output_height": "int",
        "output_width": "int",
        "pool_mode": "int",
        "sampling_ratio": "int",
        "featmap_strides": "floats",
        "roi_scale_factor": "float",
        "finest_scale": "float",
        "aligned": "int",
    },
    reference=_multi_level_reference,
    fake=_multi_level_fake,
)


def roi_align(
    x: torch.Tensor,
    rois: torch.Tensor,
    output_size: IntOrPair = 7,
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    mode: str = "avg",
    aligned: bool = True,
) -> torch.Tensor:
    """Resample the features of each region of interest to a grid of `output_size` bins.

    RoIAlign of "Mask R-CNN" (He et al. 2017, arXiv:1703.06870), with the half pixel of Detectron2 where `aligned`. A
    bin is the mean or the largest of ``sampling_ratio`` x ``sampling_ratio`` bilinear samples in it. A sample up to one
    pixel outside the image counts as on its border, one further outside as 0.

    A RoI of an image that does not exist gives 0; one with a coordinate that is NaN or infinite gives NaN; one of
    negative or no size gives 0 where there are no samples in it. The op has no gradient.

    It differs from MMCV's in `mode` "max" only, where a bin without samples is 0 and not the lowest float32, and in
    the types.

    Args:
        x: [N, C, H, W]; float32, float16 or bfloat16 (on the CPU float64 too). Computed in float32 at least, and
            rounded to x's dtype once.
        rois: [K, 5]; number of the image, x1, y1, x2, y2; dtype of x or float32.
        output_size: number of bins; one number, or vertical and horizontal.
        spatial_scale: pixels of `x` in one unit of `rois`.
        sampling_ratio: samples of a bin in each direction; 0 for as many as it has pixels, rounded up.
        mode: "avg" or "max".
        aligned: whether the corners are moved by half a pixel, so that pixel (0, 0) has its centre at (0.5, 0.5);
            without it a RoI has a size of at least 1.

    Returns:
        [K, C, *output_size], dtype of x.

    Raises:
        trtreg.errors.TrtregError: arguments that do not fit together, or a library that does not load.
    """
    size = pair("output_size", output_size)
    result: torch.Tensor = _OP(x, rois, *size, spatial_scale, sampling_ratio, mode, int(aligned))
    return result


def multi_level_roi_align(
    rois: torch.Tensor,
    maps: Sequence[torch.Tensor],
    featmap_strides: Sequence[float],
    output_size: IntOrPair = 7,
    pool_mode: int = 0,
    sampling_ratio: int = 2,
    roi_scale_factor: float = -1.0,
    finest_scale: float = 56.0,
    aligned: bool = False,
) -> torch.Tensor:
    """Resample the features of each region of interest, from the level of a pyramid that suits its size.

    The level of a RoI is ``floor(log2(sqrt(width * height) / finest_scale + 1e-6))``, held in the levels there are, as
    in "Feature Pyramid Networks" (Lin et al. 2017, arXiv:1612.03144, equation 1) and MMDetection's SingleRoIExtractor.
    Then it is :func:`roi_align` there. The op has no gradient.

    Args:
        rois: [K, 5]; number of the image, x1, y1, x2, y2; dtype of the maps or float32.
        maps: 1 to 10 feature maps [N, C, H_i, W_i], from the finest; float32, float16 or bfloat16.
        featmap_strides: of each map: units of `rois` in one of its pixels.
        output_size: number of bins; one number, or vertical and horizontal.
        pool_mode: 0 for the largest sample of a bin, 1 for the mean. As in MMDeploy, so 0 is not the mean.
        sampling_ratio: as in :func:`roi_align`.
        roi_scale_factor: above 0, a RoI grows around its centre, after its level was chosen: from w to
            ``(w + 1) * roi_scale_factor - 1``, as MMDeploy does it.
        finest_scale: RoIs smaller than twice this size belong to the first map.
        aligned: as in :func:`roi_align`; with it a RoI has a size of at least 0, without it of at least 1.

    Returns:
        [K, C, *output_size], dtype of the maps.

    Raises:
        trtreg.errors.TrtregError: arguments that do not fit together, or a library that does not load.
    """
    if not 1 <= len(maps) <= _MAX_LEVELS:
        raise ShapeError("multi_level_roi_align: number of maps", found=str(len(maps)), expected="1 to 10")
    result: torch.Tensor = _MULTI_LEVEL_OP(
        *(rois, *maps, *[None] * (_MAX_LEVELS - len(maps))),
        *(*pair("output_size", output_size), pool_mode, sampling_ratio, [float(each) for each in featmap_strides]),
        *(roi_scale_factor, finest_scale, int(aligned)),
    )
    return result
