"""The plain-C face of a plugin library, from Python: describe, create, infer shapes, run on device pointers.

The library is opened in this process. To look at a library that is not trusted yet, do so in a child process.
The C side is ``include/trtreg/face.h``.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trtreg.errors import FaceError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DATA_TYPES", "FORMATS", "Face", "Plugin", "TensorSpec", "describe"]

_ABI = 1
_MAX_DIMS = 8

#: TensorRT's DataType, by the names that trtplugin.json uses.
DATA_TYPES = (
    "float32", "float16", "int8", "int32", "bool", "uint8", "fp8", "bfloat16", "int64", "int4", "fp4", "e8m0",
)  # fmt: skip
#: TensorRT's TensorFormat, likewise.
FORMATS = (
    "linear", "chw2", "hwc8", "chw4", "chw16", "chw32", "dhwc8", "cdhw32", "hwc", "dla_linear", "dla_hwc4", "hwc16",
    "dhwc",
)  # fmt: skip
_FIELD_FLOAT32, _FIELD_CHAR, _FIELD_INT64 = 1, 6, 10

AttributeValue = bool | int | float | str | Sequence[int] | Sequence[float]


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("type", ctypes.c_int32),
        ("format", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("reserved", ctypes.c_int32),
        ("dims", ctypes.c_int64 * _MAX_DIMS),
    )


class _Field(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("type", ctypes.c_int32),
        ("length", ctypes.c_int32),
    )


_TENSORS = ctypes.POINTER(_Tensor)
_PLUGIN = ctypes.c_void_p


class _Table(ctypes.Structure):
    _fields_ = (
        ("abi", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("describe", ctypes.CFUNCTYPE(ctypes.c_char_p)),
        ("last_error", ctypes.CFUNCTYPE(ctypes.c_char_p)),
        (
            "create",
            ctypes.CFUNCTYPE(
                ctypes.c_int32, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p,
                ctypes.POINTER(_Field), ctypes.c_int32, ctypes.POINTER(_PLUGIN),
            ),
        ),
        ("destroy", ctypes.CFUNCTYPE(None, _PLUGIN)),
        ("output_count", ctypes.CFUNCTYPE(ctypes.c_int32, _PLUGIN)),
        (
            "infer",
            ctypes.CFUNCTYPE(
                ctypes.c_int32, _PLUGIN, _TENSORS, ctypes.c_int32, _TENSORS, ctypes.c_int32,
                _TENSORS, ctypes.c_int32, ctypes.POINTER(ctypes.c_uint64),
            ),
        ),
        (
            "enqueue",
            ctypes.CFUNCTYPE(
                ctypes.c_int32, _PLUGIN, _TENSORS, ctypes.c_int32, _TENSORS, ctypes.c_int32,
                _TENSORS, ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p,
            ),
        ),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorSpec:
    """A tensor for a plugin: type (of DATA_TYPES), shape, device address (0 where only shapes matter), format."""

    type: str
    shape: tuple[int, ...]
    data: int = 0
    format: str = "linear"


def _tensors(specs: Sequence[TensorSpec]) -> ctypes.Array[_Tensor]:
    array = (_Tensor * len(specs))()
    for slot, spec in zip(array, specs, strict=True):
        if len(spec.shape) > _MAX_DIMS:
            raise FaceError(
                "a tensor has too many dimensions", found=str(len(spec.shape)), expected=f"up to {_MAX_DIMS}"
            )
        slot.data = spec.data or None
        slot.type = DATA_TYPES.index(spec.type)
        slot.format = FORMATS.index(spec.format)
        slot.rank = len(spec.shape)
        slot.dims[: slot.rank] = spec.shape
    return array


def _shape_inputs(values: Sequence[Sequence[int]]) -> ctypes.Array[_Tensor]:
    return _tensors([TensorSpec(type="int64", shape=tuple(each)) for each in values])


def _field(name: str, value: AttributeValue, keep: list[object]) -> _Field:
    if isinstance(value, str):
        data: Any = ctypes.create_string_buffer(value.encode())
        kind, length = _FIELD_CHAR, len(data.value)
    else:
        values: list[Any] = list(value) if isinstance(value, Sequence) else [value]
        whole = all(isinstance(each, int) for each in values)
        kind, length = (_FIELD_INT64 if whole else _FIELD_FLOAT32), len(values)
        element = ctypes.c_int64 if whole else ctypes.c_float
        data = (element * length)(*values)
    keep.append(data)
    return _Field(name.encode(), ctypes.cast(data, ctypes.c_void_p), kind, length)


class Plugin:
    """One plugin with its attributes, as TensorRT's creator would make it. Made by :meth:`Face.create`."""

    def __init__(self, face: Face, handle: int) -> None:
        self._face = face
        self._handle = handle

    def __del__(self) -> None:
        self._face.table.destroy(self._handle)

    def infer(
        self, inputs: Sequence[TensorSpec], shape_inputs: Sequence[Sequence[int]] = ()
    ) -> tuple[tuple[TensorSpec, ...], int]:
        """Give the outputs (type, shape, format) and the bytes of device workspace for `inputs`.

        Raises:
            FaceError: the inputs do not fit the plugin or one another.
        """
        table = self._face.table
        count = self._face.check(table.output_count(self._handle))
        outputs = (_Tensor * count)()
        size = ctypes.c_uint64()
        self._face.check(
            table.infer(
                self._handle, _tensors(inputs), len(inputs), _shape_inputs(shape_inputs), len(shape_inputs),
                outputs, count, ctypes.byref(size),
            )
        )  # fmt: skip
        specs = tuple(
            TensorSpec(type=DATA_TYPES[each.type], shape=tuple(each.dims[: each.rank]), format=FORMATS[each.format])
            for each in outputs
        )
        return specs, size.value

    def enqueue(
        self,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        *,
        workspace: int = 0,
        stream: int = 0,
        shape_inputs: Sequence[Sequence[int]] = (),
    ) -> None:
        """Put the work on `stream` (a cudaStream_t) of the current device; addresses are device memory.

        Raises:
            FaceError: tensors that `infer` would not give, or a launch that CUDA refused.
        """
        self._face.check(
            self._face.table.enqueue(
                self._handle, _tensors(inputs), len(inputs), _shape_inputs(shape_inputs), len(shape_inputs),
                _tensors(outputs), len(outputs), workspace or None, stream or None,
            )
        )  # fmt: skip


class Face:
    """An opened plugin library.

    Raises:
        FaceError: the file is no library, or does not speak this version of the face.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            self._library = ctypes.CDLL(str(path))
            get_face = self._library.trtreg_get_face
        except (OSError, AttributeError) as error:
            raise FaceError(f"{path} has no trtreg face", found=str(error)) from error
        get_face.restype = ctypes.POINTER(_Table)
        get_face.argtypes = [ctypes.c_uint32]
        table = get_face(_ABI)
        if not table:
            raise FaceError(
                f"{path} speaks another version of trtreg's plain-C face",
                expected=f"version {_ABI}",
                remedy="rebuild the plugin with this trtreg, or install the trtreg that it was built with",
            )
        self.table: _Table = table.contents

    def describe(self) -> dict[str, Any]:
        """Give what the library says of itself: SDK and toolkit versions, creators with their fields."""
        described: dict[str, Any] = json.loads(self.table.describe().decode())
        return described

    def create(
        self,
        name: str,
        attributes: Mapping[str, AttributeValue] | None = None,
        *,
        version: str = "1",
        namespace: str = "",
    ) -> Plugin:
        """Make a plugin from attributes; those that are absent have their defaults.

        Raises:
            FaceError: no such creator, an unknown attribute, or a value that the plugin refuses.
        """
        keep: list[object] = []  # the fields only point to their values
        fields = [_field(key, value, keep) for key, value in (attributes or {}).items()]
        array = (_Field * len(fields))(*fields)
        handle = _PLUGIN()
        self.check(
            self.table.create(
                name.encode(), version.encode(), namespace.encode(), array, len(fields), ctypes.byref(handle)
            )
        )
        if handle.value is None:
            raise FaceError(f"creator '{name}' gave no plugin")
        return Plugin(self, handle.value)

    def check(self, status: int) -> int:
        """Turn the negative status of a C call into its error."""
        if status < 0:
            raise FaceError(self.table.last_error().decode(errors="replace"))
        return status


def describe(path: str | Path) -> dict[str, Any]:
    """Open the library at `path` and give what it says of itself."""
    return Face(path).describe()
