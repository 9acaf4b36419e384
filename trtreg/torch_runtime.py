"""Engines as PyTorch modules: `TRTWrapper`, under the name that MMCV and MMDeploy gave it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from trtreg import flavour
from trtreg.engine import Engine
from trtreg.errors import EngineBuildError, MissingExtraError, SettingError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from trtreg.engine_interface import Interface
    from trtreg.torch_graph import CapturedEngine

try:
    from torch.nn import Module
except ImportError:  # the class is there without PyTorch, so that the package can be looked at; it makes no objects
    Module = object

__all__ = ["TRTWrapper"]


class TRTWrapper(Module):  # type: ignore[misc]  # PyTorch is skipped by mypy here
    """An engine to call like a module: a dict of tensors in, a dict of tensors out.

    The work is put on the current stream, and the host does not wait for it. Where the current stream is CUDA's default
    one, on which TensorRT itself would wait, it runs on a stream of the wrapper's own that the current one waits for.
    Calls from several threads and on several streams are safe: they use one execution context, and so run one after the
    other. Runs that shall overlap need one `new_context()` each.
    """

    def __init__(
        self,
        engine: str | os.PathLike[str] | bytes | Engine | Any,
        output_names: Sequence[str] | None = None,
        *,
        device: Any = None,
        profile: int | None = None,
    ) -> None:
        """Load an engine, after the plugins that it needs.

        Args:
            engine: a path, the bytes of a plan, what `onnx2trt` returns, or TensorRT's ICudaEngine.
            output_names: which outputs to return, in this order (default: all, in the engine's order).
            device: the GPU, as PyTorch names it (default: PyTorch's current one). An ICudaEngine stays on the one that
                was current when it was deserialised, which has to be named here.
            profile: the optimisation profile to use (default: the one used last if it takes the shapes, else the first
                that does).

        Raises:
            EngineBuildError: the engine cannot be read or deserialised.
            EngineInterfaceError: PyTorch has no such tensors as the engine's.
            EngineExecutionError: there can be no execution context, as for lack of memory.
            SettingError: an unknown output or profile.
            TensorRTUnusableError: PyTorch sees no GPU.
        """
        if Module is object:
            raise MissingExtraError("TRTWrapper needs PyTorch", remedy="run: pip install 'trtreg[torch]'")
        super().__init__()
        import torch

        from trtreg import _torch_cuda
        from trtreg.torch_execution import Execution

        chosen = _torch_cuda.device(device)
        with torch.cuda.device(chosen):
            cuda_engine, trt = _load(engine)
        self._execution = Execution(cuda_engine, trt, chosen, profile=profile)
        self.output_names = _chosen_outputs(self.interface, output_names)
        _check_profile(self.interface, profile)

    @property
    def engine(self) -> Any:
        """TensorRT's ICudaEngine."""
        return self._execution.engine

    @property
    def device(self) -> Any:
        """The GPU, as a torch.device with its index."""
        return self._execution.device

    @property
    def interface(self) -> Interface:
        """The engine's inputs and outputs: names, types, shapes and what each profile takes."""
        return self._execution.interface

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the inputs, in the engine's order."""
        return tuple(spec.name for spec in self.interface.inputs)

    def dtype(self, name: str) -> Any:
        """The torch.dtype of an input or output."""
        return self._execution.dtypes[name]

    def forward(self, inputs: Mapping[str, Any], out: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Run the engine.

        Args:
            inputs: each input by name. Types are the engine's, nothing is converted; they lie on `device`, or in the
                CPU's memory if the engine wants them there (shape tensors); any strides will do.
            out: tensors to write outputs to instead of new ones: contiguous, and of the very shape.

        Returns:
            The outputs by name. They take no part in gradients. One that TensorRT gives in the CPU's memory may be read
            after the stream has been synchronised.

        Raises:
            InputTensorError: with all that is wrong with the tensors; nothing has run.
            EngineExecutionError: TensorRT refused, with its reasons.
        """
        outputs = self._execution.run(inputs, out)
        return {name: outputs[name] for name in self.output_names}

    def new_context(self) -> TRTWrapper:
        """Another wrapper of the same engine with an execution context of its own; the weights are shared."""
        return TRTWrapper(self.engine, self.output_names, device=self.device, profile=self._execution.profile)

    def capture(self, inputs: Mapping[str, Any]) -> CapturedEngine:
        """Capture a run of these inputs as a CUDA graph, to be replayed with others of the same shapes.

        The graph gets its own execution context, so the wrapper may go on with other shapes. Raises what `forward`
        raises; EngineExecutionError also where TensorRT cannot be captured, as with data-dependent shapes.
        """
        from trtreg.torch_execution import Execution
        from trtreg.torch_graph import CapturedEngine

        now = self._execution
        own = Execution(now.engine, now.trt, now.device, profile=now.profile, to_capture=True)
        return CapturedEngine(own, inputs, self.output_names)

    def extra_repr(self) -> str:
        """The inputs and outputs, for PyTorch's repr."""
        sides = {"inputs": self.interface.inputs, "outputs": self.interface.outputs}
        return "\n".join(
            f"{side}: {', '.join(f'{spec.name} {spec.dtype} {spec.shape}' for spec in specs)}"
            for side, specs in sides.items()
        )


def _chosen_outputs(interface: Interface, names: Sequence[str] | None) -> tuple[str, ...]:
    known = tuple(spec.name for spec in interface.outputs)
    if isinstance(names, str) or not set(names or ()) <= set(known):
        raise SettingError("output_names is no list of outputs", found=repr(names), expected=f"some of {list(known)}")
    return known if names is None else tuple(names)


def _check_profile(interface: Interface, profile: int | None) -> None:
    if profile is not None and profile not in range(interface.profiles):
        last = interface.profiles - 1
        raise SettingError("the engine has no such profile", found=str(profile), expected=f"0 to {last}")


def _load(engine: Any) -> tuple[Any, Any]:
    """An ICudaEngine and the TensorRT module that it belongs to."""
    import os

    from trtreg import runtime

    if isinstance(engine, Engine):
        engine = engine.plan
    if isinstance(engine, (str, os.PathLike)):
        engine = runtime.load_trt_engine(engine)
    elif isinstance(engine, (bytes, bytearray, memoryview)):
        engine = runtime.deserialize(bytes(engine))
    for kind in flavour.FLAVOURS:
        module: Any = sys.modules.get(kind.module)
        if isinstance(engine, getattr(module, "ICudaEngine", ())):
            return engine, module
    raise EngineBuildError(
        "this is no engine",
        found=type(engine).__name__,
        expected="a path, the bytes of a plan, an Engine of trtreg or TensorRT's ICudaEngine",
    )
