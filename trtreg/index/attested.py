"""Attestations that lie beside wheels, verified and made into provenance objects, which an index offers (PEP 740)."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from trtreg.errors import AttestationError
from trtreg.index.intake import SUFFIX
from trtreg.index.refusal import Refusal

if TYPE_CHECKING:
    from trtreg.packages.attestations import Verifier

__all__ = ["Notary"]


class Notary:
    """Reads and verifies attestations; what that needs is imported with the first."""

    def __init__(self, trusted_root: str | os.PathLike[str] | None = None) -> None:
        self._trusted_root = None if trusted_root is None else os.fspath(trusted_root)
        self._verifier: Verifier | None = None

    def provenance(self, wheel: str, file: str, sha256: str) -> bytes | None:
        """Make the provenance object of the wheel at a path, None where nothing is attested beside it.

        Raises:
            Refusal: the attestation cannot be read, or does not verify for this wheel.
            MissingExtraError: there is one, and what verifies is not installed.
        """
        data = _read(wheel + SUFFIX)
        if data is None:
            return None
        from trtreg.packages import attestations

        if self._verifier is None:
            self._verifier = attestations.Verifier(trusted_root=self._trusted_root)
        try:
            publisher = self._verifier.publisher(data, file, sha256)
        except AttestationError as error:
            text = f"{error.message}: found {error.found}" if error.found else error.message
            raise Refusal(f"{text}; clients would refuse the wheel") from error
        return attestations.provenance(publisher, data)


def _read(path: str) -> bytes | None:
    flags = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refusal(f"its attestation cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Refusal("its attestation is no regular file")
    with os.fdopen(descriptor, "rb") as file:
        from trtreg.packages.attestations import LARGEST

        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise Refusal(f"its attestation has more than {LARGEST} bytes")
    return data
