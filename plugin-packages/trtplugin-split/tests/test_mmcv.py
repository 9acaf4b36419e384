"""MMCV 1.7 has no test of splitting in TensorRT; these are shapes of models that split."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from trtplugin_split import split

from trtreg.testing import compare
from trtreg.testing.host import HostPlugin


@pytest.mark.parametrize(
    ("shape", "axis", "sizes"),
    [
        ((1, 116, 28, 28), 1, [58, 58]),  # the two halves of ShuffleNet v2's channels
        ((2, 3 * 85, 20, 20), 1, [85, 85, 85]),  # the anchors of a YOLO head
        ((2, 100, 4), 2, [1, 1, 1, 1]),  # the coordinates of boxes
    ],
)
def test_shapes_of_models(shape: tuple[int, ...], axis: int, sizes: list[int]) -> None:
    x = torch.randn(shape)
    found = HostPlugin(Path(__file__).parents[1]).run("Split", [x], {"axis": axis, "split": sizes})
    compare.assert_same(found, [part.contiguous() for part in x.split(sizes, axis)])
    compare.assert_same(split(x, sizes, axis), found)
