"""The table of broken plugin packages: each writes one into a folder, as an installer would leave it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["NAME", "OP", "Fault", "Sources", "changed_files", "of_behaviour", "of_dependencies", "of_elf", "of_files",
           "of_manifests", "write"]  # fmt: skip

NAME = "trtplugin-fault"
OP = "TrtregFault"
_MARK = b"TRTREG-FAULT:"
_MARK_SIZE = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """A broken package. `may_load` where it need not do harm; `quick` ones are also tried in CI; `hangs` take long."""

    kind: str
    name: str
    write: Callable[[Path], object]
    may_load: bool = False
    quick: bool = True
    hangs: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """The finished libraries that faults are made of: a sound one, and one that does wrong what it is told."""

    sound: bytes
    broken: bytes
    compile: Callable[..., Path]


def described(library: bytes, op: str = OP, name: str = NAME, **library_facts: Any) -> dict[str, Any]:
    """Make a manifest, as JSON's values, in which all is right."""
    return {
        "schema": 1,
        "package": name,
        "version": "1.0",
        "summary": "",
        "tensorrt": {"full": ">=10", "lean": ">=10", "rtx": ">=1.7"},
        "library": {
            "file": "libplugin.so",
            "sha256": hashlib.sha256(library).hexdigest(),
            "size": len(library),
            "machine": os.uname().machine,
            "glibc": None,
            "needed": [],
            "cuda": None,
            "sms": [],
            "ptx": [],
            "creators": [{"name": op, "version": "1", "namespace": "", "fields": []}],
            **library_facts,
        },
    }


def write(site: Path, library: bytes | None, manifest: dict[str, Any] | bytes | None = None, name: str = NAME) -> Path:
    """Write an installed package; gives its folder."""
    package = site / name.replace("-", "_")
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n", encoding="utf-8")
    if library is not None:
        (package / "libplugin.so").write_bytes(library)
    if manifest is None:
        manifest = described(library or b"", name=name)
    text = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    (package / "trtplugin.json").write_bytes(text)
    info = site / f"{package.name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[trtreg.plugins]\n{name} = {package.name}\n", encoding="utf-8")
    return package


def doing(sources: Sources, what: str) -> bytes:
    """The broken library, told what to do wrong."""
    at = sources.broken.index(_MARK)
    text = (_MARK + what.encode()).ljust(_MARK_SIZE, b"\0")
    return sources.broken[:at] + text + sources.broken[at + _MARK_SIZE :]


# -- what a library does ----------------------------------------------------------------------------------------------

# In each place where TensorRT or the dynamic linker calls a library. "end" is what happens when it is unloaded.
_DEADLY = ("aborts", "segfaults", "divides", "illegal", "killed", "exits-0", "exits-3", "leaves", "execs", "throws",
           "throws-int", "recurses", "allocates")  # fmt: skip
_ENDLESS = ("hangs", "spins", "stopped")
_PLACES = {
    "constructor": (*_DEADLY, *_ENDLESS),
    "initialiser": (*_DEADLY, *_ENDLESS),
    "creators": (*_DEADLY, *_ENDLESS, "recurse-openly", "null-list", "null", "null-second", "none", "negative",
                 "too-many", "garbage", "no-class"),
    "name": ("aborts", "segfaults", "exits-0", "throws", "hangs", "recurses", "null", "empty", "no-text", "garbage"),
    "logger": ("aborts", "segfaults", "throws", "exits-0", "hangs"),
    "version": ("null",),
    "namespace": ("null",),
}  # fmt: skip
# What need not do harm to whoever loads it: to print, to read from a closed input, to fork, to open itself again.
_BEARABLE = {
    "initialiser": ("floods", "reads", "opens-itself", "forks"),
    "creators": ("floods", "opens-itself", "forks", "twice"),
    "fields": ("aborts", "segfaults", "null", "nameless", "negative", "missing"),
    "name": ("long",),
    "end": ("aborts", "segfaults", "exits-0", "throws"),
}
# CI tries those of most different ends; `make faults` all.
_QUICK = {"constructor-aborts", "initialiser-exits-0", "initialiser-hangs", "initialiser-recurses",
          "initialiser-allocates", "creators-throws", "creators-segfaults", "creators-null", "creators-null-list",
          "creators-negative", "creators-twice", "creators-garbage", "name-null", "name-garbage", "logger-aborts",
          "initialiser-floods", "end-aborts"}  # fmt: skip


def of_behaviour(sources: Sources) -> Iterator[Fault]:
    """Libraries that are whole, and do wrong when they are opened, asked or unloaded."""
    for table, bearable in ((_PLACES, False), (_BEARABLE, True)):
        for place, ways in table.items():
            for way in ways:
                name = f"{place}-{way}"
                library = doing(sources, name)
                yield Fault(
                    kind={"constructor": "initialiser", "creators": "getCreators", "end": "unloading"}.get(
                        place, "initialiser" if place == "initialiser" else "creator or logger"
                    ),
                    name=name,
                    write=lambda site, library=library: write(site, library),  # type: ignore[misc]
                    may_load=bearable,
                    quick=name in _QUICK,
                    hangs=way in _ENDLESS,
                )


# -- what a file is ---------------------------------------------------------------------------------------------------


class Image:
    """An ELF file of 64 bits, little-endian, to be changed in named places."""

    def __init__(self, content: bytes) -> None:
        self.bytes = bytearray(content)

    def get(self, form: str, at: int) -> int:
        return int(struct.unpack_from(f"<{form}", self.bytes, at)[0])

    def put(self, form: str, at: int, value: int) -> Image:
        struct.pack_into(f"<{form}", self.bytes, at, value)
        return self

    def segments(self, kind: int) -> list[int]:
        """Where the program headers of this type stand."""
        first, size, count = self.get("Q", 32), self.get("H", 54), self.get("H", 56)
        return [at for at in range(first, first + size * count, size) if self.get("I", at) == kind]

    def dynamic(self, tag: int) -> int:
        """Where the entry of the dynamic section with this tag stands."""
        (segment,) = self.segments(2)
        at = self.get("Q", segment + 8)
        while self.get("Q", at) not in {0, tag}:
            at += 16
        return at


def _elf(sources: Sources) -> Iterator[tuple[str, bytes, bool]]:
    def image() -> Image:
        return Image(sources.sound)

    far, huge = 1 << 40, 1 << 62
    other = {"x86_64": 183, "aarch64": 62}[os.uname().machine]
    for name, form, at, value, may in (
        ("class of 32 bits", "B", 4, 1, False),
        ("no class", "B", 4, 0, False),
        ("big-endian", "B", 5, 2, False),
        ("no byte order", "B", 5, 7, False),
        ("a version of the future", "B", 6, 9, False),
        ("another system's ABI", "B", 7, 9, True),
        ("an object file", "H", 16, 1, False),
        ("a program", "H", 16, 2, False),
        ("a core", "H", 16, 4, False),
        ("no type", "H", 16, 0, False),
        ("another machine", "H", 18, other, False),
        ("a machine that never was", "H", 18, 0xFFF0, False),
        ("a file version of the future", "I", 20, 77, False),
        ("program headers behind the end", "Q", 32, far, False),
        ("program headers nowhere", "Q", 32, (1 << 64) - 8, False),
        ("no program headers", "H", 56, 0, False),
        ("65535 program headers", "H", 56, 0xFFFF, False),
        ("program headers of no size", "H", 54, 0, False),
        ("program headers of another size", "H", 54, 40, False),
        ("section headers behind the end", "Q", 40, far, True),
        ("65535 section headers", "H", 60, 0xFFFF, True),
    ):
        yield name, bytes(image().put(form, at, value).bytes), may
    load, dynamic = image().segments(1), image().segments(2)[0]
    for name, form, at, value, may in (
        ("a segment longer than the file", "Q", load[1] + 32, far, False),
        ("a segment behind the end", "Q", load[1] + 8, far, False),
        ("a segment of 2**62 bytes of memory", "Q", load[3] + 40, huge, False),
        ("a segment of one terabyte of memory", "Q", load[3] + 40, 1 << 40, True),
        ("a segment smaller in memory than in the file", "Q", load[3] + 40, 1, False),
        ("a segment at an odd place", "Q", load[1] + 16, 0x1003, False),
        ("segments in a wrong order", "Q", load[0] + 16, 1 << 30, False),
        ("code that may not run", "I", load[1] + 4, 4, False),
        ("no segment to load", "I", load[0], 0, False),
        ("no dynamic section", "I", dynamic, 0, False),
        ("a dynamic section behind the end", "Q", dynamic + 8, far, False),
        ("a dynamic section at no address", "Q", dynamic + 16, far, False),
        ("an empty dynamic section", "Q", image().get("Q", dynamic + 8), 0, False),
    ):
        yield name, bytes(image().put(form, at, value).bytes), may
    for word, tag in (("string table", 5), ("symbol table", 6), ("hash table", 0x6FFFFEF5), ("relocations", 7),
                      ("relocations' size", 8), ("procedure linkage", 0x17), ("initialisers", 25),
                      ("initialisers' size", 27), ("init function", 12), ("fini function", 13),
                      ("finalisers", 26), ("finalisers' size", 28), ("symbol versions", 0x6FFFFFF0),
                      ("needed versions", 0x6FFFFFFE), ("string table's size", 10)):  # fmt: skip
        at = image().dynamic(tag)
        if image().get("Q", at) != tag:
            continue
        for how, value in (("far away", far), ("odd", 0x1234567), ("zero", 0)):
            # Nothing is called at zero, and what is unloaded is not looked at by all linkers.
            may = how == "zero" or word in {"string table's size", "finalisers", "finalisers' size", "fini function"}
            yield f"{word} {how}", bytes(image().put("Q", at + 8, value).bytes), may


def of_elf(sources: Sources) -> Iterator[Fault]:
    """Files that are damaged or not what they should be, with the hash of just that file in the manifest."""

    def fault(kind: str, name: str, library: bytes, *, may: bool, quick: bool = True) -> Fault:
        return Fault(kind=kind, name=name, write=lambda site: write(site, library), may_load=may, quick=quick)

    for number, (name, library, may) in enumerate(_elf(sources)):
        yield fault("wrong ELF file", name, library, may=may, quick=number % 3 == 0)
    for name, library in {
        "empty": b"",
        "text": b"not a library\n",
        "the magic number only": b"\x7fELF",
        "zeros": bytes(20000),
        "a script": b"#!/bin/sh\nexit 0\n",
        "an archive of objects": b"!<arch>\n" + bytes(100),
        "a linker script": b"INPUT(libc.so.6)\n",
        "a zip file": b"PK\x03\x04" + bytes(100),
        "the library, zipped twice over": sources.sound[::-1],
    }.items():
        yield fault("no ELF file", name, library, may=False)
    for size in range(0, len(sources.sound), 1024):
        # Behind the last segment only section headers are lost, which nobody needs to load it.
        yield fault("cut off at each kilobyte", f"{size} bytes", sources.sound[:size], may=True, quick=size % 4096 == 0)
    draw = random.Random(6)  # noqa: S311 - the same bytes each time
    for number in range(300):
        library = bytearray(sources.sound)
        # The file's header and tables more often than chance would have it.
        end = 4096 if number % 2 else len(library)
        places = [draw.randrange(end) for _ in range(1 + number % 3)]
        for place in places:
            library[place] ^= 1 << draw.randrange(8)
        name = f"{number}: bytes {', '.join(map(str, places))}"
        yield fault("flipped bits", name, bytes(library), may=True, quick=number < 12)


def changed_files(sources: Sources) -> Iterator[Fault]:
    """Files that are not those that the manifest describes."""
    true = described(sources.sound, op="TrtregSound")
    for size in range(0, len(sources.sound), 1024):
        yield Fault(
            kind="stale hash", name=f"cut off at {size} bytes", quick=size % 4096 == 0,
            write=lambda site, size=size: write(site, sources.sound[:size], true),  # type: ignore[misc]
        )  # fmt: skip
    draw = random.Random(7)  # noqa: S311 - the same bytes each time
    for number in range(40):
        place = draw.randrange(len(sources.sound))
        library = bytearray(sources.sound)
        library[place] ^= 1 << draw.randrange(8)
        yield Fault(
            kind="stale hash", name=f"flipped bit at {place}", quick=number < 3,
            write=lambda site, library=bytes(library): write(site, library, true),  # type: ignore[misc]
        )  # fmt: skip
    for name, library in {
        "another library": doing(sources, "initialiser-aborts"),
        "a byte more": sources.sound + b"\0",
        "nothing left": b"",
    }.items():
        yield Fault(kind="stale hash", name=name, write=lambda site, library=library: write(site, library, true))  # type: ignore[misc]


# -- what is around it ------------------------------------------------------------------------------------------------


def of_dependencies(sources: Sources) -> Iterator[Fault]:
    """Libraries that need what is not there, or offer what nobody can use."""
    export = 'extern "C" __attribute__((visibility("default"))) '
    library = sources.compile(export + "int leaf() { return 1; }", "-Wl,-soname,libtrtreg-fault-leaf.so")
    branch = sources.compile(
        'extern "C" int leaf(); ' + export + "int branch() { return leaf(); }",
        *(str(library), "-Wl,-soname,libtrtreg-fault-branch.so"),
    )
    named = f'-DCREATORS=Creator{{"{OP}", "1", ""}}'
    beside = "-Wl,--disable-new-dtags,-rpath,$ORIGIN"

    def made(source: str, *flags: str) -> bytes:
        return sources.compile(source, *flags).read_bytes()

    def fault(name: str, content: bytes, *others: tuple[str, bytes], quick: bool = True, may: bool = False) -> Fault:
        def put(site: Path) -> None:
            package = write(site, content)
            for file, data in others:
                (package / file).write_bytes(data)

        return Fault(kind="dependencies and symbols", name=name, write=put, quick=quick, may_load=may)

    needs = made("creators.cpp", named, "-DNEEDS=branch", str(branch), beside)
    yield fault("a library that is not there", needs)
    yield fault("a library that another one needs", needs, ("libtrtreg-fault-branch.so", branch.read_bytes()))
    yield fault("a library that is cut off", needs, ("libtrtreg-fault-branch.so", branch.read_bytes()[:5000]))
    yield fault("a library that is text", needs, ("libtrtreg-fault-branch.so", b"no library"), quick=False)
    yield fault("a library that is empty", needs, ("libtrtreg-fault-branch.so", b""), quick=False)
    yield fault(
        "a library that aborts", needs,
        ("libtrtreg-fault-branch.so",
         made(export + "int branch() { return 1; } void abort(); __attribute__((constructor)) void f() { abort(); }"
              .replace("void abort()", 'extern "C" void abort()'), "-Wl,-soname,libtrtreg-fault-branch.so")),
    )  # fmt: skip
    now = "-Wl,-z,now"
    yield fault("a symbol that nobody has", made("creators.cpp", named, "-DNEEDS=trtreg_nobody_has_it", now))
    yield fault(
        "a symbol looked up late that nobody has", made("creators.cpp", named, "-DNEEDS=trtreg_nobody"), may=True
    )
    yield fault("no getCreators", made(export + "int f() { return 1; }"))
    yield fault("a hidden getCreators", made('extern "C" int getCreators() { return 1; }'))
    yield fault("a getCreators that is a number", made(export + "int getCreators = 7;"))
    yield fault("a getCreators of a thread", made(export + "thread_local int getCreators = 7;"))
    yield fault("a getCreators that is not defined", made('extern "C" int getCreators(int&); ' + export + "int f() "
                "{ int n; return getCreators(n); }"))  # fmt: skip
    yield fault("another creator than declared", made("creators.cpp", '-DCREATORS=Creator{"Other", "1", ""}'))
    yield fault("another version than declared", made("creators.cpp", f'-DCREATORS=Creator{{"{OP}", "2", ""}}'))
    # TensorRT takes the first of them.
    twice = f'-DCREATORS=Creator{{"{OP}", "1", ""}}, Creator{{"{OP}", "1", ""}}'
    yield fault("a creator twice", made("creators.cpp", twice), may=True)
    taken = '-DCREATORS=Creator{"ROIAlign_TRT", "2", ""}'  # TensorRT-RTX has it
    yield fault("a creator of TensorRT itself", made("creators.cpp", taken))


def of_files(sources: Sources) -> Iterator[Fault]:
    """A library that is no plain file, or cannot be had."""
    sound = described(sources.sound, op="TrtregSound")

    def fault(name: str, put: Callable[[Path], object], *, may: bool = False) -> Fault:
        def prepare(site: Path) -> None:
            library = write(site, sources.sound, sound) / "libplugin.so"
            library.unlink()
            put(library)

        return Fault(kind="no plain file", name=name, write=prepare, may_load=may)

    def linked(path: Path) -> None:
        path.symlink_to(path.with_name("other.so"))
        path.with_name("other.so").symlink_to(path)

    def unreadable(path: Path) -> None:
        path.write_bytes(sources.sound)
        path.chmod(0)

    def socketed(path: Path) -> None:
        here = Path.cwd()
        os.chdir(path.parent)  # the name of a socket has a hundred letters at most
        try:
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path.name)
        finally:
            os.chdir(here)

    def closed(path: Path) -> None:
        path.write_bytes(sources.sound)
        path.parent.chmod(0)

    yield fault("gone", lambda path: None)
    yield fault("a link to nothing", lambda path: path.symlink_to("nothing.so"))
    yield fault("a link to itself", linked)
    yield fault("a folder", lambda path: path.mkdir())
    yield fault("a pipe", os.mkfifo)
    yield fault("a socket", socketed)
    yield fault("endless zeros", lambda path: path.symlink_to("/dev/zero"))
    yield fault("a terminal", lambda path: path.symlink_to("/dev/tty"))
    yield fault("memory of the process", lambda path: path.symlink_to("/proc/self/mem"))
    yield fault("no right to read", unreadable)
    yield fault("no right to enter the folder", closed)
    yield Fault(kind="no plain file", name="the whole package gone", write=lambda site: shutil.rmtree(
        write(site, sources.sound, sound)))  # fmt: skip


def of_manifests(sources: Sources) -> Iterator[Fault]:
    """Manifests that are no JSON, not of the schema, or of another package."""
    library = doing(sources, "none")
    good = described(library)

    def fault(name: str, text: bytes | dict[str, Any], *, may: bool = False) -> Fault:
        return Fault(kind="manifest", name=name, write=lambda site: write(site, library, text), may_load=may)

    def with_library(**facts: Any) -> dict[str, Any]:
        return {**good, "library": {**good["library"], **facts}}

    text = json.dumps(good).encode()
    for name, content in {
        "empty": b"",
        "cut off": text[: len(text) // 2],
        "no JSON": b"plugin: yes\n",
        "no text": b"\xff\xfe\x00",
        "a list": b"[]",
        "a number": b"1",
        "nested a hundred thousand deep": b"[" * 100_000,
        "a number of five thousand digits": text.replace(b'"schema": 1', b'"schema": ' + b"1" * 5000),
        "not a number": text.replace(b'"schema": 1', b'"schema": NaN'),
        "infinite": text.replace(b'"schema": 1', b'"schema": 1e999'),
        "half a surrogate": text.replace(OP.encode(), b"\\ud800"),
    }.items():
        yield fault(name, content)
    for key in good:
        missing = {other: value for other, value in good.items() if other != key}
        yield fault(f"no {key}", missing, may=key == "summary")
    for key in ("file", "sha256", "size", "machine", "creators"):
        missing = {other: value for other, value in good["library"].items() if other != key}
        yield fault(f"no library.{key}", {**good, "library": missing})
    for name, changed in {
        "schema of the future": {**good, "schema": 99},
        "schema that is true": {**good, "schema": True},
        "another package": {**good, "package": "trtplugin-other"},
        "another version": {**good, "version": "2.0"},
        "no version specifier": {**good, "tensorrt": {"rtx": "new enough", "lean": "new enough", "full": "yes"}},
        "no TensorRT fits": {**good, "tensorrt": {"rtx": ">=99", "lean": ">=99", "full": ">=99"}},
        "an unknown flavour": {**good, "tensorrt": {"strawberry": ">=1"}},
        "a library elsewhere": with_library(file="../../libplugin.so"),
        "an absolute library": with_library(file="/lib/x86_64-linux-gnu/libc.so.6"),
        "a library named ..": with_library(file=".."),
        "a library of no name": with_library(file=""),
        "a library with a zero in its name": with_library(file="lib\0plugin.so"),
        "a library of a thousand letters": with_library(file="x" * 1000),
        "a wrong size": with_library(size=1),
        "a negative size": with_library(size=-1),
        "no hash": with_library(sha256="none"),
        "another machine": with_library(machine="riscv64"),
        "a glibc of the future": with_library(glibc="99.0"),
        "no creators": with_library(creators=[]),
        "creators twice": with_library(creators=good["library"]["creators"] * 2),
        "creators of no name": with_library(creators=[{"name": "", "version": "1"}]),
        "a registration that is none": with_library(registration="magic"),
        "an init function that is none": with_library(registration="init", init="a b"),
        "an init function that is not there": with_library(registration="init", init="initNothing"),
        "an init function that is data": with_library(registration="init", init="getCreators", file="libplugin.so"),
        "a library that registers itself, and does not": with_library(registration="static"),
    }.items():
        yield fault(name, changed, may=name in {"no creators", "creators twice"})
