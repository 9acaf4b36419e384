"""Shapes that a user gives for a model's dynamic inputs: their meaning, their text form, and their check."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TypeAlias

from trtreg.errors import SettingError, ShapeError

__all__ = ["Input", "Range", "ShapeDict", "parse_option", "resolve"]

ShapeDict: TypeAlias = Mapping[str, "Sequence[int] | Sequence[Sequence[int]]"]
"""MMCV's opt_shape_dict: per input [min, opt, max], or one shape for all three."""

_ITEM = re.compile(r"(?P<name>.+):(?P<shapes>[0-9x/]*)")
_MIN_OPT_MAX = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """A model input as TensorRT sees it: -1 is a dynamic dimension, with its name in the model where it has one."""

    name: str
    shape: tuple[int, ...]
    dimension_names: tuple[str | None, ...] = ()
    is_shape_tensor: bool = False

    @property
    def is_dynamic(self) -> bool:
        """Whether TensorRT has to be told a range."""
        return self.is_shape_tensor or any(size < 0 for size in self.shape)

    @property
    def dims(self) -> str:
        """Readable dimensions, as `batch x 3 x ? x 224`."""
        names = [*self.dimension_names, *([None] * len(self.shape))]
        return " x ".join(
            str(size) if size >= 0 else name or "?" for size, name in zip(self.shape, names, strict=False)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """The smallest, the best and the largest shape of an input (values, for a shape tensor)."""

    minimum: tuple[int, ...]
    optimum: tuple[int, ...]
    maximum: tuple[int, ...]


def parse_option(text: str) -> dict[str, list[list[int]]]:
    """Read `input:1x3x224x224,other:1x8/4x8/16x8`: one shape, or min/opt/max."""
    result: dict[str, list[list[int]]] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        match = _ITEM.fullmatch(item)
        shapes = match["shapes"].split("/") if match else []
        if match is None or len(shapes) not in {1, _MIN_OPT_MAX} or not all(map(_is_shape, shapes)):
            raise SettingError(
                "--shapes is malformed",
                found=repr(item),
                expected="name:1x3x224x224, or name:1x3x64x64/1x3x224x224/8x3x512x512 for min/opt/max",
            )
        if match["name"] in result:
            raise SettingError("--shapes names an input twice", found=match["name"])
        sizes = [[int(size) for size in shape.split("x")] if shape else [] for shape in shapes]
        result[match["name"]] = sizes if len(sizes) == _MIN_OPT_MAX else sizes * _MIN_OPT_MAX
    return result


def resolve(inputs: Sequence[Input], given: ShapeDict | None) -> dict[str, Range]:
    """Check the given shapes against the model; give the range of every dynamic input, and of no other."""
    by_name = {item.name: item for item in inputs}
    ranges = {}
    for name, value in (given or {}).items():
        if name not in by_name:
            raise ShapeError(
                f"the model has no input '{name}'",
                expected=f"one of {', '.join(by_name)}" if by_name else "no shape, for it has no inputs",
            )
        ranges[name] = _checked(by_name[name], _range(name, value))
    for item in inputs:
        if item.is_dynamic and item.name not in ranges:
            what = "the values of shape input" if item.is_shape_tensor else "dynamic input"
            raise ShapeError(
                f"{what} '{item.name}' of dimensions {item.dims} has no shape",
                remedy=f"give one, as --shapes {item.name}:{_example(item)}"
                f" or opt_shape_dict={{'{item.name}': [min, opt, max]}}",
            )
    return {name: shape for name, shape in ranges.items() if by_name[name].is_dynamic}


def _is_shape(text: str) -> bool:
    return re.fullmatch(r"([0-9]+(x[0-9]+)*)?", text) is not None


def _range(name: str, value: object) -> Range:
    """Tell one shape from three."""
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        if all(_is_size(size) for size in value):
            shape = tuple(int(size) for size in value)
            return Range(minimum=shape, optimum=shape, maximum=shape)
        nested = [tuple(v) for v in value if isinstance(v, Sequence) and all(_is_size(size) for size in v)]
        if len(nested) == len(value) == _MIN_OPT_MAX:
            return Range(minimum=nested[0], optimum=nested[1], maximum=nested[2])
    raise ShapeError(
        f"the shape of input '{name}' is malformed",
        found=repr(value),
        expected="[min, opt, max] with three shapes, or one shape",
    )


def _is_size(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)  # numpy's too


def _checked(item: Input, shapes: Range) -> Range:
    # A shape tensor is given values: as many as it has elements.
    rank = (item.shape[0] if item.shape else 1) if item.is_shape_tensor else len(item.shape)
    three = {"min": shapes.minimum, "opt": shapes.optimum, "max": shapes.maximum}
    for label, shape in three.items():
        if len(shape) != rank:
            raise ShapeError(
                f"the {label} shape of input '{item.name}' has another number of dimensions",
                found=f"{_text(shape)} ({len(shape)})",
                expected=f"{rank}, as in {item.dims}",
            )
        if item.is_shape_tensor:
            continue
        for axis, (size, fixed) in enumerate(zip(shape, item.shape, strict=True)):
            if size < 0 or fixed not in {-1, size}:
                raise ShapeError(
                    f"the {label} shape of input '{item.name}' does not go with the model in dimension {axis}",
                    found=_text(shape),
                    expected=item.dims,
                )
    if any(not low <= best <= high for low, best, high in zip(*three.values(), strict=True)):
        raise ShapeError(
            f"the shapes of input '{item.name}' are out of order",
            found="/".join(map(_text, three.values())),
            expected="min <= opt <= max in every dimension",
        )
    return shapes


def _example(item: Input) -> str:
    """A shape that would do, with a guess for what the model leaves open."""
    if item.is_shape_tensor:
        return "x".join(["1"] * (item.shape[0] if item.shape else 1))
    images = (1, 3, 224, 224)
    guesses = images if len(item.shape) == len(images) else (1,) * len(item.shape)
    return "x".join(str(guess if size < 0 else size) for size, guess in zip(item.shape, guesses, strict=True))


def _text(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "(scalar)"
