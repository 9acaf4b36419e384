"""The PyTorch ops on the CPU against the oracles and ONNX's reference, and their registration."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from nms_cases import Single, assert_detections, random_batched, random_boxes, random_scores, random_single
from onnx.reference import ReferenceEvaluator
from trtplugin_nms import batched_nms, non_max_suppression

from trtreg.testing import compare, export

FLOATS = [getattr(torch, name) for name in compare.FLOATS]


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, trtplugin_nms; sys.exit('torch' in sys.modules or 'tensorrt_rtx' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("seed", range(20))
def test_reference(seed: int, dtype: torch.dtype) -> None:
    random = np.random.default_rng(seed)
    single = random_single(random, dtype, most=100)
    y = non_max_suppression(*single.inputs, *single.arguments())
    assert y.dtype == torch.int32
    assert y.tolist() == single.expected().tolist()
    batched = random_batched(random, dtype, most=60)
    outputs = batched_nms(*batched.inputs, *batched.arguments(), **batched.options())
    assert [each.dtype for each in outputs] == [torch.int32, dtype, dtype, dtype]
    assert_detections(outputs, batched)


@pytest.mark.parametrize("seed", range(20))
def test_onnx_reference(seed: int) -> None:
    random = np.random.default_rng(seed)
    centered = int(random.integers(2))
    boxes = random_boxes(random, (2, 50), centered=bool(centered))
    scores = random_scores(random, (2, 3, 50))
    values = {"limit": torch.tensor([int(random.choice([1, 5, 50]))]), "iou": torch.tensor([0.5])}
    values["score"] = torch.tensor([float(random.choice([-1.0, 0.25]))])
    model = export.model_of(
        "NonMaxSuppression",
        {"boxes": ("float32", [2, 50, 4]), "scores": ("float32", [2, 3, 50])},
        {"y": ("int64", ["n", 3])},
        domain="",
        constants=values,
        center_point_box=centered,
    )
    (expected,) = ReferenceEvaluator(model).run(None, {"boxes": boxes.numpy(), "scores": scores.numpy()})
    y = non_max_suppression(boxes, scores, int(values["limit"]), 0.5, float(values["score"]), centered)
    assert y[y[:, 0] >= 0].tolist() == expected.tolist()


def test_values_that_are_no_numbers() -> None:
    boxes = torch.tensor([[[0.0, 0, 2, 2]] * 5])
    boxes[0, 1, 2] = torch.nan
    boxes[0, 2] = torch.tensor([0, 0, torch.inf, torch.inf])
    scores = torch.tensor([[[0.9, 0.8, 0.7, torch.nan, 0.5]]])
    rows = non_max_suppression(boxes, scores, iou_threshold=0.5)
    # The fourth has no score; the fifth is suppressed by the first, but the ones in between by none.
    assert rows.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 2], [-1] * 3, [-1] * 3]
    assert Single(boxes, scores, {"iou_threshold": 0.5}).expected().tolist() == rows.tolist()


def test_ops_are_registered_properly() -> None:
    random = np.random.default_rng(0)
    ops = torch.ops.trtplugin_nms
    tests = ("test_schema", "test_faketensor")
    single, batched = random_single(random, torch.float32, 20), random_batched(random, torch.float32, 20)
    torch.library.opcheck(ops.non_max_suppression.default, (*single.inputs, *single.arguments()), test_utils=tests)
    numbers = [int(value) for value in batched.options().values()]
    torch.library.opcheck(ops.batched_nms.default, (*batched.inputs, *batched.arguments(), *numbers), test_utils=tests)
