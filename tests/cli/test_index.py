"""The command line of the publisher."""

import json
import zipfile
from importlib.resources import files

import jsonschema
import pytest

from trtreg import errors


@pytest.fixture
def wheel(tmp_path):
    """The smallest wheel that an index takes."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    info = "one-1.0.dist-info"
    with zipfile.ZipFile(folder / "one-1.0-py3-none-any.whl", "w") as file:
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.4\nName: one\nVersion: 1.0\n\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\n")
        file.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return folder / "one-1.0-py3-none-any.whl"


def run(cli, *arguments):
    code, out, _ = cli("index", *arguments, "--json")
    document = json.loads(out)
    schema = json.loads(files("trtreg").joinpath("schema/index.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)
    assert set(schema["required"]) == set(schema["properties"])
    assert document["command"] == arguments[0]
    return code, document


def test_every_subcommand(cli, wheel, tmp_path):
    site = tmp_path / "site"
    code, document = run(cli, "build", wheel.parent, "-o", site)
    assert (code, document["added"], document["projects"]) == (0, [wheel.name], 1)
    assert run(cli, "yank", "one", "1.0", "-o", site, "--reason", "broken")[0] == 0
    assert json.loads((site / "simple/one/index.json").read_text())["files"][0]["yanked"] == "broken"
    assert run(cli, "unyank", "one", "1.0", "-o", site)[0] == 0
    assert run(cli, "status", "one", "deprecated", "-o", site)[0] == 0
    assert run(cli, "check", site)[0] == 0
    code, document = run(cli, "remove", "one", "1.0", "-o", site)
    assert (code, document["removed"]) == (0, [wheel.name])


def test_refused_wheels(cli, wheel, tmp_path):
    bad = wheel.with_name("two-1.0-py3-none-any.whl")
    bad.write_bytes(b"")
    code, document = run(cli, "build", wheel.parent, "-o", tmp_path / "site")
    assert code == errors.WheelsRefusedError.exit_code
    assert document["added"] == [wheel.name]
    assert document["refused"] == [{"path": str(bad), "reason": "it is no zip file"}]
    _, _, err = cli("index", "build", wheel.parent, "-o", tmp_path / "site")
    assert f"{bad} is refused: it is no zip file" in err
    assert "1 wheel was refused; the rest is published" in err


def test_a_damaged_site(cli, wheel, tmp_path):
    site = tmp_path / "site"
    run(cli, "build", wheel, "-o", site)
    (site / "simple/index.html").write_text("")
    code, document = run(cli, "check", site)
    assert code == errors.IndexDamagedError.exit_code
    assert [one["path"] for one in document["problems"]] == ["simple/index.html"]
    _, out, _ = cli("index", "check", site)
    assert "simple/index.html" in out


def test_names_cannot_write_to_the_terminal(cli, wheel, tmp_path):
    bad = wheel.with_name("\x1b[31mred-1.0-py3-none-any.whl")
    bad.write_bytes(b"")
    _, _, err = cli("index", "build", wheel.parent, "-o", tmp_path / "site")
    assert "\x1b" not in err
    assert "\\x1b[31mred" in err


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("yank", "two", "1.0"), errors.NotPublishedError),
        (("yank", "one", "2.0"), errors.NotPublishedError),
        (("build", "--packages-url", "https://example.org/"), errors.IndexPublishError),
    ],
)
def test_what_cannot_be_done(cli, wheel, tmp_path, arguments, error):
    site = tmp_path / "site"
    run(cli, "build", wheel, "-o", site)
    code, _, err = cli("index", *arguments, "-o", site)
    assert code == error.exit_code
    assert "trtreg: error:" in err


@pytest.mark.parametrize("action", ["build", "check", "yank", "unyank", "remove", "status"])
def test_help_has_examples(capsys, action):
    from trtreg.cli import main

    with pytest.raises(SystemExit, match="0"):
        main(["index", action, "--help"])
    assert f"trtreg index {action} " in capsys.readouterr().out.partition("Examples:")[2]
