"""What the policy asks of wheels before anything of them is installed: their names, indexes, libraries, and publishers.

An index that offers an attestation is held to it: a wheel whose attestation does not verify is refused, whatever the
policy, unless that turns attestations off.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from trtreg.errors import AttestationError, NotCachedError, OutputError, PolicyRefusalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trtreg.packages.attestations import Publisher, Verifier
    from trtreg.packages.wheels import Fetched, Wheel
    from trtreg.trust.policy import Policy

    OnNote = Callable[[str], object]

__all__ = ["attested", "require", "require_libraries"]


def require(wheels: Iterable[Wheel], policy: Policy) -> None:
    """Raise PolicyRefusalError for a package or an index that is not allowed; nothing has to be fetched for it."""
    for wheel in wheels:
        policy.require_package(wheel.project)
        policy.require_index(wheel.site or _site(wheel.url))


def require_libraries(wheels: Iterable[Fetched], policy: Policy) -> None:
    """Raise PolicyRefusalError for a library that is not allowed, by the hash that the wheel's manifest gives it.

    That a library has the hash of its manifest is proved when it is loaded.
    """
    for fetched in wheels:
        for manifest in fetched.manifests:
            policy.require_hash(manifest.library.sha256, fetched.wheel.project)


def attested(
    wheels: Iterable[Wheel], policy: Policy, *, offline: bool = False, on_note: OnNote | None = None
) -> dict[str, tuple[Publisher, ...]]:
    """Verify the attestations that the indexes offer for the wheels; gives the publishers by file name.

    A wheel is known by its hash, so it need not be fetched. What is worth saying goes to `on_note`, once.

    Raises:
        AttestationError: one does not verify, or is lacking where the policy or the lock file requires one.
        PolicyRefusalError: a publisher is not among those that the policy allows.
        MissingExtraError: one is required, and what verifies is not installed.
        DownloadError, NotCachedError: one that is offered cannot be had.
    """
    if policy.attestations == "off":
        return {}
    offered = []
    for wheel in wheels:
        if wheel.provenance is not None:
            offered.append(wheel)
        elif policy.attestations == "required":
            origin = policy.origins.get("attestations", "the policy")
            raise AttestationError(
                f"There is no attestation of {wheel.file}",
                expected=f"one, by 'attestations' in {origin}",
                remedy="take a release that has one, or ask its publisher for it",
            )
        elif wheel.publishers:
            raise _unlike_lock(wheel, "no attestation")
    verifier = _verifier(offered, policy, offline=offline, on_note=on_note)
    return {wheel.file: _verified(wheel, verifier, policy, offline=offline) for wheel in offered} if verifier else {}


def _verifier(offered: list[Wheel], policy: Policy, *, offline: bool, on_note: OnNote | None) -> Verifier | None:
    """What verifies; None where there is nothing to verify, or nothing to do it with and nobody requires it."""
    from trtreg.packages import attestations

    if not offered:
        return None
    required = policy.attestations == "required" or any(wheel.publishers for wheel in offered)
    if not required and not attestations.available():
        if on_note is not None:
            names = ", ".join(wheel.project for wheel in offered)
            on_note(f"attestations of {names} are offered and were not verified: pip install 'trtreg[provenance]'")
        return None
    return attestations.Verifier(trusted_root=policy.trusted_root, offline=offline, on_note=on_note)


def _verified(wheel: Wheel, verifier: Verifier, policy: Policy, *, offline: bool) -> tuple[Publisher, ...]:
    publishers = verifier.verify(_provenance(wheel, offline=offline), wheel.file, wheel.sha256)
    for publisher in publishers:
        if policy.publishers is not None and publisher.url not in policy.publishers:
            origin = policy.origins.get("publishers", "the policy")
            raise PolicyRefusalError(
                f"{wheel.file} was published by somebody who is not allowed",
                found=str(publisher),
                expected=f"one of 'publishers' in {origin}: {', '.join(policy.publishers) or 'none at all'}",
                remedy=f"whoever keeps {origin} may add it there",
            )
        if wheel.publishers and publisher not in wheel.publishers:
            raise _unlike_lock(wheel, str(publisher))
    return publishers


def _unlike_lock(wheel: Wheel, found: str) -> AttestationError:
    return AttestationError(
        f"{wheel.file} is not from the publisher in the lock file",
        found=found,
        expected=" or ".join(map(str, wheel.publishers)),
        remedy="do not install it; tell who runs the index, or lock anew",
    )


def _provenance(wheel: Wheel, *, offline: bool) -> bytes:
    """Get the provenance object: asked for each time, as it may get more attestations, and kept for --offline."""
    from trtreg.packages import attestations, download, wheels

    assert wheel.provenance is not None  # noqa: S101 - for the type checker
    path = wheels.place(wheel).with_name(f"{wheel.file}.provenance")
    try:
        if not offline or wheel.provenance.startswith("file:"):
            path.parent.mkdir(parents=True, exist_ok=True)
            download.download(wheel.provenance, path, limits=download.Limits(size=attestations.LARGEST))
        elif not path.is_file():
            raise NotCachedError(f"The attestation of {wheel.file} is not in the cache",
                                 remedy="try again without --offline")  # fmt: skip
        return path.read_bytes()
    except OSError as error:
        remedy = "set XDG_CACHE_HOME to a folder that can be written"
        raise OutputError(f"cannot write {path}", found=error.strerror or str(error), remedy=remedy) from error


def _site(url: str) -> str:
    """The root of the index that a wheel of a lock file comes from, as far as its URL shows it.

    An index's own wheels are files/PROJECT/FILE below its root; of others the folder stands for it. What the lock says
    of its index is not asked: the bytes come from the URL.
    """
    parts = urlsplit(url)
    path = re.sub(r"(files/[^/]+/)?[^/]*$", "", parts.path, count=1)
    return parts._replace(path=path, query="", fragment="").geturl()
