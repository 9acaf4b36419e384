"""What a wrapped engine needs of CUDA through PyTorch: its device, its context, turns on it, memory for its outputs."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

from trtreg import _complaints, flavour
from trtreg.errors import EngineExecutionError, SettingError, TensorRTUnusableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Turns", "create_context", "device", "output_allocator_class"]


def device(wanted: Any) -> Any:
    """The torch.device with its index, of what a user gives: None, 1, "cuda:1" or a torch.device."""
    import torch

    if not torch.cuda.is_available():
        raise TensorRTUnusableError(
            "an engine cannot run without an NVIDIA GPU that PyTorch sees",
            found=f"PyTorch {torch.__version__} without one",
            remedy="run it on a machine with an NVIDIA GPU, with a PyTorch for CUDA",
        )
    chosen = torch.device("cuda" if wanted is None else wanted)
    if chosen.type != "cuda":
        raise SettingError("an engine runs on a GPU only", found=str(chosen), expected="as device, cuda or cuda:N")
    return torch.device("cuda", torch.cuda.current_device() if chosen.index is None else chosen.index)


def create_context(engine: Any, trt: Any, *, to_capture: bool = False) -> tuple[Any, Any]:
    """An execution context of an engine of the TensorRT module `trt`, on the current device, and its memory.

    The memory is PyTorch's, and has to live as long as the context; None where TensorRT takes its own. A context with
    memory of TensorRT-RTX's own cannot be captured. `to_capture` makes TensorRT-RTX compile the kernels for new shapes
    in the call itself. Else it runs others meanwhile and a graph could hold those for good.
    """
    import torch

    strategies = getattr(trt, "ExecutionContextAllocationStrategy", None)
    strategy = strategies.USER_MANAGED if strategies and hasattr(engine, "device_memory_size_v2") else None
    with flavour.capture() as said:
        context = _create_context(engine, strategy, to_capture=to_capture)
    if context is None:
        raise EngineExecutionError(
            "TensorRT could not create an execution context",
            found="; ".join(_complaints.errors(said)) or "no reason given",
            remedy="see that this GPU is one that the engine was built for, and has memory left",
        )
    if strategy is None:
        return context, None
    memory = torch.empty(max(engine.device_memory_size_v2, 1), dtype=torch.uint8, device="cuda")
    context.set_device_memory(memory.data_ptr(), memory.numel())
    return context, memory


def _create_context(engine: Any, strategy: Any, *, to_capture: bool) -> Any:
    name = "dynamic_shapes_kernel_specialization_strategy"
    chosen = [] if strategy is None else [strategy]
    if to_capture and hasattr(engine, "create_runtime_config"):
        config = engine.create_runtime_config()
        if hasattr(config, name):
            setattr(config, name, type(getattr(config, name)).EAGER)
            config.set_execution_context_allocation_strategy(*chosen)
            return engine.create_execution_context(runtime_config=config)
    return engine.create_execution_context(*chosen)


class Turns:
    """Uses of one execution context, one after the other whatever threads and streams they are on.

    Threads wait for each other's calls; on the GPU, streams wait for each other, and the host for none. A capture may
    not refer to what lies outside of it, and so makes no stream wait.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._last: tuple[Any, Any] | None = None

    @contextmanager
    def on(self, stream: Any) -> Iterator[None]:
        """Have what is put on the stream in this context come after all that came before."""
        import torch

        with self._lock:
            if torch.cuda.is_current_stream_capturing():
                yield
                return
            if self._last and self._last[0] != stream:
                stream.wait_event(self._last[1])
            try:
                yield
            finally:
                event = self._last[1] if self._last else torch.cuda.Event()
                event.record(stream)
                self._last = (stream, event)


@cache
def output_allocator_class(trt: Any) -> type:
    """The class of allocators for one TensorRT, whose base class it derives from."""

    class OutputAllocator(trt.IOutputAllocator):  # type: ignore[misc]
        """Gives TensorRT memory of PyTorch's, on the stream of the run, for an output whose shape it finds out."""

        def __init__(self, name: str, device: Any) -> None:
            # Not super(): pybind11 wants its own constructor called by name.
            trt.IOutputAllocator.__init__(self)
            self._name, self._device = name, device
            self._stream: Any = None
            self._memory: Any = None
            self._shape: tuple[int, ...] | None = None
            self._problem: Exception | None = None

        def begin(self, stream: Any) -> None:
            """Forget the memory of the run before, which is the user's now."""
            self._stream, self._memory, self._shape, self._problem = stream, None, None, None

        def reallocate_output_async(self, _name: str, _memory: int, size: int, alignment: int, _stream: int) -> int:
            """Answer with the address of new memory, or 0: an exception must not cross TensorRT's code."""
            import torch

            try:
                with torch.cuda.stream(self._stream):
                    whole = torch.empty(size + alignment, dtype=torch.uint8, device=self._device)
                start = -whole.data_ptr() % max(alignment, 1)
                self._memory = whole[start : start + size]
                return int(self._memory.data_ptr())
            except Exception as error:  # noqa: BLE001
                self._problem = error
                return 0

        def reallocate_output(self, name: str, memory: int, size: int, alignment: int) -> int:
            """Do the same for the TensorRTs that do not tell the stream."""
            return self.reallocate_output_async(name, memory, size, alignment, 0)

        def notify_shape(self, _name: str, shape: Sequence[int]) -> None:
            """Note what TensorRT has found out."""
            self._shape = tuple(shape)

        def take(self, dtype: Any, reader: Any) -> Any:
            """The output as a tensor, to be used on the stream `reader`."""
            from math import prod

            if self._memory is None or self._shape is None:
                raise EngineExecutionError(
                    f"TensorRT did not give output '{self._name}'",
                    found=str(self._problem or "a run without its memory or shape"),
                )
            memory, size = self._memory, prod(self._shape) * dtype.itemsize
            if reader is not None and reader != self._stream:
                memory.record_stream(reader)
            self._memory = None
            return memory[:size].view(dtype).view(self._shape)

    return OutputAllocator
