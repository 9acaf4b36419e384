"""The order in which an execution context is used.

A real one needs a GPU: test_torch_runtime.py has those. Here a plain object notes what is asked of it and computes
y = 2 x on the CPU's memory, and PyTorch's streams are plain objects too; the tensors are real.
"""

from __future__ import annotations

import ctypes
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest

from trtreg import flavour
from trtreg.errors import EngineExecutionError, InputTensorError

torch = pytest.importorskip("torch")


class Stream:
    """Of CUDA's: a handle, and what is waited for."""

    def __init__(self, world, handle):
        self.world, self.cuda_stream = world, handle

    def wait_stream(self, other):
        self.world.said.append(f"{self.cuda_stream} waits for stream {other.cuda_stream}")

    def wait_event(self, event):
        self.world.said.append(f"{self.cuda_stream} waits for a run on {event.stream.cuda_stream}")

    def synchronize(self):
        self.world.said.append(f"host waits for {self.cuda_stream}")


class Event:
    def record(self, stream):
        self.stream = stream


class Context:
    """Computes y = 2 x for float vectors; with `counted`, TensorRT finds the length of y itself."""

    def __init__(self, world):
        self.world, self.addresses, self.allocator, self.shape = world, {}, None, None

    def set_optimization_profile_async(self, profile, stream):
        self.world.said.append(f"profile {profile} on {stream}")
        return True

    def set_input_shape(self, name, shape):
        self.shape = shape
        return self.world.takes_shapes

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return address != 0

    def set_output_allocator(self, name, allocator):
        self.allocator = allocator
        return True

    def infer_shapes(self):
        if self.world.infers is not None:
            raise RuntimeError(self.world.infers)
        return ["y"]

    def get_tensor_shape(self, name):
        return (-1,) if self.world.counted else self.shape

    def execute_async_v3(self, stream):
        self.world.said.append(f"run on {stream}")
        size = self.shape[0]
        if self.world.counted:
            self.addresses["y"] = self.allocator.reallocate_output_async("y", 0, max(4 * size, 1), 256, stream)
            self.allocator.notify_shape("y", self.shape)
        x = (ctypes.c_float * size).from_address(self.addresses["x"])
        y = (ctypes.c_float * size).from_address(self.addresses["y"])
        for index in range(size):
            y[index] = 2 * x[index]
        flavour.logger().log(flavour.load().ILogger.Severity.ERROR, "so it is") if not self.world.runs else None
        return self.world.runs

    def is_stream_capturable(self, stream):
        return self.world.capturable


@pytest.fixture
def world(monkeypatch):
    """A CUDA of plain objects."""
    trt = flavour.load()
    if flavour.select().flavour is flavour.Flavour.LEAN:
        pytest.skip("tensorrt_lean runs other engines")
    world = SimpleNamespace(
        said=[], counted=False, runs=True, infers=None, takes_shapes=True, capturable=True, capturing=False, trt=trt
    )
    handles = iter(range(1, 100))
    world.current = Stream(world, 0)

    @contextmanager
    def stream(chosen):
        before, world.current = world.current, chosen or world.current
        yield
        world.current = before

    @contextmanager
    def graph(made, *, stream, capture_error_mode):
        before, world.current, world.capturing = world.current, stream, True
        try:
            yield
        finally:
            world.current, world.capturing = before, False

    cuda = {
        "device": lambda _: nullcontext(),
        "Stream": lambda *_: Stream(world, next(handles)),
        "Event": Event,
        "current_stream": lambda *_: world.current,
        "is_current_stream_capturing": lambda: world.capturing,
        "stream": stream,
        "graph": graph,
        "CUDAGraph": lambda: SimpleNamespace(replay=lambda: world.said.append("replay")),
    }
    for name, stand_in in cuda.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda self, stream: world.said.append("memory lent"))
    return world


@pytest.fixture
def execution(world):
    from trtreg.torch_execution import Execution

    trt = world.trt
    engine = SimpleNamespace(
        num_io_tensors=2,
        num_optimization_profiles=2,
        get_tensor_name=lambda index: "xy"[index],
        get_tensor_mode=lambda name: trt.TensorIOMode.INPUT if name == "x" else trt.TensorIOMode.OUTPUT,
        get_tensor_dtype=lambda name: trt.DataType.FLOAT,
        get_tensor_shape=lambda name: (-1,),
        get_tensor_location=lambda name: trt.TensorLocation.DEVICE,
        get_tensor_format=lambda name: trt.TensorFormat.LINEAR,
        get_tensor_profile_shape=lambda name, profile: [((0,), (4,), (8,)), ((8,), (8,), (16,))][profile],
        create_execution_context=lambda: Context(world),
    )
    return Execution(engine, trt, torch.device("cpu"), profile=None)


def x(size=4):
    return {"x": torch.arange(float(size))}


def test_the_default_stream_is_left_for_one_of_its_own(execution, world):
    outputs = execution.run(x())
    assert outputs["y"].tolist() == [0, 2, 4, 6]
    assert world.said == ["1 waits for stream 0", "run on 1", "0 waits for stream 1"]


def test_any_other_stream_is_used_as_it_is(execution, world):
    with torch.cuda.stream(Stream(world, 70)):
        execution.run(x())
        execution.run(x())
    assert world.said == ["run on 70", "run on 70"]


def test_another_stream_comes_after_the_last_run(execution, world):
    one, other = Stream(world, 70), Stream(world, 80)
    for stream in (one, other, other):
        with torch.cuda.stream(stream):
            execution.run(x())
    assert world.said == ["run on 70", "80 waits for a run on 70", "run on 80", "run on 80"]


def test_the_profile_changes_when_it_has_to(execution, world):
    with torch.cuda.stream(Stream(world, 70)):
        for size in (4, 12, 8, 4):
            assert execution.run(x(size))["y"].tolist() == [2 * i for i in range(size)]
    assert world.said == ["run on 70", "profile 1 on 70", "run on 70", "run on 70", "profile 0 on 70", "run on 70"]


def test_an_empty_tensor_has_an_address(execution):
    assert torch.empty(0).data_ptr() == 0
    assert execution.run(x(0))["y"].shape == (0,)


def test_strides_are_straightened(execution):
    assert execution.run({"x": torch.arange(8.0)[::2]})["y"].tolist() == [0, 4, 8, 12]


def test_a_shape_from_tensorrt(execution, world):
    world.counted = True
    first, second = execution.run(x(4))["y"], execution.run(x(3))["y"]
    assert (first.tolist(), second.tolist()) == ([0, 2, 4, 6], [0, 2, 4])
    assert execution.run(x(0))["y"].shape == (0,)
    assert world.said[:4] == ["1 waits for stream 0", "run on 1", "0 waits for stream 1", "memory lent"]
    world.said.clear()
    with torch.cuda.stream(Stream(world, 70)):
        execution.run(x(4))
    assert world.said == ["70 waits for a run on 1", "run on 70"]  # the memory is that stream's own
    with pytest.raises(EngineExecutionError, match=r"only after the run: found such an output: y; call it without"):
        execution.require_capturable(world.current)


def test_what_tensorrt_says_is_told(execution, world):
    world.runs = False
    with pytest.raises(EngineExecutionError, match=r"could not run the engine: found so it is$"):
        execution.run(x())
    world.runs, world.infers = True, "the plugin refused"
    with pytest.raises(EngineExecutionError, match=r"could not be run: found the plugin refused$"):
        execution.run(x())
    world.infers, world.takes_shapes = None, False
    with pytest.raises(EngineExecutionError, match=r"could not take the shape of 'x': found no reason given$"):
        execution.run(x())
    world.takes_shapes = True
    assert execution.run(x(1))["y"].tolist() == [0]


def test_wrong_inputs_reach_no_stream(execution, world):
    with pytest.raises(InputTensorError):
        execution.run({"x": torch.zeros(99)})
    with pytest.raises(InputTensorError):
        execution.run(x(), {"y": torch.zeros(1)})
    assert not [said for said in world.said if "run on" in said and "waits" not in said]


def test_capture_runs_before_and_never_waits_within(execution, world):
    from trtreg.torch_graph import CapturedEngine

    given = x()
    graph = CapturedEngine(execution, given, ["y"])
    runs = [said for said in world.said if said.startswith("run on")]
    assert runs == ["run on 2"] * 3
    assert world.said[-1] == "run on 2"
    assert graph.inputs["x"].data_ptr() != given["x"].data_ptr()
    world.said.clear()
    assert graph({"x": torch.ones(4)}) is graph.outputs
    assert graph.inputs["x"].tolist() == [1, 1, 1, 1]
    assert world.said == ["0 waits for a run on 2", "replay"]
    with pytest.raises(InputTensorError, match=r"another shape than the captured one: found \(3,\), expected \(4,\)"):
        graph(x(3))


def test_a_graph_made_in_inference_mode_is_used_outside_of_it(execution):
    from trtreg.torch_graph import CapturedEngine

    with torch.inference_mode():
        graph = CapturedEngine(execution, x(), ["y"])
    graph({"x": torch.ones(4)})
    assert graph.inputs["x"].tolist() == [1, 1, 1, 1]


def test_what_cannot_be_captured(execution, world):
    from trtreg.torch_graph import CapturedEngine

    world.capturable = False
    with pytest.raises(EngineExecutionError, match="cannot capture this engine; call it without a graph"):
        CapturedEngine(execution, x(), ["y"])


def test_a_capture_that_breaks_names_what_broke_it(execution, world, monkeypatch):
    from trtreg import torch_graph

    @contextmanager
    def graph(made, **arguments):
        try:
            yield
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")

    monkeypatch.setattr(torch.cuda, "graph", graph)
    with pytest.raises(EngineExecutionError, match="could not be captured as a CUDA graph: found operation failed due"):
        torch_graph.CapturedEngine(execution, x(), ["y"])
    world.runs = True
    run = execution.run

    def fail(inputs):
        world.runs = len([said for said in world.said if said.startswith("run on")]) % 3 != 2
        return run(inputs)

    world.said.clear()
    monkeypatch.setattr(execution, "run", fail)
    with pytest.raises(EngineExecutionError, match=r"CUDA graph: found .*could not run the engine: found so it is"):
        torch_graph.CapturedEngine(execution, x(), ["y"])
