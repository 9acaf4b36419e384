"""The process that has to stay alive: loads what it is told from standard input, one broken plugin after the other.

It answers on the file descriptor that is its argument, a JSON line when it begins with a job and one when it has done
it. Whatever a library prints goes elsewhere. After each job it looks whether it is still in order: the registry holds
what it held before, and a sound plugin comes in and goes out.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from trtreg import discovery, flavour, loader
from trtreg.errors import TrtregError


def main(answers: int, sound_site: str) -> None:
    """Do the jobs: lines of JSON with `id` and `site`."""
    os.set_inheritable(answers, False)
    # If a library ever eats memory here, this process shall die and not the machine.
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
    registry = flavour.load().get_plugin_registry()
    (sound,) = discovery.discover([sound_site])

    def creators() -> list[tuple[str, str, str]]:
        return sorted((c.name, c.plugin_version, c.plugin_namespace) for c in registry.all_creators)

    def answer(**facts: Any) -> None:
        os.write(answers, (json.dumps(facts) + "\n").encode())

    # Once before anything is compared: what is imported at the first time opens files.
    loader.load(sound)
    loader.unload(sound)
    before = creators(), _descriptors(answers), str(Path.cwd())
    # All at once: some of the libraries read what they find there.
    lines = sys.stdin.read().splitlines()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    before = before[0], _descriptors(answers), before[2]
    for line in lines:
        job = json.loads(line)
        answer(begun=job["id"])
        result = _load(job["site"])
        try:
            loader.load(sound)
            loader.unload(sound)
            after = creators(), _descriptors(answers), str(Path.cwd())
            if after != before:
                result["harm"] = f"{before} became {after}"
        except Exception as error:  # noqa: BLE001 - that is the finding
            result["harm"] = f"a sound plugin does not load any more: {error!r}"
        answer(id=job["id"], **result)


def _descriptors(answers: int) -> list[int]:
    """The open files but for the answers, and the one for each library that trtreg keeps in memory."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:  # the one that listed them
            continue
        if int(entry.name) != answers and not target.startswith("/memfd:"):
            found.append(int(entry.name))
    return sorted(found)


def _load(site: str) -> dict[str, Any]:
    """What came of the attempt: loaded, an error of trtreg's, or anything else."""
    try:
        found = discovery.discover([site])
        if not found:
            return {"refused": "NotFound", "reason": "discovery does not see it"}
        known = loader.load(found[0])
        loader.unload(known)
    except TrtregError as error:
        return {"refused": type(error).__name__, "reason": str(error)}
    except BaseException as error:  # noqa: BLE001 - that is the finding
        return {"raised": repr(error)}
    return {"loaded": [str(key) for key in known.creators]}


if __name__ == "__main__":
    sys.path.pop(0)
    main(int(sys.argv[1]), sys.argv[2])
