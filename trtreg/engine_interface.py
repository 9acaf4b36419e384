"""What an engine takes and gives: the name, type, place and shapes of each input and output, read once, at the edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Interface", "Range", "TensorSpec", "read"]


class Range(NamedTuple):
    """The shapes, or the values, from `minimum` to `maximum`, number by number."""

    minimum: tuple[int, ...]
    maximum: tuple[int, ...]

    def holds(self, numbers: Sequence[int]) -> bool:
        """Whether there are as many numbers as here, and each is within its bounds."""
        return len(numbers) == len(self.minimum) and all(
            low <= number <= high for low, number, high in zip(self.minimum, numbers, self.maximum, strict=True)
        )

    def __str__(self) -> str:
        bounds = zip(self.minimum, self.maximum, strict=True)
        return f"({', '.join(str(low) if low == high else f'{low}..{high}' for low, high in bounds)})"


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorSpec:
    """An input or output of an engine.

    `dtype` is TensorRT's name in lower case ("float", "half", "int64"), `shape` has -1 where a dimension is dynamic,
    and `on_host` tells of a tensor in the memory of the CPU. Of an input, `shapes` are those that each optimisation
    profile takes, and `values` the numbers that it takes, where they decide over shapes (else None).
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    on_host: bool = False
    format: str = "linear"
    shapes: tuple[Range, ...] = ()
    values: tuple[Range | None, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Interface:
    """All inputs and outputs of an engine, in its own order, and the number of its optimisation profiles."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    profiles: int = 1


def read(engine: Any, trt: Any) -> Interface:
    """Read the interface of an ICudaEngine; `trt` is the TensorRT module that it belongs to."""
    profiles = max(1, engine.num_optimization_profiles)  # the default one counts where none was made
    inputs, outputs = [], []
    for name in map(engine.get_tensor_name, range(engine.num_io_tensors)):
        if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT:
            inputs.append(_input(engine, trt, name, profiles))
        else:
            outputs.append(TensorSpec(name=name, **_facts(engine, trt, name)))
    return Interface(inputs=tuple(inputs), outputs=tuple(outputs), profiles=profiles)


def _input(engine: Any, trt: Any, name: str, profiles: int) -> TensorSpec:
    facts = _facts(engine, trt, name)
    shapes = (Range(facts["shape"], facts["shape"]),) * profiles
    if min(facts["shape"], default=0) < 0:
        ends = (engine.get_tensor_profile_shape(name, profile) for profile in range(profiles))
        shapes = tuple(Range(tuple(low), tuple(high)) for low, _, high in ends)
    values = tuple(_values(engine, name, profile) for profile in range(profiles)) if facts["on_host"] else ()
    return TensorSpec(name=name, shapes=shapes, values=values, **facts)


def _facts(engine: Any, trt: Any, name: str) -> dict[str, Any]:
    return {
        "dtype": engine.get_tensor_dtype(name).name.lower(),
        "shape": tuple(engine.get_tensor_shape(name)),
        "on_host": engine.get_tensor_location(name) == trt.TensorLocation.HOST,
        "format": engine.get_tensor_format(name).name.lower(),
    }


def _values(engine: Any, name: str, profile: int) -> Range | None:
    """The values that a profile allows a shape tensor; None where TensorRT has none, as for int64 in some versions."""
    try:
        # In this order: the binding of TensorRT-RTX 1.7.1 declares the two arguments under each other's name.
        ends = engine.get_tensor_profile_values(profile, name)
    except TypeError:
        ends = engine.get_tensor_profile_values(name, profile)
    except RuntimeError:  # not a shape tensor
        return None
    return Range(tuple(ends[0]), tuple(ends[2])) if ends else None
