"""Both operators: PyTorch ops, ONNX nodes, the plain-C face, and the kernel on the CPU and on a GPU."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from roi_cases import COPIED, EDGES, Case, check, oracle, random_case, random_copied
from torch._subclasses.fake_tensor import FakeTensorMode
from trtplugin_roi_align import multi_level_roi_align, roi_align

from trtreg.errors import FaceError, ShapeError
from trtreg.sdk.face import TensorSpec
from trtreg.testing import compare, device, export, sanitizer
from trtreg.testing.device import DevicePlugin
from trtreg.testing.host import HostPlugin
from trtreg.testing.sanitizer import Request

if TYPE_CHECKING:
    from trtreg.sdk.face import Face

PAIR = TensorSpec(type="float32", shape=(2, 3, 8, 9))
BOXES = TensorSpec(type="float32", shape=(5, 5))


@pytest.fixture(scope="module")
def face() -> Face:
    return device.open_library("trtplugin_roi_align")


@pytest.fixture(scope="module")
def on_host() -> HostPlugin:
    return HostPlugin(Path(__file__).parents[1])


@pytest.fixture(scope="module")
def on_device() -> DevicePlugin:
    return DevicePlugin("trtplugin_roi_align")


def call(case: Case, inputs: list[torch.Tensor]) -> torch.Tensor:
    if case.strides:
        return multi_level_roi_align(
            inputs[0], inputs[1:], case.strides, case.output, int(not case.largest), case.ratio,
            case.scale_factor, case.finest_scale, case.aligned,
        )  # fmt: skip
    mode = "max" if case.largest else "avg"
    return roi_align(*inputs, case.output, case.scale, case.ratio, mode, case.aligned)


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, trtplugin_roi_align; sys.exit('torch' in sys.modules or 'tensorrt_rtx' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------------------------------------------------ the reference
@pytest.mark.parametrize("case", EDGES, ids=range(len(EDGES)))
def test_reference_at_the_edges(case: Case) -> None:
    inputs = case.inputs(np.random.default_rng(0), "float32")
    check(case, inputs, call(case, inputs))


@pytest.mark.parametrize("seed", range(60))
def test_reference(seed: int) -> None:
    random = np.random.default_rng(seed)
    case = random_case(random)
    inputs = case.inputs(random, compare.FLOATS[seed % 3], floats=seed % 2 == 0)
    check(case, inputs, call(case, inputs))


def test_pixels_that_are_no_numbers_stay_where_they_are() -> None:
    x = torch.zeros(1, 1, 6, 6)
    x[0, 0, 4, 4] = torch.inf
    y = roi_align(x, torch.tensor([[0.0, 0, 0, 3, 3]]), 3, sampling_ratio=1)
    assert (y == 0).all()


@pytest.mark.parametrize("seed", range(12))
def test_fake_has_shape_and_type_of_the_result(seed: int) -> None:
    random = np.random.default_rng(seed)
    case = random_case(random)
    inputs = case.inputs(random, "float16")
    with FakeTensorMode() as mode:
        fake = call(case, [mode.from_tensor(each) for each in inputs])
    y = call(case, inputs)
    assert (fake.shape, fake.dtype, fake.stride()) == (y.shape, y.dtype, y.stride())


def test_ops_are_registered_properly() -> None:
    x, rois = Case().inputs(np.random.default_rng(1), "float32")
    tests = ("test_schema", "test_faketensor")
    ops = torch.ops.trtplugin_roi_align
    torch.library.opcheck(ops.roi_align.default, (x, rois, 3, 2, 0.5, 2, "max", 1), test_utils=tests)
    maps = [x, x, *[None] * 8]
    arguments = (rois, *maps, 3, 2, 0, 2, [1.0, 2.0], -1.0, 4.0, 1)
    torch.library.opcheck(ops.multi_level_roi_align.default, arguments, test_utils=tests)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"output": (0, 1)}, "size of the output is too small"),
        ({"ratio": -1}, "'sampling_ratio' is too small"),
        ({"strides": (1.0, 2.0)}, "number of 'featmap_strides'"),
        ({"strides": (1.0,), "sizes": ()}, "number of maps"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], what: str) -> None:
    case = Case(**change)
    with pytest.raises(ShapeError, match=what):
        call(case, case.inputs(np.random.default_rng(0), "float32") if case.sizes else [torch.zeros(1, 5)])


@pytest.mark.parametrize(
    ("shapes", "what"),
    [
        ([(2, 3, 8), (4, 5)], "rank of a feature map"),
        ([(2, 3, 8, 8), (4, 4)], "length of a RoI"),
        ([(2, 3, 8, 8), (4,)], "rank of 'rois'"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shapes: list[tuple[int, ...]], what: str) -> None:
    with pytest.raises(ShapeError, match=what):
        roi_align(*[torch.zeros(shape) for shape in shapes])
    with pytest.raises(ShapeError, match="'mode'"):
        roi_align(torch.zeros(1, 1, 2, 2), torch.zeros(1, 5), mode="mean")
    with pytest.raises(ShapeError, match="'output_size' has the wrong length"):
        roi_align(torch.zeros(1, 1, 2, 2), torch.zeros(1, 5), (1, 2, 3))


# ----------------------------------------------------------------------------------------------------------- the face
def test_spellings(face: Face) -> None:
    creators = {each["name"]: each for each in face.describe()["creators"]}
    fields = {
        name: {field["name"]: field.get("alias_of", field.get("default")) for field in each["fields"]}
        for name, each in creators.items()
    }
    sizes = {
        "output_height": [7],
        "pooled_height": "output_height",
        "aligned_height": "output_height",
        "output_width": [7],
        "pooled_width": "output_width",
        "aligned_width": "output_width",
    }
    assert fields["MMCVRoiAlign"] == sizes | {
        "spatial_scale": [1], "sampling_ratio": [0], "sample_num": "sampling_ratio", "mode": "avg",
        "pool_mode": "mode", "aligned": [1],
    }  # fmt: skip
    assert fields["MMCVMultiLevelRoiAlign"] == sizes | {
        "pool_mode": [0], "sampling_ratio": [2], "sample_num": "sampling_ratio", "featmap_strides": None,
        "roi_scale_factor": [-1], "finest_scale": [56], "aligned": [0],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("creator", "attributes", "inputs", "what"),
    [
        ("MMCVRoiAlign", {"mode": "mean"}, [PAIR, BOXES], "attribute 'mode' is 'mean'"),
        ("MMCVRoiAlign", {}, [BOXES, BOXES], "input 0 has rank 2"),
        ("MMCVRoiAlign", {}, [PAIR, PAIR], "input 1 has rank 4"),
        ("MMCVMultiLevelRoiAlign", {"featmap_strides": [4.0]}, [BOXES, PAIR, PAIR], "expected one for each of the 2"),
        ("MMCVMultiLevelRoiAlign", {}, [BOXES, PAIR], "attribute 'featmap_strides' is missing"),
        ("MMCVMultiLevelRoiAlign", {"featmap_strides": [0.0]}, [BOXES, PAIR], "featmap_strides': found 0"),
        ("MMCVRoiAlign", {"output_height": 0}, [PAIR, BOXES], "output_height': found 0"),
    ],
)
def test_the_plugin_refuses(
    face: Face, creator: str, attributes: dict[str, Any], inputs: list[TensorSpec], what: str
) -> None:
    with pytest.raises(FaceError, match=what):
        face.create(creator, attributes).infer(inputs)


def test_output_shape(face: Face) -> None:
    y = TensorSpec(type="float32", shape=(5, 3, 2, 7))
    assert face.create("MMCVRoiAlign", {"pooled_height": 2}).infer([PAIR, BOXES]) == ((y,), 0)


def test_workspace_is_bounded(face: Face) -> None:
    plugin = face.create("MMCVRoiAlign", {"sampling_ratio": 2})

    def workspace(size: int, boxes: int) -> int:
        shapes = ((1, 256, size, size), (boxes, 5))
        return plugin.infer([TensorSpec(type="float32", shape=shape) for shape in shapes])[1]

    assert workspace(1000, 8) < 2**13  # too few samples to copy for, so only where these lie
    assert 2**13 < workspace(1000, 100) < 2 * 100 * 14 * 14 * 256 * 4 + 2**17  # a copy of more pixels does not pay
    assert 2**27 <= workspace(1000, 10000) < 2**27 + 2**23
    assert workspace(1100, 10000) > workspace(1000, 10000)  # a chunk of all pixels


# ----------------------------------------------------------------------------------------------------------- the nodes
class Model(torch.nn.Module):
    def __init__(self, *, levels: bool) -> None:
        super().__init__()
        self.levels = levels
        self.conv = torch.nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        if not self.levels:
            return roi_align(x, rois, (3, 2), 0.25, 2, "max", False)
        maps = [x, torch.nn.functional.max_pool2d(x, 2)]
        return multi_level_roi_align(rois, maps, [4, 8], 5, 1, 2, 1.5, 28)


LEVELS = {
    "output_height": 5, "output_width": 5, "pool_mode": 1, "sampling_ratio": 2, "featmap_strides": [4.0, 8.0],
    "roi_scale_factor": 1.5, "finest_scale": 28.0, "aligned": 0,
}  # fmt: skip
ONE = {
    "output_height": 3, "output_width": 2, "spatial_scale": 0.25, "sampling_ratio": 2, "mode": "max", "aligned": 0,
}  # fmt: skip


@pytest.mark.parametrize("levels", [False, True])
@pytest.mark.parametrize("exporter", export.EXPORTERS)
def test_export_to_engine(exporter: str, levels: bool, tmp_path: Path) -> None:
    engine = export.check(
        Model(levels=levels),
        {"x": torch.randn(2, 3, 16, 18), "rois": torch.rand(4, 5)},
        tmp_path / "model.onnx",
        exporter,
        op="MMCVMultiLevelRoiAlign" if levels else "MMCVRoiAlign",
        domain="mmdeploy" if levels else "mmcv",
        package="trtplugin-roi-align",
        attributes=LEVELS if levels else ONE,
        dynamic={"x": [0, 2, 3], "rois": [0]},
        profile={"x": [[1, 3, 8, 8], [2, 3, 16, 18], [4, 3, 32, 32]], "rois": [[1, 5], [4, 5], [100, 5]]},
    )
    assert engine.outputs[0].shape == (-1, 4, 5, 5) if levels else (-1, 4, 3, 2)


# ---------------------------------------------------------------------------------------------------------- the kernel
@pytest.mark.parametrize("case", EDGES, ids=range(len(EDGES)))
def test_kernel_at_the_edges_on_host(on_host: HostPlugin, case: Case) -> None:
    inputs = case.inputs(np.random.default_rng(0), "float32")
    check(case, inputs, *on_host.run(case.creator, inputs, case.fields))


@pytest.mark.parametrize("seed", range(60))
def test_kernel_on_host(on_host: HostPlugin, seed: int) -> None:
    random = np.random.default_rng(1000 + seed)
    case = random_case(random, largest=9)
    inputs = case.inputs(random, compare.FLOATS[seed % 3], floats=seed % 2 == 0)
    check(case, inputs, *on_host.run(case.creator, inputs, case.fields, misalign=seed % 4))


@pytest.mark.parametrize("seed", range(12))
def test_kernel_that_copies_on_host(on_host: HostPlugin, seed: int) -> None:
    random = np.random.default_rng(2000 + seed)
    case = random_copied(random)
    inputs = case.inputs(random, compare.FLOATS[seed % 3], floats=seed % 2 == 0)
    check(case, inputs, *on_host.run(case.creator, inputs, case.fields, misalign=seed % 4))


#: Boxes that no detector should give, and what comes of them: a number, or None for no matter what.
WILD = {
    (0.0, -1e30, -1e30, 1e30, 1e30): None,
    (0.0, 0.0, 0.0, 3e38, 3e38): None,
    (0.0, 1e9, 1e9, 2e9, 2e9): 0.0,
    (0.0, -3e38, 0.0, 3e38, 4.0): float("nan"),  # its width is no float
    (0.0, 0.0, float("nan"), 4.0, 4.0): float("nan"),
    (0.0, 0.0, 0.0, float("inf"), 4.0): float("nan"),
    (2.0, 0.0, 0.0, 4.0, 4.0): 0.0,
    (-1.0, 0.0, 0.0, 4.0, 4.0): 0.0,
    (float("nan"), 0.0, 0.0, 4.0, 4.0): 0.0,
    (float("inf"), 0.0, 0.0, 4.0, 4.0): 0.0,
    (1e30, 0.0, 0.0, 4.0, 4.0): 0.0,
    (-1e30, float("nan"), 0.0, 4.0, 4.0): 0.0,
    (0.0, 4.0, 4.0, 1.0, 1.0): None,
}


def check_wild(plugin: HostPlugin | DevicePlugin, where: str, channels: int) -> None:
    x = torch.full((2, channels, 8, 10), 3.0, device=where)
    rois = torch.tensor(list(WILD), device=where)
    for mode in ("avg", "max"):
        for ratio in (0, 2):
            (y,) = plugin.run("MMCVRoiAlign", [x, rois], {"mode": mode, "sampling_ratio": ratio})
            for found, (box, value) in zip(y.cpu(), WILD.items(), strict=True):
                expected = found if value is None else torch.full_like(found, value)
                torch.testing.assert_close(found, expected, equal_nan=True, msg=f"{box} {mode} {ratio}: {found}")
            assert ((y[0] >= 0) & (y[0] <= 3)).all()
    levels = {"featmap_strides": [4.0, 8.0], "sampling_ratio": 0}
    plugin.run("MMCVMultiLevelRoiAlign", [rois, x, x], levels)


#: Few channels, and so many that the map is copied.
SOME_CHANNELS = (9, 300)


@pytest.mark.parametrize("channels", SOME_CHANNELS)
def test_wild_boxes_on_host(on_host: HostPlugin, channels: int) -> None:
    check_wild(on_host, "cpu", channels)


def test_wild_boxes_in_the_reference() -> None:
    x = torch.full((2, 2, 8, 10), 3.0)
    for box, value in WILD.items():
        y = roi_align(x, torch.tensor([box]), 2, mode="max")
        if value is not None and box[1] != -3e38:  # which has a width in float64
            torch.testing.assert_close(y, torch.full_like(y, value), equal_nan=True)


class TestOnDevice:
    pytestmark = device.marks()

    @pytest.mark.parametrize("dtype", compare.FLOATS)
    @pytest.mark.parametrize("seed", range(80))
    def test_kernel(self, on_device: DevicePlugin, seed: int, dtype: str) -> None:
        random = np.random.default_rng([seed, compare.FLOATS.index(dtype)])
        case = random_case(random)
        inputs = case.inputs(random, dtype, floats=seed % 2 == 0)
        on_gpu = [each.cuda() for each in inputs]
        check(case, inputs, *on_device.run(case.creator, on_gpu, case.fields, misalign=seed % 3))
        check(case, inputs, call(case, on_gpu))

    @pytest.mark.parametrize("case", EDGES, ids=range(len(EDGES)))
    def test_edges(self, on_device: DevicePlugin, case: Case) -> None:
        inputs = case.inputs(np.random.default_rng(0), "float16")
        check(case, inputs, *on_device.run(case.creator, [each.cuda() for each in inputs], case.fields))

    @pytest.mark.parametrize("seed", range(30))
    def test_against_torchvision(self, seed: int) -> None:
        ops = pytest.importorskip("torchvision.ops", reason="torchvision is not installed")
        random = np.random.default_rng(seed)
        case = Case(ratio=seed % 4, aligned=seed % 2 == 0, scale=0.5, count=6)
        x, rois = (each.cuda() for each in case.inputs(random, "float32"))
        rois = rois.nan_to_num(0, 9, -9)
        rois[:, 0].clamp_(0, 1)
        expected = ops.roi_align(x, rois, case.output, case.scale, case.ratio, case.aligned)
        for y in (call(case, [x, rois]), call(case, [x.cpu(), rois.cpu()]).cuda()):
            torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("seed", range(24))
    def test_kernel_that_copies(self, on_device: DevicePlugin, seed: int) -> None:
        random = np.random.default_rng(3000 + seed)
        case = random_copied(random)
        inputs = case.inputs(random, compare.FLOATS[seed % 3], floats=seed % 2 == 0)
        on_gpu = [each.cuda() for each in inputs]
        check(case, inputs, *on_device.run(case.creator, on_gpu, case.fields, misalign=seed % 4))

    def test_maps_that_are_copied_in_parts(self, on_device: DevicePlugin) -> None:
        x = torch.randn(3, 144, 384, 400, device="cuda")  # 88 MB for a chunk of 32 channels
        corner, size = torch.rand(2, 2400, 2, device="cuda") * torch.tensor([[[390.0]], [[90.0]]], device="cuda")
        image = torch.randint(3, (2400, 1), device="cuda")
        rois = torch.cat([image, corner, corner + size], dim=1)
        (y,) = on_device.run("MMCVRoiAlign", [x, rois], {"sampling_ratio": 2})
        expected = [roi_align(x, some, 7, sampling_ratio=2) for some in rois.split(100)]
        torch.testing.assert_close(y, torch.cat(expected), rtol=1e-4, atol=1e-3)

    @pytest.mark.parametrize("channels", SOME_CHANNELS)
    def test_wild_boxes(self, on_device: DevicePlugin, channels: int) -> None:
        check_wild(on_device, "cuda", channels)

    @pytest.mark.parametrize("case", [Case(channels=20, count=9), COPIED[0]], ids=range(2))
    def test_alignments(self, on_device: DevicePlugin, case: Case) -> None:
        inputs = [each.cuda() for each in case.inputs(np.random.default_rng(0), "float16")]
        on_device.check_alignments(case.creator, inputs, case.fields)

    @pytest.mark.parametrize("case", [EDGES[3], EDGES[8], *COPIED[:4]], ids=range(6))
    def test_it_is_captured_in_a_graph(self, on_device: DevicePlugin, case: Case) -> None:
        inputs, others = (case.inputs(np.random.default_rng(seed), "float32") for seed in range(2))
        (y,) = on_device.replay(case.creator, inputs, others, case.fields)
        check(case, others, y)

    @pytest.mark.skipif(shutil.which("compute-sanitizer") is None, reason="compute-sanitizer is not on PATH")
    @pytest.mark.parametrize("tool", ["memcheck", "racecheck", "synccheck", "initcheck"])
    def test_compute_sanitizer_finds_nothing(self, tool: str) -> None:
        wild = [torch.full((2, 9, 8, 10), 3.0), torch.tensor(list(WILD))]
        requests = [Request(creator="MMCVRoiAlign", inputs=wild, attributes={"mode": mode}) for mode in ("avg", "max")]
        random = np.random.default_rng(0)
        for case in [*EDGES, *(random_case(random) for _ in range(20))]:
            inputs = case.inputs(random, "float16")
            requests.append(Request(creator=case.creator, inputs=inputs, attributes=case.fields))
        sanitizer.run(device.library_of("trtplugin_roi_align"), requests, tool=tool)

    @pytest.mark.slow
    def test_more_elements_than_32_bits_count(self) -> None:
        # Two images, the second of which begins behind 2^31 elements.
        device.need_memory(3 * 2 * device.LARGE)
        side = 32800
        x = torch.zeros(2, 2, side, side, device="cuda", dtype=torch.float16)
        x[1, 1] = 1
        boxes = [[image, side - 12.0, side - 12.0, side - 2.0, side - 2.0] for image in (0, 1)]
        for ratio in (0, 2):
            y = roi_align(x, torch.tensor(boxes, device="cuda"), sampling_ratio=ratio)
            assert [[y[image, channel].unique().tolist() for channel in range(2)] for image in range(2)] == [
                [[0], [0]],
                [[0], [1]],
            ]

    @pytest.mark.slow
    def test_more_results_than_32_bits_count(self) -> None:
        device.need_memory(3 * 2 * device.LARGE)
        count = 2**31 // (64 * 64) + 3
        x = torch.arange(8, device="cuda", dtype=torch.float16)[None, :, None, None].expand(1, 8, 4, 4).contiguous()
        rois = torch.tensor([[0.0, 0, 0, 3, 3]], device="cuda", dtype=torch.float16).expand(count, 5).contiguous()
        for output, ratio in (((64, 8), 1), ((32, 16), 2)):  # bin by bin, and row by row
            y = roi_align(x, rois, output, sampling_ratio=ratio)
            assert y.numel() > 2**31
            for part in (y[:9], y[-9:]):
                torch.testing.assert_close(part, x[:, :, :1, :1].expand_as(part), rtol=1e-3, atol=0)
            del y


def test_the_oracle_is_right_about_a_plane() -> None:
    # A bin of a linear image is the image's value in the bin's centre.
    case = Case(sizes=((20, 20),), channels=1, batch=1, count=1, output=(2, 2), ratio=2)
    x = torch.arange(20.0).expand(1, 1, 20, 20).contiguous()
    expected, _ = oracle(case, [x, torch.tensor([[0.0, 4, 4, 8, 8]])])
    np.testing.assert_allclose(expected[0, 0], [[4.5, 6.5], [4.5, 6.5]])
