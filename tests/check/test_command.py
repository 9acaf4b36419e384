"""The command: what it takes, what it prints, JSON and SARIF."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from importlib.resources import files

import jsonschema
import pytest

from trtreg import errors
from trtreg.check.table import RULES
from trtreg.check.target import parse
from trtreg.cli import main
from trtreg.flavour import Flavour

PACKAGE, INFO = "trtplugin_identity", "trtplugin_identity-1.0.dist-info"
LIBRARY = f"{PACKAGE}/libtrtplugin_identity.so"

# What GitHub and the standard ask of a log: section 3 of SARIF 2.1.0.
SARIF = {
    "type": "object",
    "required": ["version", "runs", "$schema"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name", "rules"],
                                "properties": {
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {
                                            "type": "object",
                                            "required": ["id", "name", "shortDescription", "help"],
                                            "properties": {
                                                "shortDescription": {"required": ["text"]},
                                                "defaultConfiguration": {
                                                    "properties": {
                                                        "level": {"enum": ["none", "note", "warning", "error"]}
                                                    }
                                                },
                                            },
                                        },
                                    }
                                },
                            }
                        },
                    },
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["ruleId", "message", "level", "locations", "partialFingerprints"],
                            "properties": {
                                "ruleIndex": {"type": "integer", "minimum": 0},
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "message": {
                                    "required": ["text"],
                                    "properties": {"text": {"type": "string", "minLength": 1}},
                                },
                                "partialFingerprints": {"additionalProperties": {"type": "string"}},
                                "locations": {
                                    "type": "array",
                                    "minItems": 1,
                                    "items": {
                                        "required": ["physicalLocation"],
                                        "properties": {
                                            "physicalLocation": {
                                                "required": ["artifactLocation", "region"],
                                                "properties": {
                                                    "artifactLocation": {
                                                        "required": ["uri"],
                                                        "properties": {"uri": {"pattern": "^[^ ]+$"}},
                                                    },
                                                    "region": {
                                                        "required": ["startLine"],
                                                        "properties": {"startLine": {"minimum": 1}},
                                                    },
                                                },
                                            }
                                        },
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}


@pytest.fixture
def cli(capsys):
    def run(*arguments):
        code = main(["check", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def bad(sample, tmp_path):
    """A wheel with an error in its manifest and a warning for its licence."""
    changed = sample.with_files({f"{INFO}/licenses/LICENSE": None})
    return changed.with_manifest(lambda data: data["library"].update(glibc="2.5")).write(tmp_path / "a b")


def test_exit_codes(cli, sample, tmp_path, bad):
    assert cli(sample.write(tmp_path), "--no-load")[0] == 0
    assert cli(bad, "--no-load")[0] == errors.CheckFailedError.exit_code == 110
    assert cli(bad, "--no-load", "--ignore", "TRT021")[0] == 0
    assert cli(bad, "--no-load", "--ignore", "TRT021", "--strict")[0] == 110
    assert cli(bad, "--no-load", "--ignore", "TRT021", "--ignore", "TRT008", "--strict")[0] == 0


def test_what_is_printed(cli, bad):
    _, out, _ = cli(bad, "--no-load")
    assert out.splitlines() == [
        f"{bad}: fails",
        f"  error   TRT021 {PACKAGE}/trtplugin.json: 'library.glibc' is not what the library gives",
        '          found "2.5"',
        f"          expected {out.split('expected ')[1].splitlines()[0]}",
        "          remedy: build the wheel again, and change nothing in it afterwards",
        f"  warning TRT008 {INFO}/METADATA: the text of the licence is not in it",
        '          remedy: add the file and license-files = ["LICENSE"] to [project] of pyproject.toml',
        f"  note    TRT204 {LIBRARY}: it was loaded into no TensorRT: none was tried",
        "          remedy: check it also where the TensorRT is that it is for: pip install 'trtreg[rtx]' brings one",
        "1 checked, failed: 1 error, 1 warning, 1 note",
    ]


def test_a_wheel_cannot_command_the_terminal(cli, sample, tmp_path):
    text = f"Name: trtplugin-identity\nVersion: 1.0\nSummary: {chr(27)}]0;owned{chr(7)}\n"
    _, out, _ = cli(sample.with_files({f"{INFO}/METADATA": text, "\u009b31m.py": ""}).write(tmp_path), "--no-load")
    assert "owned" in out
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in out.replace("\n", ""))


def test_json(cli, sample, tmp_path, bad):
    schema = json.loads(files("trtreg").joinpath("schema/check.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    code, out, _ = cli(bad, sample.write(tmp_path), "--json", "--against", "glibc==2.2", "--sm", "86")
    document = json.loads(out)
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)
    assert (code, document["schema"], document["passed"]) == (110, 1, False)
    first, second = document["checked"]
    assert [finding["rule"] for finding in first["findings"]] == ["TRT021", "TRT302", "TRT008"]
    assert (second["package"], second["version"], second["kind"]) == ("trtplugin-identity", "1.0", "wheel")
    assert [library["file"] for library in second["libraries"]] == [LIBRARY]
    assert all(load["status"] == "loaded" for load in second["libraries"][0]["loads"])


def test_sarif(cli, bad, sample, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sample.write(tmp_path / "sound")
    code, _, _ = cli("a b", "sound", "--no-load", "--sarif", "check.sarif")
    assert code == 110
    log = json.loads((tmp_path / "check.sarif").read_text(encoding="utf-8"))
    jsonschema.validate(log, SARIF, cls=jsonschema.Draft202012Validator)
    (run,) = log["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == [rule.id for rule in RULES]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        location = result["locations"][0]["physicalLocation"]["artifactLocation"]
        assert run["artifacts"][location["index"]]["location"]["uri"] == location["uri"]
    assert [result["ruleId"] for result in run["results"]] == ["TRT021", "TRT008", "TRT204", "TRT204"]
    assert run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == f"a%20b/{bad.name}"
    # An alert stays the same alert: neither the folder nor the version is in it.
    before = [result["partialFingerprints"] for result in run["results"]]
    shutil.move("a b", "c")
    cli("c", "sound", "--no-load", "--sarif", "check.sarif")
    again = json.loads((tmp_path / "check.sarif").read_text(encoding="utf-8"))["runs"][0]["results"]
    assert [result["partialFingerprints"] for result in again] == before
    assert len({json.dumps(one) for one in before[:3]}) == 3


def test_a_sarif_file_that_cannot_be_written(cli, bad, tmp_path):
    assert cli(bad, "--no-load", "--sarif", tmp_path / "gone" / "check.sarif")[0] == errors.OutputError.exit_code


@pytest.mark.parametrize("name", ["gone.whl", "gone.so", "gone", "empty"])
def test_nothing_to_check_is_an_error(cli, tmp_path, name):
    (tmp_path / "empty").mkdir()
    code, _, err = cli(tmp_path / name)
    assert code == errors.CheckInputError.exit_code == 111
    assert name in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--against", "tensorrt"],
        ["--against", "tensorrt==new"],
        ["--against", "tensorrt>=11"],
        ["--against", "tensorflow==2"],
        ["--against", "glibc==2"],
        ["--against", "machine==mips"],
        ["--sm", "9.0a"],
        ["--sm", "many"],
        ["--ignore", "TRT999"],
    ],
)
def test_settings_that_mean_nothing(cli, tmp_path, arguments):
    code, _, err = cli(tmp_path, *arguments)
    assert code == errors.SettingError.exit_code
    assert arguments[1] in err


def test_targets():
    targets = parse(["tensorrt-rtx==1.7", "TensorRT_Lean==10.16", "tensorrt==11.4", "driver==580"], ["86", "12.0"])
    assert targets.tensorrt == ((Flavour.RTX, "1.7"), (Flavour.LEAN, "10.16"), (Flavour.FULL, "11.4"))
    assert (targets.driver, targets.sms) == (("580",), ("8.6", "12.0"))


def gpu(data):
    data["library"].update(sms=["8.0"], ptx=["8.0"], cuda="13.0")


@pytest.mark.parametrize(
    ("against", "rule", "words"),
    [
        (["tensorrt==9.3"], "TRT301", "it does not fit TensorRT full 9.3"),
        (["tensorrt-rtx==1.6"], "TRT301", "it does not fit TensorRT rtx 1.6"),
        (["glibc==2.2"], "TRT302", "it does not fit glibc 2.2"),
        (["python==3.9"], "TRT303", "it does not install into Python 3.9"),
        (["driver==450"], "TRT305", "it does not fit driver 450"),
        (["machine==aarch64"], "TRT306", "it does not fit machine aarch64"),
    ],
)
def test_against_a_machine_that_is_not_here(sample, tmp_path, find, against, rule, words):
    path = sample.write(tmp_path)
    errors = find(path, targets=parse(against))
    if against == ["machine==aarch64"] and "aarch64" in sample.tag:
        assert errors == {}
        return
    assert set(errors) == {rule}
    assert words in errors[rule][0]
    fitting = [
        "tensorrt==11.4",
        "tensorrt-lean==10.16",
        "tensorrt-rtx==1.7",
        "python==3.13",
        "glibc==2.99",
        "driver==590",
    ]
    assert find(path, targets=parse(fitting, ["9.0"])) == {}


def test_a_tag_for_one_python(sample, tmp_path, find):
    path = sample.write(tmp_path, sample.tag.replace("py3-none", "cp311-cp311"))
    assert "TRT303" not in find(path, targets=parse(["python==3.11"]))
    assert "it does not install into Python 3.12" in find(path, targets=parse(["python==3.12"]))["TRT303"][0]


def test_gpus_that_are_not_here():
    from dataclasses import replace

    from trtreg.check import judge
    from trtreg.check.facts import LibraryFacts, PackageFacts, PluginFacts

    library = LibraryFacts(path="libp.so", sha256="0" * 64, size=1, machine="x86_64", sms=("8.0",), ptx=("9.0",))

    def found(*sms, **changes):
        plugin = PluginFacts(library=replace(library, **changes))
        package = PackageFacts(path="libp.so", kind="library", plugins=(plugin,))
        findings = judge(package, targets=parse(sms=sms))
        return [(one.rule.id, one.level) for one in findings if one.rule.id in {"TRT304", "TRT307"}]

    assert found("8.0", "8.6") == []
    assert found("7.5") == [("TRT304", "error")]
    assert found("12.0") == [("TRT307", "note")]
    assert found("12.0", ptx=()) == [("TRT304", "error")]
    assert found("12.0", sms=(), ptx=()) == []


def test_a_library_of_another_tensorrt():
    from trtreg.check import judge
    from trtreg.check.facts import LibraryFacts, PackageFacts, PluginFacts

    library = LibraryFacts(path="libp.so", sha256="0" * 64, size=1, machine="x86_64", needed=("libnvinfer.so.10",))
    package = PackageFacts(path="libp.so", kind="library", plugins=(PluginFacts(library=library),))

    def found(*against):
        return {one.rule.id for one in judge(package, targets=parse(against))} & {"TRT301"}

    assert found("tensorrt==10.3") == set()
    assert found("tensorrt==11.4") == {"TRT301"}
    assert found("tensorrt-rtx==1.7") == {"TRT301"}


def test_an_unpacked_and_an_installed_wheel(cli, sample, tmp_path):
    path = sample.write(tmp_path)
    unpacked, site = tmp_path / "unpacked", tmp_path / "site"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(unpacked)
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", site, path]
    subprocess.run(command, check=True)
    assert list((site / PACKAGE / "__pycache__").iterdir())
    for folder in (unpacked, site):
        code, out, _ = cli(folder, "--no-load", "--strict")
        assert (code, out.splitlines()[0]) == (0, f"{folder / INFO}: passes"), out
    (site / PACKAGE / "__init__.py").write_text("import os\n", encoding="utf-8")
    (site / LIBRARY).write_bytes(sample.files[LIBRARY] + b"\0")
    code, out, _ = cli(site, "--no-load")
    assert code == 110
    assert out.count("TRT005") == 2
    assert out.count("TRT021") == 2
    # The folder with the manifest, and the library beside it.
    for part in (site / PACKAGE, site / LIBRARY):
        code, out, _ = cli(part, "--no-load")
        assert (code, out.count("TRT021")) == (110, 2), out


def test_a_folder_of_libraries(cli, sound_library, tmp_path):
    for name in ("liba.so", "libb.so.1"):
        (tmp_path / name).write_bytes(sound_library.read_bytes())
    (tmp_path / "readme.txt").write_text("", encoding="utf-8")
    code, out, _ = cli(tmp_path, "--no-load")
    assert (code, out.count(": passes")) == (0, 2)


def test_listing_packages_pays_nothing_for_it():
    code = "import sys; from trtreg.cli import main; main(['list']); assert 'trtreg.check' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
