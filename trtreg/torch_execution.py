"""One execution context of an engine, run on PyTorch's tensors and streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trtreg import _complaints, _torch_cuda, engine_interface, flavour, torch_tensors
from trtreg.errors import EngineExecutionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Execution"]


class Execution:
    """An execution context with what belongs to it; safe to use from several threads and on several streams.

    `engine` is an ICudaEngine of the TensorRT module `trt`, deserialised on `device`. `profile` is the optimisation
    profile to use, None for the first that takes the shapes. `to_capture` is for CUDA graphs.
    """

    def __init__(self, engine: Any, trt: Any, device: Any, *, profile: int | None, to_capture: bool = False) -> None:
        import torch

        self.engine, self.trt, self.device, self.profile = engine, trt, device, profile
        self.interface = engine_interface.read(engine, trt)
        self.turns = _torch_cuda.Turns()
        self.dtypes = torch_tensors.dtypes(self.interface)
        self._input_names = {spec.name for spec in self.interface.inputs}
        with torch.cuda.device(device):
            self._context, self._memory = _torch_cuda.create_context(engine, trt, to_capture=to_capture)
            # For tensors without elements, whose own address is null: TensorRT takes none for an output.
            self._spare = torch.empty(512, dtype=torch.uint8, device=device)
            self._own_stream = torch.cuda.Stream()
        self._active = 0
        self._allocators: dict[str, Any] = {}
        self._on_host: list[Any] = []

    def check(self, inputs: Mapping[str, Any]) -> int:
        """The profile to run these inputs with; InputTensorError with all that is wrong with them."""
        return torch_tensors.check(
            self.interface, inputs, self.dtypes, self.device, profile=self.profile, active=self._active
        )

    def run(self, inputs: Mapping[str, Any], out: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Put one run on the current stream; gives all outputs, in the engine's order. See TRTWrapper.forward."""
        import torch

        with torch.no_grad(), torch.cuda.device(self.device), flavour.capture() as said:
            caller = torch.cuda.current_stream()
            # On the default stream TensorRT would wait for the GPU.
            stream = caller if caller.cuda_stream else self._own_stream
            try:
                with self.turns.on(stream):
                    profile = self.check(inputs)
                    contiguous = {name: tensor.contiguous() for name, tensor in inputs.items()}
                    self._bind_inputs(contiguous, profile, stream)
                    outputs = self._bind_outputs(out, stream)
                    if stream is not caller:
                        # Behind what wrote the inputs, and what used the outputs' memory before.
                        stream.wait_stream(caller)
                    self._require(self._context.execute_async_v3(stream.cuda_stream), "run the engine")
                    if self._memory is not None and not torch.cuda.is_current_stream_capturing():
                        self._memory.record_stream(stream)
                    if stream is not caller:
                        caller.wait_stream(stream)
                    return {name: self._taken(name, tensor, caller) for name, tensor in outputs.items()}
            except (RuntimeError, EngineExecutionError) as error:
                raise self._failure(error, said) from error

    def require_capturable(self, stream: Any) -> None:
        """Raise EngineExecutionError where TensorRT says that what has run last cannot become a CUDA graph."""
        if self._allocators:
            raise EngineExecutionError(
                "an engine cannot be captured whose output shapes are known only after the run",
                found=f"such an output: {', '.join(self._allocators)}",
                remedy="call it without a graph",
            )
        is_capturable = getattr(self._context, "is_stream_capturable", None)  # TensorRT-RTX 1.2 has it
        if is_capturable and not is_capturable(stream.cuda_stream):
            raise EngineExecutionError(
                f"{self.trt.__name__} {self.trt.__version__} cannot capture this engine",
                remedy="call it without a graph",
            )

    def _bind_inputs(self, tensors: dict[str, Any], profile: int, stream: Any) -> None:
        context = self._context
        if profile != self._active:
            done = context.set_optimization_profile_async(profile, stream.cuda_stream)
            self._require(done, f"change to the optimisation profile {profile}")
            self._active = profile
        # TensorRT may read these until the work is done. Those on the GPU are safe in the order of the stream.
        self._on_host = [tensors[spec.name] for spec in self.interface.inputs if spec.on_host]
        for name, tensor in tensors.items():
            self._require(context.set_input_shape(name, tuple(tensor.shape)), f"take the shape of '{name}'")
            self._set_address(name, tensor)

    def _bind_outputs(self, out: Mapping[str, Any] | None, stream: Any) -> dict[str, Any]:
        missing = [name for name in self._context.infer_shapes() if name in self._input_names]
        self._require(not missing, f"infer shapes without {', '.join(missing)}")
        specs = self.interface.outputs
        shapes = {spec.name: tuple(self._context.get_tensor_shape(spec.name)) for spec in specs}
        outputs = torch_tensors.allocate(specs, shapes, self.dtypes, self.device, out)
        for name, tensor in outputs.items():
            if tensor is None:
                self._allocator(name).begin(stream)
            else:
                self._set_address(name, tensor)
        return outputs

    def _allocator(self, name: str) -> Any:
        """What TensorRT asks for the memory of an output whose shape is known only after the run."""
        if name not in self._allocators:
            allocator = _torch_cuda.output_allocator_class(self.trt)(name, self.device)
            self._require(self._context.set_output_allocator(name, allocator), f"take an allocator for '{name}'")
            self._allocators[name] = allocator
        return self._allocators[name]

    def _taken(self, name: str, tensor: Any, caller: Any) -> Any:
        return self._allocators[name].take(self.dtypes[name], caller) if tensor is None else tensor

    def _set_address(self, name: str, tensor: Any) -> None:
        address = tensor.data_ptr() or self._spare.data_ptr()
        self._require(self._context.set_tensor_address(name, address), f"take the memory of '{name}'")

    def _require(self, done: bool, what: str) -> None:
        if not done:
            raise EngineExecutionError(f"{self.trt.__name__} {self.trt.__version__} could not {what}")

    def _failure(self, error: Exception, said: Sequence[flavour.Message]) -> EngineExecutionError:
        message = str(error) if isinstance(error, EngineExecutionError) else "the engine could not be run"
        reasons = _complaints.errors(said) or ([] if isinstance(error, EngineExecutionError) else [str(error)])
        return EngineExecutionError(message, found="; ".join(reasons) or "no reason given")
