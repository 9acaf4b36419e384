import copy
import json
import string
from dataclasses import replace
from importlib.resources import files

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtreg import manifest
from trtreg.errors import ManifestError
from trtreg.manifest import Creator, CreatorKey, Field, Library, Manifest, Sdk, Signature

SCHEMA = json.loads(files("trtreg").joinpath("schema/trtplugin.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

EXAMPLE = {
    "schema": 1,
    "package": "trtplugin-dcnv2",
    "version": "0.1.0",
    "summary": "Modulated deformable convolution",
    "tensorrt": {"full": ">=10.0", "lean": ">=10.0", "rtx": ">=1.7"},
    "library": {
        "file": "libtrtplugin_dcnv2.so",
        "sha256": "0123456789abcdef" * 4,
        "size": 1234567,
        "machine": "x86_64",
        "glibc": "2.27",
        "needed": ["libc.so.6", "libm.so.6"],
        "cuda": "13.0",
        "sms": ["7.5", "9.0a", "12.0"],
        "ptx": ["12.0"],
        "sdk": {"version": "0.1.0", "face_abi": 1},
        "registration": "init",
        "init": "initLibMyPlugins",
        "interface": "v3",
        "creators": [
            {
                "name": "DCNv2",
                "version": "1",
                "namespace": "",
                "inputs": [4, 5],
                "outputs": [1, 1],
                "fields": [
                    {"name": "stride", "type": "int32", "length": 2, "default": [1, 1]},
                    {"name": "mode", "type": "char", "length": 0, "default": "bilinear"},
                    {"name": "group", "type": "int32", "length": 1, "alias_of": "groups"},
                ],
                "signatures": [{"inputs": ["float32", "int8:chw32"], "outputs": ["float32"]}],
            }
        ],
    },
}


def changed(path, value):
    """Copy the example with one value replaced, or removed (value is ...)."""
    data = copy.deepcopy(EXAMPLE)
    *parents, last = path
    place = data
    for key in parents:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return data


def test_the_example_is_parsed_whole():
    parsed = manifest.parse(EXAMPLE)
    (creator,) = parsed.library.creators
    assert parsed.package == "trtplugin-dcnv2"
    assert parsed.tensorrt == {"full": ">=10.0", "lean": ">=10.0", "rtx": ">=1.7"}
    assert parsed.library.sdk == Sdk(version="0.1.0", face_abi=1)
    assert parsed.library.sms == ("7.5", "9.0a", "12.0")
    assert creator.key == CreatorKey("DCNv2", "1", "")
    assert creator.inputs == (4, 5)
    assert [f.default for f in creator.fields] == [(1, 1), "bilinear", None]
    assert creator.fields[2].alias_of == "groups"
    assert creator.signatures == (Signature(inputs=("float32", "int8:chw32"), outputs=("float32",)),)
    assert json.loads(manifest.to_json(parsed)) == EXAMPLE


def test_an_older_manifest_says_nothing_of_registration():
    data = changed(("library", "registration"), ...)
    for key in ("init", "interface"):
        del data["library"][key]
    VALIDATOR.validate(data)
    library = manifest.parse(data).library
    assert (library.registration, library.init, library.interface) == ("dynamic", None, None)


@pytest.mark.parametrize(
    ("registration", "init"), [("init", None), ("dynamic", "f"), ("static", "f"), ("other", None), ("init", "f()")]
)
def test_a_function_goes_with_its_style_only(registration, init):
    data = changed(("library", "registration"), registration)
    data["library"]["init"] = init
    assert not VALIDATOR.is_valid(data)
    with pytest.raises(ManifestError, match=r"library\.(init|registration)"):
        manifest.parse(data)


def test_a_library_not_made_with_our_sdk_says_less():
    data = copy.deepcopy(EXAMPLE)
    data["library"] |= {"sdk": None, "cuda": None, "glibc": None, "creators": [{"name": "A", "version": "1"}]}
    parsed = manifest.parse(data)
    VALIDATOR.validate(data)
    assert parsed.library.creators == (Creator(name="A", version="1"),)
    assert (parsed.library.sdk, parsed.library.cuda, parsed.library.glibc) == (None, None, None)


def test_keys_of_a_newer_builder_are_ignored():
    data = copy.deepcopy(EXAMPLE)
    data["library"]["creators"][0]["colour"] = "green"
    VALIDATOR.validate(data)
    assert manifest.parse(data) == manifest.parse(EXAMPLE)


CREATOR = ("library", "creators", 0)

WRONG = [
    (("package",), ..., "Missing required key 'package'"),
    (("library", "sha256"), ..., "Missing required key 'library.sha256'"),
    ((*CREATOR, "name"), 7, "Unexpected type int (expected str) in 'library.creators[0].name'"),
    ((*CREATOR, "name"), "", "Unexpected value in 'library.creators[0].name'"),
    (("version",), None, "Unexpected type null (expected str) in 'version'"),
    (("package",), "../evil", "Unexpected value in 'package': found '../evil'"),
    (("tensorrt",), [], "Unexpected type array (expected object) in 'tensorrt'"),
    (("tensorrt", "trt"), ">=1", "Unexpected value in 'tensorrt.trt': found trt, expected one of full, lean, rtx"),
    (("library",), "lib.so", "Unexpected type str (expected object) in 'library'"),
    (("library", "size"), True, "Unexpected type bool (expected int) in 'library.size'"),
    (("library", "size"), -1, "Unexpected value in 'library.size': found -1, expected 0 or more"),
    (("library", "size"), 1.5, "Unexpected type float (expected int) in 'library.size'"),
    (("library", "file"), "../lib.so", "Unexpected value in 'library.file': found '../lib.so'"),
    (("library", "file"), "..", "Unexpected value in 'library.file'"),
    (("library", "file"), "/lib.so", "Unexpected value in 'library.file'"),
    (("library", "sha256"), "ABC", "Unexpected value in 'library.sha256'"),
    (("library", "sms"), ["7.5", 80], "Unexpected type int (expected str) in 'library.sms[1]'"),
    (("library", "sms"), ["sm_80"], "Unexpected value in 'library.sms[0]': found 'sm_80'"),
    (("library", "cuda"), "thirteen", "Unexpected value in 'library.cuda'"),
    (("library", "sdk"), {"version": "1"}, "Missing required key 'library.sdk.face_abi'"),
    ((*CREATOR, "inputs"), [1], "Unexpected value in 'library.creators[0].inputs': found [1]"),
    ((*CREATOR, "inputs"), [1, "2"], "Unexpected type str (expected int) in 'library.creators[0].inputs'"),
    ((*CREATOR, "fields", 0, "default"), "1", "Unexpected type str (expected array) in 'library.creators[0].fields[0]"),
    ((*CREATOR, "fields", 0, "default"), [True], "Unexpected type bool (expected number) in"),
    ((*CREATOR, "fields", 1, "default"), [1], "Unexpected type array (expected str) in"),
    ((*CREATOR, "signatures"), None, "Unexpected type null (expected array) in 'library.creators[0].signatures'"),
    ((*CREATOR, "signatures", 0, "inputs", 0), "Float", "'library.creators[0].signatures[0].inputs[0]'"),
    (("schema",), 2, "Unexpected value in 'schema': found 2, expected 1; upgrade trtreg"),
]


@pytest.mark.parametrize(("path", "value", "message"), WRONG, ids=[".".join(map(str, w[0])) for w in WRONG])
def test_an_error_names_the_key_path_and_the_schema_agrees(path, value, message):
    data = changed(path, value)
    with pytest.raises(ManifestError) as caught:
        manifest.parse(data)
    assert message in str(caught.value)
    assert not VALIDATOR.is_valid(data)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("tensorrt", "rtx"), "1.7", "expected a version specifier"),
        ((*CREATOR, "inputs"), [5, 4], "found [5, 4], expected [lowest, highest]"),
        ((*CREATOR, "fields", 0, "default"), [float("inf")], "expected a finite number"),
    ],
)
def test_what_a_schema_cannot_say_is_checked_too(path, value, message):
    with pytest.raises(ManifestError) as caught:
        manifest.parse(changed(path, value))
    assert message in str(caught.value)


@pytest.mark.parametrize("data", [None, [], "x", 1])
def test_a_document_that_is_no_object(data):
    with pytest.raises(ManifestError, match=r"\(expected object\) in the document"):
        manifest.parse(data)


def test_read_names_the_file(tmp_path):
    path = tmp_path / "trtplugin.json"
    with pytest.raises(ManifestError, match=f"{path} does not exist"):
        manifest.read(path)
    for content, message in ((b"{", "is not JSON"), (b"\xff", "is not JSON"), (b"[" * 100_000, "is not JSON")):
        path.write_bytes(content)
        with pytest.raises(ManifestError, match=message):
            manifest.read(path)
    path.write_text(json.dumps(changed(("version",), 1)), encoding="utf-8")
    with pytest.raises(ManifestError, match=rf"{path}: Unexpected type int \(expected str\) in 'version'"):
        manifest.read(path)
    with pytest.raises(ManifestError, match="cannot be read"):
        manifest.read(tmp_path)
    path.write_text(json.dumps(EXAMPLE), encoding="utf-8")
    assert manifest.read(path) == manifest.parse(EXAMPLE)


# Everything that the format allows: https://json-schema.org/draft/2020-12/json-schema-validation
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
words = st.text(string.ascii_lowercase, min_size=1, max_size=6)
versions = st.from_regex(r"[0-9]{1,2}\.[0-9]", fullmatch=True)
archs = st.lists(st.from_regex(r"[1-9][0-9]?\.[0-9][af]?", fullmatch=True), max_size=3).map(tuple)
ranges = st.tuples(st.integers(0, 9), st.integers(0, 9)).map(lambda pair: tuple(sorted(pair)))
numbers = st.lists(st.integers() | st.floats(allow_nan=False, allow_infinity=False), max_size=3).map(tuple)
tensors = st.lists(st.from_regex(r"[a-z][a-z0-9]{0,3}(:[a-z][a-z0-9_]{0,3})?", fullmatch=True), max_size=3).map(tuple)
fields = st.builds(
    Field,
    name=names,
    type=words.filter(lambda word: word != "char"),
    length=st.integers(0, 8),
    default=st.none() | numbers,
    alias_of=st.none() | names,
) | st.builds(Field, name=names, type=st.just("char"), default=st.none() | st.text(max_size=5))
creators = st.builds(
    Creator,
    name=names,
    version=names,
    namespace=st.text(max_size=4),
    fields=st.lists(fields, max_size=3).map(tuple),
    inputs=st.none() | ranges,
    outputs=st.none() | ranges,
    signatures=st.none() | st.lists(st.builds(Signature, inputs=tensors, outputs=tensors), max_size=2).map(tuple),
)
libraries = st.builds(
    Library,
    file=st.from_regex(r"lib[a-z]+\.so", fullmatch=True),
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    size=st.integers(min_value=0),
    machine=words,
    glibc=st.none() | versions,
    needed=st.lists(words, max_size=3).map(tuple),
    cuda=st.none() | versions,
    sms=archs,
    ptx=archs,
    interface=st.none() | st.sampled_from(["v2", "v3"]),
    sdk=st.none() | st.builds(Sdk, version=words, face_abi=st.integers(1, 9)),
    creators=st.lists(creators, max_size=2).map(tuple),
)
manifests = st.builds(
    Manifest,
    package=words,
    version=words,
    summary=st.text(max_size=10),
    tensorrt=st.dictionaries(st.sampled_from(["full", "lean", "rtx"]), st.sampled_from([">=10", "", "<2,>1.7"])),
    library=libraries,
)


@given(manifests)
def test_writing_and_reading_gives_the_same_manifest_and_fits_the_schema(original):
    text = manifest.to_json(original)
    data = json.loads(text)
    assert manifest.parse(data) == original
    assert manifest.to_json(manifest.parse(data)) == text
    assert text.endswith("}\n")
    assert manifest.to_json(replace(original, tensorrt=dict(reversed(original.tensorrt.items())))) == text
    VALIDATOR.validate(data)


leaves = st.none() | st.booleans() | st.integers() | st.text()
documents = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(documents, st.sampled_from([wrong[0] for wrong in WRONG]))
def test_no_json_raises_anything_but_a_manifest_error(value, path):
    try:
        manifest.parse(changed(path, value))
    except ManifestError:
        pass
    else:
        assert VALIDATOR.is_valid(changed(path, value))


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
