"""The PyTorch op: imports torch, so it is loaded on first use."""

from __future__ import annotations

import torch

from trtreg.errors import ShapeError
from trtreg.sdk.torch_op import TorchOp

__all__ = ["ms_deform_attn"]


def _fake(
    value: torch.Tensor,
    _spatial_shapes: torch.Tensor,
    _level_start_index: torch.Tensor,
    sampling_locations: torch.Tensor,
    _attention_weights: torch.Tensor,
) -> torch.Tensor:
    batch, _, heads, channels = value.shape
    return torch.empty((batch, sampling_locations.shape[1], heads, channels), dtype=value.dtype, device=value.device)


def _reference(
    value: torch.Tensor,
    spatial_shapes: torch.Tensor,
    level_start_index: torch.Tensor,
    sampling_locations: torch.Tensor,
    attention_weights: torch.Tensor,
) -> torch.Tensor:
    _check(value, spatial_shapes, level_start_index, sampling_locations, attention_weights)
    batch, pixels, heads, channels = value.shape
    queries, points = sampling_locations.shape[1], sampling_locations.shape[4]
    y = torch.zeros(batch * heads, channels, queries, dtype=torch.float64, device=value.device)
    levels = zip(spatial_shapes.tolist(), level_start_index.tolist(), strict=True)
    for level, ((height, width), start) in enumerate(levels):
        if not (height > 0 and width > 0 and start >= 0 and start + height * width <= pixels):
            continue  # as the plugin: a level that does not lie in value adds nothing
        # Heads become images.
        plane = value[:, start : start + height * width].double().permute(0, 2, 3, 1)
        plane = plane.reshape(batch * heads, channels, height, width)
        grid = sampling_locations[:, :, :, level].double().transpose(1, 2).reshape(batch * heads, queries, points, 2)
        weight = attention_weights[:, :, :, level].double().transpose(1, 2).reshape(batch * heads, 1, queries, points)
        nowhere = grid.isnan()
        # From 8 on all is outside; grid_sample takes no infinity.
        grid = torch.where(nowhere, 0, 2 * grid - 1).clamp(-8, 8)
        sampled = torch.nn.functional.grid_sample(plane, grid, align_corners=False)
        sampled = torch.where(nowhere.any(-1)[:, None], torch.nan, sampled)
        y += (weight * sampled).sum(-1)
    return y.reshape(batch, heads, channels, queries).permute(0, 3, 1, 2).contiguous().to(value.dtype)


def _check(
    value: torch.Tensor,
    spatial_shapes: torch.Tensor,
    level_start_index: torch.Tensor,
    sampling_locations: torch.Tensor,
    attention_weights: torch.Tensor,
) -> None:
    """Refuse on the CPU what the plugin refuses on a GPU."""

    def expect(what: str, found: object, expected: object) -> None:
        if found != expected:
            raise ShapeError(f"ms_deform_attn: {what}", found=str(found), expected=str(expected))

    expect("rank of 'value'", value.dim(), 4)
    expect("rank of 'sampling_locations'", sampling_locations.dim(), 6)
    batch, _, heads, _ = value.shape
    _, queries, _, levels, points, _ = sampling_locations.shape
    shape = [batch, queries, heads, levels, points]
    expect("shape of 'sampling_locations'", list(sampling_locations.shape), [*shape, 2])
    expect("shape of 'attention_weights'", list(attention_weights.shape), shape)
    expect("shape of 'spatial_shapes'", list(spatial_shapes.shape), [levels, 2])
    expect("shape of 'level_start_index'", list(level_start_index.shape), [levels])
    for name, tensor in {"sampling_locations": sampling_locations, "attention_weights": attention_weights}.items():
        expect(f"dtype of '{name}'", tensor.dtype, value.dtype)
    expect("dtype of 'level_start_index'", level_start_index.dtype, spatial_shapes.dtype)


_OP = TorchOp(
    package="trtplugin_ms_deform_attn",
    name="ms_deform_attn",
    creator="MultiscaleDeformableAttnPlugin_TRT",
    domain="trtreg",
    inputs=["value", "spatial_shapes", "level_start_index", "sampling_locations", "attention_weights"],
    attributes={},
    reference=_reference,
    fake=_fake,
)


def ms_deform_attn(
    value: torch.Tensor,
    spatial_shapes: torch.Tensor,
    level_start_index: torch.Tensor,
    sampling_locations: torch.Tensor,
    attention_weights: torch.Tensor,
) -> torch.Tensor:
    r"""Attend to a few points of each level of a feature pyramid.

    "Deformable DETR" (Zhu et al. 2020, arXiv:2010.04159, equation 3) without its projections, with the tensors of
    TensorRT's plugin ``MultiscaleDeformableAttnPlugin_TRT``:

    .. math:: y_{q,m} = \sum_l \sum_p A_{mqlp} \cdot v_{l,m}(\phi_{mqlp})

    A level is 0 outside, and fades to 0 over the one pixel around it. A NaN location gives NaN, an infinite one samples
    outside. A level that does not lie in `value` adds nothing. ``mmcv.ops.MultiScaleDeformableAttnFunction`` is the
    same with heads and channels of the result in one axis. The op has no gradient.

    Args:
        value: [N, S, M, D], M heads of D channels; float32, float16 or bfloat16 (on the CPU float64 too). The levels,
            row by row, one behind the other. Computed in float32 at least, and rounded to value's dtype once.
        spatial_shapes: [L, 2], int32 or int64; height and width of each level.
        level_start_index: [L], dtype of spatial_shapes; where each level begins in S.
        sampling_locations: [N, Lq, M, L, P, 2], dtype of value; x and y of each point, 0 and 1 are the outer edges.
        attention_weights: [N, Lq, M, L, P], dtype of value; used as they are, without a softmax.

    Returns:
        [N, Lq, M, D], dtype of value.

    Raises:
        trtreg.errors.TrtregError: arguments that do not fit together, or a library that does not load.
    """
    result: torch.Tensor = _OP(value, spatial_shapes, level_start_index, sampling_locations, attention_weights)
    return result
