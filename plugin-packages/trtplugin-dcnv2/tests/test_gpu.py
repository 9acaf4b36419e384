"""The kernel on a GPU: against the CPU reference in float64, against torchvision, and what lies around its output."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dcnv2_cases import EDGES, Case, apart, random_case, together
from torch._subclasses.fake_tensor import FakeTensorMode
from trtplugin_dcnv2 import ModulatedDeformConv2dPack, modulated_deform_conv2d

from trtreg.errors import FaceError
from trtreg.sdk import torch_layout
from trtreg.testing import compare, device, sanitizer
from trtreg.testing.deform_conv import assert_close, to_tensors, tolerance
from trtreg.testing.device import DevicePlugin
from trtreg.testing.sanitizer import Request

pytestmark = device.marks()

DTYPES = compare.FLOATS


@pytest.fixture(scope="module")
def plugin() -> DevicePlugin:
    return DevicePlugin("trtplugin_dcnv2")


def arrays_of(inputs: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: compare.wide(each) for name, each in inputs.items()}


def reference(case: Case, inputs: dict[str, torch.Tensor]) -> np.ndarray:
    exact = {name: each.cpu().double() for name, each in inputs.items()}
    return modulated_deform_conv2d(**exact, **case.attributes).numpy()


def check(case: Case, inputs: dict[str, torch.Tensor], y: torch.Tensor) -> None:
    assert (y.dtype, y.device) == (inputs["x"].dtype, inputs["x"].device)
    dtype = compare.name_of(y.dtype)
    assert_close(case, arrays_of(inputs), compare.wide(y), reference(case, inputs), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", EDGES, ids=range(len(EDGES)))
def test_edges(plugin: DevicePlugin, case: Case, dtype: str) -> None:
    inputs = to_tensors(case.inputs(np.random.default_rng(0)), dtype, "cuda")
    (y,) = plugin.run("MMCVModulatedDeformConv2d", list(inputs.values()), case.of_node)
    check(case, inputs, y)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(80))
def test_against_the_reference(seed: int, dtype: str) -> None:
    random = np.random.default_rng([seed, DTYPES.index(dtype)])
    case = random_case(random, largest=24)
    inputs = to_tensors(case.inputs(random), dtype, "cuda")
    check(case, inputs, modulated_deform_conv2d(**inputs, **case.attributes))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(80))
def test_against_torchvision(seed: int, dtype: str) -> None:
    # In float32 on the same values: torchvision's own float16 computes coordinates in float16, and has no bfloat16.
    ops = pytest.importorskip("torchvision.ops", reason="torchvision is not installed")
    random = np.random.default_rng([100, seed, DTYPES.index(dtype)])
    case = random_case(random, largest=24)
    arrays = case.inputs(random)
    arrays["offset"] = np.nan_to_num(arrays["offset"], nan=0.5, posinf=np.inf, neginf=-np.inf)  # NaN is undefined there
    inputs = to_tensors(arrays, dtype, "cuda")
    y = modulated_deform_conv2d(**inputs, **case.attributes)
    theirs = {name: each.float() for name, each in inputs.items()}
    pairs = {"stride": case.stride, "padding": case.padding, "dilation": case.dilation}
    expected = ops.deform_conv2d(
        *(theirs["x"], theirs["offset"], theirs["weight"], theirs.get("bias")), **pairs, mask=theirs["mask"]
    )
    assert y.shape == expected.shape
    expected = expected.cpu().double().numpy()
    allowed = sum(tolerance(case, arrays_of(inputs), expected, each) for each in (dtype, "float32"))
    assert (np.abs(compare.wide(y) - expected) <= allowed).all(), case


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(20))
def test_every_element_is_written_and_no_other(plugin: DevicePlugin, seed: int, dtype: str) -> None:
    random = np.random.default_rng([200, seed])
    case = random_case(random, largest=16)
    inputs = to_tensors(case.inputs(random), dtype, "cuda")
    (y,) = plugin.run("DCNv2", list(inputs.values()), case.of_node, misalign=seed % 4)
    check(case, inputs, y)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(40))
def test_channels_last(plugin: DevicePlugin, seed: int, dtype: str) -> None:
    random = np.random.default_rng([500, seed])
    case = EDGES[seed] if seed < len(EDGES) else random_case(random, largest=24)
    inputs = to_tensors(case.inputs(random), dtype, "cuda", channels_last=True)
    (y,) = plugin.run("MMCVModulatedDeformConv2d", list(inputs.values()), case.of_node, misalign=seed % 3)
    check(case, inputs, y)
    found = modulated_deform_conv2d(**inputs, **case.attributes)
    check(case, inputs, found)
    with FakeTensorMode() as mode:
        fake = {name: mode.from_tensor(each) for name, each in inputs.items()}
        assert modulated_deform_conv2d(**fake, **case.attributes).stride() == found.stride()
    if torch_layout.format_of(inputs["x"]) != "linear" and case.out_channels > 1 and found.numel() > found.shape[0]:
        assert found.stride(1) == 1


@pytest.mark.parametrize("seed", range(60))
def test_masks_behind_the_offsets(plugin: DevicePlugin, seed: int) -> None:
    random = np.random.default_rng([300, seed])
    case, dtype = random_case(random, largest=16), DTYPES[seed % 3]
    inputs = to_tensors(together(case.inputs(random)), dtype, "cuda")
    (y,) = plugin.run("DCNv2", list(inputs.values()), case.of_node, misalign=seed % 4)
    arrays = apart(case, arrays_of(inputs))
    exact = {name: torch.from_numpy(arrays[name]) for name in case.shapes}
    expected = modulated_deform_conv2d(**exact, **case.attributes).numpy()
    assert_close(case, arrays, compare.wide(y), expected, dtype)


def test_inputs_that_are_not_contiguous() -> None:
    case = Case(batch=2, channels=4, out_channels=6, size=(8, 9), padding=(1, 1))
    inputs = to_tensors(case.inputs(np.random.default_rng(0)), "float32", "cuda")
    strided = {
        name: each.transpose(2, 3).contiguous().transpose(2, 3) for name, each in inputs.items() if each.dim() == 4
    }
    assert not strided["x"].is_contiguous()
    check(case, inputs, modulated_deform_conv2d(**{**inputs, **strided}, **case.attributes))


def test_it_runs_on_the_current_stream_and_in_a_graph(plugin: DevicePlugin) -> None:
    case = Case(batch=2, channels=20, out_channels=40, size=(12, 13), padding=(1, 1))
    inputs = to_tensors(case.inputs(np.random.default_rng(0)), "float32", "cuda")
    others = to_tensors(case.inputs(np.random.default_rng(1)), "float32", "cuda")
    (y,) = plugin.replay("DCNv2", list(inputs.values()), list(others.values()), case.of_node)
    check(case, others, y)


def test_shapes_that_do_not_fit_are_refused() -> None:
    case = Case()
    inputs = to_tensors(case.inputs(np.random.default_rng(0)), "float32", "cuda")
    with pytest.raises(FaceError, match="dimension 1 of input 2 is 8, expected 9"):
        modulated_deform_conv2d(**{**inputs, "mask": inputs["mask"][:, :8]}, **case.attributes)


def test_module() -> None:
    module = ModulatedDeformConv2dPack(8, 12, 3, padding=1, deform_groups=2).eval()
    torch.nn.init.normal_(module.conv_offset.weight, std=0.1)
    x = torch.randn(2, 8, 14, 15)
    with torch.no_grad(), torch.backends.cudnn.flags(allow_tf32=False):
        expected = module.double()(x.double())
        y = module.float().cuda()(x.cuda())
    # The predicted offsets come from a float32 convolution: a few millionths of a pixel.
    torch.testing.assert_close(y.cpu().double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_more_elements_than_32_bits_count() -> None:
    device.need_memory(40 * 2**30)
    side = 46400  # squared, it is more than 2**31
    x = torch.empty(1, 1, side, side, device="cuda", dtype=torch.float16).uniform_(-1, 1)
    offset = torch.zeros(1, 2, side, side, device="cuda", dtype=torch.float16)
    mask = torch.ones(1, 1, side, side, device="cuda", dtype=torch.float16)
    y = modulated_deform_conv2d(x, offset, mask, torch.full((1, 1, 1, 1), 2.0, device="cuda", dtype=torch.float16))
    assert torch.equal(y, 2 * x)


@sanitizer.each_tool
def test_compute_sanitizer_finds_nothing(tool: str) -> None:
    requests = []
    for seed in range(30):
        random = np.random.default_rng([400, seed])
        case = EDGES[seed] if seed < len(EDGES) else random_case(random, largest=8)
        arrays = case.inputs(random)
        arrays = together(arrays) if seed % 3 == 2 else arrays
        inputs = to_tensors(arrays, DTYPES[seed % 3], channels_last=seed % 2 == 1)
        requests.append(Request(creator="DCNv2", inputs=list(inputs.values()), attributes=case.of_node))
    sanitizer.run(device.library_of("trtplugin_dcnv2"), requests, tool=tool)
