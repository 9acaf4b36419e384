"""Run an engine on tensors of PyTorch and time it: `python run_engine.py model.engine [--graph]`.

The inputs are random, of the largest shapes that the first optimisation profile takes. The plugins that the engine
needs are loaded from the installed packages.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import torch

from trtreg import TrtregError, TRTWrapper

if TYPE_CHECKING:
    from collections.abc import Callable


def random_inputs(module: TRTWrapper) -> dict[str, torch.Tensor]:
    """Make inputs as large as they may be; those that are shapes get the largest values."""
    made = {}
    for spec in module.interface.inputs:
        shape, device = spec.shapes[0].maximum, "cpu" if spec.on_host else module.device
        values = spec.values[0] if spec.values else None
        number = torch.tensor(values.maximum).reshape(shape) if values else torch.randn(shape)
        made[spec.name] = number.to(device=device, dtype=module.dtype(spec.name))
    return made


def microseconds(run: Callable[[], Any], count: int = 100) -> float:
    """Time runs on the GPU, one after the other."""
    for _ in range(10):
        run()
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    for _ in range(count):
        run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) * 1000 / count


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("engine", help="an engine file, as `trtreg onnx2trt` writes it")
    parser.add_argument("--graph", action="store_true", help="capture the run as a CUDA graph")
    arguments = parser.parse_args()
    try:
        module = TRTWrapper(arguments.engine)
        inputs = random_inputs(module)
        # The same tensors in and out at each run.
        run = module.capture(inputs).replay if arguments.graph else lambda: module(inputs)
        outputs = run()
    except TrtregError as error:
        raise SystemExit(f"run_engine.py: {error}") from None
    for name, tensor in (*inputs.items(), *outputs.items()):
        print(f"{name}  {str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}")
    print(f"{microseconds(run):.1f} us each")


if __name__ == "__main__":
    main()
