"""The readers of what others wrote, each as a function of bytes; `attempt` holds them to the rule.

A reader gives a result or an error of ours, whatever the bytes: within bounded time and memory, without a file written,
a process started or a connection opened. What it gave must be of use: a manifest that was read can be written, a
catalogue searched.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import struct
import sys
import time
import tracemalloc
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wheel_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["JOINT", "OURS", "TARGETS", "BrokenRuleError", "Target", "attempt", "words_of"]

JOINT = b"\n--fuzz--\n"
"""Stands between the parts of an input that a target puts together itself, such as the members of a wheel."""

CPU_SECONDS = 10.0
"""Processor time that one input may take: hundreds of times what a bad one takes, to be sure on a busy machine."""

MEMORY = 256 << 20
"""Bytes that Python may have allocated at once for an input of up to a mebibyte."""


class BrokenRuleError(AssertionError):
    """A reader did what no input may make it do."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A reader: `run` gets an input and a folder to put it in; `seeds` are sound inputs, `words` parts of them."""

    name: str
    run: Callable[[bytes, Path], None]
    seeds: Callable[[], tuple[bytes, ...]]
    words: tuple[bytes, ...] = ()
    is_json: bool = False


@cache
def OURS() -> tuple[type[Exception], ...]:  # noqa: N802 - a constant whose imports can wait
    from trtreg._elf import BadElfError
    from trtreg.errors import TrtregError
    from trtreg.index.refusal import Refusal

    return TrtregError, BadElfError, Refusal


# ------------------------------------------------------------------------------------------------------------ the rule
_watched: list[str] = []  # events that broke the rule; only while `_watching` has the folder that is exempt
_watching: list[str] = []
_CHANGES = frozenset({
    "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.chown", "os.truncate",
    "os.utime", "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect",
    "shutil.copyfile", "shutil.rmtree", "ctypes.dlopen", "pty.spawn",
})  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    if event == "open":
        path, mode, flags = arguments
        writes = bool(set(mode or "") & set("wax+")) or bool((flags or 0) & _WRITING)
        if writes and path != os.devnull:
            _watched.append(f"open {path!r} {mode} {flags}")
    elif event == "sqlite3.connect":
        if str(arguments[0]) != ":memory:" and _watching[0] not in str(arguments[0]):
            _watched.append(f"{event} {arguments!r}")
    elif event in _CHANGES:
        _watched.append(f"{event} {arguments!r}")


@cache
def _install_audit() -> None:
    sys.addaudithook(_audit)  # cannot be taken away again, but is idle while nothing is watched


@contextmanager
def _unwatched() -> Iterator[None]:
    was, _watching[:] = [*_watching], []
    try:
        yield
    finally:
        _watching[:] = was


def attempt(target: Target, data: bytes, folder: Path, *, measure: bool = True) -> bool:
    """Give the input to the reader; whether it took it. BrokenRuleError, or the reader's own exception, is a find.

    `measure=False` leaves time and memory to whoever runs this process.
    """
    _install_audit()
    _warm(target, folder)
    _watched.clear()
    _watching[:] = [str(folder)]
    if measure:
        tracemalloc.start()
    begin, taken = time.process_time(), True
    try:
        target.run(data, folder)
    except OURS() as error:
        taken = False
        said = str(error)
        said.encode()  # can be shown on any terminal
        if not said.strip():
            raise BrokenRuleError(f"{type(error).__name__} says nothing") from error
    finally:
        seconds = time.process_time() - begin
        peak = tracemalloc.get_traced_memory()[1] if measure else 0
        if measure:
            tracemalloc.stop()
        _watching.clear()
    if _watched:
        raise BrokenRuleError(f"{target.name} touched something: {'; '.join(_watched)}")
    if measure and seconds > CPU_SECONDS:
        raise BrokenRuleError(f"{target.name} took {seconds:.1f} s for {len(data)} bytes")
    if measure and peak > MEMORY + 64 * len(data):
        raise BrokenRuleError(f"{target.name} took {peak >> 20} MiB for {len(data)} bytes")
    return taken


@cache
def _warm(target: Target, folder: Path) -> None:
    """Read a sound input once: imports and tables of modules are neither time nor memory of an input."""
    target.run(target.seeds()[0], folder)


def _put(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    with _unwatched():
        path.write_bytes(data)
    return path


# ---------------------------------------------------------------------------------------------------------- the seeds
def manifest_of(name: str = "trtplugin-one", version: str = "1.0") -> dict[str, Any]:
    """Make a manifest with something in every place."""
    made = wheel_files.manifest_of(
        name,
        version,
        sms=["9.0", "12.0a"],
        sdk={"version": "0.1.0", "face_abi": 1},
        registration="dynamic",
        init=None,
        interface="v3",
    )
    (creator,) = made["library"]["creators"]
    creator["fields"] += [
        {"name": "mode", "type": "char", "length": 0, "default": "avg"},
        {"name": "scale", "type": "float32", "length": 2},
    ]
    creator["signatures"] = [{"inputs": ["float32", "int32"], "outputs": ["float16:chw32"]}]
    return made


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


@cache
def _manifests() -> tuple[bytes, ...]:
    init = manifest_of()
    init["library"] |= {"registration": "init", "init": "initLibrary", "sdk": None}
    return _json(manifest_of()), _json(init)


def release_of(project: str = "trtplugin-one", version: str = "1.0", **changes: object) -> dict[str, Any]:
    file = f"{project.replace('-', '_')}-{version}-py3-none-any.whl"
    return {
        "project": project,
        "version": version,
        "summary": "made by a test",
        "file": file,
        "url": f"files/{project}/{file}",
        "sha256": "0" * 64,
        "size": 123,
        "uploaded": "2026-11-21T03:00:00Z",
        "requires_python": ">=3.10",
        "requires": ["trtreg>=0.1"],
        "yanked": False,
        "status": "active",
        "tensorrt": {"full": "", "rtx": ">=1.7"},
        "machine": "x86_64",
        "glibc": None,
        "cuda": "13.0",
        "sms": ["9.0"],
        "ptx": [],
        "ops": [{"name": "One", "version": "1", "namespace": "", "inputs": [1, 1], "fields": [["mode", "char", 0]]}],
        **changes,
    }


@cache
def _catalogues() -> tuple[bytes, ...]:
    lines = [release_of(), release_of(version="1.1", yanked="broken"), release_of("trtplugin-two")]
    rows = ",\n".join(json.dumps(line, separators=(",", ":")) for line in lines)
    whole = f'{{"schema": 1, "releases": [\n{rows}\n]}}\n'.encode()
    return whole, _json({"schema": 1, "releases": lines}), b'{"schema": 1, "releases": [\n]}\n'


@cache
def _engine_locks() -> tuple[bytes, ...]:
    plugin = {
        "package": "trtplugin-one",
        "version": "1.0",
        "sha256": "0" * 64,
        "embedded": False,
        "creators": [{"name": "One", "version": "1", "namespace": ""}],
    }
    lock = {
        "schema": 1,
        "trtreg": "0.1.0",
        "plan": {"sha256": "0" * 64, "size": 7},
        "model": {"sha256": "1" * 64, "external_data": False},
        "tensorrt": {"flavour": "rtx", "version": "1.7.1"},
        "targets": ["9.0"],
        "plugins": [plugin],
    }
    return (_json(lock),)


@cache
def _pylocks() -> tuple[bytes, ...]:
    text = f"""lock-version = "1.0"
created-by = "trtreg"
environments = ["sys_platform == 'linux'"]

[[packages]]
name = "trtplugin-one"
version = "1.0"
requires-python = ">=3.10"
index = "https://example.org/simple/"

[[packages.wheels]]
name = "trtplugin_one-1.0-py3-none-any.whl"
upload-time = 2026-11-21T03:00:00Z
url = "https://example.org/files/trtplugin_one-1.0-py3-none-any.whl"
size = 123
hashes = {{ sha256 = "{"0" * 64}" }}

[tool.trtreg]
tensorrt = "rtx 1.7.1"
"""
    here = text.replace('url = "https://example.org/files/', 'path = "files/')
    return text.encode(), here.encode()


def members(info: str = "trtplugin_one-1.0.dist-info") -> dict[str, bytes]:
    """The members of a sound wheel, but for RECORD."""
    return {
        f"{info}/METADATA": b"Metadata-Version: 2.4\nName: trtplugin-one\nVersion: 1.0\nSummary: of a test\n"
        b"Requires-Python: >=3.10\nRequires-Dist: trtreg>=0.1\n\nA description.\n",
        f"{info}/entry_points.txt": b"[trtreg.plugins]\ntrtplugin-one = trtplugin_one\n",
        "trtplugin_one/trtplugin.json": _json(manifest_of()),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "trtplugin_one/__init__.py": b"",
        "trtplugin_one/libone.so": wheel_files.LIBRARY,
    }


def pack(files: dict[str, bytes], record: bytes | None = None, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Make a wheel of these members."""
    info = "trtplugin_one-1.0.dist-info"
    text = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD")).encode() if record is None else record
    return wheel_files.archived({**files, f"{info}/RECORD": text}, compression)


@cache
def _wheels() -> tuple[bytes, ...]:
    files = members()
    kinds = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    return tuple(pack(files, compression=kind) for kind in kinds)


_PARTS = 3  # METADATA, entry points and manifest come from the input, and RECORD


@cache
def _wheel_texts() -> tuple[bytes, ...]:
    files = members()
    record = "".join(f"{name},,\n" for name in (*files, "trtplugin_one-1.0.dist-info/RECORD")).encode()
    return (JOINT.join([*list(files.values())[:_PARTS], record]),)


def _wheel_of_texts(data: bytes) -> bytes:
    parts = [*data.split(JOINT), b"", b"", b"", b""]
    files = members()
    files.update(zip(list(files)[:_PARTS], parts, strict=False))
    return pack(files, record=parts[_PARTS], compression=zipfile.ZIP_STORED)


@cache
def _models() -> tuple[bytes, ...]:
    import onnx.parser

    plain = """<ir_version: 8, opset_import: ["" : 17, "local" : 1]> g (float[4] x) => (float[4] y) {
        a = Relu (x) b = One <groups = 2, scale = [1.0, 2.0], mode = "avg", plugin_version = "1"> (a)
        c = local.twice (b) y = Absent <plugin_namespace = "n"> (c) }
        <domain: "local", opset_import: ["" : 17]> twice (u) => (w) { v = One (u) w = Add (u, v) }"""
    named = r"""<ir_version: 8, opset_import: ["" : 17]> g (float[4] x) => (float[4] y) {
        y = Plugin <name = "One", info = "{\"groups\": 2, \"scale\": [1, 2.5], \"mode\": \"avg\"}"> (x) }"""
    branches = """<ir_version: 8, opset_import: ["" : 17]> g (bool c, float[4] x) => (float[4] y) {
        y = If (c) <then_branch = t () => (float[4] a) { a = One (x) }, else_branch = e () => (float[4] b)
        { b = Two (x) }> }"""
    return tuple(onnx.parser.parse_model(text).SerializeToString() for text in (plain, named, branches))


def library(*, sections: int = 3, name: bytes = b"getCreators", code: bytes = b"") -> bytes:
    """Make a small shared library: one export, one needed library, a version, and GPU code; no compiler is asked."""
    strings = b"\0" + name + b"\0libc.so.6\0libone.so\0GLIBC_2.28\0"
    names = b"\0.dynsym\0.dynstr\0.gnu.version_r\0.nv_fatbin\0.shstrtab\0.dynamic\0"
    header, segment, section = 64, 56, 64
    at = header + 2 * segment
    blobs: list[tuple[bytes, int, int, int, bytes, int, int]] = []  # name, type, link, info, data, entry size, offset

    def put(label: bytes, kind: int, data: bytes, link: int = 0, info: int = 0, entry: int = 0) -> int:
        nonlocal at
        start = at
        blobs.append((label, kind, link, info, data, entry, start))
        at += len(data) + -len(data) % 8
        return start

    dynstr = put(b".dynstr", 3, strings)
    symbols = bytes(24) + struct.pack("<IBBHQQ", 1, 0x12, 0, 7, 0x1000, 16)
    dynsym = put(b".dynsym", 11, symbols, link=1, info=1, entry=24)
    found = struct.pack("<4I", 1, 2, 1, 0) + struct.pack("<2I", 0, 0)  # DT_HASH: one bucket, a chain for each symbol
    hashes = put(b".shstrtab", 1, found)
    need = strings.index(b"libc.so.6")
    verneed = put(
        b".gnu.version_r",
        0x6FFFFFFE,
        struct.pack("<HHIII", 1, 1, need, 16, 0) + struct.pack("<IHHII", 0, 0, 2, strings.index(b"GLIBC"), 0),
        link=1,
        info=1,
    )
    tags = [(1, need), (14, strings.index(b"libone")), (5, dynstr), (6, dynsym), (10, len(strings)), (11, 24)]
    tags += [(4, hashes), (0x6FFFFFFE, verneed), (0x6FFFFFFF, 1), (0, 0)]
    dynamic = put(b".dynamic", 6, b"".join(struct.pack("<qQ", *tag) for tag in tags), link=1, entry=16)
    put(b".nv_fatbin", 1, code or fatbins()[0])
    put(b".shstrtab", 3, names)
    table = at
    headers = bytes(section)
    for label, kind, link, info, data, entry, start in blobs:
        headers += struct.pack(
            "<IIQQQQIIQQ", names.index(label), kind, 2, start, start, len(data), link, info, 8, entry
        )
    count = len(blobs) + 1
    segments = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, table, table, 4096)
    length = 16 * len(tags)
    segments += struct.pack("<IIQQQQQQ", 2, 6, dynamic, dynamic, dynamic, length, length, 8)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    head = struct.pack(
        "<16sHHIQQQIHHHHHH", ident, 3, 62, 1, 0, header, table, 0, header, segment, 2, section, count, count - 1
    )
    body = bytearray(head + segments)
    for *_, data, _, start in blobs:
        body += bytes(start - len(body)) + data
    return bytes(body) + bytes(table - len(body)) + headers


@cache
def fatbins() -> tuple[bytes, ...]:
    def entry(kind: int, arch: int, flags: int = 0x11, image: bytes = b"image...") -> bytes:
        return struct.pack("<HHIQ12xI8xQ16x", kind, 0x101, 64, len(image), arch, flags) + image

    def container(*entries: bytes) -> bytes:
        body = b"".join(entries)
        return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body

    return (
        container(entry(2, 90), entry(2, 120, 0x100011), entry(1, 120)) + bytes(8) + container(entry(2, 75)),
        container(),
    )


# -------------------------------------------------------------------------------------------------------- the readers
def _manifest(data: bytes, folder: Path) -> None:
    from trtreg import manifest

    found = manifest.read(_put(folder, manifest.FILE_NAME, data))
    text = manifest.to_json(found)
    text.encode()
    from trtreg import compatibility

    str(compatibility.judge(found, _shop()[1])).encode()
    if manifest.to_json(manifest.parse(json.loads(text))) != text:
        raise BrokenRuleError("a manifest is another one once it was written and read")


def _wheel(data: bytes, folder: Path) -> None:
    from trtreg.packages import wheels

    file = "trtplugin_one-1.0-py3-none-any.whl"
    digest = hashlib.sha256(data).hexdigest()
    wheel = wheels.Wheel(project="trtplugin-one", version="1.0", file=file, url="", sha256=digest)
    found = wheels.inspect(wheel, _put(folder, file, data))
    _ = [text.encode() for text in found.requires]


def _wheel_of_index(data: bytes, folder: Path) -> None:
    from trtreg.index import wheels

    file = "trtplugin_one-1.0-py3-none-any.whl"
    facts = wheels.read(str(_put(folder, file, data)), wheels.parse_name(file))
    (facts.entry or "").encode("ascii")
    facts.requires_python.encode()


def _wheel_name(data: bytes, folder: Path) -> None:
    from trtreg.index import wheels

    wheels.parse_name(data.decode("utf-8", "surrogateescape")).identity.encode()


def _catalogue(data: bytes, folder: Path) -> None:
    from trtreg.packages import _catalogue_store as stores

    path = folder / "catalogue.sqlite3"
    with _unwatched():
        path.unlink(missing_ok=True)
    stores.build(io.BytesIO(data), path, base_url="https://example.org/site/catalogue.json", meta={})
    _ask(stores.Store(path))


def _ask(store: Any) -> None:
    try:
        for project in store.project_names():
            for release in store.releases(project, "example"):
                release.manifest()
                str(release.order)
                f"{release.url} {release.summary} {release.yanked}".encode()
            store.project(project)
            store.search([project], 10)
        for op in store.op_names():
            op.encode()
            store.providers(op, None, None)
    finally:
        store.close()


@cache
def _stores() -> tuple[bytes, ...]:
    from tempfile import TemporaryDirectory

    from trtreg.packages import _catalogue_store as stores

    with TemporaryDirectory() as name:
        path = Path(name) / "seed.sqlite3"
        stores.build(
            io.BytesIO(_catalogues()[0]), path, base_url="https://example.org/site/catalogue.json", meta={"etag": "x"}
        )
        return (path.read_bytes(),)


def _cached_catalogue(data: bytes, folder: Path) -> None:
    from trtreg.packages import _catalogue_store as stores

    _ask(stores.Store(_put(folder, "cached.sqlite3", data)))


@cache
def _shop() -> tuple[Any, Any]:
    from trtreg import discovery, manifest
    from trtreg.environment import Environment, Gpu

    plugin = discovery.InstalledPlugin(
        distribution="trtplugin-one",
        version="1.0",
        package="trtplugin_one",
        folder="nowhere",
        manifest=manifest.parse(manifest_of()),
        problem=None,
    )
    environment = Environment(
        flavour=_rtx(),
        tensorrt_version="1.7.1",
        machine="x86_64",
        glibc="2.36",
        driver="580.1",
        cuda_driver="13.0",
        gpus=(Gpu(index=0, name="GPU", sm="9.0"),),
    )
    return plugin, environment


def _scan(data: bytes, folder: Path) -> None:
    from trtreg import model as models
    from trtreg import plugin_nodes, scan

    plugin, environment = _shop()
    model = models.read(data)
    report = scan.scan_model(model, plugins=[plugin], environment=environment)
    for node in report.nodes:
        f"{node.name} {node.op} {node.domain} {node.outputs} {node.where} {node.reason} {node.faults}".encode()
    creator = plugin.manifest.library.creators[0]
    for placed in models.walk(model, lambda _: False):
        if plugin_nodes.named_op(placed.node):
            plugin_nodes.translate(placed.node, creator).SerializeToString()
    models.digest(data, model)


def _fatbin(data: bytes, folder: Path) -> None:
    from trtreg.sdk import fatbin

    fatbin.parse(data, Path("lib.so"))


def _elf(data: bytes, folder: Path) -> None:
    from trtreg import _elf

    path = _put(folder, "lib.so", data)
    facts = _elf.read(path)
    _elf.soname(path)
    _elf.interpreter(path)
    from trtreg.foreign import linkage

    linkage.specifiers(facts.needed, "v3", "dynamic", _rtx(), "1.7.1")


@cache
def _rtx() -> Any:
    from trtreg.flavour import Flavour

    return Flavour.RTX


def _elf_of_sdk(data: bytes, folder: Path) -> None:
    from trtreg.sdk import elf, fatbin

    path = _put(folder, "lib.so", data)
    refusals: list[Exception] = []
    for read in (elf.facts, elf.glibc_floor, fatbin.read):
        try:
            read(path)
        except OURS() as error:  # noqa: PERF203 - each of them reads the whole file
            refusals.append(error)
    if refusals:
        raise refusals[0]


def _embedded(data: bytes, folder: Path) -> None:
    from trtreg import embedded
    from trtreg.upgrade import plan_header

    found = embedded.find(data)
    rest = embedded.without(data)
    if len(rest) + sum(library.size for library in found) != len(data):
        raise BrokenRuleError("an engine and its libraries are not what was read")
    plan_header.parse(data)


def _engine_lock(data: bytes, folder: Path) -> None:
    from trtreg import engine_lock

    _put(folder, "m.engine.lock.json", data)
    engine = folder / "m.engine"
    engine_lock.kept(engine, memoryview(b"engine"))
    lock = engine_lock.read(engine)
    if lock is None:
        raise BrokenRuleError("the lock was not seen")
    engine_lock.to_json(lock).encode()
    engine_lock.check(lock, b"engine", _shop()[1], [_shop()[0]])


def _pylock(data: bytes, folder: Path) -> None:
    from trtreg.packages import lock

    for wheel in lock.read(_put(folder, "pylock.toml", data)):
        f"{wheel.project} {wheel.version} {wheel.file} {wheel.url} {wheel.sha256}".encode()


@cache
def _provenances() -> tuple[bytes, ...]:
    publisher = {"kind": "GitHub", "repository": "example/one", "workflow": "release.yml"}
    attestation = {"version": 1, "verification_material": {}, "envelope": {"statement": "e30=", "signature": ""}}
    return (_json({"version": 1, "attestation_bundles": [{"publisher": publisher, "attestations": [attestation]}]}),)


@cache
def _statements() -> tuple[bytes, ...]:
    subject = {"name": "trtplugin_one-1.0-py3-none-any.whl", "digest": {"sha256": "0" * 64}}
    kinds = {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": "https://docs.pypi.org/attestations/publish/v1",
    }
    return (_json({**kinds, "subject": [subject], "predicate": None}),)


def _provenance(data: bytes, folder: Path) -> None:
    from trtreg.packages import attestations

    for publisher, _ in attestations._bundles(data, "trtplugin_one-1.0-py3-none-any.whl"):
        f"{publisher} {publisher.url} {publisher.to_json()}".encode()


def _statement(data: bytes, folder: Path) -> None:
    from trtreg.packages import attestations

    file = "trtplugin_one-1.0-py3-none-any.whl"
    attestations._check_statement(attestations._json(data, file), file, "0" * 64)


def words_of(target: Target) -> tuple[bytes, ...]:
    """What a fuzzer may put into an input: the words of the format, with those of a document's seeds."""
    found = set(target.words)
    if target.is_json or target.name.endswith("lock"):
        found |= {word for seed in target.seeds() for word in re.findall(rb'[\w.>=:/"-]{2,40}', seed)}
        found |= {b"1e999", b"-1", b"null", b"true", b"[[[[", b'"\\ud800"', b"9" * 20, b"NaN"}
    return tuple(sorted(found))


_EDGES = (0, 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_NUMBERS = tuple(struct.pack("<Q", number)[:size] for number in _EDGES for size in (2, 4, 8))

TARGETS = {
    target.name: target
    for target in (
        Target(name="manifest", run=_manifest, seeds=_manifests, is_json=True),
        Target(name="wheel", run=_wheel, seeds=_wheels, words=(*_NUMBERS, b"PK\x01\x02", b"PK\x03\x04", b"PK\x06\x07")),
        Target(
            name="wheel-texts",
            run=lambda data, folder: _wheel(_wheel_of_texts(data), folder),
            seeds=_wheel_texts,
            words=(JOINT, b"\r", b"\n ", b"[", b"=", b'"', b"\xff", b"\0", b"1" * 5000, b"[" * 5000),
        ),
        Target(name="index-wheel", run=_wheel_of_index, seeds=_wheels, words=(*_NUMBERS, b"PK\x01\x02", b"PK\x06\x07")),
        Target(
            name="index-wheel-texts",
            run=lambda data, folder: _wheel_of_index(_wheel_of_texts(data), folder),
            seeds=_wheel_texts,
            words=(JOINT, b"\r", b"\n ", b"[", b"=", b'"', b"\xff", b"\0", b"1" * 5000, b"x" * 140_000, b"[" * 5000),
        ),
        Target(
            name="wheel-name",
            run=_wheel_name,
            seeds=lambda: (b"trtplugin_one-1.0-py3-none-any.whl", b"a-1.0+x-1b-cp311-cp311-manylinux_2_28_x86_64.whl"),
            words=(b"-", b".whl", b"1" * 200, b"!", b"+", b"\xff", b".post1"),
        ),
        Target(name="catalogue", run=_catalogue, seeds=_catalogues, is_json=True, words=(b"\n", b",\n", b"]}")),
        Target(name="cached-catalogue", run=_cached_catalogue, seeds=_stores, words=_NUMBERS),
        Target(name="scan", run=_scan, seeds=_models, words=(b"\xff", b"Plugin", b"info", b"twice", b"[" * 5000)),
        Target(name="fatbin", run=_fatbin, seeds=fatbins, words=_NUMBERS),
        Target(name="elf", run=_elf, seeds=lambda: (library(),), words=_NUMBERS),
        Target(name="elf-of-sdk", run=_elf_of_sdk, seeds=lambda: (library(),), words=_NUMBERS),
        Target(
            name="embedded",
            run=_embedded,
            seeds=lambda: (b"ftrt" + bytes(40) + library() + b"between" + library() + b"tail", library()),
            words=(*_NUMBERS, b"\x7fELF\x02\x01\x01", library()[:64], library()[:64] * 100),
        ),
        Target(name="provenance", run=_provenance, seeds=_provenances, is_json=True),
        Target(name="statement", run=_statement, seeds=_statements, is_json=True),
        Target(name="engine-lock", run=_engine_lock, seeds=_engine_locks, is_json=True),
        Target(
            name="pylock",
            run=_pylock,
            seeds=_pylocks,
            words=(b"\xff", b"[" * 5000, b"1" * 5000, b'"', b"\n", b"\\u0000", b"//[", b"1970-01-01", b"true", b"{}"),
        ),
    )
}
