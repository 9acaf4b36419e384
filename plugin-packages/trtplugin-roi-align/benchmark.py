"""What benchmarks/operators.py times: a feature map of a detector, and a pyramid, with 1000 boxes each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_IMAGE = (800, 1216)
_BOXES, _CHANNELS, _BINS = 1000, 256, 7
_STRIDES = (4, 8, 16, 32)
_FINEST_SCALE = 56


def cases(torch: Any) -> Iterator[dict[str, Any]]:
    """Give the cases; `torch` is PyTorch, which sees a GPU."""
    from torchvision.ops import roi_align

    def boxes() -> Any:
        """Sides of 16 to 512 pixels, each octave as often."""
        size = torch.exp2(torch.empty(_BOXES, 2, device="cuda").uniform_(4, 9))
        extent = torch.tensor([_IMAGE[1], _IMAGE[0]], device="cuda")
        corner = torch.rand(_BOXES, 2, device="cuda") * (extent - size).clamp(min=0)
        return torch.cat([torch.zeros(_BOXES, 1, device="cuda"), corner, corner + size], dim=1)

    def maps(dtype: Any, strides: tuple[int, ...]) -> list[Any]:
        shapes = [(1, _CHANNELS, _IMAGE[0] // stride, _IMAGE[1] // stride) for stride in strides]
        return [torch.randn(shape, device="cuda").to(dtype) for shape in shapes]

    def outputs(inputs: list[Any]) -> list[Any]:
        dtype = inputs[0].dtype if inputs[0].dim() != 2 else inputs[1].dtype  # noqa: PLR2004 - the rank of the RoIs
        return [torch.empty(_BOXES, _CHANNELS, _BINS, _BINS, dtype=dtype, device="cuda")]

    def moved(dtype: Any, strides: tuple[int, ...]) -> int:
        pixels = sum((_IMAGE[0] // stride) * (_IMAGE[1] // stride) for stride in strides)
        return int(dtype.itemsize * _CHANNELS * (pixels + _BOXES * _BINS**2))

    splits: dict[int, list[Any]] = {}

    def split(rois: Any) -> Any:
        """Keep which boxes are of which level for the peer, which is not timed with that."""
        area = (rois[:, 3] - rois[:, 1]) * (rois[:, 4] - rois[:, 2])
        level = torch.log2(area.sqrt() / _FINEST_SCALE + 1e-6).floor().clamp(0, len(_STRIDES) - 1)
        where = [(level == each).nonzero()[:, 0] for each in range(len(_STRIDES))]
        splits[rois.data_ptr()] = [(each, rois[each]) for each in where]
        return rois

    def by_level(rois: Any, *features: Any) -> Any:
        result = torch.empty(_BOXES, _CHANNELS, _BINS, _BINS, dtype=features[0].dtype, device="cuda")
        for (index, here), x, stride in zip(splits[rois.data_ptr()], features, _STRIDES, strict=True):
            result[index] = roi_align(x, here.to(x.dtype), _BINS, 1 / stride, 2)
        return result

    size = f"1x{_CHANNELS}x200x304, {_BOXES} boxes"
    for dtype in (torch.float32, torch.float16):
        name = str(dtype).removeprefix("torch.")
        yield {
            "op": "RoIAlign",
            "size": size,
            "dtype": name,
            "creator": "MMCVRoiAlign",
            "attributes": {"spatial_scale": 0.25, "sampling_ratio": 2},
            "inputs": lambda dtype=dtype: [*maps(dtype, _STRIDES[:1]), boxes()],
            "outputs": outputs,
            "peer": (
                "torchvision roi_align",
                lambda x, rois: roi_align(x, rois.to(x.dtype), _BINS, 0.25, 2, True),
            ),
            "bytes": moved(dtype, _STRIDES[:1]),
            "flops": 0,
        }
        yield {
            "op": "multi-level RoIAlign",
            "size": size + ", P2 to P5",
            "dtype": name,
            "creator": "MMCVMultiLevelRoiAlign",
            "attributes": {"featmap_strides": [float(each) for each in _STRIDES], "pool_mode": 1},
            "inputs": lambda dtype=dtype: [split(boxes()), *maps(dtype, _STRIDES)],
            "outputs": outputs,
            "peer": ("torchvision roi_align of each level, boxes split before", by_level),
            "bytes": moved(dtype, _STRIDES),
            "flops": 0,
        }
