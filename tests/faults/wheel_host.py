"""The process that has to stay alive while it reads broken wheels, as an index that publishes and as a client.

A line of JSON for each, on standard input: `id`, `wheel` (a path) and `folder` (for what it makes of it). It answers on
standard output, when it begins and when it has done.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from trtreg.errors import TrtregError, WheelsRefusedError
from trtreg.index import Publisher
from trtreg.packages import wheels


def _attempt(work: Any) -> dict[str, Any]:
    try:
        work()
    except TrtregError as error:
        return {"refused": type(error).__name__, "reason": str(error)}
    except BaseException as error:  # noqa: BLE001 - that is the finding
        return {"raised": repr(error)}
    return {}


def _publish(site: Path, path: Path) -> None:
    refused = Publisher(site).build([path]).refused
    if refused:
        raise WheelsRefusedError("\n".join(reason for _, reason in refused))


def _answer(**facts: Any) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Do the jobs."""
    # Neither may read more than a wheel's own size into memory, whatever an archive says of itself.
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    for line in sys.stdin:
        job = json.loads(line)
        _answer(begun=job["id"])
        path = Path(job["wheel"])
        content = path.read_bytes()
        wheel = wheels.Wheel(
            project="trtplugin-fault", version="1.0", file=path.name, url=path.as_uri(),
            sha256=hashlib.sha256(content).hexdigest(), size=len(content),
        )  # fmt: skip
        site = Path(job["folder"])
        published = _attempt(lambda: _publish(site, path))  # noqa: B023
        published["files"] = sorted(str(file.relative_to(site)) for file in site.glob("files/*/*"))
        fetched = _attempt(lambda: wheels.fetch(wheel))  # noqa: B023
        _answer(id=job["id"], published=published, fetched=fetched)
    os._exit(0)


if __name__ == "__main__":
    sys.path.pop(0)
    main()
