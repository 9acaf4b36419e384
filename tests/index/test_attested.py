"""Attestations beside wheels, verified by the publisher of an index, and offered as PEP 740 has it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys

import pytest

pytest.importorskip("sigstore")
pytest.importorskip("pypi_attestations")

import pypi_attestations
from sigstore_authority import Authority

from trtreg import errors
from trtreg.index import Publisher, check, page_config
from trtreg.packages import attestations
from trtreg.packages.release import Release

from .conftest import releases, tree

BASE = "https://plugins.example.com/trt/"
ACME = attestations.Publisher(kind="GitHub", repository="acme/plugins", workflow="release.yml")


@pytest.fixture
def publisher(site, trusted_root):
    return Publisher(site, config=page_config.PageConfig(url=BASE), trusted_root=trusted_root)


def pages(site, project="trtplugin-one"):
    folder = site / "simple" / project
    return json.loads((folder / "index.json").read_text(encoding="utf-8")), (folder / "index.html").read_text()


def test_what_is_offered(publisher, make, wheels, site, authority, trusted_root):
    path = make()
    bare = make("trtplugin-two", op="Two")
    beside = authority.attest_file(path)
    report = publisher.build([wheels])
    assert (report.attested, report.refused) == ([path.name], [])
    assert report.added == [path.name, bare.name]
    place = f"files/trtplugin-one/{path.name}.provenance"
    document = (site / place).read_bytes()
    # The library of PyPI's own index reads it.
    parsed = pypi_attestations.Provenance.model_validate_json(document)
    assert parsed.attestation_bundles[0].publisher.repository == "acme/plugins"
    assert json.loads(document)["attestation_bundles"][0]["attestations"] == [json.loads(beside.read_text())]
    shown, html = pages(site)
    assert shown["files"][0]["provenance"] == f"{BASE}{place}"
    assert f' data-provenance="{BASE}{place}"' in html
    other, html = pages(site, "trtplugin-two")
    assert "provenance" not in json.dumps(other) + html
    one, two = releases(site)
    assert (one["provenance"], "provenance" in two) == (place, False)
    release = Release.parse(one, f"{BASE}catalogue.json")
    assert release.provenance == f"{BASE}{place}"
    verifier = attestations.Verifier(trusted_root=trusted_root)
    assert verifier.verify(document, release.file, release.sha256) == (ACME,)
    assert list(check(site)) == []


def test_one_that_comes_later(publisher, make, wheels, site, authority):
    path = make()
    publisher.build([wheels])
    before = (site / f"files/trtplugin-one/{path.name}").stat().st_mtime_ns
    authority.attest_file(path)
    report = publisher.build([wheels])
    assert (report.added, report.attested, report.projects) == ([], [path.name], 1)
    assert pages(site)[0]["files"][0]["provenance"].endswith(f"{path.name}.provenance")
    assert releases(site)[0]["provenance"].endswith(".provenance")
    assert (site / f"files/trtplugin-one/{path.name}").stat().st_mtime_ns == before
    # It stays the one that it is, and is not verified again.
    first = tree(site)
    authority.attest_file(path)
    assert publisher.build([wheels]).attested == []
    assert tree(site) == first
    assert list(check(site)) == []


def test_a_wheel_that_is_named_has_its_attestation_too(publisher, make, authority):
    path = make()
    authority.attest_file(path)
    assert publisher.build([path]).attested == [path.name]


@pytest.mark.parametrize("late", [False, True])
def test_one_that_does_not_verify(publisher, make, wheels, site, authority, late):
    path, other = make(), make("trtplugin-two", op="Two")
    if late:
        publisher.build([wheels])
    beside = path.with_name(f"{path.name}.publish.attestation")
    texts = [
        json.dumps(authority.attest(path.name, "ab" * 32)),
        json.dumps(Authority().attest(path.name, hashlib.sha256(path.read_bytes()).hexdigest())),
        "{",
        " " * (attestations.LARGEST + 1),
    ]
    for text in texts:
        beside.write_text(text, encoding="utf-8")
        report = publisher.build([wheels])
        (refused,) = report.refused
        assert refused.path == str(beside if late else path)
        assert "attestation" in refused.reason
        assert report.attested == []
        assert [one["project"] for one in releases(site)] == ["trtplugin-one"] * late + ["trtplugin-two"]
        assert not [name for name in tree(site) if name.endswith(".provenance")]
    beside.unlink()
    beside.symlink_to(other)
    assert len(publisher.build([wheels]).refused) == 1
    beside.unlink()
    beside.mkdir()
    assert len(publisher.build([wheels]).refused) == 1
    beside.rmdir()
    assert publisher.build([wheels]).refused == []
    assert list(check(site)) == []


def test_it_goes_with_its_wheel_and_is_checked(publisher, make, wheels, site, authority):
    path = make()
    authority.attest_file(path)
    publisher.build([wheels])
    place = site / f"files/trtplugin-one/{path.name}.provenance"
    whole = place.read_bytes()
    place.write_bytes(whole[:-1])
    (problem,) = check(site)
    assert (problem.path, "SHA-256" in problem.problem) == (f"files/trtplugin-one/{path.name}.provenance", True)
    place.unlink()
    assert [one.problem for one in check(site)] == ["is missing"]
    place.write_bytes(whole)
    publisher.yank("trtplugin-one", "1.0", "wrong")
    assert pages(site)[0]["files"][0]["provenance"]
    publisher.remove("trtplugin-one", "1.0")
    assert not [name for name in tree(site) if "trtplugin-one" in name or "trtplugin_one" in name]
    assert list(check(site)) == []


def test_links_on_pages_are_whole_or_not_there(site, trusted_root, make, wheels, authority):
    """PEP 740 wants whole URLs of a secure origin; trtreg's own catalogue has a relative one, as for the wheel."""
    authority.attest_file(make())
    Publisher(site, trusted_root=trusted_root).build([wheels])
    for url, whole in (("http://plugins.example.com/", False), (BASE, True), ("https://other.example/", True)):
        config = page_config.PageConfig(url=url)
        Publisher(site, config=config, trusted_root=trusted_root).build([wheels])
        shown, html = pages(site)
        assert ("provenance" in shown["files"][0]) is whole
        assert (f'data-provenance="{url}files/' in html) is whole
        assert releases(site)[0]["provenance"].startswith("files/")
        assert list(check(site)) == []


def test_a_build_that_is_broken_off(publisher, make, wheels, site, authority, monkeypatch):
    path = make()
    publisher.build([wheels])
    before = tree(site)
    authority.attest_file(path)
    monkeypatch.setattr("trtreg.index.ledger.Ledger.attest", broken)
    with pytest.raises(KeyboardInterrupt):
        publisher.build([wheels])
    monkeypatch.undo()
    assert f"files/trtplugin-one/{path.name}.provenance" in tree(site)
    (path.with_name(f"{path.name}.publish.attestation")).unlink()
    assert publisher.build([wheels]).recovered
    assert tree(site) == before


def broken(*_arguments):
    raise KeyboardInterrupt


def test_without_the_extra(publisher, make, wheels, site, authority, monkeypatch):
    path = make()
    beside = authority.attest_file(path)
    monkeypatch.setitem(sys.modules, "pypi_attestations", None)
    with pytest.raises(errors.MissingExtraError, match=r"trtreg\[provenance\]"):
        publisher.build([wheels])
    beside.unlink()
    assert publisher.build([wheels]).added == [path.name]
    assert list(check(site)) == []


def test_wheels_that_are_elsewhere_are_not_attested(site, trusted_root, make, wheels, authority):
    authority.attest_file(make())
    report = Publisher(site, trusted_root=trusted_root).build([wheels], packages_url="https://files.example.com/")
    assert (report.attested, report.refused) == ([], [])
    assert "provenance" not in releases(site)[0]


def test_a_ledger_of_before(publisher, make, wheels, site, authority):
    """The ledger of format 1 knew of no provenance; it is changed in place, and nothing else is."""
    path = make()
    publisher.build([wheels])
    before = tree(site)
    with sqlite3.connect(site / ".trtreg" / "ledger.sqlite3") as ledger:
        ledger.execute("ALTER TABLE wheels DROP COLUMN provenance_sha256")
        ledger.execute("PRAGMA user_version = 1")
    ledger.close()
    assert publisher.build([wheels]).unchanged == 1
    assert tree(site) == before
    authority.attest_file(path)
    assert publisher.build([wheels]).attested == [path.name]
    assert list(check(site)) == []


def test_the_command(make, wheels, site, authority, trusted_root, capsys, monkeypatch):
    from trtreg.cli import main

    path = make()
    authority.attest_file(path)
    monkeypatch.setattr(sys, "argv", ["trtreg"])
    assert main(["index", "build", str(wheels), "-o", str(site), "--trusted-root", str(trusted_root)]) == 0
    assert "Attestations verified and offered: 1" in capsys.readouterr().out
    assert main(["index", "build", str(wheels), "-o", str(site), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["attested"] == []


def test_nothing_is_imported_where_nothing_is_attested(publisher, make, wheels, monkeypatch):
    make()
    monkeypatch.setattr(attestations, "Verifier", None)
    assert publisher.build([wheels]).attested == []
