"""The PyTorch op: imports torch, so it is loaded on first use."""

from __future__ import annotations

import torch

from trtreg.errors import ShapeError
from trtreg.sdk.torch_op import TorchOp

__all__ = ["instance_norm"]

_MIN_RANK = 2  # images, channels


def _check(x: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor, epsilon: float) -> None:
    """Refuse on the CPU what the plugin refuses on a GPU."""

    def expect(what: str, found: object, expected: object, *, fits: bool | None = None) -> None:
        if not (found == expected if fits is None else fits):
            raise ShapeError(f"instance_norm: {what}", found=str(found), expected=str(expected))

    expect("'epsilon'", epsilon, "at least 0", fits=epsilon >= 0)
    expect("rank of 'x'", x.dim(), "at least 2", fits=x.dim() >= _MIN_RANK)
    for name, each in (("scale", scale), ("bias", bias)):
        expect(f"shape of '{name}'", list(each.shape), [x.shape[1]])
        expect(f"dtype of '{name}'", each.dtype, "x's or float32", fits=each.dtype in {x.dtype, torch.float32})
    expect("dtype of 'bias'", bias.dtype, scale.dtype)


def _reference(x: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor, epsilon: float) -> torch.Tensor:
    _check(x, scale, bias, epsilon)
    if x.numel() == 0:
        return torch.empty_like(x)
    wide = x.to(torch.promote_types(x.dtype, torch.float32)).flatten(2) if x.dim() > _MIN_RANK else x[..., None].float()
    centred = wide - wide.mean(2, keepdim=True)
    normal = centred / (centred.square().mean(2, keepdim=True) + epsilon).sqrt()
    return (normal * scale.to(wide)[:, None] + bias.to(wide)[:, None]).reshape(x.shape).to(x.dtype)


def _fake(x: torch.Tensor, _scale: torch.Tensor, _bias: torch.Tensor, _epsilon: float) -> torch.Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


_OP = TorchOp(
    package="trtplugin_instance_norm",
    name="instance_norm",
    creator="MMCVInstanceNormalization",
    domain="mmcv",
    inputs=["x", "scale", "bias"],
    attributes={"epsilon": "float"},
    reference=_reference,
    fake=_fake,
)


def instance_norm(x: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor, epsilon: float = 1e-5) -> torch.Tensor:
    """Bring each channel of each image to mean 0 and variance 1, then scale and move it.

    ``y = (x - mean) / sqrt(variance + epsilon) * scale + bias`` of "Instance Normalization" (Ulyanov et al. 2016,
    arXiv:1607.08022), with the mean and the biased variance over all axes behind the second. It is
    :func:`torch.nn.functional.instance_norm`, and the ONNX operator InstanceNormalization. An instance with a NaN or an
    infinity becomes NaN. The op has no gradient.

    It differs from MMCV's plugin: any rank from 2 on, scale and bias of x's type or float32 are both read as what they
    are, and one kernel does all.

    Args:
        x: [N, C, ...]; float32, float16 or bfloat16 (on the CPU float64 too). Computed in float32 at least, and
            rounded to x's dtype once.
        scale: [C]; dtype of x or float32.
        bias: [C]; dtype of `scale`.
        epsilon: at least 0.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        trtreg.errors.TrtregError: arguments that do not fit together, or a library that does not load.
    """
    result: torch.Tensor = _OP(x, scale, bias, epsilon)
    return result
