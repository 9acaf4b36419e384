"""A plugin's kernels on a GPU: the library of the installed package, through its plain-C face, on PyTorch's tensors."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from trtreg import manifest
from trtreg.errors import FaceError
from trtreg.sdk import torch_layout
from trtreg.sdk.face import Face
from trtreg.sdk.torch_layout import spec
from trtreg.testing.compare import assert_same

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from trtreg.sdk.face import AttributeValue, Plugin

__all__ = [
    "LARGE", "DevicePlugin", "enqueue", "library_of", "marks", "need_memory", "open_library", "spec", "windows",
]  # fmt: skip

#: More elements than 32 bits count.
LARGE = 2**31 + 9

_GUARD = 4096  # bytes before and behind each tensor; a multiple of 256, which keeps addresses as aligned as they were
_POISONS = (0xFF, 0x55)  # NaN in every floating type, and not
_GUARD_VALUE = 0xA5


def marks() -> list[Any]:
    """Give the marks of tests that need a GPU: ``pytestmark = device.marks()``."""
    import pytest

    seen = torch.cuda.is_available()
    return [pytest.mark.gpu, pytest.mark.skipif(not seen, reason="PyTorch sees no CUDA device")]


def need_memory(size: int) -> None:
    """Skip the test where the GPU has less than `size` bytes free."""
    import pytest

    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    if free < size:
        pytest.skip(f"needs {size / 2**30:.0f} GiB of GPU memory, {free / 2**30:.0f} GiB are free")


def windows(size: int, width: int = 1000) -> list[slice]:
    """Give parts of a flat tensor to look at when all is too much: the ends, and around multiples of 2**31."""
    centres = [0, size, *range(2**31, size, 2**31)]
    return [slice(max(each - width, 0), min(each + width, size)) for each in centres]


def library_of(package: str) -> Path:
    """Give the library of an installed plugin package.

    Raises:
        FaceError: it is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise FaceError(f"package {package} is not installed", remedy="install its wheel")
    folder = Path(spec.origin).parent
    return folder / manifest.read(folder / manifest.FILE_NAME).library.file


def open_library(package: str) -> Face:
    """Open the library of an installed plugin package, as :func:`library_of` finds it."""
    return Face(library_of(package))


def enqueue(
    plugin: Plugin,
    inputs: Sequence[torch.Tensor],
    outputs: Sequence[torch.Tensor],
    *,
    workspace: torch.Tensor | None = None,
    shape_inputs: Sequence[Sequence[int]] = (),
) -> None:
    """Put the plugin's work on PyTorch's current stream; without `workspace`, memory for it is allocated."""
    specs = [spec(each) for each in inputs]
    if workspace is None:
        _, size = plugin.infer(specs, shape_inputs)
        workspace = torch.empty(size, dtype=torch.uint8, device="cuda")
    plugin.enqueue(
        specs,
        [spec(each) for each in outputs],
        workspace=workspace.data_ptr(),
        stream=torch.cuda.current_stream().cuda_stream,
        shape_inputs=shape_inputs,
    )


class _Guarded:
    """A tensor with guards around it, that begins `misalign` elements off an aligned address."""

    def __init__(self, dtype: torch.dtype, shape: Sequence[int], misalign: int, format: str = "linear") -> None:  # noqa: A002
        bytes_of_one = dtype.itemsize
        size = torch_layout.nbytes(shape, dtype, format)
        first = _GUARD + misalign * bytes_of_one
        self._memory = torch.full((first + size + _GUARD,), _GUARD_VALUE, dtype=torch.uint8, device="cuda")
        self._parts = (slice(0, first), slice(first + size, None))
        self.bytes = self._memory[first : first + size]
        # A view of another type has to begin at a multiple of it, which it does: both summands are.
        self.tensor = torch_layout.view(self.bytes, shape, dtype, format)

    def check(self, what: str) -> None:
        for part, where in zip(self._parts, ("before", "behind"), strict=True):
            changed = (self._memory[part] != _GUARD_VALUE).nonzero()
            if len(changed):
                raise AssertionError(
                    f"{len(changed)} bytes {where} {what} were written, the first is {int(changed[0])}"
                )


class DevicePlugin:
    """The library of the installed `package`, or the one at `path`, on the current GPU."""

    def __init__(self, package: str, path: Path | None = None) -> None:
        self.face = Face(path or library_of(package))

    def run(
        self,
        creator: str,
        inputs: Sequence[torch.Tensor],
        attributes: Mapping[str, AttributeValue] | None = None,
        *,
        shape_inputs: Sequence[Sequence[int]] = (),
        misalign: int = 0,
        repeats: bool = True,
    ) -> tuple[torch.Tensor, ...]:
        """Run the plugin and give its outputs; arguments are those of :meth:`trtreg.testing.host.HostPlugin.run`.

        Outputs and workspace are poisoned before, everything has guards around it, and the inputs are copies, which
        must come out as they went in. It runs twice with different poison: an element that is not written shows.

        Raises:
            FaceError: the plugin refused.
            AssertionError: memory changed that is not an output, or outputs do not repeat.
        """
        plugin = self.face.create(creator, attributes)
        formats = [torch_layout.format_of(each) or "linear" for each in inputs]
        copies = [_Guarded(each.dtype, each.shape, misalign, form) for each, form in zip(inputs, formats, strict=True)]
        for copy, each in zip(copies, inputs, strict=True):
            copy.tensor.copy_(each)
        tensors = [copy.tensor for copy in copies]
        results = [self._once(plugin, tensors, shape_inputs, misalign, poison) for poison in _POISONS]
        for index, (copy, each) in enumerate(zip(copies, inputs, strict=True)):
            copy.check(f"input {index}")
            assert_same([copy.tensor], [each], context=f"(input {index}, after the run)")
        if repeats:
            assert_same(
                results[1], results[0], context="in memory with other contents: an element that was not written?"
            )
        return results[0]

    @staticmethod
    def _once(
        plugin: Plugin,
        inputs: Sequence[torch.Tensor],
        shape_inputs: Sequence[Sequence[int]],
        misalign: int,
        poison: int,
    ) -> tuple[torch.Tensor, ...]:
        inferred, size = plugin.infer([spec(each) for each in inputs], shape_inputs)
        outputs = [_Guarded(getattr(torch, each.type), each.shape, misalign, each.format) for each in inferred]
        workspace = _Guarded(torch.uint8, [size], 0)
        for memory in (*outputs, workspace):
            memory.bytes.fill_(poison)
        results = [each.tensor for each in outputs]
        enqueue(plugin, inputs, results, workspace=workspace.tensor, shape_inputs=shape_inputs)
        torch.cuda.synchronize()
        for index, memory in enumerate(outputs):
            memory.check(f"output {index}")
        workspace.check("the workspace")
        return tuple(each.clone() for each in results)

    def replay(
        self,
        creator: str,
        inputs: Sequence[torch.Tensor],
        others: Sequence[torch.Tensor],
        attributes: Mapping[str, AttributeValue] | None = None,
        *,
        shape_inputs: Sequence[Sequence[int]] = (),
    ) -> tuple[torch.Tensor, ...]:
        """Capture a run over `inputs` in a CUDA graph, replay it over `others`, and give the outputs of the replay.

        Work on another stream, an allocation or a synchronisation breaks the capture. `others` have the shapes and
        types of `inputs`.
        """
        plugin = self.face.create(creator, attributes)
        tensors = [each.to("cuda", copy=True) for each in inputs]
        inferred, size = plugin.infer([spec(each) for each in tensors], shape_inputs)
        outputs = [torch_layout.empty(each.shape, getattr(torch, each.type), "cuda", each.format) for each in inferred]
        workspace = torch.empty(size, dtype=torch.uint8, device="cuda")

        def call() -> None:
            enqueue(plugin, tensors, outputs, workspace=workspace, shape_inputs=shape_inputs)

        graph = capture([call])
        for tensor, other in zip(tensors, others, strict=True):
            tensor.copy_(other)
        for output in outputs:
            output.view(-1).view(torch.uint8).fill_(_POISONS[0])
        graph.replay()
        torch.cuda.synchronize()
        return tuple(outputs)

    def check_alignments(
        self,
        creator: str,
        inputs: Sequence[torch.Tensor],
        attributes: Mapping[str, AttributeValue] | None = None,
        *,
        shape_inputs: Sequence[Sequence[int]] = (),
    ) -> None:
        """Fail unless the plugin gives the same bits wherever its tensors begin, element by element of 16 bytes."""
        expected = self.run(creator, inputs, attributes, shape_inputs=shape_inputs)
        for misalign in range(1, 9):
            found = self.run(creator, inputs, attributes, shape_inputs=shape_inputs, misalign=misalign)
            assert_same(found, expected, context=f"where tensors begin {misalign} elements off")


def capture(calls: Sequence[Callable[[], object]]) -> torch.cuda.CUDAGraph:
    """Record all `calls` in a CUDA graph, after each has run once."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for call in calls:
            call()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    return graph
