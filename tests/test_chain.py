"""One model through six packages: grid sampling, instance normalisation, HSwish, corner pooling, deformable
convolution and a cumulative maximum, with dynamic shapes; built anywhere, executed where TensorRT takes the GPU."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("tensorrt_rtx", reason="no TensorRT here that builds engines")

from onnx import TensorProto, helper  # noqa: E402

from trtreg import TRTWrapper, onnx2trt  # noqa: E402
from trtreg.errors import EngineBuildError, EngineExecutionError  # noqa: E402

PACKAGES = ("grid-sample", "instance-norm", "hswish", "corner-pool", "dcnv2", "cummaxmin")
CHANNELS, TAPS, OUT = 8, 9, 12
SIZES = [(1, 4, 5), (2, 9, 7), (3, 33, 31)]  # images, height, width of the grid
TYPES = {torch.float32: (TensorProto.FLOAT, 2e-5), torch.float16: (TensorProto.FLOAT16, 2e-2)}
REFUSALS = ("compute capability", "CUDA error 209")

for package in PACKAGES:
    pytest.importorskip(f"trtplugin_{package.replace('-', '_')}", reason=f"trtplugin-{package} is not installed")


def shapes(images, height, width):
    return {
        "x": (images, CHANNELS, height + 2, width + 3),
        "grid": (images, height, width, 2),
        "offset": (images, 2 * TAPS, height, width),
        "mask": (images, TAPS, height, width),
    }


def model(dtype):
    kind = TYPES[dtype][0]
    dynamic = {
        "x": ["n", CHANNELS, "h", "w"],
        "grid": ["n", "ho", "wo", 2],
        "offset": ["n", 2 * TAPS, "ho", "wo"],
        "mask": ["n", TAPS, "ho", "wo"],
    }
    fixed = {"scale": [CHANNELS], "shift": [CHANNELS], "weight": [OUT, CHANNELS, 3, 3], "bias": [OUT]}
    pairs = {"stride": [1, 1], "padding": [1, 1], "dilation": [1, 1]}
    # All weights are inputs: a constant is a layer of TensorRT's own.
    nodes = [
        ("grid_sampler", ["x", "grid"], ["a"], {"interpolation_mode": 0, "padding_mode": 0, "align_corners": 0}),
        ("MMCVInstanceNormalization", ["a", "scale", "shift"], ["b"], {"epsilon": 1e-5}),
        ("HSwish", ["b"], ["c"], {"alpha": 0.5, "beta": 0.25}),
        ("MMCVCornerPool", ["c"], ["d"], {"mode": 0}),
        ("MMCVModulatedDeformConv2d", ["d", "offset", "mask", "weight", "bias"], ["y"], pairs),
        ("cummax", ["y"], ["highest", "where"], {"dim": 1}),
    ]
    graph = helper.make_graph(
        [helper.make_node(op, given, made, domain="mmcv", **more) for op, given, made, more in nodes],
        "chain",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in (dynamic | fixed).items()],
        [
            helper.make_tensor_value_info("y", kind, ["n", OUT, "ho", "wo"]),
            helper.make_tensor_value_info("highest", kind, ["n", OUT, "ho", "wo"]),
            helper.make_tensor_value_info("where", TensorProto.INT32, ["n", OUT, "ho", "wo"]),
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mmcv", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def build(dtype):
    ranges = {name: [shapes(*size)[name] for size in SIZES] for name in shapes(*SIZES[0])}
    return onnx2trt(model(dtype), ranges)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_every_layer_is_of_a_package(dtype):
    engine = build(dtype)
    assert [layer.type for layer in engine.layers] == ["PLUGIN_V3"] * len(PACKAGES)
    assert {plugin.package for plugin in engine.plugins} == {f"trtplugin-{package}" for package in PACKAGES}


def tensors(dtype, size):
    made = {name: torch.randn(shape) for name, shape in shapes(*size).items()}
    made["grid"] = torch.rand(made["grid"].shape) * 2.2 - 1.1
    made["mask"] = made["mask"].sigmoid()
    made |= {"scale": torch.randn(CHANNELS), "shift": torch.randn(CHANNELS), "bias": torch.randn(OUT)}
    made["weight"] = torch.randn(OUT, CHANNELS, 3, 3) / 8
    return {name: each.to(dtype).cuda() for name, each in made.items()}


def reference(given):
    """The same in PyTorch, in float64 on the CPU."""
    from trtplugin_dcnv2 import modulated_deform_conv2d

    wide = {name: each.double().cpu() for name, each in given.items()}
    a = torch.nn.functional.grid_sample(wide["x"], wide["grid"], align_corners=False)
    b = torch.nn.functional.instance_norm(a, weight=wide["scale"], bias=wide["shift"], eps=1e-5)
    c = b * (0.5 * b + 0.25).clamp(0, 1)
    d = c.flip(2).cummax(2).values.flip(2)
    y = modulated_deform_conv2d(d, wide["offset"], wide["mask"], wide["weight"], wide["bias"], padding=1)
    return y, y.cummax(1).values


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no NVIDIA GPU")
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_it_computes_what_pytorch_does(dtype):
    torch.manual_seed(0)
    try:
        module = TRTWrapper(build(dtype))
    except (EngineBuildError, EngineExecutionError) as error:
        if any(refusal in str(error) for refusal in REFUSALS):
            pytest.skip(f"TensorRT does not run engines on this GPU: {error}")
        raise
    for size in (*SIZES, (2, 30, 6)):
        given = tensors(dtype, size)
        found = module(given)
        torch.cuda.synchronize()
        for name, expected in zip(("y", "highest"), reference(given), strict=True):
            error = (found[name].double().cpu() - expected).norm() / expected.norm()
            assert error.item() < TYPES[dtype][1], (name, size)
        assert torch.equal(found["y"].gather(1, found["where"].long()), found["highest"])
