"""The other side of native/driver.cpp: a plugin library in a process of its own, asked through its plain-C face."""

from __future__ import annotations

import os
import struct
import subprocess
import tempfile
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import torch

from trtreg.errors import FaceError
from trtreg.sdk import torch_layout
from trtreg.sdk.face import DATA_TYPES, FORMATS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from trtreg.sdk.face import AttributeValue

__all__ = ["Driver", "Request", "read_answer"]

_FLOAT32, _CHAR, _INT64 = 1, 6, 10  # PluginFieldType


@dataclass(frozen=True, kw_only=True)
class Request:
    """One call of a plugin: creator, inputs on the CPU, attributes."""

    creator: str
    inputs: Sequence[torch.Tensor]
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    shape_inputs: Sequence[Sequence[int]] = ()
    misalign: int = 0
    version: str = "1"
    namespace: str = ""

    def encode(self, poison: int) -> bytes:
        """Give the bytes that the driver reads; outputs are filled with `poison` before."""
        parts = [b"R", *map(_bytes, (self.creator.encode(), self.version.encode(), self.namespace.encode()))]
        parts.append(struct.pack("<Q", len(self.attributes)))
        for name, value in self.attributes.items():
            parts += [_bytes(name.encode()), _field(value)]
        parts.append(struct.pack("<iQQ", poison, self.misalign, len(self.inputs)))
        for tensor in self.inputs:
            spec = torch_layout.spec(tensor if torch_layout.format_of(tensor) else tensor.contiguous())
            parts += [_header(spec.type, spec.shape, spec.format), _bytes(_raw(tensor, spec.format))]
        parts.append(struct.pack("<Q", len(self.shape_inputs)))
        parts += [_header("int64", values) for values in self.shape_inputs]
        return b"".join(parts)


def _bytes(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data


def _header(type: str, dims: Sequence[int], format: str = "linear") -> bytes:  # noqa: A002 - as TensorRT calls them
    return struct.pack(f"<iii{len(dims)}q", DATA_TYPES.index(type), FORMATS.index(format), len(dims), *dims)


def _raw(tensor: torch.Tensor, format: str) -> bytes:  # noqa: A002
    # What fills channels up may be anything, so it is NaN.
    memory = torch.full((torch_layout.nbytes(tensor.shape, tensor.dtype, format),), 0xFF, dtype=torch.uint8)
    torch_layout.view(memory, tensor.shape, tensor.dtype, format).copy_(tensor.detach())
    raw: bytes = memory.numpy().tobytes()
    return raw


def _field(value: AttributeValue) -> bytes:
    if isinstance(value, str):
        data = value.encode()
        return struct.pack("<ii", _CHAR, len(data)) + _bytes(data)
    values: list[Any] = list(value) if not isinstance(value, bool | int | float) else [value]
    whole = all(isinstance(each, int) for each in values)
    data = struct.pack(f"<{len(values)}{'q' if whole else 'f'}", *values)
    return struct.pack("<ii", _INT64 if whole else _FLOAT32, len(values)) + _bytes(data)


def read_answer(stream: IO[bytes]) -> tuple[torch.Tensor, ...] | None:
    """Read the outputs of one request; None where the driver has ended.

    Raises:
        FaceError: the plugin refused, with its words.
        AssertionError: an input was changed.
    """

    def take(form: str) -> tuple[Any, ...]:
        return struct.unpack("<" + form, _exactly(stream, struct.calcsize("<" + form)))

    try:
        (status,) = take("i")
        words = _exactly(stream, take("Q")[0]).decode(errors="replace")
        if status == 1:
            raise FaceError(words)
        if status:
            raise AssertionError(words)
        outputs = []
        for _ in range(take("Q")[0]):
            kind, form, rank = take("iii")
            shape = take(f"{rank}q")
            data = _exactly(stream, take("Q")[0])
            dtype = getattr(torch, DATA_TYPES[kind])
            memory = torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)
            outputs.append(torch_layout.view(memory, shape, dtype, FORMATS[form]))
        return tuple(outputs)
    except EOFError:
        return None


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise EOFError
    return data


class Driver:
    """The running process; started anew after it has died of a fault."""

    def __init__(self, program: Path, library: Path) -> None:
        self._command = [program, library]
        self._process: subprocess.Popen[bytes] | None = None
        self._words: IO[bytes] | None = None

    def ask(self, request: Request, poison: int) -> tuple[torch.Tensor, ...]:
        """Run one request.

        Raises:
            FaceError: the plugin refused.
            AssertionError: a sanitizer found something, or an input was changed; with their words.
        """
        process = self._start()
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        try:
            process.stdin.write(request.encode(poison))
            process.stdin.flush()
            answer = read_answer(process.stdout)
        except BrokenPipeError:
            answer = None
        if answer is not None:
            return answer
        words = self.close()
        raise AssertionError(f"{request.creator} {dict(request.attributes)} died on the host:\n{words}")

    def __del__(self) -> None:
        self.close()

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            # A file: a pipe that nobody reads would fill up.
            self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
            self._process = subprocess.Popen(  # noqa: S603 - a list of arguments, no shell
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._words,
                # The program is small: no leak is worth a search at its end.
                env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"},
            )
        return self._process

    def close(self) -> str:
        """End the process; give what it said on its standard error."""
        process, words, self._process, self._words = self._process, self._words, None, None
        if process is None or words is None:
            return ""
        process.communicate()
        words.seek(0)
        with words:
            return words.read().decode(errors="replace")
