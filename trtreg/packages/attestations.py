"""Attestations: who made a wheel, by a certificate, a signature and a public log of signatures (PEP 740).

https://packaging.python.org/specifications/index-hosted-attestations/. An index offers them as a provenance object: a
JSON file that names publishers, each with attestations. Nothing in it is believed: of each attestation sigstore checks
the certificate's chain and its own log, the inclusion in the log of signatures, the time, and the signature. Here the
file name and the hash that were signed are compared, and the publisher that is told is the one in the certificate.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from trtreg._json_table import Table, UnexpectedJSONError
from trtreg.errors import AttestationError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    OnNote = Callable[[str], object]

__all__ = ["LARGEST", "Publisher", "Verifier", "available", "provenance"]

LARGEST: Final = 1 << 20
"""Bytes of an attestation or a provenance object: real ones have about 6 kB for each attestation."""

_MOST: Final = 20  # attestations of one file
_TYPES: Final = ("https://docs.pypi.org/attestations/publish/v1", "https://slsa.dev/provenance/v1")
_STATEMENTS: Final = ("https://in-toto.io/Statement/v1",)
# Of each kind: the site, who vouches for the identities of its workflows, and the key that names the workflow.
_KINDS: Final = {
    "GitHub": ("https://github.com/", "https://token.actions.githubusercontent.com", "workflow"),
    "GitLab": ("https://gitlab.com/", "https://gitlab.com", "workflow_filepath"),
}
# https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md
_ISSUER: Final = "1.3.6.1.4.1.57264.1.8"
_REPOSITORY: Final = "1.3.6.1.4.1.57264.1.12"
_WORKFLOW: Final = "1.3.6.1.4.1.57264.1.18"
_REMEDY: Final = "do not install it; tell who runs the index"


@dataclass(frozen=True, kw_only=True, slots=True)
class Publisher:
    """A workflow in a repository: `kind` is GitHub or GitLab, `repository` as OWNER/NAME, `workflow` a file."""

    kind: str
    repository: str
    workflow: str

    @property
    def url(self) -> str:
        """The repository's address, by which a policy names it."""
        return f"{_KINDS[self.kind][0]}{self.repository}"

    def __str__(self) -> str:
        return f"{self.url} ({self.workflow})"

    @classmethod
    def parse(cls, table: Table) -> Publisher:
        """Read one as provenance objects and lock files have it; UnexpectedJSONError for a kind that is not known."""
        kind = table.string("kind")
        if kind not in _KINDS:
            raise table.unexpected("kind", found=repr(kind), expected=" or ".join(_KINDS))
        name = r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+"
        workflow = table.string(_KINDS[kind][2], r"[A-Za-z0-9_./ -]{1,300}")
        return cls(kind=kind, repository=table.string("repository", name), workflow=workflow)

    def to_json(self) -> dict[str, str]:
        """The same as JSON."""
        return {"kind": self.kind, "repository": self.repository, _KINDS[self.kind][2]: self.workflow}


def available() -> bool:
    """Whether what verifies is installed."""
    return all(find_spec(name) is not None for name in ("pypi_attestations", "sigstore"))


def provenance(publisher: Publisher, attestation: bytes) -> bytes:
    """Make the provenance object of a file with one attestation, which was verified."""
    bundle = {"publisher": publisher.to_json(), "attestations": [json.loads(attestation)]}
    document = {"version": 1, "attestation_bundles": [bundle]}
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode("ascii") + b"\n"


class Verifier:
    """Verifies by the keys of one Sigstore instance: the public one, or that whose trusted root is given.

    The public one's keys are asked for over the network, unless `offline`; where that fails, those are used that came
    with the package sigstore or were got before, and `on_note` is told so.

    Raises:
        MissingExtraError: what verifies is not installed.
        AttestationError: the trusted root cannot be used.
    """

    def __init__(
        self, *, trusted_root: str | Path | None = None, offline: bool = False, on_note: OnNote | None = None
    ) -> None:
        try:
            # All that is needed, before anything begins.
            import pypi_attestations  # noqa: F401
            import sigstore.verify  # noqa: F401
        except ImportError as error:
            raise MissingExtraError(
                "attestations need pypi-attestations and sigstore to be verified",
                found=str(error), remedy="pip install 'trtreg[provenance]'",
            ) from error  # fmt: skip
        self._sigstore = _own(trusted_root) if trusted_root is not None else _public(offline, on_note)

    def verify(self, document: bytes, file: str, sha256: str) -> tuple[Publisher, ...]:
        """Verify every attestation of a provenance object for the file; gives who made them, AttestationError else."""
        bundles = _bundles(document, file)
        found: dict[Publisher, None] = {}
        for claimed, attestations in bundles:
            for attestation in attestations:
                publisher = self._verify(attestation, file, sha256)
                if publisher != claimed:
                    raise AttestationError(
                        f"The attestation of {file} is of another publisher than its index says",
                        found=str(publisher), expected=str(claimed), remedy=_REMEDY,
                    )  # fmt: skip
                found[publisher] = None
        return tuple(found)

    def publisher(self, attestation: bytes, file: str, sha256: str) -> Publisher:
        """Verify one attestation object for the file; gives who made it."""
        return self._verify(_json(attestation, file), file, sha256)

    def _verify(self, attestation: object, file: str, sha256: str) -> Publisher:
        import pypi_attestations
        import sigstore.errors

        try:
            parsed = pypi_attestations.Attestation.model_validate(attestation)
            kind, payload = self._sigstore.verify_dsse(parsed.to_bundle(), _Anybody())
            claims = parsed.certificate_claims
        except (sigstore.errors.Error, pypi_attestations.AttestationError) as error:
            raise _refused(file, str(error)) from error
        except Exception as error:  # hostile input, of which those libraries say much in many types
            raise _refused(file, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}") from error
        if kind != "application/vnd.in-toto+json":
            raise _refused(file, f"a statement of the type {kind!r}")
        _check_statement(_json(payload, file), file, sha256)
        return _publisher_in(claims, file)


class _Anybody:
    """Whom sigstore shall let sign: who did is read from the certificate when all else has proved it genuine."""

    def verify(self, cert: object) -> None:
        """Refuse nobody."""


def _own(path: str | Path) -> Any:
    from sigstore.models import TrustedRoot
    from sigstore.verify import Verifier as Sigstore

    try:
        return Sigstore(trusted_root=TrustedRoot.from_file(str(path)))
    except Exception as error:
        found = f"{path}: {' '.join(str(error).split())[:300]}"
        raise AttestationError("The trusted root of the policy cannot be used", found=found) from error


def _public(offline: bool, on_note: OnNote | None) -> Any:
    import sigstore.errors
    from sigstore.verify import Verifier as Sigstore

    if not offline:
        try:
            return Sigstore.production()
        except sigstore.errors.Error as error:
            if on_note is not None:
                on_note(f"Sigstore's newest keys cannot be got ({error}); attestations are verified by those at hand")
    # It warns of what was asked for here, and without a handler Python would print that.
    logging.getLogger("sigstore").addHandler(logging.NullHandler())
    try:
        return Sigstore.production(offline=True)
    except Exception as error:
        raise AttestationError("Sigstore's keys cannot be read", found=str(error)) from error


def _bundles(document: bytes, file: str) -> list[tuple[Publisher, list[object]]]:
    try:
        table = Table.root(_json(document, file))
        if table.integer("version", minimum=1) != 1:
            raise table.unexpected("version", found="another", expected="1")
        bundles = [
            (Publisher.parse(bundle.table("publisher")), _list(bundle, "attestations"))
            for bundle in table.tables("attestation_bundles")
        ]
    except UnexpectedJSONError as error:
        raise _refused(file, error.message, error.found, error.expected) from None
    count = sum(len(attestations) for _, attestations in bundles)
    if not 0 < count <= _MOST or not all(attestations for _, attestations in bundles):
        raise _refused(file, f"{count} attestations", expected=f"1 to {_MOST}")
    return bundles


def _list(table: Table, key: str) -> list[object]:
    value = table.value(key, default=None)
    if not isinstance(value, list):
        raise table.unexpected(key, found=type(value).__name__, expected="an array")
    return value


def _check_statement(statement: object, file: str, sha256: str) -> None:
    """What was signed has to be about this very file, and nothing else."""
    from packaging.utils import parse_wheel_filename

    try:
        table = Table.root(statement)
        kind, predicate = table.string("_type"), table.string("predicateType")
        subjects = table.tables("subject")
        if len(subjects) != 1:
            raise table.unexpected("subject", found=f"{len(subjects)} files", expected="one")
        name = subjects[0].string("name", r"[ -~]{1,300}")
        digest = subjects[0].table("digest").string("sha256", r"[ -~]{1,200}")
    except UnexpectedJSONError as error:
        raise _refused(file, error.message, error.found, error.expected) from None
    if kind not in _STATEMENTS or predicate not in _TYPES:
        raise _refused(file, f"a statement of the type {predicate!r}", expected=" or ".join(_TYPES))
    try:
        same = parse_wheel_filename(name) == parse_wheel_filename(file)
    except ValueError:  # InvalidWheelFilename, or a version of more digits than Python makes a number of
        same = False
    if not same or digest.lower() != sha256.lower():
        raise AttestationError(
            f"The attestation offered for {file} is of another file",
            found=f"{name} with sha256 {digest}", expected=f"{file} with sha256 {sha256}", remedy=_REMEDY,
        )  # fmt: skip


def _publisher_in(claims: Mapping[str, str], file: str) -> Publisher:
    issuer, source = claims.get(_ISSUER, ""), claims.get(_REPOSITORY, "")
    for kind, (site, expected, _) in _KINDS.items():
        if issuer == expected and source.startswith(site):
            repository = source.removeprefix(site)
            # https://github.com/OWNER/REPO/.github/workflows/FILE@REF, https://gitlab.com/OWNER/REPO//FILE@REF
            begin = f"{source}/.github/workflows/" if kind == "GitHub" else f"{source}//"
            config = claims.get(_WORKFLOW, "")
            if config.startswith(begin) and "@" in config:
                workflow = config.removeprefix(begin).partition("@")[0]
                return Publisher(kind=kind, repository=repository, workflow=workflow)
    raise AttestationError(
        f"The attestation of {file} was made by nobody that trtreg knows how to name",
        found=f"issuer {issuer or 'none'}, repository {source or 'none'}",
        expected="a workflow on GitHub or GitLab",
    )


def _json(data: bytes, file: str) -> object:
    if len(data) > LARGEST:
        raise _refused(file, f"more than {LARGEST} bytes")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _refused(file, f"no JSON: {error}") from None


def _refused(file: str, why: str, found: str | None = None, expected: str | None = None) -> AttestationError:
    text = f"{why}: found {found}" if found else why
    return AttestationError(f"The attestation of {file} does not verify", found=text, expected=expected, remedy=_REMEDY)
