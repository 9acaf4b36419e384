"""The PyTorch op and module on the CPU: the reference against the papers' formula, shapes, refusals."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from dcnv2_cases import EDGES, Case, random_case
from torch._subclasses.fake_tensor import FakeTensorMode
from trtplugin_dcnv2 import ModulatedDeformConv2dPack, modulated_deform_conv2d

from trtreg.errors import ShapeError
from trtreg.testing.deform_conv import assert_close, oracle, to_tensors

FLOATS = ["float32", "float16", "bfloat16"]


def call(case: Case, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    return modulated_deform_conv2d(**inputs, **case.attributes)


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, trtplugin_dcnv2; sys.exit('torch' in sys.modules or 'tensorrt_rtx' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("case", EDGES, ids=range(len(EDGES)))
def test_reference_at_the_edges(case: Case) -> None:
    inputs = case.inputs(np.random.default_rng(1))
    y = call(case, to_tensors(inputs, "float64"))
    np.testing.assert_allclose(y.numpy(), oracle(case, inputs), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("seed", range(100))
def test_reference(seed: int) -> None:
    random = np.random.default_rng(1000 + seed)
    case = random_case(random, largest=8)
    inputs = case.inputs(random)
    y = call(case, to_tensors(inputs, "float64"))
    np.testing.assert_allclose(y.numpy(), oracle(case, inputs), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("seed", range(20))
def test_reference_rounds_once(seed: int, dtype: str) -> None:
    random = np.random.default_rng(2000 + seed)
    case = random_case(random, largest=8)
    tensors = to_tensors(case.inputs(random), dtype)
    exact = {name: each.double() for name, each in tensors.items()}
    y = call(case, tensors)
    assert y.dtype == tensors["x"].dtype
    inputs = {name: each.numpy() for name, each in exact.items()}
    assert_close(case, inputs, y.double().numpy(), call(case, exact).numpy(), dtype)


def test_without_offset_and_mask_it_is_a_convolution() -> None:
    case = Case(batch=2, channels=6, out_channels=4, groups=2, size=(7, 9), stride=(2, 1), padding=(1, 2))
    inputs = to_tensors(case.inputs(np.random.default_rng(0)), "float64")
    inputs |= {"offset": torch.zeros_like(inputs["offset"]), "mask": torch.ones_like(inputs["mask"])}
    expected = torch.nn.functional.conv2d(inputs["x"], inputs["weight"], inputs["bias"], (2, 1), (1, 2), groups=2)
    torch.testing.assert_close(call(case, inputs), expected)


def test_one_number_stands_for_both_directions() -> None:
    case = Case(size=(9, 9), stride=(2, 2), padding=(1, 1), dilation=(2, 2), bias=False)
    inputs = to_tensors(case.inputs(np.random.default_rng(0)), "float32")
    torch.testing.assert_close(modulated_deform_conv2d(*inputs.values(), None, 2, 1, 2), call(case, inputs))


def test_a_nan_offset_gives_nan_there_and_an_infinite_one_samples_outside() -> None:
    case = Case(kernel=(1, 1), size=(2, 3), bias=False)
    inputs = to_tensors(case.inputs(np.random.default_rng(0)), "float32")
    inputs["offset"][:] = 0
    inputs["offset"][0, :, 0, 0] = torch.tensor([torch.inf, -torch.inf])
    inputs["offset"][0, 0, 1, 1] = torch.nan
    y = call(case, inputs)[0, 0]
    assert y[0, 0] == 0
    assert y.isnan().nonzero().tolist() == [[1, 1]]


def test_infinity_outside_the_sample_does_not_matter() -> None:
    case = Case(size=(3, 3), padding=(1, 1), bias=False)
    inputs = to_tensors(case.inputs(np.random.default_rng(0)), "float32")
    inputs["x"][:] = torch.inf
    inputs["offset"][:] = 100
    assert (call(case, inputs) == 0).all()


@pytest.mark.parametrize(
    ("name", "shape", "what"),
    [
        ("x", (2, 5, 6, 7), "channels of 'x'"),
        ("x", (2, 4, 6), "rank of 'x'"),
        ("x", (3, 4, 6, 7), "shape of 'offset'"),
        ("offset", (2, 36, 5, 6), "shape of 'offset'"),
        ("offset", (2, 18, 6, 7), "shape of 'offset'"),
        ("mask", (2, 36, 6, 7), "shape of 'mask'"),
        ("weight", (4, 4, 3, 3), "channels of 'x'"),
        ("weight", (3, 2, 3, 3), "channels of the output"),
        ("weight", (4, 2, 9, 3), "reach of the kernel"),
        ("weight", (4, 2, 0, 3), "size of the kernel"),
        ("bias", (3,), "shape of 'bias'"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(name: str, shape: tuple[int, ...], what: str) -> None:
    case = Case(batch=2, channels=4, out_channels=4, groups=2, deform_groups=2, size=(6, 7), padding=(1, 1))
    inputs = to_tensors(case.inputs(np.random.default_rng(0)), "float32")
    call(case, inputs)
    with pytest.raises(ShapeError, match=what):
        call(case, {**inputs, name: torch.zeros(shape)})


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"stride": (0, 1)}, "'stride' is too small"),
        ({"dilation": (1, 0)}, "'dilation' is too small"),
        ({"padding": (-1, 0)}, "'padding' is too small"),
        ({"groups": 0}, "'groups' is too small"),
        ({"deform_groups": 0}, "'deform_groups' is too small"),
        ({"deform_groups": 3}, "channels of 'x'"),
        ({"stride": (1, 1, 1)}, "'stride' has the wrong length"),
    ],
)
def test_attributes_that_do_not_fit_are_refused(change: dict[str, object], what: str) -> None:
    case = Case(channels=4)
    inputs = to_tensors(case.inputs(np.random.default_rng(0)), "float32")
    with pytest.raises(ShapeError, match=what):
        modulated_deform_conv2d(**inputs, **{**case.attributes, **change})


def test_mixed_types_are_refused() -> None:
    case = Case()
    inputs = to_tensors(case.inputs(np.random.default_rng(0)), "float32")
    with pytest.raises(ShapeError, match="dtype of 'mask'"):
        call(case, {**inputs, "mask": inputs["mask"].half()})


@pytest.mark.parametrize("seed", range(20))
def test_fake_has_shape_and_type_of_the_result(seed: int) -> None:
    random = np.random.default_rng(seed)
    case = random_case(random, largest=8)
    inputs = to_tensors(case.inputs(random), "float16")
    with FakeTensorMode() as mode:
        fake = call(case, {name: mode.from_tensor(each) for name, each in inputs.items()})
    y = call(case, inputs)
    assert (fake.shape, fake.dtype, fake.stride()) == (y.shape, y.dtype, y.stride())


@pytest.mark.parametrize("bias", [False, True])
def test_op_is_registered_properly(bias: bool) -> None:
    case = Case(channels=4, out_channels=2, groups=2, deform_groups=2, size=(5, 6), bias=bias)
    inputs = to_tensors(case.inputs(np.random.default_rng(0)), "float32")
    op = torch.ops.trtplugin_dcnv2.modulated_deform_conv2d.default
    arguments = (*inputs.values(), *([] if bias else [None]), *case.attributes.values())
    torch.library.opcheck(op, arguments, test_utils=("test_schema", "test_faketensor"))


def test_module_starts_as_half_a_convolution() -> None:
    module = ModulatedDeformConv2dPack(6, 4, (3, 2), stride=(1, 2), padding=1, groups=2, deform_groups=3).eval()
    x = torch.randn(2, 6, 7, 8)
    with torch.no_grad():
        expected = torch.nn.functional.conv2d(x, module.weight / 2, module.bias, (1, 2), 1, groups=2)
        torch.testing.assert_close(module(x), expected)


def test_module_has_mmcvs_parameters() -> None:
    module = ModulatedDeformConv2dPack(6, 4, 3, groups=2, deform_groups=2)
    shapes = {name: tuple(each.shape) for name, each in module.state_dict().items()}
    offset = {"conv_offset.weight": (54, 6, 3, 3), "conv_offset.bias": (54,)}
    assert shapes == {"weight": (4, 3, 3, 3), "bias": (4,), **offset}
    assert "bias" not in dict(ModulatedDeformConv2dPack(6, 4, 3, bias=False).named_parameters())


def test_module_uses_offsets_then_sigmoid_of_masks() -> None:
    module = ModulatedDeformConv2dPack(2, 3, 3, padding=1).eval()
    predicted = torch.randn(1, 27, 5, 5, dtype=torch.float64)
    module = module.double()
    module.conv_offset = torch.nn.Identity()
    module.conv_offset.forward = lambda _: predicted
    case = Case(channels=2, out_channels=3, padding=(1, 1))
    x = torch.randn(1, 2, 5, 5, dtype=torch.float64)
    inputs = {"x": x, "offset": predicted[:, :18], "mask": 1 / (1 + (-predicted[:, 18:]).exp())}
    arrays = {name: each.detach().numpy() for name, each in (inputs | dict(module.named_parameters())).items()}
    with torch.no_grad():
        np.testing.assert_allclose(module(x).numpy(), oracle(case, arrays), rtol=1e-12, atol=1e-12)
