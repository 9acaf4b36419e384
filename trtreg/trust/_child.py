"""Opens a library in the way it is told, and writes what came into the registry; run as a program, with one argument.

That is the JSON of `trtreg.trust.child.Task`. What it does before the library is opened is as good as nothing: once the
line "opening" stands in the answer, whatever ends this process is the library's doing.
"""

from __future__ import annotations

import sys

# The folder of this file, which Python puts first for a program; its modules are found by their full names.
if __name__ == "__main__":
    sys.path.pop(0)

import json
import mmap
import os
import queue
import random
import threading
from pathlib import Path
from typing import Any

from trtreg import _library_file, flavour
from trtreg.errors import TrtregError
from trtreg.foreign import opening
from trtreg.manifest import CreatorKey

__all__: list[str] = []

_DEATH_OF_PARENT = 1  # PR_SET_PDEATHSIG
_MIB = 1 << 20
_MOST = 10_000  # creators
_ROUNDS = 4  # of loading a library again, some milliseconds each


def _main(task: dict[str, Any]) -> None:
    _die_with(task["parent"])
    tensorrt = flavour.select()
    registry = flavour.load(tensorrt).get_plugin_registry()
    flavour.logger(tensorrt)
    _limit(task["memory_mib"], task["file_mib"])
    os.write(task["answer"], b"opening\n")
    try:
        data: dict[str, Any] = {"creators": _creators(task, tensorrt, registry)}
    except TrtregError as error:
        words = {"message": error.message, "found": error.found, "expected": error.expected, "remedy": error.remedy}
        data = {"error": {"type": type(error).__name__, **words}}
    except _FaultError as fault:
        data = {"fault": str(fault)}
    answer = json.dumps(data).encode()
    while answer:
        answer = answer[os.write(task["answer"], answer) :]


def _creators(task: dict[str, Any], tensorrt: flavour.InstalledTensorRT, registry: Any) -> list[dict[str, Any]]:
    library, loadable = Path(task["library"]), Path(task["loadable"])
    beside = [Path(path) for path in task["beside"]]
    expected = {tuple(key) for key in task["replaced"]}
    for creator in registry.all_creators:
        # Whoever loads it has decided about TensorRT's own creators of the same names; here they are in the way.
        if CreatorKey.of(creator) in expected:
            registry.deregister_creator(creator)
    before = {CreatorKey.of(creator) for creator in registry.all_creators}
    with flavour.capture() as messages:
        if task["registration"] != "dynamic":
            opening.open_library(library, tensorrt, task["init"], loadable=loadable, beside=beside)
        else:
            opening.open_neighbours(library, beside)
            handle = registry.load_library(str(loadable))
            if handle is None:
                raise _refusal(library, loadable, messages, task["owner"])
    found = [_describe(creator) for creator in registry.all_creators if CreatorKey.of(creator) not in before]
    if task["registration"] == "dynamic":
        _go_round(registry, loadable, handle)
    return found


def _go_round(registry: Any, loadable: Path, handle: Any) -> None:
    """Unload it, for what its destructors do, and load it again: damaged code may end well once.

    Each time it lies at other addresses, and runs on a stack of nothing but zeros, so that what it reads without having
    written leads nowhere, and not to what happens to lie there.
    """
    over = threading.Event()
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def load() -> None:
        answers.put(registry.load_library(str(loadable)))
        over.wait()  # the next thread would get its stack

    room = []
    for _ in range(_ROUNDS):
        registry.deregister_library(handle)
        # Some of the place that has become free, so that the library has to go elsewhere.
        room.append(mmap.mmap(-1, mmap.PAGESIZE * random.randint(1, 16)))  # noqa: S311 - any number does
        threading.Thread(target=load, daemon=True).start()
        handle = answers.get()
        for creator in registry.all_creators:
            _describe(creator)
    over.set()
    registry.deregister_library(handle)


class _FaultError(Exception):
    """The library does what none may do."""


def _refusal(library: Path, loadable: Path, messages: list[flavour.Message], owner: str) -> Exception:
    """Why TensorRT did not take it; where nothing tells, it is asked for its creators as TensorRT asks.

    TensorRT is silent about an exception in getCreators, and about null pointers. Here the exception ends the process.
    """
    from trtreg import _dependencies

    obstacles = _dependencies.find_obstacles(library)
    if not obstacles.missing and not obstacles.complaints and (fault := _fault(loadable)):
        return _FaultError(fault)
    return _library_file.explain_refusal(library, messages, owner=owner, loadable=loadable)


def _fault(loadable: Path) -> str | None:
    import ctypes

    try:
        function: Any = getattr(ctypes.CDLL(str(loadable)), "getCreators", None)
    except OSError:
        return None
    if function is None:
        return None
    count = ctypes.c_int32()
    function.restype = ctypes.POINTER(ctypes.c_void_p)
    creators = function(ctypes.byref(count))
    if not 0 < count.value <= _MOST:
        return f"getCreators gives {count.value} creators"
    if not creators:
        return "getCreators gives a null pointer"
    absent = sum(1 for number in range(count.value) if not creators[number])
    return f"getCreators gives {count.value} creators, of which {absent} are null" if absent else None


def _die_with(parent: int) -> None:
    """End when the process that waits for the answer ends."""
    import ctypes
    import signal

    ctypes.CDLL(None).prctl(_DEATH_OF_PARENT, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)


def _limit(memory_mib: int | None, file_mib: int | None) -> None:
    import resource

    # 1 and not 0: also where the kernel hands core dumps to a program, see core(5).
    _set(resource.RLIMIT_CORE, 1)
    if file_mib is not None:
        _set(resource.RLIMIT_FSIZE, file_mib * _MIB)
    if memory_mib is not None:
        # What can be written to, and no address space that is only reserved: CUDA reserves hundreds of GiB.
        with Path("/proc/self/status").open(encoding="ascii", errors="replace") as lines:
            used = next((int(line.split()[1]) for line in lines if line.startswith("VmData:")), 0)
        _set(resource.RLIMIT_DATA, used * 1024 + memory_mib * _MIB)


def _set(kind: int, limit: int) -> None:
    import resource

    _, hard = resource.getrlimit(kind)
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(kind, (limit, limit))


def _describe(creator: Any) -> dict[str, Any]:
    name, version, namespace = CreatorKey.of(creator)
    return {
        "name": name,
        "version": version,
        "namespace": namespace,
        "interface": _interface(creator),
        "fields": [
            {"name": field.name, "type": field.type.name.lower(), "length": max(int(field.size), 0)}
            for field in creator.field_names or ()
            if field.name
        ],
    }


def _interface(creator: Any) -> str | None:
    # "PLUGIN CREATOR_V1" is the creator of the V2 plugin interface, "PLUGIN CREATOR_V3ONE" that of V3.
    info = getattr(creator, "interface_info", None)
    kind = getattr(info, "kind", "")
    return {"PLUGIN CREATOR_V1": "v2", "PLUGIN CREATOR_V3ONE": "v3"}.get(kind)


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
    # Not the usual end: static destructors of a library may fault, and all that is asked for is known.
    os._exit(0)
