"""What the SDK makes of an author's declarations, seen through the plain-C face: no GPU and no TensorRT take part."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import pytest

from trtreg import manifest
from trtreg.errors import FaceError
from trtreg.sdk import toolchain
from trtreg.sdk.face import Face, TensorSpec, describe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMESPACE = {"version": "2", "namespace": "probe"}


@pytest.fixture(scope="module")
def library(compile_library: Callable[..., Path]) -> Path:
    cudart = str(toolchain.find().nvcc.cudart)
    return compile_library(
        "probe.cpp", cudart, "-Wl,-z,defs", "-Wall", "-Wextra", "-Werror", "-ldl", "-lrt", "-lpthread"
    )


@pytest.fixture(scope="module")
def face(library: Path) -> Face:
    return Face(library)


def attributes_of(face: Face, **attributes: object) -> tuple[int, ...]:
    (output,), _ = face.create("ProbeAttributes", {"axis": 0, **attributes}, **NAMESPACE).infer([])
    return output.shape


def tensor(*shape: int, type: str = "float16") -> TensorSpec:  # noqa: A002 - as the dataclass calls it
    return TensorSpec(type=type, shape=shape)


def test_description_is_a_manifest(library: Path) -> None:
    described = describe(library)
    creators = manifest.parse(
        {
            "schema": 1, "package": "p", "version": "1", "summary": "", "tensorrt": {},
            "library": {
                "file": "lib.so", "sha256": "0" * 64, "size": 1, "machine": "x86_64", "glibc": "2.17", "needed": [],
                "cuda": described["cuda"], "sms": [], "ptx": [],
                "sdk": {"version": described["sdk"], "face_abi": described["face_abi"]},
                "creators": described["creators"],
            },
        }
    ).library.creators  # fmt: skip
    assert [tuple(each.key) for each in creators] == [
        ("ProbeAttributes", "2", "probe"), ("ProbeShapes", "1", ""), ("ProbeThrows", "1", ""),
    ]  # fmt: skip
    fields = {each.name: each for each in creators[0].fields}
    assert list(fields) == ["axis", "stride", "strides", "step", "scales", "sizes", "mode", "alpha"]
    assert (fields["stride"].type, fields["stride"].length, list(fields["stride"].default)) == ("int32", 2, [1, 2])
    assert (fields["step"].alias_of, fields["step"].default) == ("stride", None)
    assert (fields["scales"].type, fields["scales"].length, list(fields["scales"].default)) == ("float32", 0, [0.5])
    assert (fields["mode"].type, fields["mode"].default) == ("char", 'sum "of" all')
    assert (fields["sizes"].type, fields["axis"].default) == ("int64", None)
    assert fields["alpha"].default == pytest.approx([0.1])
    shaped = described["creators"][1]
    assert (shaped["inputs"], shaped["outputs"]) == ([1, 2], [1, 3])
    assert shaped["signatures"] == [
        {"inputs": ["float16", "int32"], "outputs": ["float32", "int64"]},
        {"inputs": ["int8:chw32"], "outputs": ["float32"]},
    ]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, (0, 1, 2, 1, 0, 12, 100)),
        ({"axis": 3}, (3, 1, 2, 1, 0, 12, 100)),
        ({"axis": 3.0}, (3, 1, 2, 1, 0, 12, 100)),  # an exporter that writes numbers as floats
        ({"stride": [3, 4]}, (0, 3, 4, 1, 0, 12, 100)),
        ({"stride": 5}, (0, 5, 5, 1, 0, 12, 100)),  # one number stands for all
        ({"step": [6, 7]}, (0, 6, 7, 1, 0, 12, 100)),
        ({"scales": [1.0, 2.0, 3.0]}, (0, 1, 2, 3, 0, 12, 100)),
        ({"scales": []}, (0, 1, 2, 0, 0, 12, 100)),
        ({"sizes": [1, 99]}, (0, 1, 2, 1, 99, 12, 100)),
        ({"mode": "max"}, (0, 1, 2, 1, 0, 3, 100)),
        ({"alpha": 2}, (0, 1, 2, 1, 0, 12, 2000)),
    ],
)
def test_attributes_are_read(face: Face, attributes: dict[str, object], expected: tuple[int, ...]) -> None:
    assert attributes_of(face, **attributes) == expected


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"axis": 0.5}, "attribute 'axis': 0.5 is not an integer"),
        ({"axis": 2**40}, f"attribute 'axis': {2**40} is out of range"),
        ({"axis": [1, 2]}, "attribute 'axis': found 2 values, expected 1"),
        ({"stride": [1, 2, 3]}, "attribute 'stride': found 3 values, expected 2"),
        ({"stride": 0}, "attribute 'stride': found 0, expected a value in [1, inf]"),
        ({"stride": 1, "step": 2}, "attribute 'stride' is given twice, as 'stride' and 'step'"),
        ({"scales": [1.0, float("inf")]}, "attribute 'scales': found inf"),
        ({"scales": [float("nan")]}, "attribute 'scales': found nan"),
        ({"sizes": [101]}, "attribute 'sizes': found 101, expected a value in [0, 100]"),
        ({"mode": 1}, "attribute 'mode': found type int64, expected char"),
        ({"axis": "x"}, "attribute 'axis': found type char, expected numbers"),
        ({"axes": 1}, "unknown attribute 'axes'"),
    ],
)
def test_bad_attributes_are_refused(face: Face, attributes: dict[str, object], message: str) -> None:
    with pytest.raises(FaceError) as refusal:
        attributes_of(face, **attributes)
    assert f"ProbeAttributes: {message}" in str(refusal.value)


def test_required_attribute(face: Face) -> None:
    with pytest.raises(FaceError, match="attribute 'axis' is missing"):
        face.create("ProbeAttributes", **NAMESPACE)


@pytest.mark.parametrize("identity", [{}, {"version": "2"}, {"namespace": "probe"}])
def test_creator_has_version_and_namespace(face: Face, identity: dict[str, str]) -> None:
    with pytest.raises(FaceError, match="no creator of version"):
        face.create("ProbeAttributes", {"axis": 0}, **identity)


def test_shapes_from_dimensions(face: Face) -> None:
    outputs, workspace = face.create("ProbeShapes", {"copies": 3}).infer([tensor(4, 7)], [[5, 6]])
    assert [each.shape for each in outputs] == [(5, 6, 28, 3, 4, 7, 4), (), (28,)]
    assert [each.type for each in outputs] == ["float32", "int64", "int64"]  # the last entry goes on
    assert workspace == 4 * 7 * 4


def test_shape_inputs(face: Face) -> None:
    outputs, _ = face.create("ProbeShapes").infer([tensor(4, 7)], [[5, 6]])
    assert outputs[1].shape == (5, 6)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "found 0 inputs, expected 1 to 2"),
        ([tensor(1, 1)] * 3, "found 3 inputs, expected 1 to 2"),
        ([tensor(4)], "input 0 has rank 1, expected 2"),
        ([tensor(4, 7), tensor(5, type="int32")], "dimension 0 of input 1 is 5, expected 4 (as long as x)"),
        ([tensor(4, 7, type="float32")], "no signature takes inputs of types (float32)"),
        ([tensor(4, 7), tensor(4)], "no signature takes inputs of types (float16, float16)"),
        ([tensor(4, 0)], "dimension 1 of an output would be -1"),
        ([tensor(-1, 2)], "dimension 0 of tensor 0 is -1"),
        ([tensor(2**21, 2**20)], "input 0 has more elements than any memory: [2097152, 1048576]"),
        ([tensor(0, 2**62)], "input 0 has more elements than any memory"),
    ],
)
def test_inputs_that_do_not_fit(face: Face, inputs: list[TensorSpec], message: str) -> None:
    with pytest.raises(FaceError) as refusal:
        face.create("ProbeShapes").infer(inputs)
    assert message in str(refusal.value)


def test_sizes_that_only_an_output_would_have(face: Face) -> None:
    with pytest.raises(FaceError, match="output 1 has more elements than any memory"):
        face.create("ProbeShapes").infer([tensor(4, 7)], [[2**30, 2**30]])


def test_nulls_are_refused(face: Face) -> None:
    table, plugin, size = face.table, face.create("ProbeShapes"), ctypes.c_uint64()
    name, made = b"ProbeShapes", ctypes.c_void_p()
    for status, words in (
        (lambda: table.create(name, b"1", b"", None, 2, ctypes.byref(made)), b"a list of 2, which is null"),
        (lambda: table.create(name, b"1", b"", None, -2, ctypes.byref(made)), b"a list of -2"),
        (lambda: table.output_count(None), b"no plugin"),
        (lambda: table.infer(None, None, 0, None, 0, None, 0, ctypes.byref(size)), b"no plugin"),
        (lambda: table.infer(plugin._handle, None, 1, None, 0, None, 0, ctypes.byref(size)), b"a list of 1, which is"),
        (lambda: table.infer(plugin._handle, None, 0, None, 3, None, 0, ctypes.byref(size)), b"a list of 3, which is"),
        (lambda: table.enqueue(None, None, 0, None, 0, None, 0, None, None), b"no plugin"),
        (lambda: table.enqueue(plugin._handle, None, 1, None, 0, None, 0, None, None), b"a list of 1, which is null"),
    ):
        assert status() == -1
        assert words in table.last_error()
    assert made.value is None
    table.destroy(None)


DIMENSIONS = """
#include <trtreg/shape.h>
extern "C" __attribute__((visibility("default"))) bool refuses(int operation) {
  trtreg::Dim const most(INT64_MAX), least(INT64_MIN), two(2), minus_one(-1);
  try {
    switch (operation) {
      case 0: most + two; break;
      case 1: least - two; break;
      case 2: most * two; break;
      case 3: floor_div(least, minus_one); break;
      case 4: ceil_div(least, minus_one); break;
      case 5: floor_div(most, trtreg::Dim(0)); break;
    }
  } catch (trtreg::Error const&) {
    return true;
  }
  return false;
}
"""


def test_dimensions_do_not_overflow(compile_library: Callable[..., Path]) -> None:
    library = ctypes.CDLL(str(compile_library(DIMENSIONS)))
    library.refuses.restype = ctypes.c_bool
    assert [library.refuses(operation) for operation in range(6)] == [True] * 6
    assert not library.refuses(99)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("shapes", "ProbeThrows: shapes said no"),
        ("shapes with an int", "ProbeThrows: an exception of an unknown kind"),
        ("workspace", "ProbeThrows: workspace said no"),
    ],
)
def test_no_exception_crosses_the_boundary(face: Face, where: str, message: str) -> None:
    with pytest.raises(FaceError) as refusal:
        face.create("ProbeThrows", {"where": where}).infer([tensor(1, type="float32")])
    assert str(refusal.value) == message


def test_enqueue_checks_tensors_first(face: Face) -> None:
    plugin = face.create("ProbeThrows")
    memory = ctypes.addressof(ctypes.create_string_buffer(64))  # never read: the plugin throws
    one = TensorSpec(type="float32", shape=(2, 3), data=memory)
    other = TensorSpec(type="float32", shape=(3, 2), data=memory)
    with pytest.raises(FaceError, match=r"output 0 is float32\[3, 2\], expected float32\[2, 3\]"):
        plugin.enqueue([one], [other])
    with pytest.raises(FaceError, match="found 0 outputs, expected 1"):
        plugin.enqueue([one], [])
    with pytest.raises(FaceError, match="output 0 has no memory"):
        plugin.enqueue([one], [TensorSpec(type="float32", shape=(2, 3))])
    with pytest.raises(FaceError, match="input 0 has no memory"):
        plugin.enqueue([TensorSpec(type="float32", shape=(2, 3))], [one])
    with pytest.raises(FaceError, match="enqueue said no"):
        plugin.enqueue([one], [one])


def test_enqueue_of_nothing_does_not_reach_the_plugin(face: Face) -> None:
    empty = TensorSpec(type="float32", shape=(0, 3))
    face.create("ProbeThrows").enqueue([empty], [empty])


def test_unknown_version_of_the_face(library: Path) -> None:
    opened = ctypes.CDLL(str(library))
    opened.trtreg_get_face.restype = ctypes.c_void_p
    assert opened.trtreg_get_face(2) is None
    assert opened.trtreg_get_face(1) is not None


def test_not_a_plugin_library(tmp_path: Path) -> None:
    text = tmp_path / "lib.so"
    text.write_text("no library")
    with pytest.raises(FaceError, match="has no trtreg face"):
        Face(text)
    with pytest.raises(FaceError, match="has no trtreg face"):
        Face("libm.so.6")


@pytest.fixture(scope="module")
def builder(compile_library: Callable[..., Path]) -> ctypes.CDLL:
    flags = ("-Wl,-z,defs", "-Wall", "-Wextra", "-Werror", "-ldl", "-lrt", "-lpthread")
    return ctypes.CDLL(str(compile_library("builder.cpp", str(toolchain.find().nvcc.cudart), *flags)))


def drive(library: ctypes.CDLL, kind: int, size: int, tactic: int) -> tuple[list[int], str, int]:
    """What a builder is told, what it keeps the times by, and the tactic of a call."""
    tactics, ran, text = (ctypes.c_int32 * 8)(), ctypes.c_int32(-1), ctypes.create_string_buffer(256)
    count = library.drive(kind, ctypes.c_int64(size), tactic, tactics, text, ctypes.byref(ran))
    assert count >= 0
    return tactics[:count], text.value.decode(), ran.value


def test_tactics_are_offered_and_used(builder: ctypes.CDLL) -> None:
    assert drive(builder, 1, 7, 7) == ([2, 7], "::ByTactic 1, axis=[3]", 7)
    assert drive(builder, 1, 5, 0) == ([2, 5], "::ByTactic 1, axis=[3]", 0)


def test_without_tactics_nothing_is_kept(builder: ctypes.CDLL) -> None:
    assert drive(builder, 0, 7, 0) == ([], "", 0)


def test_formats_are_offered_together(builder: ctypes.CDLL) -> None:
    linear, hwc8, chw32 = 0, 2, 5
    takes = builder.takes
    takes.restype = ctypes.c_bool
    assert [takes(1, each, -1) for each in (linear, hwc8, chw32)] == [True, True, False]
    assert [takes(0, each, -1) for each in (linear, hwc8, chw32)] == [True, False, False]
    assert [takes(1, hwc8, each) for each in (linear, hwc8, chw32)] == [False, False, True]
    assert [takes(1, linear, each) for each in (linear, hwc8, chw32)] == [True, False, False]


def test_formats_belong_to_a_signature(face: Face) -> None:
    plugin = face.create("ProbeShapes")
    with pytest.raises(FaceError, match=r"no signature takes inputs of types \(float16:hwc8\)"):
        plugin.infer([TensorSpec(type="float16", shape=(2, 3), format="hwc8")])
    (output, *_), _ = plugin.infer([TensorSpec(type="int8", shape=(2, 3), format="chw32")])
    assert (output.type, output.format) == ("float32", "linear")
    with pytest.raises(FaceError, match=r"no signature takes inputs of types \(int8\)"):
        plugin.infer([TensorSpec(type="int8", shape=(2, 3))])
