"""The first load of a library happens in another process: one that ends it, or hangs, is not loaded into this one.

Once for each library, TensorRT and environment; the verdict is kept (`trtreg.trust.verdicts`). A library that cannot be
opened has no verdict: what it lacks may be there the next time.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from trtreg import _library_file
from trtreg.errors import QuarantinedError
from trtreg.manifest import CreatorKey
from trtreg.trust import child, verdicts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from trtreg.flavour import InstalledTensorRT
    from trtreg.manifest import Library
    from trtreg.trust.integrity import OpenedLibrary
    from trtreg.trust.policy import Policy
    from trtreg.trust.verdicts import Verdict

__all__ = ["quarantined", "require", "select"]

_log = logging.getLogger("trtreg.loader")


def require(
    opened: OpenedLibrary,
    library: Library,
    tensorrt: InstalledTensorRT,
    policy: Policy,
    *,
    owner: str,
    beside: Sequence[Path] = (),
) -> None:
    """Let pass a library whose trial went well; one that is new here is tried now, as `policy` says.

    `owner` is the package's name, `beside` what the library finds through its own folder.

    Raises:
        QuarantinedError: its trial ended badly, now or before.
        TrialError: it is new, and no process to try it in can be had.
        CreatorsMissingError: it does not register the creators that its manifest declares.
        LoadError: it cannot be opened, as MissingDependencyError names the libraries that are not there.
    """
    if policy.trial == "off":
        return
    key = verdicts.Key(
        sha256=opened.sha256,
        flavour=tensorrt.flavour.value,
        tensorrt=tensorrt.version,
        registration=library.registration,
        init=library.init or "",
    )
    verdict = verdicts.read(key)
    if verdict is None:
        with verdicts.alone(key, policy.trial_seconds + 5):
            # Another process may have tried it meanwhile.
            verdict = verdicts.read(key) or _try(opened, library, tensorrt, policy, owner, beside, key)
    if not verdict.passed:
        raise _refusal(verdict, opened.path, owner)


def quarantined() -> tuple[Verdict, ...]:
    """The verdicts of libraries that are not loaded."""
    return tuple(verdict for verdict in verdicts.read_all() if not verdict.passed)


def select(found: Sequence[Verdict], names: Sequence[str]) -> tuple[Verdict, ...]:
    """Those of `found` whose package, library or hash (or the beginning of it) is named; all without names."""
    from trtreg.discovery import same_name

    def is_meant(verdict: Verdict, name: str) -> bool:
        begins = len(name) >= 8 and verdict.sha256.startswith(name.lower())  # noqa: PLR2004 - as git shows them
        return same_name(name, verdict.package) or name == verdict.library or begins

    return tuple(verdict for verdict in found if not names or any(is_meant(verdict, name) for name in names))


def _try(
    opened: OpenedLibrary,
    library: Library,
    tensorrt: InstalledTensorRT,
    policy: Policy,
    owner: str,
    beside: Sequence[Path],
    key: verdicts.Key,
) -> Verdict:
    from trtreg.foreign.style import Style

    task = child.Task(
        library=opened,
        tensorrt=tensorrt,
        style=Style(registration=library.registration, init=library.init),
        owner=owner,
        beside=tuple(beside),
        replaced=library.keys,
        seconds=policy.trial_seconds,
        memory_mib=policy.trial_memory_mib,
    )
    start = time.monotonic()
    answer = child.ask(task)
    seconds = round(time.monotonic() - start, 3)
    if library.registration == "dynamic" and isinstance(answer, list):
        _require_creators(opened.path, library.keys, answer, owner)
    reason = str(answer) if isinstance(answer, child.Death) else ""
    _log.info(
        "%s is new with %s %s here: tried in a process of its own in %.1f s, %s",
        *(owner, tensorrt.flavour.module, tensorrt.version, seconds, reason or "and it may be loaded"),
    )
    verdict = verdicts.make(key, package=owner, library=opened.path, reason=reason, seconds=seconds)
    try:
        verdicts.write(verdict)
    except OSError as error:
        _log.info("the verdict on %s is not kept, so it is tried again the next time: %s", owner, error)
    return verdict


def _require_creators(
    path: Path, declared: Sequence[CreatorKey], answer: Sequence[Mapping[str, Any]], owner: str
) -> None:
    """Refuse a library that registers other creators than it should, before this process opens it."""
    found = {CreatorKey(each["name"], each["version"], each["namespace"]) for each in answer}
    if absent := set(declared) - found:
        remedy = f"reinstall {owner}, or ask its author to rebuild it"
        raise _library_file.creators_missing(path, absent, CreatorKey.listed(found), remedy=remedy)


def _refusal(verdict: Verdict, path: Path, owner: str) -> QuarantinedError:
    day = time.strftime("%Y-%m-%d", time.localtime(verdict.time))
    return QuarantinedError(
        f"{path} is in quarantine: its trial in a process of its own ended badly",
        found=f"{verdict.reason} (with {verdict.flavour} {verdict.tensorrt}, {day})",
        remedy=f"get a build for this TensorRT and machine from the author of {owner}, "
        f"or have it tried again: trtreg quarantine clear {owner}",
    )
