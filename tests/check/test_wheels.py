"""What a publisher can do wrong with a wheel: each change of a sound one is found, by its rule and no other."""

from __future__ import annotations

import json
import re
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from trtreg import check as gate
from trtreg import flavour, manifest
from trtreg.check.table import RULES

NAME, PACKAGE = "trtplugin-identity", "trtplugin_identity"
LIBRARY, MANIFEST, INFO = f"{PACKAGE}/libtrtplugin_identity.so", f"{PACKAGE}/trtplugin.json", f"{PACKAGE}-1.0.dist-info"


def field(*path, value):
    """Change one value of the manifest."""

    def change(data):
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return change


@pytest.fixture(scope="session")
def sound(sample, tmp_path_factory):
    """The facts of the sound wheel, with what its library says and does."""
    (checked,) = gate.check([str(sample.write(tmp_path_factory.mktemp("sound")))])
    return checked.package


def judged(package, change):
    """What the rules say of the same library under another manifest."""
    (plugin,) = package.plugins
    data = json.loads(manifest.to_json(plugin.manifest))
    change(data)
    return gate.judge(replace(package, plugins=(replace(plugin, manifest=manifest.parse(data)),)))


def test_a_sound_wheel_passes(sample, tmp_path, find):
    path = sample.write(tmp_path)
    for level in ("error", "warning", "note"):
        assert find(path, level, load=True) == {}


@pytest.mark.parametrize(
    ("change", "key", "found", "expected"),
    [
        (field("library", "glibc", value="2.5"), "library.glibc", '"2.5"', r'"2\.\d+"'),
        (field("library", "needed", value=[]), "library.needed", r"\[\]", r'\["lib.*'),
        (field("library", "cuda", value="12.0"), "library.cuda", '"12.0"', r'"13\.\d"'),
        (field("library", "sms", value=["12.0"]), "library.sms", r'\["12.0"\]', r"\[\]"),
        (field("library", "ptx", value=["12.0"]), "library.ptx", r'\["12.0"\]', r"\[\]"),
        (field("library", "sdk", "version", value="9"), "library.sdk.version", '"9"', r'"\d.*'),
        (field("library", "interface", value="v2"), "library.interface", '"v2"', "null"),
        (
            field("library", "creators", 0, "signatures", 0, "inputs", value=["int8"]),
            r"library.creators\[0\].signatures\[0\].inputs\[0\]",
            '"int8"',
            '"float32"',
        ),
        (field("library", "creators", 0, "inputs", value=[1, 9]), r"library.creators\[0\].inputs\[1\]", "9", "1"),
    ],
)
def test_each_derived_field_is_compared(sound, change, key, found, expected):
    (error,) = judged(sound, change)
    assert (error.rule.id, error.where) == ("TRT021", MANIFEST)
    assert re.fullmatch(f"'{key}' is not what the library gives", error.message), error.message
    assert re.fullmatch(found, error.found), error.found
    assert re.fullmatch(expected, error.expected), error.expected


def test_all_that_is_derived_is_compared(sound):
    """Else a field could be added to the manifest without anybody noticing that it is not checked."""
    (plugin,) = sound.plugins
    declared = json.loads(manifest.to_json(plugin.manifest))["library"]
    assert set(declared) - set(plugin.derived) == {"file"}


def test_a_manifest_of_another_library(sample, tmp_path, find):
    errors = find(sample.with_manifest(field("library", "sha256", value="0" * 64)).write(tmp_path))
    assert set(errors) == {"TRT021", "TRT002"}
    assert "another SHA-256" in errors["TRT002"][0]


def other_creator(data):
    data["library"]["creators"][0]["name"] = "Other"
    data["library"]["creators"][0]["fields"] = [{"name": "axis", "type": "int32", "length": 1}]


@pytest.mark.skipif(not flavour.installed(), reason="no TensorRT in this environment")
def test_another_creator_and_other_fields_are_found_in_tensorrt(sound):
    found = [finding for finding in judged(sound, other_creator) if finding.rule.id != "TRT021"]
    assert [finding.rule.id for finding in found] == ["TRT202", "TRT202"]
    assert found[0].message.endswith("does not get creators that the manifest declares: Other 1")
    assert found[1].message.endswith("gets creators that the manifest does not declare: TrtregTestIdentity 1")

    more = [{"name": "axis", "type": "int32", "length": 1}]
    found = judged(sound, field("library", "creators", 0, "fields", value=more))
    assert {finding.rule.id for finding in found} == {"TRT021", "TRT203"}
    assert (found[-1].found, found[-1].expected) == ("no axis", "axis: int32[1]")


WHEELS = {
    # name: (changes of files, rule, words)
    "a file that starts with Python": ({"evil.pth": "import evil\n"}, "TRT006", "at each start of Python"),
    "a script": ({f"{PACKAGE}-1.0.data/scripts/run": "#!/bin/sh\n"}, "TRT006", "outside of the package"),
    "another package": ({"tests/__init__.py": ""}, "TRT006", "not in the package"),
    "bytecode": ({f"{PACKAGE}/__pycache__/x.cpython-312.pyc": b"\0"}, "TRT006", "compiled Python"),
    "no entry point": ({f"{INFO}/entry_points.txt": None}, "TRT009", f"names {PACKAGE}, which has a manifest"),
    "an entry point to nowhere": (
        {f"{INFO}/entry_points.txt": f"[trtreg.plugins]\na = gone\nb = {PACKAGE}\n"},
        "TRT009",
        "names gone, which has no manifest",
    ),
    "entry points that are none": ({f"{INFO}/entry_points.txt": "[trtreg.plugins\n"}, "TRT003", "entry_points.txt"),
    "no METADATA": ({f"{INFO}/METADATA": None}, "TRT003", "METADATA: it is not there"),
    "METADATA of bytes": ({f"{INFO}/METADATA": b"Name: \xff\n"}, "TRT003", "codec can't decode"),
    "no manifest": ({MANIFEST: None}, "TRT020", "no manifest names it"),
    "a manifest that is none": ({MANIFEST: "{"}, "TRT020", "trtplugin.json: Expecting property name"),
    "no library": ({LIBRARY: None}, "TRT020", "names the library libtrtplugin_identity.so, which is not there"),
    "no library and no manifest": ({LIBRARY: None, MANIFEST: None}, "TRT004", "there is no library in the wheel"),
}


@pytest.mark.parametrize("name", WHEELS)
def test_changes_of_files(sample, tmp_path, find, name):
    files, rule, words = WHEELS[name]
    errors = find(sample.with_files(files).write(tmp_path))
    assert any(words in text for text in errors.get(rule, ())), errors


@pytest.mark.parametrize(
    ("old", "new", "rule", "words"),
    [
        ("Summary: made by a test\n", "", "TRT007", "METADATA has no Summary"),
        ("Requires-Python: >=3.10\n", "", "TRT007", "METADATA has no Requires-Python"),
        ("Requires-Dist: trtreg>=0.1\n", "Requires-Dist: trtreg-more\n", "TRT007", "no Requires-Dist: trtreg"),
        ("License-Expression: Apache-2.0\n", "", "TRT008", "METADATA names no licence"),
    ],
)
def test_metadata(sample, tmp_path, find, old, new, rule, words):
    warnings = find(sample.with_text(f"{INFO}/METADATA", old, new).write(tmp_path), "warning")
    assert [words in text for text in warnings[rule]] == [True]


def test_a_licence_without_its_text(sample, tmp_path, find):
    warnings = find(sample.with_files({f"{INFO}/licenses/LICENSE": None}).write(tmp_path), "warning")
    assert "the text of the licence is not in it" in warnings["TRT008"][0]


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("Summary: made by a test", "Summary: made by others", "summary"),
        ("Version: 1.0", "Version: 1.1", None),
        (f"Name: {NAME}", "Name: trtplugin-other", None),
    ],
)
def test_the_manifest_is_of_the_package(sample, tmp_path, find, old, new, key):
    errors = find(sample.with_text(f"{INFO}/METADATA", old, new).write(tmp_path))
    assert f"'{key}' is not that of METADATA" in errors["TRT022"][0] if key else "METADATA is of" in errors["TRT002"][0]


def test_a_manifest_of_another_package(sample, tmp_path, find):
    errors = find(sample.with_manifest(field("package", value="trtplugin-other")).write(tmp_path))
    assert set(errors) == {"TRT022", "TRT002"}


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("py3-none-any", "does not say what the libraries in the wheel are for"),
        ("py3-none-linux_x86_64", "does not say what the libraries in the wheel are for"),
        ("py3-none-manylinux_2_40_aarch64", "does not say what the libraries in the wheel are for"),
        ("cp312-cp312-manylinux_2_40_x86_64", "keeps other versions of Python out"),
    ],
)
def test_tags(sample, tmp_path, find, tag, words):
    errors = find(sample.write(tmp_path, tag))
    assert words in errors["TRT004"][0]


def test_the_tag_promises_an_older_glibc_than_the_library_needs(sample, tmp_path, find):
    machine = sample.tag.partition("manylinux_")[2].split("_", 2)[2]
    errors = find(sample.write(tmp_path, f"py3-none-manylinux_2_5_{machine}"))
    assert set(errors) == {"TRT109"}
    assert re.search(r"it needs glibc 2\.\d+, for \w+.*expected|it needs glibc", errors["TRT109"][0])


def test_the_tags_of_name_and_content_differ(sample, tmp_path, find):
    path = sample.write(tmp_path)
    other = path.with_name(path.name.replace("manylinux_2_", "manylinux_2_99_x86_64.manylinux_2_"))
    path.rename(other)
    assert "by the file name" in find(other)["TRT003"][0]


def test_a_name_that_is_none(sample, tmp_path, find):
    path = sample.write(tmp_path)
    errors = find(path.rename(tmp_path / "plugin.whl"))
    assert "its name is not NAME-VERSION" in errors["TRT003"][0]
    assert "an index would refuse it" in errors["TRT002"][0]


def rewritten(path, change):
    """The wheel again, with RECORD as it was: what somebody does who changes a file afterwards."""
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as new:
        for name, data in members.items():
            new.writestr(name, data)
    return path


def test_a_file_that_was_changed_afterwards(sample, tmp_path, find):
    init = f"{PACKAGE}/__init__.py"
    path = rewritten(sample.write(tmp_path), lambda files: files.update({init: b"import os\n", "x.py": b""}))
    errors = find(path)
    assert [text.partition(": ")[0] for text in errors["TRT005"]] == [init, "x.py"]
    path = rewritten(sample.write(tmp_path), lambda files: files.update({init: files[init].swapcase()}))
    assert ["its sha256 is" in text for text in find(path)["TRT005"]] == [True]
    path = rewritten(path, lambda files: files.pop(init))
    assert "RECORD lists it, and it is not there" in find(path)["TRT005"][0]
    path = rewritten(path, lambda files: files.pop(f"{INFO}/RECORD"))
    assert "RECORD: it is not there" in find(path)["TRT005"][0]


def test_many_findings_of_one_kind_are_counted(sample, tmp_path, find):
    path = rewritten(sample.write(tmp_path), lambda files: files.update({f"x{number}.py": b"" for number in range(30)}))
    errors = find(path)
    assert (len(errors["TRT005"]), len(errors["TRT006"])) == (11, 11)
    assert "20 more files" in errors["TRT005"][-1]


def truncated(data):
    return data[: len(data) // 2]


def outside(data):
    return data.replace(b"trtplugin_identity/__init__.py", b"../lugin_identity/__init__.py\x2f")


def bomb(data):
    # The directory says that a member unpacks to 4 GiB.
    at = data.index(b"PK\x01\x02")
    return data[: at + 24] + struct.pack("<L", 0xFFFFFFF0) + data[at + 28 :]


@pytest.mark.parametrize("damage", [truncated, outside, bomb, lambda _: b"", lambda _: b"PK\x05\x06" + bytes(18)])
def test_hostile_wheels(sample, tmp_path, find, damage):
    path = sample.write(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    errors = find(path)
    assert errors
    assert set(errors) <= {"TRT001", "TRT002", "TRT003", "TRT004"}


def test_everything_at_once(sample, tmp_path):
    bad = (
        sample.with_files({"evil.pth": "import evil\n", f"{INFO}/licenses/LICENSE": None})
        .with_manifest(field("library", "glibc", value="2.5"))
        .with_text(f"{INFO}/METADATA", "Requires-Python: >=3.10\n", "")
    )
    bad.write(tmp_path)
    sample.with_files({LIBRARY: sample.files[LIBRARY][:5000]}).write(tmp_path / "b")
    (first, second) = gate.check([str(tmp_path), str(tmp_path / "b")], load=False)
    assert [one.rule.id for one in first.findings] == ["TRT006", "TRT021", "TRT007", "TRT008", "TRT204"]
    assert {"TRT002", "TRT021", "TRT101"} <= {one.rule.id for one in second.findings}


def test_a_package_without_a_library(sample, tmp_path, find):
    files = dict.fromkeys(
        [*(name for name in sample.files if name.startswith(PACKAGE + "/")), f"{INFO}/entry_points.txt"]
    )
    path = sample.with_files(files).write(tmp_path, "py3-none-any")
    assert (find(path), find(path, "warning")) == ({}, {})
    assert set(find(path, "note")) == {"TRT010"}


def test_every_rule_has_a_test():
    sources = "\n".join(path.read_text(encoding="utf-8") for path in sorted(gate_tests()))
    assert [rule.id for rule in RULES if f'"{rule.id}"' not in sources] == []
    assert len({rule.id for rule in RULES}) == len(RULES) == len({rule.name for rule in RULES})
    assert json.dumps([rule.id for rule in RULES])


def gate_tests():
    return Path(__file__).parent.glob("test_*.py")
