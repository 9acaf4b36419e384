"""The PyTorch op: imports torch, so it is loaded on first use."""

from __future__ import annotations

import torch

from trtreg.sdk.torch_op import TorchOp

__all__ = ["hswish"]


def _reference(x: torch.Tensor, alpha: float, beta: float) -> torch.Tensor:
    wide = x if x.dtype == torch.float64 else x.float()
    return (wide * (alpha * wide + beta).clamp(0, 1)).to(x.dtype)


def _fake(x: torch.Tensor, _alpha: float, _beta: float) -> torch.Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


_OP = TorchOp(
    package="trtplugin_hswish",
    name="hswish",
    creator="HSwish",
    domain="trtreg",
    inputs=["x"],
    attributes={"alpha": "float", "beta": "float"},
    reference=_reference,
    fake=_fake,
)


def hswish(x: torch.Tensor, alpha: float = 1 / 6, beta: float = 0.5) -> torch.Tensor:
    """Hard swish: ``y = x * clamp(alpha * x + beta, 0, 1)``, element by element.

    The defaults give the hard swish of MobileNetV3 (Howard et al. 2019, arXiv:1905.02244), which is
    :func:`torch.nn.functional.hardswish`.

    Args:
        x: any shape; float32, float16 or bfloat16 (on the CPU float64 too). Computed in float32.
        alpha: slope of the gate; finite.
        beta: offset of the gate; finite.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        trtreg.errors.TrtregError: the plugin's library does not load, or refuses the arguments.
    """
    result: torch.Tensor = _OP(x, alpha, beta)
    return result
