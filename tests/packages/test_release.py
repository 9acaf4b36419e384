import json
from copy import deepcopy
from dataclasses import replace
from importlib.resources import files

import jsonschema
import pytest
from catalogues import catalogue, op, release

from trtreg import compatibility, environment
from trtreg.errors import CatalogueError
from trtreg.flavour import Flavour
from trtreg.manifest import Creator, CreatorKey, Field
from trtreg.packages.release import Release, normalised

BASE = "https://host.example/site/catalogue.json"
FULL = release(
    "trtplugin-dcnv2",
    "0.1.0",
    [op("DCNv2", fields=[["stride", "int32", 2], ["group", "int32", 1, "groups"]])],
    tensorrt={"full": ">=10.0", "rtx": ">=1.7"},
    glibc="2.28",
    cuda="13.0",
    sms=["7.5", "9.0a"],
    ptx=["12.0"],
    requires=["trtreg>=0.1"],
)


def test_the_catalogues_of_the_tests_follow_the_schema():
    schema = json.loads(files("trtreg").joinpath("schema/catalogue.schema.json").read_text(encoding="utf-8"))
    document = json.loads(catalogue(FULL, release(), release(yanked="x", ops=[op("a", "2", "n")])))
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)


def test_every_key_is_read():
    found = Release.parse(FULL, BASE, index="company")
    assert found == Release(
        project="trtplugin-dcnv2",
        version="0.1.0",
        file="trtplugin_dcnv2-0.1.0-py3-none-any.whl",
        url="https://host.example/site/files/trtplugin-dcnv2/trtplugin_dcnv2-0.1.0-py3-none-any.whl",
        sha256="0" * 64,
        size=123,
        machine="x86_64",
        summary="The plugin trtplugin-dcnv2",
        uploaded="2026-11-21T03:00:00Z",
        requires_python=">=3.10",
        requires=("trtreg>=0.1",),
        yanked=False,
        status="active",
        tensorrt={"full": ">=10.0", "rtx": ">=1.7"},
        glibc="2.28",
        cuda="13.0",
        sms=("7.5", "9.0a"),
        ptx=("12.0",),
        ops=(
            Creator(
                name="DCNv2",
                version="1",
                fields=(
                    Field(name="stride", type="int32", length=2),
                    Field(name="group", type="int32", length=1, alias_of="groups"),
                ),
                inputs=(1, 1),
                outputs=(1, 1),
            ),
        ),
        index="company",
    )
    assert found.provides(CreatorKey("DCNv2", "1")) is found.ops[0]
    assert found.provides(CreatorKey("DCNv2", "2")) is None


def test_its_manifest_is_judged_as_that_of_an_installed_plugin():
    here = environment.Environment(flavour=Flavour.RTX, tensorrt_version="1.7.1", machine="x86_64", glibc="2.36")
    manifest = Release.parse(FULL, BASE).manifest()
    assert isinstance(compatibility.judge(manifest, here), compatibility.Compatible)
    verdict = compatibility.judge(manifest, replace(here, machine="aarch64", glibc="2.17", tensorrt_version="1.6"))
    assert [reason.code for reason in verdict.reasons] == ["tensorrt-version", "machine", "glibc"]


def test_optional_keys_may_be_absent_and_unknown_ones_are_let_pass():
    keys = ("summary", "uploaded", "requires_python", "requires", "yanked", "status", "glibc", "cuda")
    data = {key: value for key, value in FULL.items() if key not in keys}
    data["tensorrt"] = {"rtx": ">=1.7", "dla": ">=3"}
    found = Release.parse({**data, "signature": "of tomorrow"}, BASE)
    assert (found.yanked, found.status, found.requires, found.glibc) == (False, "active", (), None)
    assert found.tensorrt == {"rtx": ">=1.7"}


@pytest.mark.parametrize(
    ("yanked", "status", "offered"),
    [
        (False, "active", True),
        ("", "active", False),
        ("broken", "active", False),
        (False, "quarantined", False),
        (False, "deprecated", True),
        (False, "archived", True),
    ],
)
def test_what_is_offered(yanked, status, offered):
    found = Release.parse({**FULL, "yanked": yanked, "status": status}, BASE)
    assert (found.yanked, found.offered) == (yanked, offered)


@pytest.mark.parametrize(
    ("base", "url", "expected"),
    [
        (BASE, "x/F", "https://host.example/site/x/F"),
        (BASE, "../F", "https://host.example/F"),
        (BASE, "https://cdn.example/F", "https://cdn.example/F"),
        (BASE, "//cdn.example/F?token=1", "https://cdn.example/F?token=1"),
        ("file:///site/catalogue.json", "x/F", "file:///site/x/F"),
        ("file:///site/catalogue.json", "file:///wheels/F", "file:///wheels/F"),
        ("http://host.example/catalogue.json", "http://other.example/F", "http://other.example/F"),
        (BASE, "http://host.example/F", None),
        (BASE, "javascript:alert(1)//F", None),
        (BASE, "file:///etc/F", None),
        (BASE, "FILE:///etc/F", None),
        (BASE, "data:text/plain,/F", None),
        (BASE, "https:///F", "https://host.example/F"),
        (BASE, "https://[/F", None),
        (BASE, "x/other.whl", None),
        (BASE, "F\n", None),
        (BASE, "\\\\host\\F", None),
        (BASE, "x y/F", None),
        ("http://host.example/catalogue.json", "file:///etc/F", None),
    ],
)
def test_a_url_stays_where_its_index_may_send_a_reader(base, url, expected):
    data = {**FULL, "url": url.replace("F", FULL["file"]) if "FILE" not in url else f"FILE:///etc/{FULL['file']}"}
    expected = expected and expected.replace("F", FULL["file"])
    if expected is None:
        with pytest.raises(CatalogueError, match=r"Unexpected value in 'releases\[7\].url'"):
            Release.parse(data, base, path="releases[7]")
    else:
        assert Release.parse(data, base).url == expected


DEEP = json.loads("[" * 500 + "]" * 500)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("project", 5, "Unexpected type int (expected str) in 'r.project'"),
        ("project", "../../etc", "Unexpected value in 'r.project'"),
        ("project", "x\x1b[2J", "Unexpected value in 'r.project'"),
        ("version", "not a version", "'r.version': found 'not a version', expected a version as PEP 440 has it"),
        ("version", None, "Unexpected type null (expected str) in 'r.version'"),
        ("file", "../x.whl", "Unexpected value in 'r.file'"),
        ("file", "other-1.0-py3-none-any.whl", "'r.url'"),
        ("url", "caf\u00e9/trtplugin_dcnv2-0.1.0-py3-none-any.whl", "Unexpected value in 'r.url'"),
        ("size", 10**4000, "'r.size': found an enormous number"),
        ("requires_python", "\ud800", "Unexpected value in 'r.requires_python'"),
        ("tensorrt.rtx", "===\x1b[2J", "Unexpected value in 'r.tensorrt.rtx'"),
        ("file", "trtplugin_dcnv2.tar.gz", "Unexpected value in 'r.file'"),
        ("url", [], "Unexpected type array (expected str) in 'r.url'"),
        ("sha256", "0" * 63, "Unexpected value in 'r.sha256'"),
        ("size", -1, "Unexpected value in 'r.size'"),
        ("size", True, "Unexpected type bool (expected int) in 'r.size'"),
        ("size", 1.5, "Unexpected type float (expected int) in 'r.size'"),
        ("yanked", True, "Unexpected value in 'r.yanked'"),
        ("yanked", None, "Unexpected value in 'r.yanked'"),
        ("status", "<b>", "Unexpected value in 'r.status'"),
        ("requires", "trtreg", "Unexpected type str (expected array) in 'r.requires'"),
        ("tensorrt", [], "Unexpected type array (expected object) in 'r.tensorrt'"),
        ("tensorrt.rtx", ">>1", "Unexpected value in 'r.tensorrt.rtx'"),
        ("sms", ["x"], "Unexpected value in 'r.sms[0]'"),
        ("ops", {}, "Unexpected type object (expected array) in 'r.ops'"),
        ("ops", DEEP, "Unexpected type array (expected object) in 'r.ops[0]'"),
        ("ops", [op("x")] * 1001, "'r.ops': found 1001 ops"),
        ("ops.0.name", "", "Unexpected value in 'r.ops[0].name'"),
        ("ops.0.name", "DCN\u202ev2", "Unexpected value in 'r.ops[0].name'"),
        ("ops.0.version", 1, "Unexpected type int (expected str) in 'r.ops[0].version'"),
        ("ops.0.inputs", [2, 1], "Unexpected value in 'r.ops[0].inputs'"),
        ("ops.0.fields", {}, "Unexpected type object (expected array) in 'r.ops[0].fields'"),
        ("ops.0.fields.1", "x", "Unexpected type str (expected array) in 'r.ops[0].fields[1]'"),
        ("ops.0.fields.1", ["a", "int32"], "Unexpected value in 'r.ops[0].fields[1]'"),
        ("ops.0.fields.1", ["a", "int32", -1], "Unexpected value in 'r.ops[0].fields[1]'"),
        ("ops.0.fields.1", ["a", "int32", True], "Unexpected value in 'r.ops[0].fields[1]'"),
        ("ops.0.fields.1", ["a", "int32", 1, 5], "Unexpected value in 'r.ops[0].fields[1]'"),
        ("ops.0.fields.1", [5, "int32", 1], "Unexpected value in 'r.ops[0].fields[1]'"),
    ],
)
def test_what_is_wrong_is_told_with_its_key(path, value, message):
    data = deepcopy(FULL)
    place = data
    *parents, last = [int(part) if part.isdecimal() else part for part in path.split(".")]
    for part in parents:
        place = place[part]
    place[last] = value
    with pytest.raises(CatalogueError) as caught:
        Release.parse(data, BASE, path="r")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_wheel_of_another_project():
    file = "other-1.0-py3-none-any.whl"
    with pytest.raises(CatalogueError, match=f"'file': found {file}, expected a wheel of trtplugin-dcnv2"):
        Release.parse({**FULL, "file": file, "url": file}, BASE)


@pytest.mark.parametrize("key", ["project", "version", "file", "url", "sha256", "size", "tensorrt", "machine", "ops"])
def test_what_is_missing_is_told(key):
    data = {other: value for other, value in FULL.items() if other != key}
    with pytest.raises(CatalogueError, match=f"Missing required key '{key}'"):
        Release.parse(data, BASE)


@pytest.mark.parametrize("data", [[], None, "x", 5])
def test_something_else_than_an_object(data):
    with pytest.raises(CatalogueError, match="Unexpected type"):
        Release.parse(data, BASE)


def test_what_a_terminal_would_obey_is_taken_from_texts_for_people():
    found = Release.parse({**FULL, "summary": "a\x1b[31mb\nc\u202ed\ud800" + "x" * 1000, "yanked": "a\x07b"}, BASE)
    assert found.summary.startswith("a [31mb c d")
    assert len(found.summary) == 500
    assert found.yanked == "a b"


def test_names_are_normalised():
    assert normalised("Trtplugin__Foo.Bar") == "trtplugin-foo-bar"
    data = {**FULL, "project": "TRTplugin.DCNv2"}
    assert Release.parse(data, BASE).project == "trtplugin-dcnv2"
