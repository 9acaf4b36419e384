"""A Sigstore of our own, without a network: a certificate authority, a certificate log and a signature log.

What it gives out has all parts that the public instance gives out, so that every step of a verification has something
to verify: the chain, the certificate log's timestamp, the identity, the inclusion in the signature log, the checkpoint,
the promise, the time, and the signature.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import struct
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["GITHUB", "PUBLISH", "SLSA", "Authority", "sha256"]

GITHUB = "https://token.actions.githubusercontent.com"
PUBLISH = "https://docs.pypi.org/attestations/publish/v1"
SLSA = "https://slsa.dev/provenance/v1"
_TYPE = "application/vnd.in-toto+json"
_FULCIO = "1.3.6.1.4.1.57264.1."
_SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_LOG = "log.test.example"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _der(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def _tlv(tag: int, value: bytes) -> bytes:
    if len(value) < 0x80:
        return bytes([tag, len(value)]) + value
    length = len(value).to_bytes((len(value).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + value


class Authority:
    """The keys of one such instance; `now` is when it signs."""

    def __init__(self) -> None:
        self.now = dt.datetime(2026, 11, 1, 12, tzinfo=dt.timezone.utc)
        self.ca, self.ct, self.rekor = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        usage = {"key_cert_sign": True, "crl_sign": True, "digital_signature": False}
        self.root = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.ca.public_key())
            .serial_number(1)
            .not_valid_before(self.now - dt.timedelta(days=365))
            .not_valid_after(self.now + dt.timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(**usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.ca.public_key()), critical=False)
            .sign(self.ca, hashes.SHA256())
        )

    def trusted_root(self, path: Path) -> Path:
        """Write what a verifier has to trust."""
        since = {"start": "2020-01-01T00:00:00Z"}

        def log(key: ec.EllipticCurvePrivateKey) -> dict[str, object]:
            public = {"rawBytes": _b64(_der(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": since}
            return {
                "baseUrl": f"https://{_LOG}",
                "hashAlgorithm": "SHA2_256",
                "publicKey": public,
                "logId": {"keyId": _b64(hashlib.sha256(_der(key)).digest())},
            }

        chain = {"certificates": [{"rawBytes": _b64(self.root.public_bytes(serialization.Encoding.DER))}]}
        authority = {
            "subject": {"organization": "test", "commonName": "test authority"},
            "uri": "https://ca.test.example",
            "certChain": chain,
            "validFor": since,
        }
        document = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(self.rekor)],
            "certificateAuthorities": [authority],
            "ctlogs": [log(self.ct)],
        }
        path.write_text(json.dumps(document), encoding="utf-8")
        return path

    def attest(
        self,
        file: str,
        digest: str,
        *,
        repository: str = "acme/plugins",
        workflow: str = "release.yml",
        issuer: str = GITHUB,
        predicate: str = PUBLISH,
        late: dt.timedelta = dt.timedelta(minutes=2),
        subjects: list[dict[str, object]] | None = None,
        statement: bytes | None = None,
        host: str = "https://github.com",
    ) -> dict[str, object]:
        """Make the attestation object of a file; `late` is how long after the certificate's beginning it is logged."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(key, f"{host}/{repository}", workflow, issuer)
        subject = [{"name": file, "digest": {"sha256": digest}}] if subjects is None else subjects
        fields = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": subject,
            "predicateType": predicate,
            "predicate": None,
        }
        payload = json.dumps(fields).encode() if statement is None else statement
        signature = _sign(key, f"DSSEv1 {len(_TYPE)} {_TYPE} {len(payload)} ".encode() + payload)
        entry = self._entry(payload, signature, certificate, int((self.now + late).timestamp()))
        return {
            "version": 1,
            "verification_material": {
                "certificate": _b64(certificate.public_bytes(serialization.Encoding.DER)),
                "transparency_entries": [entry],
            },
            "envelope": {"statement": _b64(payload), "signature": _b64(signature)},
        }

    def attest_file(self, path: Path, **changes: object) -> Path:
        """Write FILE.publish.attestation beside a file, as `pypi-attestations sign` does."""
        target = path.with_name(f"{path.name}.publish.attestation")
        made = self.attest(path.name, sha256(path), **changes)  # type: ignore[arg-type]
        target.write_text(json.dumps(made), encoding="utf-8")
        return target

    def _certificate(
        self, key: ec.EllipticCurvePrivateKey, repository: str, workflow: str, issuer: str
    ) -> x509.Certificate:
        config = f"{repository}/.github/workflows/{workflow}@refs/tags/v1"
        claims = {8: issuer, 9: config, 12: repository, 13: "a" * 40, 14: "refs/tags/v1", 18: config}
        usage = {"key_cert_sign": False, "crl_sign": False, "digital_signature": True}
        alternative = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(config)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.root.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now)
            .not_valid_after(self.now + dt.timedelta(minutes=10))
            .add_extension(_usage(**usage), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.ca.public_key()), critical=False)
            .add_extension(alternative, critical=True)
        )
        for number, value in claims.items():
            oid = x509.ObjectIdentifier(f"{_FULCIO}{number}")
            builder = builder.add_extension(x509.UnrecognizedExtension(oid, _tlv(0x0C, value.encode())), critical=False)
        # A certificate log signs the certificate without its own timestamp, which is added last (RFC 6962, 3.2).
        before = builder.sign(self.ca, hashes.SHA256()).tbs_certificate_bytes
        time = int(self.now.timestamp() * 1000)
        entry = hashlib.sha256(_der(self.ca)).digest() + len(before).to_bytes(3, "big") + before
        signature = _sign(self.ct, struct.pack("!BBQH", 0, 0, time, 1) + entry + b"\0\0")
        log = hashlib.sha256(_der(self.ct)).digest()
        sct = b"\0" + log + struct.pack("!QHBBH", time, 0, 4, 3, len(signature)) + signature
        listed = struct.pack("!HH", len(sct) + 2, len(sct)) + sct
        stamp = x509.UnrecognizedExtension(_SCT_LIST, _tlv(0x04, listed))
        return builder.add_extension(stamp, critical=False).sign(self.ca, hashes.SHA256())

    def _entry(self, payload: bytes, signature: bytes, certificate: x509.Certificate, time: int) -> dict[str, object]:
        """Log a signature as the second of two entries, so that the proof has a hash in it."""
        verifier = certificate.public_bytes(serialization.Encoding.PEM)
        body = {
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(signature).hexdigest()},
                "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
                "signatures": [{"signature": _b64(signature), "verifier": _b64(verifier)}],
            },
        }
        raw = json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
        other = hashlib.sha256(b"\0the entry before").digest()
        root = hashlib.sha256(b"\1" + other + hashlib.sha256(b"\0" + raw).digest()).digest()
        log = hashlib.sha256(_der(self.rekor)).digest()
        note = f"{_LOG} - 1\n2\n{_b64(root)}\n"
        checkpoint = f"{note}\n\u2014 {_LOG} {_b64(log[:4] + _sign(self.rekor, note.encode()))}\n"
        promised = {"body": _b64(raw), "integratedTime": time, "logID": log.hex(), "logIndex": 1}
        promise = _sign(self.rekor, json.dumps(promised, separators=(",", ":"), sort_keys=True).encode())
        return {
            "logIndex": "1",
            "logId": {"keyId": _b64(log)},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(time),
            "inclusionPromise": {"signedEntryTimestamp": _b64(promise)},
            "inclusionProof": {
                "logIndex": "1",
                "rootHash": _b64(root),
                "treeSize": "2",
                "hashes": [_b64(other)],
                "checkpoint": {"envelope": checkpoint},
            },
            "canonicalizedBody": _b64(raw),
        }


def _usage(**chosen: bool) -> x509.KeyUsage:
    others = "content_commitment key_encipherment data_encipherment key_agreement encipher_only decipher_only"
    return x509.KeyUsage(**dict.fromkeys(others.split(), False), **chosen)
