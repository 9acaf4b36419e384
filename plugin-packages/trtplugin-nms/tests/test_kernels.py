"""The kernels against the oracles: on the CPU under sanitizers, and on a GPU."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from nms_cases import Single, assert_detections, random_batched, random_boxes, random_scores, random_single

from trtreg.errors import FaceError
from trtreg.testing import compare, device, sanitizer

if TYPE_CHECKING:
    from trtreg.testing.device import DevicePlugin
    from trtreg.testing.host import HostPlugin

FLOATS = [getattr(torch, name) for name in compare.FLOATS]
Runner = Any  # HostPlugin or DevicePlugin: the same method


def check_single(runner: Runner, case: Single) -> None:
    (rows,) = runner.run("NonMaxSuppression", case.inputs, case.attributes)
    assert rows.tolist() == case.expected().tolist()
    rows, count = runner.run("NonMaxSuppression", case.inputs, case.attributes | {"return_count": 1})
    assert (rows.tolist(), int(count)) == (case.expected().tolist(), len(case.rows()))


def check_onnx(runner: Runner, case: Single, inputs: int) -> None:
    """The same with thresholds in inputs: of ONNX's two optional ones the last may be missing."""
    limit, iou, score, centered, offset = case.arguments()
    if inputs < 5:
        score = -np.inf
    if inputs < 4:
        iou = 0.0
    values = [torch.tensor([limit]), torch.tensor(iou), torch.tensor([score])][: inputs - 2]
    attributes = {"center_point_box": centered, "offset": offset, "score_threshold": 0.9, "return_count": 1}
    rows, count = runner.run("NonMaxSuppression", [*case.inputs, *(each.to(case.boxes.device) for each in values)],
                             attributes)  # fmt: skip
    names = ("max_output_boxes_per_class", "iou_threshold", "score_threshold", "center_point_box", "offset")
    meant = Single(*case.inputs, dict(zip(names, (limit, iou, score, centered, offset), strict=True)))
    expected = meant.rows() if limit > 0 else []  # 0 is no box here
    assert rows.dtype == count.dtype == torch.int64
    assert int(count) == len(expected)
    assert rows[: len(expected)].tolist() == expected
    assert (rows[len(expected) :] == -1).all()


def check_mmdeploy(runner: Runner, random: np.random.Generator, dtype: torch.dtype, where: str) -> None:
    case = random_batched(random, dtype)
    inputs = [each.to(where) for each in case.inputs]
    rows, labels, indices = runner.run("TRTBatchedNMS", inputs, case.attributes | {"return_index": 1})
    expected = case.expected()
    assert compare.wide(rows[..., :4]).tolist() == expected["boxes"].tolist()
    assert compare.wide(rows[..., 4]).tolist() == expected["scores"].tolist()
    assert labels.tolist() == expected["classes"].tolist()
    assert indices.tolist() == expected["indices"].tolist()
    compare.assert_same(runner.run("TRTBatchedNMS", inputs, case.attributes), (rows, labels))


def no_numbers() -> Single:
    random = np.random.default_rng(7)
    boxes, scores = random_boxes(random, (2, 90)), random_scores(random, (2, 2, 90))
    boxes[0, ::7, 1] = torch.nan
    boxes[0, ::11, 2] = torch.inf
    boxes[1, ::5, 0] = -torch.inf
    scores[:, 0, ::6] = torch.nan
    scores[:, 1, ::9] = torch.inf
    scores[:, 1, 1::9] = -torch.inf
    return Single(boxes, scores, {"iou_threshold": 0.25, "score_threshold": -1.0})


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("seed", range(20))
def test_single_on_host(on_host: HostPlugin, seed: int, dtype: torch.dtype) -> None:
    random = np.random.default_rng(seed)
    case = random_single(random, dtype)
    check_single(on_host, case)
    check_onnx(on_host, case, 3 + seed % 3)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("seed", range(20))
def test_batched_on_host(on_host: HostPlugin, seed: int, dtype: torch.dtype) -> None:
    random = np.random.default_rng(seed)
    case = random_batched(random, dtype)
    creator = ("BatchedNMS", "BatchedNMS_TRT", "BatchedNMSDynamic_TRT")[seed % 3]
    assert_detections(on_host.run(creator, case.inputs, case.attributes), case)
    check_mmdeploy(on_host, random, dtype, "cpu")


def test_values_that_are_no_numbers_on_host(on_host: HostPlugin) -> None:
    check_single(on_host, no_numbers())


def test_a_limit_below_zero_on_host(on_host: HostPlugin) -> None:
    case = Single(random_boxes(np.random.default_rng(0), (1, 9)), torch.ones(1, 1, 9))
    inputs = [*case.inputs, torch.tensor(-(2**40))]
    rows, count = on_host.run("NonMaxSuppression", inputs, {"return_count": 1})
    assert (rows.unique().tolist(), int(count)) == ([-1], 0)


@pytest.mark.parametrize("at", [2, 3])
def test_limits_of_another_type_are_refused_on_host(on_host: HostPlugin, at: int) -> None:
    # The signature of two inputs would take more of their type, and the limit was read as int64.
    boxes, scores = torch.zeros(1, 2, 4), torch.ones(1, 1, 2)
    limits = [torch.tensor(1), torch.tensor(0.5)]
    limits[at - 2] = torch.tensor(1, dtype=torch.float32 if at == 2 else torch.float16)
    with pytest.raises(FaceError, match=r"no signature|input 2 is float32, expected int64"):
        on_host.run("NonMaxSuppression", [boxes, scores, *limits])


def test_zeros_of_both_signs_are_equal_on_host(on_host: HostPlugin) -> None:
    scores = torch.tensor([[[0.0, -0.0, 0.0, -0.0]]])
    boxes = torch.tensor([[[i, 0.0, i + 1, 1] for i in range(4)]])
    (rows,) = on_host.run("NonMaxSuppression", [boxes, scores], {"score_threshold": -1.0})
    assert rows[:, 2].tolist() == [0, 1, 2, 3]


def test_addresses_that_are_not_aligned_on_host(on_host: HostPlugin) -> None:
    case = random_single(np.random.default_rng(3), torch.float16)
    (expected,) = on_host.run("NonMaxSuppression", case.inputs, case.attributes)
    for misalign in (1, 3):
        (found,) = on_host.run("NonMaxSuppression", case.inputs, case.attributes, misalign=misalign)
        assert torch.equal(found, expected)


class TestOnDevice:
    pytestmark = device.marks()

    @pytest.mark.parametrize("seed", range(100))
    @pytest.mark.parametrize("dtype", FLOATS)
    def test_single(self, on_device: DevicePlugin, dtype: torch.dtype, seed: int) -> None:
        random = np.random.default_rng(seed)
        case = random_single(random, dtype)
        case = Single(case.boxes.cuda(), case.scores.cuda(), case.attributes)
        check_single(on_device, case)
        check_onnx(on_device, case, 3 + seed % 3)

    @pytest.mark.parametrize("seed", range(100))
    @pytest.mark.parametrize("dtype", FLOATS)
    def test_batched(self, on_device: DevicePlugin, dtype: torch.dtype, seed: int) -> None:
        random = np.random.default_rng(seed)
        case = random_batched(random, dtype)
        creator = ("BatchedNMS", "BatchedNMS_TRT", "BatchedNMSDynamic_TRT")[seed % 3]
        assert_detections(on_device.run(creator, [each.cuda() for each in case.inputs], case.attributes), case)
        check_mmdeploy(on_device, random, dtype, "cuda")

    @pytest.mark.parametrize("boxes", [4096, 4097, 8192, 20000])
    def test_lists_that_are_merged(self, on_device: DevicePlugin, boxes: int) -> None:
        from trtplugin_nms import batched_nms, non_max_suppression

        random = np.random.default_rng(boxes)
        inputs = [random_boxes(random, (1, boxes)), random_scores(random, (1, 2, boxes))]
        attributes = {"iou_threshold": 0.75, "max_output_boxes_per_class": 2000, "score_threshold": 0.25}
        (rows,) = on_device.run("NonMaxSuppression", [each.cuda() for each in inputs], attributes)
        assert torch.equal(rows.cpu(), non_max_suppression(*inputs, 2000, 0.75, 0.25))
        inputs = [inputs[0][:, :, None], inputs[1].transpose(1, 2).contiguous()]
        found = batched_nms(*(each.cuda() for each in inputs), 3000, 0, 0.25, 0.75)
        compare.assert_same(found, batched_nms(*inputs, 3000, 0, 0.25, 0.75))

    def test_values_that_are_no_numbers(self, on_device: DevicePlugin) -> None:
        case = no_numbers()
        check_single(on_device, Single(case.boxes.cuda(), case.scores.cuda(), case.attributes))

    def test_addresses_that_are_not_aligned(self, on_device: DevicePlugin) -> None:
        random = np.random.default_rng(1)
        single, batched = random_single(random, torch.float16), random_batched(random, torch.float16)
        on_device.check_alignments("NonMaxSuppression", [each.cuda() for each in single.inputs], single.attributes)
        on_device.check_alignments("BatchedNMS", [each.cuda() for each in batched.inputs], batched.attributes)

    def test_it_is_captured_in_a_graph(self, on_device: DevicePlugin) -> None:
        random = np.random.default_rng(2)
        boxes, others = (random_boxes(random, (2, 5000)).cuda() for _ in range(2))
        scores = random_scores(random, (2, 3, 5000)).cuda()
        attributes = {"iou_threshold": 0.5, "max_output_boxes_per_class": 100}
        found = on_device.replay("NonMaxSuppression", [boxes, scores], [others, scores.flip(2)], attributes)
        compare.assert_same(found, on_device.run("NonMaxSuppression", [others, scores.flip(2)], attributes))
        boxes, others = boxes[:, :, None], others[:, :, None]
        scores = scores.transpose(1, 2).contiguous()
        attributes = {"iouThreshold": 0.5, "keepTopK": 100}
        found = on_device.replay("BatchedNMS", [boxes, scores], [others, scores.flip(1)], attributes)
        compare.assert_same(found, on_device.run("BatchedNMS", [others, scores.flip(1)], attributes))

    @pytest.mark.skipif(shutil.which("compute-sanitizer") is None, reason="compute-sanitizer is not on PATH")
    @pytest.mark.parametrize("tool", ["memcheck", "racecheck", "synccheck", "initcheck"])
    def test_sanitizer(self, tool: str) -> None:
        random = np.random.default_rng(11)
        single = [random_single(random, dtype) for dtype in FLOATS for _ in range(4)]
        single += [no_numbers(), Single(random_boxes(random, (1, 5000)), random_scores(random, (1, 1, 5000)),
                                        {"max_output_boxes_per_class": 9})]  # fmt: skip
        batched = [random_batched(random, dtype) for dtype in FLOATS for _ in range(4)]
        requests = [
            sanitizer.Request(creator=creator, inputs=case.inputs, attributes=case.attributes)
            for creator, cases in (("NonMaxSuppression", single), ("BatchedNMS", batched))
            for case in cases
        ]
        outputs = sanitizer.run(device.library_of("trtplugin_nms"), requests, tool=tool)
        for case, (rows,) in zip(single, outputs[: len(single)], strict=True):
            assert rows.tolist() == case.expected().tolist()
        for case, found in zip(batched, outputs[len(single) :], strict=True):
            assert_detections(found, case)

    @pytest.mark.slow
    def test_more_scores_than_32_bits_count(self) -> None:
        from trtplugin_nms import non_max_suppression

        device.need_memory(70 * 2**30)
        classes, boxes = 2**21 + 5, 1024
        corners = torch.arange(boxes, device="cuda", dtype=torch.float16).remainder(32)
        corners = torch.stack([corners, corners, corners + 1, corners + 1], 1)[None]
        scores = torch.zeros(1, classes, boxes, device="cuda", dtype=torch.float16)
        # The best of each class is another one, two boxes away from the second best.
        best = torch.arange(classes, device="cuda") % (boxes - 2)
        scores[0, torch.arange(classes), best] = 0.75
        scores[0, torch.arange(classes), best + 2] = 0.5
        rows = non_max_suppression(corners, scores, max_output_boxes_per_class=2, iou_threshold=0.5)
        labels = torch.arange(classes, device="cuda", dtype=torch.int32)
        assert (rows[:, 0] == 0).all()
        assert torch.equal(rows[:, 1], labels.repeat_interleave(2))
        assert torch.equal(rows[:, 2], torch.stack([best, best + 2], 1).flatten().int())
