"""Attestations of a Sigstore of our own: verified with sigstore's own code, without a network, at every step."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import hashlib
import json
import subprocess
import sys
from importlib.resources import files

import jsonschema
import pytest

pytest.importorskip("sigstore")
pytest.importorskip("pypi_attestations")

from catalogues import release
from sigstore_authority import SLSA, Authority, sha256

from trtreg import errors
from trtreg.packages import _release_fit, admission, attestations, lock, wheels
from trtreg.packages.attestations import Publisher
from trtreg.packages.release import Release
from trtreg.packages.wheels import Wheel
from trtreg.trust import policy as policies
from trtreg.trust.policy import Policy

FILE = "trtplugin_a-1.0-py3-none-any.whl"
DIGEST = "ab" * 32
ACME = Publisher(kind="GitHub", repository="acme/plugins", workflow="release.yml")


@pytest.fixture(scope="module")
def verifier(trusted_root):
    return attestations.Verifier(trusted_root=trusted_root)


def provenance(*attested, publisher=ACME):
    bundle = {"publisher": publisher.to_json(), "attestations": [*attested]}
    return json.dumps({"version": 1, "attestation_bundles": [bundle]}).encode()


# -- one attestation ---------------------------------------------------------------------------------------------------
def test_a_sound_one_tells_who_published(authority, verifier):
    assert verifier.verify(provenance(authority.attest(FILE, DIGEST)), FILE, DIGEST) == (ACME,)
    two = provenance(authority.attest(FILE, DIGEST), authority.attest(FILE, DIGEST, predicate=SLSA))
    assert verifier.verify(two, FILE, DIGEST) == (ACME,)
    assert str(ACME) == "https://github.com/acme/plugins (release.yml)"


def test_the_same_wheel_by_another_spelling(authority, verifier):
    attested = authority.attest("trtplugin_A-1.0.0-py3-none-any.whl".replace("A", "a"), DIGEST)
    assert verifier.verify(provenance(attested), FILE, DIGEST) == (ACME,)


def change(document, path, value):
    """The document with another value in one place."""
    copy = json.loads(json.dumps(document))
    at = copy
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value(at[path[-1]]) if callable(value) else value
    return copy


def flipped(text):
    data = bytearray(base64.b64decode(text))
    data[len(data) // 2] ^= 1
    return base64.b64encode(data).decode()


def reworded(text):
    """The statement about another hash: what was signed is not this."""
    return base64.b64encode(base64.b64decode(text).replace(DIGEST.encode(), b"cd" * 32)).decode()


ENTRY = ("verification_material", "transparency_entries", 0)
TAMPERED = {
    "signature": (("envelope", "signature"), flipped),
    "statement": (("envelope", "statement"), reworded),
    "certificate": (("verification_material", "certificate"), flipped),
    "log entry": ((*ENTRY, "canonicalizedBody"), flipped),
    "promise": ((*ENTRY, "inclusionPromise", "signedEntryTimestamp"), flipped),
    "time": ((*ENTRY, "integratedTime"), lambda time: str(int(time) + 1)),
    "proof": ((*ENTRY, "inclusionProof", "hashes", 0), flipped),
    "root": ((*ENTRY, "inclusionProof", "rootHash"), flipped),
    "checkpoint": ((*ENTRY, "inclusionProof", "checkpoint", "envelope"), lambda text: text.replace("\n2\n", "\n3\n")),
    "no promise": ((*ENTRY, "inclusionPromise"), None),
    "no log": (("verification_material", "transparency_entries"), []),
    "version": (("version",), 2),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_every_part_is_verified(authority, verifier, what):
    path, value = TAMPERED[what]
    attested = change(authority.attest(FILE, DIGEST), path, value)
    with pytest.raises(errors.AttestationError, match=r"does not verify|is of another file"):
        verifier.verify(provenance(attested), FILE, DIGEST)


def test_parts_of_two_attestations_do_not_make_one(authority, verifier):
    one, two = (authority.attest(FILE, DIGEST) for _ in range(2))
    for part in ("envelope", "verification_material"):
        with pytest.raises(errors.AttestationError, match="does not verify"):
            verifier.verify(provenance({**one, part: two[part]}), FILE, DIGEST)


def test_another_instances_keys(verifier):
    with pytest.raises(errors.AttestationError, match="does not verify"):
        verifier.verify(provenance(Authority().attest(FILE, DIGEST)), FILE, DIGEST)


@pytest.mark.parametrize("key", ["ca", "ct", "rekor"])
def test_each_key_of_the_instance_counts(verifier, authority, key, monkeypatch):
    monkeypatch.setattr(authority, key, getattr(Authority(), key))
    with pytest.raises(errors.AttestationError, match="does not verify"):
        verifier.verify(provenance(authority.attest(FILE, DIGEST)), FILE, DIGEST)


@pytest.mark.parametrize("late", [dt.timedelta(minutes=11), dt.timedelta(minutes=-1)])
def test_a_certificate_that_was_not_valid_when_it_signed(authority, verifier, late):
    with pytest.raises(errors.AttestationError, match="does not verify"):
        verifier.verify(provenance(authority.attest(FILE, DIGEST, late=late)), FILE, DIGEST)


@pytest.mark.parametrize(
    ("file", "digest"),
    [(FILE, "cd" * 32), ("trtplugin_b-1.0-py3-none-any.whl", DIGEST), ("trtplugin_a-1.1-py3-none-any.whl", DIGEST),
     ("trtplugin_a-1.0-py3-none-manylinux_2_28_x86_64.whl", DIGEST), ("trtplugin_a-1.0.tar.gz", DIGEST)],
)  # fmt: skip
def test_an_attestation_of_another_file(authority, verifier, file, digest):
    with pytest.raises(errors.AttestationError, match="is of another file") as caught:
        verifier.verify(provenance(authority.attest(file, digest)), FILE, DIGEST)
    assert caught.value.found == f"{file} with sha256 {digest}"


@pytest.mark.parametrize(
    "changes",
    [
        {"predicate": "https://example.org/other/v1"},
        {"subjects": []},
        {"subjects": [{"name": FILE, "digest": {"sha256": DIGEST}}] * 2},
        {"subjects": [{"name": FILE, "digest": {"sha512": DIGEST}}]},
        {"statement": b"[1]"},
        {"statement": b"{"},
        {"statement": b"[" * 100_000},
    ],
)
def test_a_statement_that_says_something_else(authority, verifier, changes):
    with pytest.raises(errors.AttestationError, match="does not verify"):
        verifier.verify(provenance(authority.attest(FILE, DIGEST, **changes)), FILE, DIGEST)


# -- who ---------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "changes", [{"repository": "evil/plugins"}, {"workflow": "other.yml"}, {"repository": "acme/plugins2"}]
)
def test_the_certificate_says_who_and_not_the_index(authority, verifier, changes):
    with pytest.raises(errors.AttestationError, match="of another publisher than its index says") as caught:
        verifier.verify(provenance(authority.attest(FILE, DIGEST, **changes)), FILE, DIGEST)
    assert caught.value.expected == str(ACME)


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://accounts.example.com"},
        {"issuer": "https://gitlab.com"},  # vouches for gitlab.com only
        {"host": "https://github.com.evil.example"},
        {"host": "https://gitlab.com"},
    ],
)
def test_an_identity_of_the_wrong_issuer(authority, verifier, changes):
    with pytest.raises(errors.AttestationError, match="nobody that trtreg knows"):
        verifier.verify(provenance(authority.attest(FILE, DIGEST, **changes)), FILE, DIGEST)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{" * 100_000,
        b'{"version": 2, "attestation_bundles": []}',
        b'{"version": 1, "attestation_bundles": []}',
        b'{"version": 1, "attestation_bundles": [{"publisher": {"kind": "Other"}, "attestations": [1]}]}',
        b'{"version": 1, "attestation_bundles": [{"publisher": {"kind": "GitHub"}, "attestations": [1]}]}',
        provenance(),
        provenance(1),
        provenance({}),
        provenance(*[{}] * 21),
        b" " * (attestations.LARGEST + 1),
    ],
)
def test_a_document_that_is_none(verifier, document):
    with pytest.raises(errors.AttestationError, match="does not verify"):
        verifier.verify(document, FILE, DIGEST)


def test_a_trusted_root_that_is_none(tmp_path):
    for text in ("{}", "[]", "no JSON"):
        (tmp_path / "root.json").write_text(text, encoding="utf-8")
        with pytest.raises(errors.AttestationError, match="trusted root of the policy cannot be used"):
            attestations.Verifier(trusted_root=tmp_path / "root.json")
    with pytest.raises(errors.AttestationError):
        attestations.Verifier(trusted_root=tmp_path / "none.json")


def test_the_public_instance_is_asked_for_keys_and_those_at_hand_are_the_resort(tmp_path, monkeypatch, authority):
    """No test can reach it, so it is made to fail; the keys that come with sigstore do not know our authority."""
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr("sigstore._internal.tuf.DEFAULT_TUF_URL", "https://tuf-repo-cdn.sigstore.dev")
    monkeypatch.setattr("sigstore._internal.tuf.Updater.refresh", refuse)
    notes = []
    public = attestations.Verifier(on_note=notes.append)
    assert len(notes) == 1
    assert "attestations are verified by those at hand" in notes[0]
    with pytest.raises(errors.AttestationError, match="does not verify"):
        public.verify(provenance(authority.attest(FILE, DIGEST)), FILE, DIGEST)


def refuse(*_arguments):
    raise OSError("no network")


# -- the policy --------------------------------------------------------------------------------------------------------
@pytest.fixture
def wheel(tmp_path, monkeypatch, authority):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    site = tmp_path / "site"
    site.mkdir()
    path = site / f"{FILE}.provenance"
    path.write_bytes(provenance(authority.attest(FILE, DIGEST)))
    return Wheel(project="trtplugin-a", version="1.0", file=FILE, url="https://index.example/trt/files/trtplugin-a/x.whl",
                 sha256=DIGEST, provenance=path.as_uri())  # fmt: skip


def test_offered_and_required(wheel, trusted_root):
    bare = dataclasses.replace(wheel, provenance=None)
    given = Policy(trusted_root=str(trusted_root))
    assert admission.attested([wheel, bare], given) == {FILE: (ACME,)}
    required = dataclasses.replace(given, attestations="required", origins={"attestations": "/etc/p.toml"})
    assert admission.attested([wheel], required) == {FILE: (ACME,)}
    with pytest.raises(errors.AttestationError, match=r"'attestations' in /etc/p\.toml"):
        admission.attested([wheel, bare], required)
    assert admission.attested([wheel, bare], dataclasses.replace(given, attestations="off")) == {}


def test_who_may_publish(wheel, trusted_root):
    allowed = Policy(trusted_root=str(trusted_root), publishers=("https://github.com/acme/plugins",))
    assert admission.attested([wheel], allowed) == {FILE: (ACME,)}
    for others in ((), ("https://github.com/acme/plugin",), ("https://github.com/acme",)):
        policy = dataclasses.replace(allowed, publishers=others, origins={"publishers": "/etc/p.toml"})
        with pytest.raises(errors.PolicyRefusalError, match=r"'publishers' in /etc/p\.toml"):
            admission.attested([wheel], policy)


def test_a_lock_holds_its_publishers(wheel, trusted_root):
    policy = Policy(trusted_root=str(trusted_root))
    assert admission.attested([dataclasses.replace(wheel, publishers=(ACME,))], policy)
    other = dataclasses.replace(ACME, workflow="other.yml")
    with pytest.raises(errors.AttestationError, match="not from the publisher in the lock file"):
        admission.attested([dataclasses.replace(wheel, publishers=(other,))], policy)
    with pytest.raises(errors.AttestationError, match="found no attestation"):
        admission.attested([dataclasses.replace(wheel, publishers=(ACME,), provenance=None)], policy)


def test_without_the_extra(wheel, monkeypatch):
    monkeypatch.setitem(sys.modules, "pypi_attestations", None)
    notes = []
    assert (
        admission.attested([wheel, dataclasses.replace(wheel, project="trtplugin-b")], Policy(), on_note=notes.append)
        == {}
    )
    assert notes == [
        "attestations of trtplugin-a, trtplugin-b are offered and were not verified: pip install 'trtreg[provenance]'"
    ]
    for policy, one in (
        (Policy(attestations="required"), wheel),
        (Policy(), dataclasses.replace(wheel, publishers=(ACME,))),
    ):
        with pytest.raises(errors.MissingExtraError, match=r"trtreg\[provenance\]"):
            admission.attested([one], policy)


def test_one_that_is_offered_and_cannot_be_had(wheel, trusted_root, tmp_path):
    policy = Policy(trusted_root=str(trusted_root))
    with pytest.raises(errors.NotOnServerError):
        admission.attested([dataclasses.replace(wheel, provenance=(tmp_path / "none").as_uri())], policy)
    with pytest.raises(errors.NotCachedError, match="without --offline"):
        admission.attested([dataclasses.replace(wheel, provenance="https://index.example/x")], policy, offline=True)


def test_offline_takes_the_one_of_before(wheel, trusted_root):
    policy = Policy(trusted_root=str(trusted_root))
    admission.attested([wheel], policy)
    later = dataclasses.replace(wheel, provenance="https://index.example/x")
    assert admission.attested([later], policy, offline=True) == {FILE: (ACME,)}
    kept = wheels.place(wheel).with_name(f"{FILE}.provenance")
    kept.write_bytes(kept.read_bytes()[:-50])
    with pytest.raises(errors.AttestationError, match="does not verify"):
        admission.attested([later], policy, offline=True)


@pytest.mark.parametrize(
    ("url", "site", "allowed"),
    [
        ("https://index.example/trt/files/trtplugin-a/x.whl", None, True),
        ("https://index.example/trt/x.whl", None, True),
        ("https://cdn.example/x.whl", "https://index.example/trt/", True),
        ("https://cdn.example/x.whl", None, False),
        ("https://index.example/other/files/trtplugin-a/x.whl", None, False),
        ("https://index.example/trt/../other/x.whl", None, False),
        ("https://index.example/trt/files/trtplugin-a/x.whl", "https://other.example/", False),
        ("https://evil.example/index.example/trt/x.whl", None, False),
    ],
)
def test_which_index(wheel, url, site, allowed):
    policy = Policy(indexes=("https://index.example/trt/",))
    one = dataclasses.replace(wheel, url=url, site=site)
    if allowed:
        admission.require([one], policy)
    else:
        with pytest.raises(errors.PolicyRefusalError, match="is not allowed"):
            admission.require([one], policy)


@pytest.mark.parametrize(
    "place", ["file:///etc/passwd", "http://index.example/x", "ftp://x/y", "http://[", "a b", "a\\b", 1, [], ""]
)
def test_a_catalogue_leads_nowhere_else(place):
    base = "https://index.example/trt/catalogue.json"
    assert Release.parse(release("trtplugin-a"), base).provenance is None
    line = release("trtplugin-a", provenance="files/trtplugin-a/x.whl.provenance")
    assert Release.parse(line, base).provenance == "https://index.example/trt/files/trtplugin-a/x.whl.provenance"
    line = release("trtplugin-a", provenance="https://pypi.example/integrity/x/provenance")
    assert Release.parse(line, base).provenance == "https://pypi.example/integrity/x/provenance"
    with pytest.raises(errors.CatalogueError, match="'provenance'"):
        Release.parse(release("trtplugin-a", provenance=place), base)


def test_only_who_speaks_first_of_attestations_may_name_keys(tmp_path):
    own = tmp_path / "config" / "trtreg" / "policy.toml"
    own.parent.mkdir(parents=True)
    named = tmp_path / "named.toml"
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "TRTREG_POLICY": str(named)}
    own.write_text('mode = "strict"\n', encoding="utf-8")
    named.write_text('trusted_root = "/srv/root.json"\n', encoding="utf-8")
    assert policies.read(environ).trusted_root == "/srv/root.json"
    own.write_text('publishers = ["https://github.com/acme/plugins"]\n', encoding="utf-8")
    with pytest.raises(errors.PolicyError, match="may not set 'trusted_root'"):
        policies.read(environ)
    named.write_text('attestations = "required"\n', encoding="utf-8")
    own.write_text('trusted_root = "/srv/root.json"\n', encoding="utf-8")
    assert policies.read(environ).trusted_root == "/srv/root.json"
    for bad in ('"root.json"', "1"):
        own.write_text(f"trusted_root = {bad}\n", encoding="utf-8")
        with pytest.raises(errors.PolicyError, match="absolute path"):
            policies.read(environ)


# -- the commands ------------------------------------------------------------------------------------------------------
def checked(done, name="install"):
    found = json.loads(done.stdout)
    schema = json.loads(files("trtreg").joinpath(f"schema/{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(found, schema, cls=jsonschema.Draft202012Validator)
    return found


@pytest.fixture
def attested_market(market, authority, trusted_root, tmp_path):
    """An index whose catalogue offers the attestation of its one wheel, and a policy with our keys."""
    path = market.add("trtplugin-a", "1.0", "A")
    beside = path.with_name(f"{path.name}.provenance")
    beside.write_bytes(provenance(authority.attest(path.name, sha256(path))))
    market.lines[0]["provenance"] = f"files/trtplugin-a/{beside.name}"
    market.save()
    market.policy = tmp_path / "policy.toml"
    market.policy.write_text(f'trusted_root = "{trusted_root}"\n', encoding="utf-8")
    market.beside = beside
    return market


def test_install_lock_and_sync(pip_room, attested_market, trusted_root):
    market, environ = attested_market, {"TRTREG_POLICY": str(attested_market.policy)}
    environ["TRTREG_INDEX"] = market.url
    done = pip_room.trtreg("install", "trtplugin-a", **environ)
    assert "  attested by https://github.com/acme/plugins (release.yml)\n" in done.stdout
    locked = checked(pip_room.trtreg("lock", "--json", **environ), "lock")
    assert locked["packages"][0]["attested_by"] == [
        {"kind": "GitHub", "repository": "acme/plugins", "workflow": "release.yml"}
    ]
    text = (pip_room.folder / "pylock.toml").read_text(encoding="utf-8")
    assert "attestation-identities" in text
    pip_room.trtreg("uninstall", "trtplugin-a")
    done = checked(pip_room.trtreg("sync", "--json", **environ))
    assert done["actions"][0]["attested_by"] == locked["packages"][0]["attested_by"]
    assert pip_room.installed == {"trtplugin-a": "1.0"}
    # Another workflow of the same repository is another publisher.
    (pip_room.folder / "pylock.toml").write_text(text.replace("release.yml", "other.yml"), encoding="utf-8")
    refused = pip_room.trtreg("sync", code=errors.AttestationError.exit_code, **environ)
    assert "is not from the publisher in the lock file" in refused.stderr


def test_nothing_is_installed_that_does_not_verify(pip_room, attested_market, authority):
    market, environ = attested_market, {"TRTREG_POLICY": str(attested_market.policy)}
    good = market.beside.read_bytes()
    wheel = market.beside.with_suffix("")
    bad = [
        provenance(authority.attest(wheel.name, DIGEST)),
        provenance(Authority().attest(wheel.name, sha256(wheel))),
        provenance(authority.attest(wheel.name, sha256(wheel), repository="evil/plugins")),
        good[:-1],
    ]
    for document in bad:
        market.beside.write_bytes(document)
        done = pip_room.trtreg("install", "trtplugin-a", "--index", market.url, code=103, **environ)
        assert "remedy: do not install it" in done.stderr
        assert (pip_room.installed, pip_room.leftovers) == ({}, set())
    # Another wheel under the attested name, with its own hash in the catalogue: what an index that was broken into has.
    market.beside.write_bytes(good)
    wheel.write_bytes(wheel.read_bytes() + b"")
    data = bytearray(wheel.read_bytes())
    data[-1:] = b"\x01 "  # the archive's comment
    data[-4:-2] = b"\x01\x00"
    market.lines[0] |= {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    wheel.write_bytes(data)
    market.save()
    done = pip_room.trtreg("install", "trtplugin-a", "--index", market.url, code=103, **environ)
    assert "is of another file" in done.stderr
    assert pip_room.installed == {}


def test_a_policy_is_kept_by_install_lock_and_sync(pip_room, attested_market):
    market, code = attested_market, errors.PolicyRefusalError.exit_code
    own = market.policy.read_text(encoding="utf-8")
    pip_room.trtreg("lock", "trtplugin-a", "--index", market.url, TRTREG_POLICY=str(market.policy))
    library = hashlib.sha256(b"trtplugin-a 1.0").hexdigest()
    install, locking = (
        ("install", "trtplugin-a", "--index", market.url),
        ("lock", "trtplugin-a", "--index", market.url),
    )
    refused = [
        ('packages = ["trtplugin-b*"]', (install, locking, ("sync",)), "The package trtplugin-a is not allowed"),
        ('indexes = ["https://index.example/"]', (install, locking, ("sync",)), "The index file:"),
        (
            'publishers = ["https://github.com/acme/others"]',
            (install, locking, ("sync",)),
            "by somebody who is not allowed",
        ),
        (f'hashes = ["{"0" * 64}"]', (install, ("sync",)), "The library of trtplugin-a is not allowed"),
    ]
    for line, commands, message in refused:
        market.policy.write_text(f"{own}{line}\n", encoding="utf-8")
        for command in commands:
            done = pip_room.trtreg(*command, code=code, TRTREG_POLICY=str(market.policy))
            assert message in done.stderr
            assert str(market.policy) in done.stderr, "the file that forbids it"
            assert pip_room.installed == {}
    allowed = [
        'packages = ["trtplugin-*"]', f'indexes = ["{market.url}"]', f'hashes = ["{library}"]',
        'publishers = ["https://github.com/acme/plugins"]', 'attestations = "required"',
    ]  # fmt: skip
    market.policy.write_text(own + "\n".join(allowed), encoding="utf-8")
    pip_room.trtreg("sync", TRTREG_POLICY=str(market.policy))
    assert pip_room.installed == {"trtplugin-a": "1.0"}


def test_required_and_lacking(pip_room, market, tmp_path):
    market.add("trtplugin-a", "1.0", "A")
    (tmp_path / "policy.toml").write_text('attestations = "required"\n', encoding="utf-8")
    environ = {"TRTREG_POLICY": str(tmp_path / "policy.toml")}
    for command in ("install", "lock"):
        done = pip_room.trtreg(command, "trtplugin-a", "--index", market.url, code=103, **environ)
        assert "There is no attestation of trtplugin_a-1.0-py3-none-any.whl" in done.stderr
    assert pip_room.installed == {}


def test_a_lock_whose_provenance_means_nothing(wheel, trusted_root, tmp_path):
    pytest.importorskip("tomli_w")
    target = _release_fit.read()
    found = Release(project="trtplugin-a", version="1.0", file=FILE, url=(tmp_path / FILE).as_uri(), sha256=DIGEST,
                    size=1, machine="x86_64", provenance=wheel.provenance)  # fmt: skip
    path = tmp_path / "pylock.toml"
    lock.write(path, [found], target, publishers={FILE: (ACME,)})
    (found,) = lock.read(path)
    assert (found.provenance, found.publishers) == (wheel.provenance, (ACME,))
    text = path.read_text(encoding="utf-8")
    place, kind = f'"site/{FILE}.provenance"', '"GitHub"'
    for old, new in (
        (place, '"http://["'),
        (place, "1"),
        (place, '"ftp://x/y"'),
        (place, '"a\\u0000b"'),
        (kind, '"No"'),
    ):
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
        with pytest.raises(errors.LockFileError, match="trtplugin-a"):
            lock.read(path)


def test_nothing_of_it_is_imported_before_it_is_needed():
    code = "import sys, trtreg.cli.install, trtreg.packages.lock, trtreg.packages.admission, trtreg.index.site\n"
    code += (
        "print([m for m in sys.modules if m.partition('.')[0] in ('sigstore', 'pypi_attestations', 'cryptography')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
