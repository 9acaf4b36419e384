"""TRTWrapper: what it says without a GPU, and on one, engines made of plugins only, against PyTorch.

The engines are built here, or taken from the folder that TRTREG_TEST_ENGINES names, as `python
tests/plugin_only_models.py FOLDER` fills it. Where TensorRT does not run on the GPU, the tests skip with its reason.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trtreg import Engine, TRTWrapper, flavour, load_trt_engine, loader
from trtreg.errors import (
    EngineBuildError,
    EngineExecutionError,
    InputTensorError,
    MissingExtraError,
    SettingError,
    TensorRTUnusableError,
)
from trtreg.manifest import CreatorKey

torch = pytest.importorskip("torch")


def gpu(test):
    """Mark a test that runs engines."""
    return pytest.mark.gpu(pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no NVIDIA GPU")(test))


ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "run_engine.py"

#: How far a result may be from that of float64, relative to its norm.
CLOSE = {torch.float32: 1e-5, torch.float16: 3e-3}
#: What TensorRT says of a GPU that it was not made for.
REFUSALS = ("compute capability", "Myelin", "CUDA error 209", "no kernel image")


# -- without a GPU ----------------------------------------------------------------------------------------------------


def test_without_a_gpu_it_says_so(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(
        TensorRTUnusableError, match=r"found PyTorch .* without one; run it on a machine with an NVIDIA"
    ):
        TRTWrapper(tmp_path / "some.engine")


def test_without_pytorch_it_says_so(run_python):
    code = """
import sys; sys.modules["torch"] = None
from trtreg import *
from trtreg.errors import MissingExtraError
try: TRTWrapper("some.engine")
except MissingExtraError as error: print(error)
"""
    assert run_python(code).stdout == "TRTWrapper needs PyTorch; run: pip install 'trtreg[torch]'\n"
    assert MissingExtraError.exit_code == 5


def test_it_is_a_module_of_pytorch():
    assert issubclass(TRTWrapper, torch.nn.Module)


# -- on a GPU ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plan():
    """Make or take an engine by its name in plugin_only_models.py."""
    pytest.importorskip("trtplugin_hswish")
    pytest.importorskip("trtplugin_dcnv2")
    models = pytest.importorskip("plugin_only_models")
    folder, made = os.environ.get("TRTREG_TEST_ENGINES"), {}

    def plan(name):
        if name not in made:
            file = Path(folder or "", f"{name}.engine")
            made[name] = file.read_bytes() if folder and file.exists() else models.MODELS[name]()
        return made[name]

    return plan


@pytest.fixture
def wrap(plan):
    """Wrap an engine, by name or as it is, and leave out a GPU that TensorRT does not take."""

    def wrap(engine, *arguments, **keywords):
        try:
            return TRTWrapper(plan(engine) if isinstance(engine, str) else engine, *arguments, **keywords)
        except (EngineBuildError, EngineExecutionError) as error:
            if any(refusal in str(error) for refusal in REFUSALS):
                pytest.skip(f"TensorRT does not run engines on this GPU: {error}")
            raise

    return wrap


def hswish(x):
    wide = x.double()
    return wide * (0.5 * wide + 0.25).clamp(0, 1)


def image(batch, height, width=None, dtype=torch.float32):
    return torch.randn(batch, 8, height, width or height, device="cuda").to(dtype)


def assert_close(found, expected):
    """Compare after all that was put on any stream."""
    torch.cuda.synchronize()
    assert found.shape == expected.shape
    error = (found.double() - expected.to(found.device)).norm() / expected.norm().clamp_min(1e-9)
    assert error.item() < CLOSE[found.dtype]


def dcn_inputs(batch, height, width, dtype=torch.float32):
    import plugin_only_models as models

    shapes = models.dcn_shapes(batch, height, width)
    tensors = {name: torch.randn(shape, device="cuda") for name, shape in shapes.items()}
    tensors |= {"weight": torch.randn(12, 4, 3, 3, device="cuda") / 6, "bias": torch.randn(12, device="cuda")}
    return {name: tensor.to(dtype) for name, tensor in tensors.items()}


def dcn_outputs(tensors):
    """PyTorch's own computation, in float64 on the CPU."""
    from trtplugin_dcnv2 import modulated_deform_conv2d

    x, offset, mask, weight, bias = (tensor.double().cpu() for tensor in tensors.values())
    settings = {"stride": (2, 1), "padding": 1, "groups": 2, "deform_groups": 2}
    t = modulated_deform_conv2d(x, offset, mask, weight, bias, **settings)
    return {"u": t * (t + 0.25).clamp(0, 1), "v": modulated_deform_conv2d(x, offset, mask, weight, None, **settings)}


def sleep():
    """Keep the current stream busy for about a second."""
    torch.cuda._sleep(2_000_000_000)


def has_run(stream):
    return stream.query()


@gpu
@pytest.mark.parametrize("name", ["hswish", "hswish-half"])
def test_dynamic_shapes(wrap, name):
    module, dtype = wrap(name), torch.float16 if name.endswith("half") else torch.float32
    assert (module.input_names, module.output_names) == (("x",), ("y",))
    for shape in [(2, 9), (1, 4), (5, 33), (2, 9), (3, 5, 31)]:
        x = image(*shape, dtype=dtype)
        y = module({"x": x})["y"]
        assert (y.dtype, y.device, y.is_contiguous()) == (dtype, x.device, True)
        assert_close(y, hswish(x))


@gpu
@pytest.mark.parametrize("name", ["dcn", "dcn-half"])
def test_several_inputs_and_outputs(wrap, name):
    module, dtype = wrap(name), torch.float16 if name.endswith("half") else torch.float32
    for size in [(2, 9, 9), (1, 4, 4), (3, 33, 33), (3, 30, 5)]:
        inputs = dcn_inputs(*size, dtype=dtype)
        outputs, expected = module(inputs), dcn_outputs(inputs)
        assert outputs.keys() == {"u", "v"}
        for output in "uv":
            assert_close(outputs[output], expected[output])


@gpu
def test_only_the_outputs_that_are_named(wrap):
    inputs = dcn_inputs(2, 9, 9)
    assert list(wrap("dcn", ["v"])(inputs)) == ["v"]
    assert list(wrap("dcn", ["v", "u"])(inputs)) == ["v", "u"]
    for wrong in (["w"], "u"):
        with pytest.raises(
            SettingError, match=r"output_names is no list of outputs: found .*expected some of \['u', 'v'"
        ):
            wrap("dcn", wrong)


@gpu
def test_an_empty_batch(wrap):
    module = wrap("hswish")
    assert module({"x": image(0, 9)})["y"].shape == (0, 8, 9, 9)
    x = image(2, 9)
    assert_close(module({"x": x})["y"], hswish(x))


@gpu
def test_inputs_of_any_strides(wrap):
    module = wrap("hswish")
    for x in (image(2, 9).transpose(2, 3), image(2, 9).to(memory_format=torch.channels_last), image(4, 9)[::2]):
        assert not x.is_contiguous()
        assert_close(module({"x": x})["y"], hswish(x))
    x = image(2, 9).requires_grad_()
    assert not module({"x": x})["y"].requires_grad


@gpu
def test_outputs_into_given_memory(wrap):
    module, x = wrap("hswish"), image(2, 9)
    out = torch.empty_like(x)
    for _again in range(2):
        x.normal_()
        assert module({"x": x}, out={"y": out})["y"] is out
        assert_close(out, hswish(x))
    with pytest.raises(InputTensorError, match=r"output 'y' has the wrong shape: found \(1, 8, 9, 9\), expected \(2"):
        module({"x": x}, out={"y": torch.empty_like(x[:1])})


@gpu
def test_each_call_gives_new_memory(wrap):
    module, x = wrap("hswish"), image(2, 9)
    first, second = module({"x": x})["y"], module({"x": 2 * x})["y"]
    assert first.data_ptr() != second.data_ptr()
    assert_close(first, hswish(x))


@gpu
def test_what_does_not_fit_is_refused_before_the_call(wrap):
    module = wrap("hswish")
    for inputs, problem in (
        ({}, "input 'x' is missing"),
        ({"x": image(2, 9), "z": image(2, 9)}, "no input 'z'"),
        ({"x": image(2, 9).double()}, "found torch.float64, expected torch.float32"),
        ({"x": image(2, 9).cpu()}, "found cpu, expected cuda:"),
        ({"x": image(9, 9)}, r"found \(9, 8, 9, 9\), expected \(0..5, 8, 4..33, 4..33\)"),
    ):
        with pytest.raises(InputTensorError, match=problem):
            module(inputs)
    x = image(2, 9)
    assert_close(module({"x": x})["y"], hswish(x))


@gpu
def test_what_only_the_plugin_knows_to_be_wrong_has_its_words(wrap):
    module = wrap("dcn")
    inputs = dcn_inputs(2, 9, 9)
    with pytest.raises(EngineExecutionError) as caught:
        module(inputs | {"x": image(2, 20)})
    assert "no reason given" not in str(caught.value)
    assert_close(module(inputs)["u"], dcn_outputs(inputs)["u"])


@gpu
@pytest.mark.parametrize("stream", ["default", "own"])
def test_the_host_does_not_wait(wrap, stream):
    module, x = wrap("hswish"), image(2, 9)
    for _loading_of_kernels in range(2):  # for which CUDA itself may wait
        x.fill_(3)
        _ = module({"x": x})["y"] + 0
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.default_stream() if stream == "default" else torch.cuda.Stream()):
        sleep()
        x.fill_(3)  # the engine has to come after it
        y = module({"x": x})["y"] + 0
        assert not has_run(torch.cuda.current_stream())
    assert_close(y, hswish(torch.full_like(x, 3)))


@gpu
def test_two_contexts_on_two_streams_do_not_wait_for_each_other(wrap):
    one = wrap("hswish")
    two = one.new_context()
    assert two.engine is one.engine
    streams, images = [torch.cuda.Stream(), torch.cuda.Stream()], [image(2, 9), image(5, 33)]
    for module, x in zip((one, two), images, strict=True):
        module({"x": x})
    torch.cuda.synchronize()
    with torch.cuda.stream(streams[0]):
        sleep()
        first = one({"x": images[0]})["y"]
    with torch.cuda.stream(streams[1]):
        second = two({"x": images[1]})["y"]
    streams[1].synchronize()
    assert not has_run(streams[0])
    assert_close(first, hswish(images[0]))
    assert_close(second, hswish(images[1]))


@gpu
def test_one_context_on_two_streams_runs_in_turn(wrap):
    module, streams, images = wrap("hswish"), [torch.cuda.Stream(), torch.cuda.Stream()], [image(2, 9), image(5, 33)]
    for x in images:
        module({"x": x})
    torch.cuda.synchronize()
    outputs = []
    for index, (stream, x) in enumerate(zip(streams, images, strict=True)):
        with torch.cuda.stream(stream):
            sleep() if index == 0 else None
            outputs.append(module({"x": x})["y"])
    assert not has_run(streams[0])
    streams[1].synchronize()
    assert has_run(streams[0])
    for x, y in zip(images, outputs, strict=True):
        assert_close(y, hswish(x))


@gpu
@pytest.mark.parametrize("contexts", ["one", "each its own"])
def test_threads(wrap, contexts):
    module = wrap("dcn")

    def work(seed):
        mine = module if contexts == "one" else module.new_context()
        with torch.cuda.stream(torch.cuda.Stream()):
            done = []
            for turn in range(5):
                inputs = dcn_inputs(1 + (seed + turn) % 3, 4 + seed, 5 + turn)
                done.append((inputs, mine(inputs)))
            torch.cuda.current_stream().synchronize()
        return done

    with ThreadPoolExecutor(8) as pool:
        results = [result for done in pool.map(work, range(8)) for result in done]
    for inputs, outputs in results:
        assert_close(outputs["u"], dcn_outputs(inputs)["u"])


@gpu
def test_the_profile_follows_the_shapes(wrap):
    module = wrap("profiles")
    assert module.interface.profiles == 2
    for shape in [(1, 4), (3, 20), (1, 8), (1, 8), (2, 32)]:
        x = image(*shape)
        assert_close(module({"x": x})["y"], hswish(x))
    with pytest.raises(InputTensorError, match=r"expected \(1, 8, 4..8, 4..8\) or \(2..4, 8, 16..32, 16..32\)"):
        module({"x": image(1, 12)})
    second = wrap("profiles", profile=1)
    x = image(2, 16)
    assert_close(second({"x": x})["y"], hswish(x))
    with pytest.raises(InputTensorError, match=r"expected \(2..4, 8, 16..32, 16..32\)"):
        second({"x": image(1, 4)})
    with pytest.raises(SettingError, match="no such profile: found 2, expected 0 to 1"):
        wrap("profiles", profile=2)


@gpu
@pytest.mark.parametrize("name", ["hswish", "dcn"])
def test_a_cuda_graph_gives_what_the_call_gives(wrap, name):
    module = wrap(name)

    def inputs(batch):
        return {"x": image(batch, 9)} if name == "hswish" else dcn_inputs(batch, 9, 9)

    def expected(tensors):
        return {"y": hswish(tensors["x"])} if name == "hswish" else dcn_outputs(tensors)

    given = inputs(2)
    graph = module.capture(given)
    assert graph.outputs.keys() == set(module.output_names)
    for turn in range(3):
        given = inputs(2)
        outputs = graph(given)
        assert all(outputs[output] is graph.outputs[output] for output in outputs)
        for output, tensor in expected(given).items():
            assert_close(outputs[output], tensor)
        # The wrapper's own context goes on with other shapes, and the graph holds none of its memory.
        other = inputs(1 + turn)
        for output, tensor in expected(other).items():
            assert_close(module(other)[output], tensor)
    for tensor in graph.inputs.values():
        tensor.mul_(0.5)
    outputs = graph.replay()
    for output, tensor in expected(graph.inputs).items():
        assert_close(outputs[output], tensor)
    with pytest.raises(InputTensorError, match=r"input 'x' has another shape than the captured one: found \(3, 8"):
        graph(inputs(3))


@gpu
def test_a_graph_runs_without_the_host(wrap):
    graph, x = wrap("hswish").capture({"x": image(2, 9)}), image(2, 9)
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        sleep()
        y = graph({"x": x})["y"].clone()
        assert not has_run(torch.cuda.current_stream())
    assert_close(y, hswish(x))


@gpu
def test_a_capture_of_ones_own(wrap):
    """`forward` within torch.cuda.graph, with what comes before and after it."""
    module, x = wrap("hswish"), image(2, 9)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        module({"x": x * 2})
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        y = module({"x": x * 2})["y"] + 1
    for _again in range(2):
        x.normal_()
        graph.replay()
        assert_close(y, hswish(x * 2) + 1)


def as_engine(content):
    nothing = dict.fromkeys(("creators", "plugins", "layers", "inputs", "outputs"), ())
    return Engine(plan=content, flavour="rtx", tensorrt_version="", **nothing)


@gpu
@pytest.mark.parametrize("kind", ["path", "string", "bytes", "engine of trtreg", "ICudaEngine"])
def test_what_may_be_wrapped(wrap, plan, tmp_path, kind):
    path = tmp_path / "hswish.engine"
    path.write_bytes(plan("hswish"))
    wrap("hswish")  # skips where TensorRT does not run
    content = path.read_bytes()
    engine = {
        "path": lambda: path,
        "string": lambda: str(path),
        "bytes": lambda: bytearray(content),
        "engine of trtreg": lambda: as_engine(content),
        "ICudaEngine": lambda: load_trt_engine(path),
    }[kind]()
    x = image(2, 9)
    module = TRTWrapper(str(engine) if kind == "string" else engine)
    assert_close(module({"x": x})["y"], hswish(x))
    assert "inputs: x float (-1, 8, -1, -1)" in repr(module)


@gpu
def test_a_thing_that_is_no_engine():
    with pytest.raises(EngineBuildError, match="this is no engine: found int, expected a path"):
        TRTWrapper(3)
    with pytest.raises(SettingError, match="runs on a GPU only: found cpu"):
        TRTWrapper("some.engine", device="cpu")


@gpu
def test_a_path_brings_its_plugins(wrap, plan, tmp_path, run_python):
    """In a process that has loaded none."""
    wrap("hswish")
    (tmp_path / "e").write_bytes(plan("hswish"))
    code = """
import sys, torch, trtreg
assert not trtreg.is_tensorrt_plugin_loaded()
module = torch.nn.Sequential(trtreg.TRTWrapper(sys.argv[1]))
y = module({"x": torch.ones(1, 8, 4, 4, device="cuda")})["y"]
print(trtreg.is_tensorrt_plugin_loaded("HSwish"), y.mean().item())
"""
    done = run_python(code, str(tmp_path / "e"))
    assert done.stdout == "True 0.75\n", done.stderr


@gpu
def test_the_example_runs(wrap, plan, tmp_path):
    wrap("dcn")
    (tmp_path / "dcn.engine").write_bytes(plan("dcn"))
    for more in ([], ["--graph"]):
        command = [sys.executable, EXAMPLE, tmp_path / "dcn.engine", *more]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environ, timeout=120)
        assert done.returncode == 0, done.stderr
        assert "u  float32 (3, 12, 17, 33)" in done.stdout
        assert " us each" in done.stdout


@pytest.fixture
def cutting(compile_library, install, wrap):
    """Wrap one of the models whose plugin is tests/native/runtime_shapes.cpp."""
    from trtreg import onnx2trt
    from trtreg.sdk import toolchain

    models = pytest.importorskip("plugin_only_models")
    libraries = (str(toolchain.find().nvcc.cudart), "-Wl,-z,defs", "-ldl", "-lrt", "-lpthread")
    library = compile_library("runtime_shapes.cpp", *libraries)
    plugin = install(library, [CreatorKey("TrtregTestCut", "1"), CreatorKey("TrtregTestHead", "1")])

    def cutting(name):
        model, shapes = models.MODELS_TO_COMPILE[name]()
        return wrap(onnx2trt(model, shapes, plugins=[plugin]))

    yield cutting
    loader.unload(plugin)


@pytest.mark.parametrize("name", ["cut", "head"])
def test_the_engines_with_special_shapes_can_be_built(compile_library, install, name):
    if flavour.select().flavour is flavour.Flavour.LEAN:
        pytest.skip("tensorrt_lean builds no engines")
    pytest.importorskip("onnx")
    import plugin_only_models as models

    from trtreg import onnx2trt
    from trtreg.sdk import toolchain

    libraries = (str(toolchain.find().nvcc.cudart), "-Wl,-z,defs", "-ldl", "-lrt", "-lpthread")
    library = compile_library("runtime_shapes.cpp", *libraries)
    plugin = install(library, [CreatorKey("TrtregTestCut", "1"), CreatorKey("TrtregTestHead", "1")])
    model, shapes = models.MODELS_TO_COMPILE[name]()
    assert [layer.type for layer in onnx2trt(model, shapes, plugins=[plugin]).layers] == ["PLUGIN_V3"]
    loader.unload(plugin)


@gpu
def test_a_shape_tensor_lies_in_the_memory_of_the_cpu(cutting):
    module, x = cutting("cut"), torch.randn(20, device="cuda")
    assert [spec.on_host for spec in module.interface.inputs] == [False, True]
    for length in (4, 20, 1):
        y = module({"x": x, "length": torch.tensor([length])})["y"]
        assert_close(y, x[:length].double())
    with pytest.raises(InputTensorError, match="input 'length' is on the wrong device: found cuda:0, expected cpu"):
        module({"x": x, "length": torch.tensor([4], device="cuda")})


@gpu
def test_a_shape_that_is_known_after_the_run(cutting):
    module, x = cutting("head"), torch.randn(20, device="cuda")
    kept = []
    for count in (4, 20, 0, 1):
        given = {"x": x, "count": torch.tensor(count, device="cuda")}
        kept += [(count, module(given)["y"])]
        with torch.cuda.stream(torch.cuda.Stream()):
            kept += [(count, module(given)["y"])]
    for count, y in kept:
        assert_close(y, x[:count].double())
    with pytest.raises(EngineExecutionError, match="cannot be captured whose output shapes are known only after"):
        module.capture({"x": x, "count": torch.tensor(4, device="cuda")})
