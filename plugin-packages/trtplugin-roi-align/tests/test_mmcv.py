"""The configurations of MMCV 1.7's own test of RoIAlign in TensorRT: its inputs, attributes and tolerance."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from roi_cases import Case, oracle
from trtplugin_roi_align import roi_align

from trtreg.testing import device
from trtreg.testing.device import DevicePlugin
from trtreg.testing.host import HostPlugin

ATTRIBUTES = {"output_height": 2, "output_width": 2, "spatial_scale": 1.0, "sampling_ratio": 2, "mode": "avg"}
INPUTS = [
    ([[[[1.0, 2], [3, 4]]]], [[0.0, 0, 0, 1, 1]]),
    ([[[[1.0, 2], [3, 4]], [[4, 3], [2, 1]]]], [[0.0, 0, 0, 1, 1]]),
    ([[[[1.0, 2, 5, 6], [3, 4, 7, 8], [9, 10, 13, 14], [11, 12, 15, 16]]]], [[0.0, 0, 0, 3, 3]]),
]


def expected(x: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
    case = Case(batch=1, channels=x.shape[1], output=(2, 2), ratio=2)
    return torch.from_numpy(oracle(case, [x, rois])[0]).float()


@pytest.mark.parametrize("index", range(3))
def test_on_host(index: int) -> None:
    x, rois = (torch.tensor(each) for each in INPUTS[index])
    (y,) = HostPlugin(Path(__file__).parents[1]).run("MMCVRoiAlign", [x, rois], ATTRIBUTES)
    torch.testing.assert_close(y, expected(x, rois), rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(roi_align(x, rois, 2, 1.0, 2), expected(x, rois), rtol=1e-5, atol=1e-3)


class TestOnDevice:
    pytestmark = device.marks()

    @pytest.mark.parametrize("index", range(3))
    def test_kernel(self, index: int) -> None:
        x, rois = (torch.tensor(each) for each in INPUTS[index])
        plugin = DevicePlugin("trtplugin_roi_align")
        (y,) = plugin.run("MMCVRoiAlign", [x.cuda(), rois.cuda()], ATTRIBUTES)
        torch.testing.assert_close(y.cpu(), expected(x, rois), rtol=1e-5, atol=1e-3)
