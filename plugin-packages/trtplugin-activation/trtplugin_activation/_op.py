"""The PyTorch ops: imports torch, so it is loaded on first use."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, TypeAlias

import torch

from trtreg.errors import FaceError
from trtreg.sdk.torch_op import TorchOp

if TYPE_CHECKING:
    from collections.abc import Callable

    Function: TypeAlias = Callable[[torch.Tensor, float, float], torch.Tensor]

__all__ = ["activation", "hsigmoid"]

_MAX: Final = torch.finfo(torch.float32).max
_HARD: Final = (1 / 6, 0.5)


def _softplus(x: torch.Tensor) -> torch.Tensor:
    return x.clamp(min=0) + (-x.abs()).exp().log1p()


def _negative(x: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
    return torch.where(x < 0, below, x)


#: Name -> function of x, alpha and beta; default of alpha, of beta.
_ACTIVATIONS: Final[dict[str, tuple[Function, float, float]]] = {
    "leakyrelu": (lambda x, a, _: _negative(x, a * x), 0.01, 0.0),
    "elu": (lambda x, a, _: _negative(x, a * x.expm1()), 1.0, 0.0),
    "selu": (lambda x, a, b: b * _negative(x, a * x.expm1()), 1.6732632423543772, 1.0507009873554805),
    "softplus": (lambda x, _a, _b: _softplus(x), 0.0, 0.0),
    "softsign": (lambda x, _a, _b: x / (1 + x.abs()), 0.0, 0.0),
    "hardsigmoid": (lambda x, a, b: (a * x + b).clamp(0, 1), 0.2, 0.5),
    "hardtanh": (lambda x, a, b: x.clamp(a, b), -1.0, 1.0),
    "clip": (lambda x, a, b: x.clamp(a, b), -_MAX, _MAX),
    "floor": (lambda x, _a, _b: x.floor(), 0.0, 0.0),
    "ceil": (lambda x, _a, _b: x.ceil(), 0.0, 0.0),
    "thresholdedrelu": (lambda x, a, _: torch.where(x <= a, 0, x), 1.0, 0.0),
    "celu": (lambda x, a, _: _negative(x, a * (x / a).expm1()), 1.0, 0.0),
    "hardswish": (lambda x, a, b: x * (a * x + b).clamp(0, 1), *_HARD),
    "swish": (lambda x, a, _: x * (a * x).sigmoid(), 1.0, 0.0),
    "silu": (lambda x, a, _: x * (a * x).sigmoid(), 1.0, 0.0),
    "mish": (lambda x, _a, _b: x * _softplus(x).tanh(), 0.0, 0.0),
    # PyTorch's own subtracts numbers near 1 from 1.
    "gelu": (lambda x, _a, _b: x / 2 * torch.special.erfc(-x / math.sqrt(2)), 0.0, 0.0),
    "gelutanh": (lambda x, _a, _b: x * (math.sqrt(8 / math.pi) * (x + 0.044715 * x**3)).sigmoid(), 0.0, 0.0),
}


def _plain(name: str) -> str:
    plain = name.lower().translate(str.maketrans("", "", "_- "))
    if plain not in _ACTIVATIONS:
        raise FaceError("unknown activation", found=repr(name), expected=f"one of {', '.join(_ACTIVATIONS)}")
    return plain


def _reference(x: torch.Tensor, name: str, alpha: float, beta: float) -> torch.Tensor:
    if name in {"clip", "hardtanh"} and alpha > beta:
        raise FaceError("the lower bound is above the upper", found=f"{alpha} and {beta}")
    wide = x if x.dtype == torch.float64 else x.float()
    return _ACTIVATIONS[name][0](wide, alpha, beta).to(x.dtype)


def _fake(x: torch.Tensor, *_attributes: object) -> torch.Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


def _hsigmoid_reference(x: torch.Tensor, alpha: float, beta: float) -> torch.Tensor:
    return _reference(x, "hardsigmoid", alpha, beta)


_PACKAGE: Final = "trtplugin_activation"
_ACTIVATION = TorchOp(
    package=_PACKAGE,
    name="activation",
    creator="FancyActivation",
    domain="trtreg",
    inputs=["x"],
    attributes={"activation": "str", "alpha": "float", "beta": "float"},
    reference=_reference,
    fake=_fake,
)
_HSIGMOID = TorchOp(
    package=_PACKAGE,
    name="hsigmoid",
    creator="HSigmoid",
    domain="trtreg",
    inputs=["x"],
    attributes={"alpha": "float", "beta": "float"},
    reference=_hsigmoid_reference,
    fake=_fake,
)


def activation(x: torch.Tensor, name: str, alpha: float | None = None, beta: float | None = None) -> torch.Tensor:
    """Apply an activation that is chosen by name, element by element.

    The functions of onnx-tensorrt's example FancyActivation, which are those of the ONNX operators of these names, and
    those of the family of hard swish. With x in float32, a NaN stays a NaN.

    Args:
        x: any shape; float32, float16 or bfloat16 (on the CPU float64 too). Computed in float32, rounded once.
        name: leaky_relu, elu, selu, softplus, softsign, hard_sigmoid, hard_tanh, clip, floor, ceil, thresholded_relu,
            celu, hard_swish, swish (or silu), mish, gelu or gelu_tanh; large letters and separators do not count.
        alpha: the first parameter, of those that have one; None is the ONNX operator's default.
        beta: the second one.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        trtreg.errors.TrtregError: an unknown name, or a library that does not load or refuses the arguments.
    """
    plain = _plain(name)
    _, *defaults = _ACTIVATIONS[plain]
    numbers = (default if given is None else given for given, default in zip((alpha, beta), defaults, strict=True))
    result: torch.Tensor = _ACTIVATION(x, plain, *numbers)
    return result


def hsigmoid(x: torch.Tensor, alpha: float = _HARD[0], beta: float = _HARD[1]) -> torch.Tensor:
    """Hard sigmoid: ``y = clamp(alpha * x + beta, 0, 1)``, element by element.

    The defaults give the gate of MobileNetV3 (Howard et al. 2019, arXiv:1905.02244), which is
    :func:`torch.nn.functional.hardsigmoid`; ONNX's HardSigmoid has an alpha of 0.2.

    Args:
        x: any shape; float32, float16 or bfloat16 (on the CPU float64 too). Computed in float32, rounded once.
        alpha: slope; finite.
        beta: offset; finite.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        trtreg.errors.TrtregError: the plugin's library does not load, or refuses the arguments.
    """
    result: torch.Tensor = _HSIGMOID(x, alpha, beta)
    return result
