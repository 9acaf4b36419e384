"""The configurations of `trtreg.testing.deform_conv` with masks and a bias; the inputs as tensorRT_Pro has them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from trtreg.testing import deform_conv

if TYPE_CHECKING:
    from trtreg.testing.deform_conv import Array


@dataclass(frozen=True, kw_only=True, slots=True)
class Case(deform_conv.Case):
    """A configuration that has both unless it says otherwise."""

    mask: bool = True
    bias: bool = True


EDGES = [replace(case, mask=True, bias=True) for case in deform_conv.EDGES]
random_case = partial(deform_conv.random_case, modulated=True)


def together(inputs: dict[str, Array]) -> dict[str, Array]:
    """Give the inputs as tensorRT_Pro has them: logits in place of the masks, behind the offsets in one tensor."""
    both = np.concatenate([inputs["offset"], np.log(inputs["mask"] / (1 - inputs["mask"]))], axis=1)
    return {"x": inputs["x"], "offset": both, **{name: inputs[name] for name in ("weight", "bias") if name in inputs}}


def apart(case: deform_conv.Case, inputs: dict[str, Array]) -> dict[str, Array]:
    """Undo :func:`together`, with the values that `inputs` were rounded to."""
    offset, logits = inputs["offset"][:, : 2 * case.points], inputs["offset"][:, 2 * case.points :]
    return {**inputs, "offset": offset, "mask": 1 / (1 + np.exp(-logits))}
