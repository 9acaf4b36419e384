"""What fuzzing, and reading the readers as their enemy, has found: each was a crash, a hang or a way around, once."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from trtreg import embedded

from .readers import JOINT, OURS, TARGETS, attempt, library, manifest_of, members, pack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def manifest(**changes: Any) -> bytes:
    """Make a manifest; `changes` are of its library, or of the whole."""
    made = manifest_of()
    for key, value in changes.items():
        (made["library"] if key in made["library"] else made)[key] = value
    return json.dumps(made).encode()


def creator(**changes: Any) -> list[dict[str, Any]]:
    return [{"name": "One", "version": "1", **changes}]


def texts(number: int, text: bytes) -> bytes:
    """Make the texts of a wheel, of which one is another: METADATA, entry points, manifest, RECORD."""
    parts = TARGETS["wheel-texts"].seeds()[0].split(JOINT)
    parts[number] = text
    return JOINT.join(parts)


def wheel(kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    return pack(members(), compression=kind)


def damaged_lzma() -> bytes:
    data = bytearray(wheel(zipfile.ZIP_LZMA))
    at = data.index(b"METADATA") + 20
    data[at : at + 30] = b"\xff" * 30
    return bytes(data)


def end_of_zip64(at: int) -> bytes:
    """Say that the directory's own end lies where no file reaches."""
    data = wheel()
    return data[:-22] + struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1) + data[-22:]


def chain_of_functions(length: int) -> bytes:
    import onnx
    from onnx import helper

    opset = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    functions = [
        helper.make_function("local", f"f{i}", ["x"], ["y"], [helper.make_node(f"f{i + 1}", ["x"], ["y"])], opset)
        for i in range(length)
    ]
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("f0", ["x"], ["y"], domain="local")], "g", [value], [])
    return bytes(helper.make_model(graph, functions=functions, opset_imports=opset).SerializeToString())


def model(info: str) -> bytes:
    from onnx import helper

    node = helper.make_node("Plugin", ["x"], ["output"], info=info)
    node.attribute.extend([helper.make_attribute("name", "One")])
    graph = helper.make_graph([node], "g", [], [])
    return bytes(helper.make_model(graph).SerializeToString())


def elf(at: int, layout: str, value: int, file: bytes | None = None) -> bytes:
    """Make a library in which one number is another."""
    data = bytearray(library() if file is None else file)
    struct.pack_into(layout, data, at, value)
    return bytes(data)


def section(name: str, file: bytes | None = None) -> int:
    """Find where the header of a section stands."""
    import io

    from elftools.elf.elffile import ELFFile

    parsed = ELFFile(io.BytesIO(library() if file is None else file))
    index = parsed.get_section_index(name)
    return int(parsed["e_shoff"] + index * 64)


def ring_of_versions() -> bytes:
    """Say that there are four thousand million symbol versions, each of which is the first."""
    return elf(section(".gnu.version_r") + 44, "<I", 2**32 - 1)


def statement(version: bytes) -> bytes:
    return TARGETS["statement"].seeds()[0].replace(b"trtplugin_one-1.0-", b"trtplugin_one-" + version + b"-")


def compressed_code() -> bytes:
    """Make a section of 300 MiB out of 300 KiB."""
    size = 300 << 20
    file = library(code=struct.pack("<IIQQ", 1, 0, size, 1) + zlib.compress(bytes(size), 1))
    return elf(section(".nv_fatbin", file) + 8, "<Q", 0x802, file)


def long_names() -> bytes:
    """Make thousands of symbols that have the same name: half a megabyte of it."""
    file = library(name=b"n" * 600_000)
    data, head = bytearray(file), section(".dynsym", file)
    count = 8000
    at = len(data)
    data += bytes(24) + struct.pack("<IBBHQQ", 1, 0x12, 0, 7, 0x1000, 16) * count
    chain = len(data)
    data += struct.pack("<2I", 1, count + 1) + bytes(4 * (count + 2))
    start = struct.unpack_from("<Q", file, 120 + 8)[0]  # of the dynamic segment
    for tag in range(start, len(file), 16):
        what = struct.unpack_from("<q", file, tag)[0]
        if what == 0:
            break
        if what in {4, 6}:
            struct.pack_into("<Q", data, tag + 8, chain if what == 4 else at)
    struct.pack_into("<QQ", data, 64 + 32, len(data), len(data))
    struct.pack_into("<QQ", data, head + 24, at, 24 * (count + 1))
    return bytes(data)


FOUND: dict[str, tuple[str, Callable[[], bytes]]] = {
    # OverflowError of math.isfinite
    "a default beyond all floats": (
        "manifest",
        lambda: manifest(creators=creator(fields=[{"name": "a", "type": "int32", "default": [10**400]}])),
    ),
    # UnicodeEncodeError wherever it was shown or written
    "half of a surrogate pair in a name": ("manifest", lambda: manifest(creators=creator(name="\ud800"))),
    "half of a surrogate pair in a summary": ("manifest", lambda: manifest(summary="\ud800")),
    "half of a surrogate pair in an engine's lock": (
        "engine-lock",
        lambda: TARGETS["engine-lock"].seeds()[0].replace(b'"One"', rb'"\ud800"'),
    ),
    # ValueError of int(), in `trtreg list` and `trtreg doctor`: one package was enough to stop both
    "a specifier of thousands of digits": ("manifest", lambda: manifest(tensorrt={"rtx": ">=" + "9" * 5000})),
    "a version of thousands of digits": ("manifest", lambda: manifest(version="9" * 5000)),
    "a glibc of thousands of digits": ("manifest", lambda: manifest(glibc="2." + "9" * 5000)),
    "an SM of thousands of digits": ("manifest", lambda: manifest(sms=["9" * 5000 + ".0"])),
    # lzma.LZMAError, TypeError of importlib.metadata
    "a member whose LZMA is damaged": ("wheel", damaged_lzma),
    "an entry point without a value": ("wheel-texts", lambda: texts(1, b"[trtreg.plugins]\ntrtplugin-one\n")),
    # _csv.Error, ValueError of int(), OverflowError of seek()
    "a field of RECORD that is too long": ("index-wheel-texts", lambda: texts(3, b"x" * 140_000)),
    "METADATA with a version of thousands of digits": (
        "index-wheel-texts",
        lambda: texts(0, b"Metadata-Version: 2.4\nName: trtplugin-one\nVersion: " + b"9" * 5000 + b"\n"),
    ),
    "a ZIP64 directory beyond all files": ("index-wheel", lambda: end_of_zip64(2**64 - 1)),
    # RecursionError
    "a chain of a thousand functions": ("scan", lambda: chain_of_functions(1000)),
    "an attribute info that is nested too deeply": ("scan", lambda: model("[" * 100_000)),
    # TypeError: protobuf gives bytes where a string is no UTF-8
    "an output whose name is not UTF-8": ("scan", lambda: model("[").replace(b"output", b"out\xffut")),
    # OverflowError of float(), UnicodeEncodeError of protobuf
    "a number in info beyond all floats": ("scan", lambda: model('{"scale": [1' + "0" * 400 + "]}")),
    "half of a surrogate pair in info": ("scan", lambda: model(r'{"mode": "\ud800"}')),
    # pyelftools does what the file says: for hours, or with gigabytes
    "a ring of symbol versions": ("elf-of-sdk", ring_of_versions),
    "thousands of symbols of one long name": ("elf", long_names),
    "GPU code that unpacks to a thousand times its size": ("elf-of-sdk", compressed_code),
    # ValueError of pathlib, urllib and packaging
    "a path with a null in a lock": (
        "pylock",
        lambda: TARGETS["pylock"].seeds()[1].replace(b'path = "files/', rb'path = "\u0000'),
    ),
    "a URL of half an IPv6 address in a lock": (
        "pylock",
        lambda: TARGETS["pylock"].seeds()[0].replace(b"https://example.org/files/", b"http://[::1/"),
    ),
    # ValueError of int() and UnicodeEncodeError, in what whoever signed may have written
    "an attested file name of thousands of digits": ("statement", lambda: statement(b"9" * 5000)),
    "half of a surrogate pair in an attested file name": ("statement", lambda: statement(rb"\ud800")),
    # UnicodeDecodeError of sqlite3
    "a cached catalogue whose tables have no text for names": (
        "cached-catalogue",
        lambda: TARGETS["cached-catalogue"].seeds()[0].replace(b"CREATE TABLE meta", b"CREATE TABL\xff meta"),
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_it_is_an_error_of_ours_now(name: str, tmp_path: Path) -> None:
    target, make = FOUND[name]
    attempt(TARGETS[target], make(), tmp_path)
    with pytest.raises(OURS()):
        TARGETS[target].run(make(), tmp_path)


def test_an_engine_of_decoys_is_read_in_time(tmp_path: Path) -> None:
    # Headers that each name 65535 segments and sections, all of them in the same place: it took hours.
    ident, most = b"\x7fELF\x02\x01\x01" + bytes(9), 65535
    head = struct.pack("<16sHHIQQQIHHHHHH", ident, 3, 62, 1, 0, 64, 64, 0, 64, 56, most, 64, most, 0)
    attempt(TARGETS["embedded"], head * 2000 + bytes((56 + 64) * most), tmp_path)


HIDDEN = {
    # In a file: what the dynamic linker does not look at. Each hid a library from us that TensorRT would have opened.
    "sections far beyond the end": (40, "<Q", 1 << 40),
    "more sections than there are": (60, "<H", 65535),
    "a note that lies nowhere": (None, "<Q", 1 << 40),
}


@pytest.mark.parametrize("name", [*HIDDEN, "without its last byte"])
def test_a_library_in_an_engine_cannot_hide(name: str, compile_library: Callable[..., Path], tmp_path: Path) -> None:
    source = 'extern "C" __attribute__((visibility("default"))) int seven() { return 7; }'
    data = bytearray(compile_library(source).read_bytes())
    assert len(embedded.find(b"ftrt" + data)) == 1
    if name in HIDDEN:
        at, layout, value = HIDDEN[name]
        struct.pack_into(layout, data, note_of(data) + 32 if at is None else at, value)
    else:
        del data[-1]
    path = tmp_path / "hidden.so"
    path.write_bytes(data)
    code = "import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).seven())"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert done.stdout == "7\n", done.stderr  # it is a library to the dynamic linker
    assert len(embedded.find(b"ftrt" + data)) == 1
    assert embedded.without(b"ftrt" + data).startswith(b"ftrt")


def note_of(data: bytearray) -> int:
    """Find a segment that the dynamic linker has no use for."""
    table, count = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
    return next(at for at in range(table, table + 56 * count, 56) if struct.unpack_from("<I", data, at)[0] == 4)
