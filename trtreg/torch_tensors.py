"""PyTorch's tensors for an engine: whether those given fit, and those to allocate. Touches no GPU by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from trtreg.errors import EngineInterfaceError, InputTensorError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from trtreg.engine_interface import Interface, TensorSpec

__all__ = ["allocate", "check", "dtypes"]

# TensorRT's names of types, in lower case, to PyTorch's. PyTorch has no type for int4, and its float4 packs two numbers
# into one element, so that shapes would differ.
_DTYPES: Final = {
    "float": "float32",
    "half": "float16",
    "bf16": "bfloat16",
    "fp8": "float8_e4m3fn",
    "e8m0": "float8_e8m0fnu",
    "int8": "int8",
    "int32": "int32",
    "int64": "int64",
    "uint8": "uint8",
    "bool": "bool",
}


def dtypes(interface: Interface) -> dict[str, Any]:
    """The torch.dtype of each input and output by name; EngineInterfaceError where PyTorch has no such tensor."""
    import torch

    found = {}
    for spec in (*interface.inputs, *interface.outputs):
        dtype = getattr(torch, _DTYPES.get(spec.dtype, ""), None)
        if dtype is None or spec.format != "linear":
            raise EngineInterfaceError(
                f"PyTorch has no tensor for '{spec.name}' of the engine",
                found=f"{spec.dtype} in the format {spec.format}",
                expected=f"one of {', '.join(_DTYPES)} in the format linear",
                remedy="build the engine with another type and no format for this tensor",
            )
        found[spec.name] = dtype
    return found


def check(
    interface: Interface,
    tensors: Mapping[str, Any],
    types: Mapping[str, Any],
    device: Any,
    *,
    profile: int | None = None,
    active: int = 0,
) -> int:
    """Find the profile to run these inputs with: `profile` if given, else `active` or the first that takes them.

    Raises InputTensorError with everything that is wrong. Only values of tensors in the CPU's memory are read.
    """
    problems = [*_names("input", tensors, interface.inputs, types)]
    fitting: list[TensorSpec] = []
    for spec in interface.inputs:
        if spec.name not in tensors:
            problems.append(f"input '{spec.name}' is missing")
            continue
        found = [
            *_kind(f"input '{spec.name}'", tensors[spec.name], types[spec.name], "cpu" if spec.on_host else device)
        ]
        problems += found
        if not found:
            fitting.append(spec)
    candidates = range(interface.profiles) if profile is None else (profile,)
    chosen = _profile(fitting, tensors, sorted(candidates, key=lambda index: index != active))
    if chosen is None:
        misfits = [text for spec in fitting if (text := _misfit(spec, tensors[spec.name], candidates))]
        problems += misfits or ["the shapes fit, but no one optimisation profile takes all of them together"]
    if problems:
        raise InputTensorError("The inputs do not fit the engine", problems=problems)
    return chosen if chosen is not None else active


def allocate(
    specs: Iterable[TensorSpec],
    shapes: Mapping[str, Sequence[int]],
    types: Mapping[str, Any],
    device: Any,
    given: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The tensor of each output: that of `given` if it fits, else a new one; None where a dimension of `shapes` is -1.

    Raises InputTensorError with everything that is wrong with `given`.
    """
    import torch

    specs, given = tuple(specs), given or {}
    problems = [*_names("output", given, specs, types)]
    outputs: dict[str, Any] = {}
    for spec in specs:
        shape, place = tuple(shapes[spec.name]), "cpu" if spec.on_host else device
        if spec.name in given:
            problems += _unusable(spec, given[spec.name], shape, types[spec.name], place)
            outputs[spec.name] = given[spec.name]
        elif min(shape, default=0) < 0:
            outputs[spec.name] = None
        elif not problems:
            outputs[spec.name] = torch.empty(shape, dtype=types[spec.name], device=place)
    if problems:
        raise InputTensorError("The tensors for the outputs do not fit the engine", problems=problems)
    return outputs


def _names(
    what: str, tensors: Mapping[str, Any], specs: Sequence[TensorSpec], types: Mapping[str, Any]
) -> Iterator[str]:
    names = [spec.name for spec in specs]
    for name in tensors:
        if name not in names:
            other = "; it is of the other side" if name in types else ""
            yield f"the engine has no {what} '{name}'{other}: expected {', '.join(names) or 'none'}"


def _kind(what: str, tensor: Any, dtype: Any, device: Any) -> Iterator[str]:
    """What is wrong apart from the shape."""
    import torch

    if not isinstance(tensor, torch.Tensor):
        yield f"{what} is no tensor: found {type(tensor).__name__}; use torch.as_tensor"
        return
    if tensor.layout is not torch.strided:
        yield f"{what} is not dense: found {tensor.layout}; use to_dense()"
    if tensor.dtype != dtype:
        yield f"{what} has the wrong type: found {tensor.dtype}, expected {dtype}; use .to({dtype})"
    if tensor.device != torch.device(device):
        yield f"{what} is on the wrong device: found {tensor.device}, expected {device}; use .to('{device}')"


def _unusable(spec: TensorSpec, tensor: Any, shape: tuple[int, ...], dtype: Any, device: Any) -> Iterator[str]:
    what = f"output '{spec.name}'"
    if min(shape, default=0) < 0:
        yield f"{what} has a shape that is known only after the run: it cannot be given"
        return
    found = [*_kind(what, tensor, dtype, device)]
    yield from found
    if not found and tuple(tensor.shape) != shape:
        yield f"{what} has the wrong shape: found {tuple(tensor.shape)}, expected {shape}"
    if not found and not tensor.is_contiguous():
        yield f"{what} is not contiguous: found strides {tensor.stride()}"


def _profile(specs: Sequence[TensorSpec], tensors: Mapping[str, Any], candidates: Iterable[int]) -> int | None:
    fits = (index for index in candidates if all(_takes(spec, tensors[spec.name], index) for spec in specs))
    return next(fits, None)


def _takes(spec: TensorSpec, tensor: Any, profile: int) -> bool:
    return spec.shapes[profile].holds(tensor.shape) and _takes_values(spec, tensor, profile)


def _takes_values(spec: TensorSpec, tensor: Any, profile: int) -> bool:
    allowed = spec.values[profile] if spec.values else None
    return allowed is None or allowed.holds(tensor.reshape(-1).tolist())


def _misfit(spec: TensorSpec, tensor: Any, profiles: Iterable[int]) -> str | None:
    """Why no profile takes this one tensor."""
    if any(_takes(spec, tensor, index) for index in profiles):
        return None
    shapes = [index for index in profiles if spec.shapes[index].holds(tensor.shape)]
    if shapes:
        what, found = "values", tuple(tensor.reshape(-1).tolist())
        allowed = [str(spec.values[index]) for index in shapes]
    else:
        what, found = "shape", tuple(tensor.shape)
        allowed = [str(spec.shapes[index]) for index in profiles]
    return f"input '{spec.name}' has the wrong {what}: found {found}, expected {' or '.join(dict.fromkeys(allowed))}"
