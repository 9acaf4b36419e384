"""Tensors for an engine: what is wrong with those given, what is allocated. Real tensors, on the CPU."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trtreg import flavour, torch_tensors
from trtreg.engine_interface import Interface, Range, TensorSpec
from trtreg.errors import EngineExecutionError, EngineInterfaceError, InputTensorError

torch = pytest.importorskip("torch")

CPU = torch.device("cpu")
X = TensorSpec(name="x", dtype="float", shape=(-1, 3), shapes=(Range((1, 3), (4, 3)), Range((4, 3), (16, 3))))
W = TensorSpec(name="w", dtype="half", shape=(-1,), shapes=(Range((1,), (2,)), Range((2,), (9,))))
LENGTH = TensorSpec(
    name="length",
    dtype="int64",
    shape=(1,),
    on_host=True,
    shapes=(Range((1,), (1,)),) * 2,
    values=(Range((1,), (8,)), None),
)
Y = TensorSpec(name="y", dtype="float", shape=(-1,))
INTERFACE = Interface(inputs=(X, W, LENGTH), outputs=(Y,), profiles=2)
TYPES = torch_tensors.dtypes(INTERFACE)


def given(n=2, w=1, length=5, **changes):
    lengths = torch.tensor([length]) if isinstance(length, int) else length
    tensors = {"x": torch.zeros(n, 3), "w": torch.zeros(w, dtype=torch.half), "length": lengths, **changes}
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def check(tensors, interface=INTERFACE, **arguments):
    return torch_tensors.check(interface, tensors, TYPES, CPU, **arguments)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("float", torch.float32),
        ("half", torch.float16),
        ("bf16", torch.bfloat16),
        ("fp8", torch.float8_e4m3fn),
        ("int8", torch.int8),
        ("uint8", torch.uint8),
        ("int32", torch.int32),
        ("int64", torch.int64),
        ("bool", torch.bool),
    ],
)
def test_the_types_have_the_size_that_tensorrt_gives_them(name, dtype):
    interface = Interface(inputs=(TensorSpec(name="t", dtype=name, shape=()),), outputs=())
    assert torch_tensors.dtypes(interface) == {"t": dtype}
    trt = flavour.load()
    assert trt.DataType.__members__[name.upper()].itemsize == dtype.itemsize


@pytest.mark.parametrize("name", ["int4", "fp4"])
def test_types_that_pytorch_has_not_are_refused(name):
    with pytest.raises(EngineInterfaceError, match=rf"no tensor for 't'.*found {name} in.*expected one of float, half"):
        torch_tensors.dtypes(Interface(inputs=(), outputs=(TensorSpec(name="t", dtype=name, shape=()),)))


def test_every_type_of_this_tensorrt_has_a_verdict():
    known = {*torch_tensors._DTYPES, "int4", "fp4"}
    assert {name.lower() for name in flavour.load().DataType.__members__} <= known


def test_a_vectorised_format_is_refused():
    spec = TensorSpec(name="image", dtype="half", shape=(1, 3, 8, 8), format="chw4")
    with pytest.raises(EngineInterfaceError, match=r"'image'.*found half in the format chw4.*no format for this"):
        torch_tensors.dtypes(Interface(inputs=(spec,), outputs=()))


@pytest.mark.parametrize(
    ("tensors", "active", "profile"),
    [
        (given(2, 1), 0, 0),
        (given(4, 2), 0, 0),  # both profiles take it: the one in use stays
        (given(4, 2), 1, 1),
        (given(5, 3), 0, 1),
        (given(5, 3, length=100), 0, 1),  # its values are free
        (given(4, 2, length=100), 0, 1),
        (given(1, 1), 1, 0),
    ],
)
def test_the_profile_is_the_one_that_takes_the_inputs(tensors, active, profile):
    assert check(tensors, active=active) == profile


def test_a_profile_that_is_set_is_the_only_one():
    assert check(given(4, 2), profile=1) == 1
    with pytest.raises(InputTensorError, match=r"input 'x' has the wrong shape: found \(2, 3\), expected \(4..16, 3\)"):
        check(given(2, 2), profile=1)


@pytest.mark.parametrize(
    ("tensors", "problem"),
    [
        (given(x=None), "input 'x' is missing"),
        (given(z=torch.zeros(1)), "the engine has no input 'z': expected x, w, length"),
        (given(y=torch.zeros(1)), "the engine has no input 'y'; it is of the other side: expected x, w, length"),
        (given(x=[1.0]), "input 'x' is no tensor: found list; use torch.as_tensor"),
        (
            given(x=torch.zeros(2, 3, dtype=torch.float64)),
            "input 'x' has the wrong type: found torch.float64, expected torch.float32; use .to(torch.float32)",
        ),
        (
            given(x=torch.zeros(2, 3, device="meta")),
            "input 'x' is on the wrong device: found meta, expected cpu; use .to('cpu')",
        ),
        (
            given(length=torch.zeros(1, dtype=torch.int64, device="meta")),
            "input 'length' is on the wrong device: found meta, expected cpu; use .to('cpu')",
        ),
        (given(x=torch.zeros(2, 3).to_sparse()), "input 'x' is not dense: found torch.sparse_coo; use to_dense()"),
        (given(0), "input 'x' has the wrong shape: found (0, 3), expected (1..4, 3) or (4..16, 3)"),
        (given(x=torch.zeros(3)), "input 'x' has the wrong shape: found (3,), expected (1..4, 3) or (4..16, 3)"),
    ],
)
def test_what_is_wrong_is_said(tensors, problem):
    with pytest.raises(InputTensorError) as caught:
        check(tensors)
    assert caught.value.problems == (problem,)
    assert problem in str(caught.value)


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(InputTensorError) as caught:
        check(given(99, length=None, z=1) | {"w": torch.zeros(1)})
    assert len(caught.value.problems) == 4


def test_shapes_that_fit_one_by_one_and_not_together():
    with pytest.raises(InputTensorError, match="no one optimisation profile takes all of them together"):
        check(given(2, 9))


def test_values_of_a_shape_tensor_are_checked():
    one = Interface(
        inputs=tuple(replace(spec, shapes=spec.shapes[:1], values=spec.values[:1]) for spec in INTERFACE.inputs),
        outputs=(),
    )
    assert check(given(length=8), one) == 0
    with pytest.raises(InputTensorError, match=r"input 'length' has the wrong values: found \(9,\), expected \(1..8\)"):
        check(given(length=9), one)


def test_checking_reads_no_values_of_the_gpu(monkeypatch):
    """That would wait for the GPU: with TensorSpec.values only a tensor in the CPU's memory has any."""
    on_gpu = [spec for spec in INTERFACE.inputs if not spec.on_host]
    monkeypatch.setattr(torch.Tensor, "tolist", lambda self: pytest.fail("values were read"))
    tensors = {name: tensor for name, tensor in given().items() if name != "length"}
    assert check(tensors, Interface(inputs=tuple(on_gpu), outputs=(), profiles=2)) == 0


def allocate(shape, out=None, spec=Y):
    return torch_tensors.allocate([spec], {"y": shape}, TYPES, CPU, out)["y"]


def test_outputs_are_new_tensors():
    made = allocate((2, 5))
    assert (made.shape, made.dtype, made.device) == ((2, 5), torch.float32, CPU)
    assert allocate((0, 5)).shape == (0, 5)
    assert allocate(()).shape == ()


def test_an_output_of_unknown_shape_is_left_open():
    assert allocate((2, -1)) is None


def test_an_output_on_the_host_is_allocated_there():
    made = torch_tensors.allocate([replace(Y, on_host=True)], {"y": (2,)}, TYPES, torch.device("meta"))
    assert made["y"].device == CPU


def test_a_given_output_is_used():
    out = torch.empty(2, 5)
    assert allocate((2, 5), {"y": out}) is out


@pytest.mark.parametrize(
    ("shape", "out", "problem"),
    [
        ((2, 5), {"z": torch.empty(2)}, "the engine has no output 'z': expected y"),
        ((2, 5), {"y": torch.empty(5, 2)}, "output 'y' has the wrong shape: found (5, 2), expected (2, 5)"),
        ((2, 5), {"y": torch.empty(5, 2).T}, "output 'y' is not contiguous: found strides (1, 2)"),
        ((2,), {"y": torch.empty(2).half()}, "output 'y' has the wrong type: found torch.float16, expected"),
        ((-1,), {"y": torch.empty(2)}, "output 'y' has a shape that is known only after the run: it cannot be given"),
    ],
)
def test_a_given_output_that_does_not_fit(shape, out, problem):
    with pytest.raises(InputTensorError) as caught:
        allocate(shape, out)
    (said,) = caught.value.problems
    assert said.startswith(problem)


@pytest.fixture
def allocator():
    """A real IOutputAllocator of TensorRT, over the CPU's memory."""
    from trtreg import _torch_cuda

    if flavour.select().flavour is flavour.Flavour.LEAN:
        pytest.skip("tensorrt_lean runs other engines")
    made = _torch_cuda.output_allocator_class(flavour.load())("y", CPU)
    made.begin(None)
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.bfloat16, torch.float8_e4m3fn, torch.int64])
@pytest.mark.parametrize("shape", [(2, 3), (0,), ()])
def test_memory_for_an_output_becomes_a_tensor(allocator, dtype, shape):
    size = 6 * dtype.itemsize  # TensorRT asks for the most that it may need
    address = allocator.reallocate_output_async("y", 0, size, 256, 0)
    assert address
    assert address % 256 == 0
    allocator.notify_shape("y", flavour.load().Dims(shape))
    tensor = allocator.take(dtype, None)
    assert (tensor.shape, tensor.dtype) == (shape, dtype)
    assert tensor.numel() == 0 or tensor.data_ptr() == address


def test_each_run_gets_memory_of_its_own(allocator):
    taken = []
    for _ in range(2):
        allocator.begin(None)
        allocator.reallocate_output("y", 0, 4, 1)
        allocator.notify_shape("y", (1,))
        taken.append(allocator.take(torch.float32, None))
    assert taken[0].data_ptr() != taken[1].data_ptr()


def test_memory_that_cannot_be_had_is_no_exception_within_tensorrt(allocator):
    assert allocator.reallocate_output_async("y", 0, 2**62, 256, 0) == 0
    with pytest.raises(EngineExecutionError, match=r"did not give output 'y': found .*(alloc|memory|overflow)"):
        allocator.take(torch.float32, None)


def test_a_shape_that_tensorrt_never_told(allocator):
    allocator.reallocate_output_async("y", 0, 4, 256, 0)
    with pytest.raises(EngineExecutionError, match="without its memory or shape"):
        allocator.take(torch.float32, None)
