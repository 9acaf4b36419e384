"""What is read of an engine, and the ranges of its profiles.

An ICudaEngine exists only where there is a GPU, so a plain object with the methods of one stands for it here;
`test_the_methods_exist` holds it against the real class, and test_torch_runtime.py reads real engines on a GPU.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from trtreg import engine_interface, flavour
from trtreg.engine_interface import Range, TensorSpec


@pytest.fixture(scope="module")
def trt():
    return flavour.load()


class Engine:
    """Two inputs, of which one is a shape tensor, and an output; two profiles."""

    num_io_tensors = 3
    num_optimization_profiles = 2
    names = ("x", "length", "y")
    shapes = ((-1, 3), (1,), (-1,))
    ends = ([(1, 3), (2, 3), (4, 3)], [(4, 3), (8, 3), (16, 3)])  # of the one that is dynamic

    def __init__(self, trt):
        self.trt = trt

    def get_tensor_name(self, index):
        return self.names[index]

    def get_tensor_mode(self, name):
        return self.trt.TensorIOMode.OUTPUT if name == "y" else self.trt.TensorIOMode.INPUT

    def get_tensor_dtype(self, name):
        return self.trt.DataType.INT64 if name == "length" else self.trt.DataType.HALF

    def get_tensor_shape(self, name):
        return self.trt.Dims(self.shapes[self.names.index(name)])

    def get_tensor_location(self, name):
        return self.trt.TensorLocation.HOST if name == "length" else self.trt.TensorLocation.DEVICE

    def get_tensor_format(self, name):
        return self.trt.TensorFormat.LINEAR

    def get_tensor_profile_shape(self, name, profile):
        return [self.trt.Dims(end) for end in self.ends[profile if name == "x" else 99]]

    def get_tensor_profile_values(self, profile, name):
        return [[1], [4], [64]] if self.index(profile) == 0 else []

    @staticmethod
    def index(profile):
        if not isinstance(profile, int):
            raise TypeError
        return profile


def test_everything_is_read(trt):
    found = engine_interface.read(Engine(trt), trt)
    assert found.profiles == 2
    assert found.inputs == (
        TensorSpec(
            name="x", dtype="half", shape=(-1, 3), shapes=(Range((1, 3), (4, 3)), Range((4, 3), (16, 3))), values=()
        ),
        TensorSpec(
            name="length",
            dtype="int64",
            shape=(1,),
            on_host=True,
            shapes=(Range((1,), (1,)),) * 2,
            values=(Range((1,), (64,)), None),
        ),
    )
    assert found.outputs == (TensorSpec(name="y", dtype="half", shape=(-1,)),)


def test_an_engine_without_profiles_has_the_default_one(trt):
    class Static(Engine):
        num_optimization_profiles = 0
        shapes = ((2, 3), (1,), (2,))

    found = engine_interface.read(Static(trt), trt)
    assert found.profiles == 1
    assert found.inputs[0].shapes == (Range((2, 3), (2, 3)),)


def test_the_arguments_of_the_values_may_stand_in_either_order(trt):
    class Documented(Engine):
        def get_tensor_profile_values(self, name, profile):
            if not isinstance(name, str):
                raise TypeError
            return [[2], [3], [5]]

    _, length = engine_interface.read(Documented(trt), trt).inputs
    assert length.values == (Range((2,), (5,)),) * 2


def test_a_host_tensor_that_is_no_shape_tensor_has_no_values(trt):
    class Refusing(Engine):
        def get_tensor_profile_values(self, profile, name):
            raise RuntimeError("not a shape tensor")

    assert engine_interface.read(Refusing(trt), trt).inputs[1].values == (None, None)


def test_the_methods_exist(trt):
    if flavour.select().flavour is flavour.Flavour.LEAN:
        pytest.skip("tensorrt_lean runs other engines")
    used = {name for name in vars(Engine) if name.startswith("get_")} | {"create_execution_context"}
    assert used <= set(dir(trt.ICudaEngine))
    assert {"num_io_tensors", "num_optimization_profiles"} <= set(dir(trt.ICudaEngine))
    # What torch_execution.py calls, with the arguments that the binding itself tells of.
    calls = {
        "set_input_shape": "name: str, shape: tuple",
        "set_tensor_address": "name: str, memory:",
        "get_tensor_shape": "name: str",
        "set_output_allocator": "name: str, output_allocator:",
        "set_optimization_profile_async": "profile_index: typing.SupportsInt, stream_handle: typing.SupportsInt",
        "infer_shapes": "-> list[str]",
        "execute_async_v3": "stream_handle: typing.SupportsInt",
    }
    for name, arguments in calls.items():
        assert arguments in getattr(trt.IExecutionContext, name).__doc__
    if flavour.select().flavour is flavour.Flavour.RTX:
        assert "stream: typing.SupportsInt" in trt.IExecutionContext.is_stream_capturable.__doc__
        assert "EAGER" in trt.DynamicShapesKernelSpecializationStrategy.__members__
        assert hasattr(trt.IRuntimeConfig, "dynamic_shapes_kernel_specialization_strategy")
        assert "runtime_config:" in trt.ICudaEngine.create_execution_context.__doc__


@pytest.mark.parametrize(
    ("numbers", "held"),
    [((1, 3), True), ((4, 3), True), ((5, 3), False), ((0, 3), False), ((2,), False), ((2, 3, 1), False)],
)
def test_a_range_holds_numbers_within_its_ends(numbers, held):
    assert Range((1, 3), (4, 3)).holds(numbers) is held


def test_a_range_without_numbers_is_that_of_a_scalar():
    assert Range((), ()).holds(())
    assert str(Range((), ())) == "()"
    assert str(Range((1, 3), (4, 3))) == "(1..4, 3)"


def test_a_context_to_capture_compiles_at_once_where_tensorrt_can(trt):
    from trtreg import _torch_cuda

    made, chosen = [], []
    strategy = getattr(trt, "DynamicShapesKernelSpecializationStrategy", None)
    if strategy is None:
        pytest.skip("this TensorRT compiles no kernels when it runs")
    config = SimpleNamespace(
        dynamic_shapes_kernel_specialization_strategy=strategy.LAZY,
        set_execution_context_allocation_strategy=lambda *arguments: chosen.append(arguments),
    )
    engine = SimpleNamespace(
        create_runtime_config=lambda: config,
        create_execution_context=lambda **arguments: made.append(arguments) or "context",
    )
    assert _torch_cuda.create_context(engine, trt, to_capture=True) == ("context", None)
    assert config.dynamic_shapes_kernel_specialization_strategy == strategy.EAGER
    assert _torch_cuda.create_context(engine, trt) == ("context", None)
    assert made == [{"runtime_config": config}, {}]
    assert chosen == [()]


def test_a_context_gets_pytorchs_memory_where_tensorrt_lets_it(trt, monkeypatch):
    """Memory of its own keeps TensorRT-RTX from capturing."""
    import torch

    from trtreg import _torch_cuda

    made, given = [], []
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *size, **options: empty(*size, **{**options, "device": "cpu"}))
    context = SimpleNamespace(set_device_memory=lambda *arguments: given.append(arguments))
    engine = SimpleNamespace(
        device_memory_size_v2=4096, create_execution_context=lambda *arguments: made.append(arguments) or context
    )
    found, memory = _torch_cuda.create_context(engine, trt)
    assert found is context
    assert made == [(trt.ExecutionContextAllocationStrategy.USER_MANAGED,)]
    assert given == [(memory.data_ptr(), 4096)]
    assert (memory.dtype, memory.numel()) == (torch.uint8, 4096)
