"""A run of an engine as a CUDA graph: captured once, replayed with other values in the same memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from trtreg.errors import EngineExecutionError, InputTensorError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trtreg.torch_execution import Execution

__all__ = ["CapturedEngine"]

# TensorRT sets up what a new shape needs in the first run, which may not be captured.
_RUNS_BEFORE: Final = 2


class CapturedEngine:
    """A captured run. `inputs` and `outputs` are the tensors that the graph reads and writes, always the same memory.

    Write to `inputs` and `replay()`; or call it with inputs like the captured ones, which are copied. A replay
    overwrites what the one before gave. Inputs in the CPU's memory keep the values that they had at the capture.
    Calls and replays run one after the other, whatever threads and streams they are on; that `outputs` are read before
    the next one is the caller's to see to.
    """

    def __init__(self, execution: Execution, inputs: Mapping[str, Any], output_names: Sequence[str]) -> None:
        """Capture; the execution's context belongs to the graph from now on."""
        import torch

        execution.check(inputs)
        self._execution = execution
        # Tensors made in inference mode could not be written to outside of it.
        with torch.inference_mode(mode=False), torch.no_grad(), torch.cuda.device(execution.device):
            caller, stream = torch.cuda.current_stream(), torch.cuda.Stream()
            self.inputs = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in inputs.items()}
            stream.wait_stream(caller)
            with torch.cuda.stream(stream):
                for _ in range(_RUNS_BEFORE):
                    execution.run(self.inputs)
            stream.synchronize()
            execution.require_capturable(stream)
            outputs, self._graph = _capture(execution, self.inputs, stream)
        self.outputs = {name: outputs[name] for name in output_names}

    def replay(self) -> dict[str, Any]:
        """Put the graph on the current stream; gives `outputs`."""
        return self._replay({})

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Copy these inputs, of the captured shapes, and replay; raises InputTensorError before anything is copied."""
        self._execution.check(inputs)
        on_host = {spec.name for spec in self._execution.interface.inputs if spec.on_host}
        problems = [
            problem
            for name, captured in self.inputs.items()
            if (problem := _difference(name, inputs[name], captured, values=name in on_host))
        ]
        if problems:
            raise InputTensorError("The inputs do not fit the captured graph", problems=problems)
        return self._replay({name: tensor for name, tensor in inputs.items() if name not in on_host})

    def _replay(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        execution = self._execution
        with torch.no_grad(), torch.cuda.device(execution.device), execution.turns.on(torch.cuda.current_stream()):
            for name, tensor in inputs.items():
                self.inputs[name].copy_(tensor)
            self._graph.replay()
        return self.outputs


def _difference(name: str, tensor: Any, captured: Any, *, values: bool) -> str | None:
    import torch

    if tensor.shape != captured.shape:
        shapes = f"found {tuple(tensor.shape)}, expected {tuple(captured.shape)}"
        return f"input '{name}' has another shape than the captured one: {shapes}"
    if values and not torch.equal(tensor, captured):
        return f"input '{name}' has other values than the captured ones, which the graph holds for good"
    return None


def _capture(execution: Execution, inputs: Mapping[str, Any], stream: Any) -> tuple[dict[str, Any], Any]:
    import torch

    graph = torch.cuda.CUDAGraph()
    try:
        # Only this thread is kept from what a capture forbids, so that others may go on.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            outputs = execution.run(inputs)
    except (RuntimeError, EngineExecutionError) as error:
        # PyTorch's own error about the broken capture hides the one that broke it.
        cause = error.__context__ if isinstance(error.__context__, EngineExecutionError) else error
        raise EngineExecutionError("the engine could not be captured as a CUDA graph", found=str(cause)) from error
    return outputs, graph
