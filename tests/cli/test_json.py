import json
from importlib.resources import files

import jsonschema
import pytest
from catalogues import catalogue, op, release

from trtreg import errors, save_trt_engine
from trtreg.engine import Engine, UsedPlugin
from trtreg.manifest import CreatorKey


def load(name):
    return json.loads(files("trtreg").joinpath(f"schema/{name}.schema.json").read_text(encoding="utf-8"))


def check(name, text):
    document = json.loads(text)
    schema = load(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)
    assert document["schema"] == 1
    return document


@pytest.fixture
def all_kinds(identity, misfit, broken):
    return identity


def test_list(cli, all_kinds):
    code, out, _ = cli("list", "--json")
    plugins = {plugin["package"]: plugin for plugin in check("list", out)["plugins"]}
    assert code == 0
    assert plugins["trtplugin-identity"]["fits"] is True
    assert plugins["trtplugin-identity"]["ops"] == ["TrtregTestIdentity"]
    assert plugins["trtplugin-identity"]["library"] == str(all_kinds.library_path)
    assert [reason["code"] for reason in plugins["trtplugin-misfit"]["reasons"]] == ["machine", "glibc"]
    assert plugins["trtplugin-broken"]["problem"]


def test_info(cli, all_kinds):
    for name in ("trtplugin-identity", "trtplugin-misfit", "trtplugin-broken"):
        code, out, _ = cli("info", name, "--json")
        (plugin,) = check("info", out)["plugins"]
        assert (code, plugin["package"]) == (0, name)
        if plugin["manifest"] is not None:
            jsonschema.validate(plugin["manifest"], load("trtplugin"))
    assert plugin["manifest"] is None


def test_info_of_an_engine(cli, all_kinds, tmp_path):
    path = tmp_path / "m.engine"
    path.write_bytes(b"plan of TrtregTestIdentity" + all_kinds.library_path.read_bytes())
    code, out, _ = cli("info", path, "--json")
    document = check("engine", out)
    assert (code, document["lock"], document["mismatches"], document["plugins"]) == (0, None, [], [])
    assert [one["package"] for one in document["embedded"]] == ["trtplugin-identity"]
    used = UsedPlugin(package="trtplugin-gone", version="1", sha256="ab" * 32, creators=(CreatorKey("Gone", "1"),))
    names = ("layers", "inputs", "outputs", "creators")
    engine = Engine(plan=b"plan", flavour="lean", tensorrt_version="1", plugins=(used,), **dict.fromkeys(names, ()))
    save_trt_engine(engine, path)
    _, out, _ = cli("info", path, "--json")
    document = check("engine", out)
    jsonschema.validate(document["lock"], load("engine-lock"), cls=jsonschema.Draft202012Validator)
    assert [(one["code"], one["hard"]) for one in document["mismatches"]] == [("flavour", True), ("creator", True)]


def test_scan(cli, all_kinds, save_model):
    body = (
        "a = TrtregTestIdentity (x) b = TrtregTestMisfit (a) c = TrtregTestIdentty (b)"
        ' d = Plugin <name = "ScatterND"> (c) y = Plugin <name = "TrtregTestIdentity", info = "{"> (d)'
    )
    code, out, _ = cli("scan", save_model(body), "--json")
    document = check("scan", out)
    assert code == errors.UnsupportedNodesError.exit_code
    assert [n["status"] for n in document["nodes"]] == ["provided", "incompatible", "missing", "native", "invalid"]
    assert (document["complete"], document["total_nodes"]) == (False, 5)
    assert document["plugins"] == [{"package": "trtplugin-identity", "version": "1.0"}]
    assert document["nodes"][2]["nearest"] == ["TrtregTestIdentity"]


def test_scan_of_what_several_packages_have(cli, install, monkeypatch, site, save_model):
    monkeypatch.syspath_prepend(site)
    for name, other in (("a", "Aaa"), ("b", "Bbb")):
        install(b"", [CreatorKey("Both", "1"), CreatorKey(other, "1", "space")], f"trtplugin-{name}")
    body = 'a = Aaa <plugin_namespace = "space"> (x) y = Bbb <plugin_namespace = "space"> (a)'
    _, out, _ = cli("scan", save_model(body), "--json")
    document = check("scan", out)
    (conflict,) = document["conflicts"]
    assert (conflict["creator"]["name"], conflict["outcome"], conflict["fatal"]) == ("Both", "undecided", True)
    assert [holder["name"] for holder in conflict["holders"]] == ["trtplugin-a 1.0", "trtplugin-b 1.0"]
    assert document["complete"] is False


def test_scan_against_an_index(cli, all_kinds, save_model, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    item = op("Foo", fields=[["axis", "int32", 1]])
    (tmp_path / "catalogue.json").write_bytes(
        catalogue(release("a", ops=[item]), release("b", ops=[item], glibc="9.9"))
    )
    model = save_model('a = TrtregTestIdentity (x) y = Foo <axes = "x", axis = "x"> (a)')
    _, out, _ = cli("scan", model, "--json", "--index", tmp_path)
    document = check("scan", out)
    offers = [
        (o["package"], o["package_version"], o["fits"], len(o["reasons"])) for o in document["nodes"][1]["offers"]
    ]
    assert offers == [("a", "1.0", True, 0), ("b", "1.0", False, 1)]
    assert [(f["kind"], f["fatal"]) for f in document["nodes"][1]["faults"]] == [("unknown", False), ("type", True)]
    (index,) = document["indexes"]
    assert (index["url"], index["stale"], index["releases"]) == (f"{tmp_path.as_uri()}/", False, 2)


def test_search(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "catalogue.json").write_bytes(catalogue(release("a"), release("b", glibc="9.9", uploaded=None)))
    for arguments in (["plugin"], ["--op", "Foo"]):
        code, out, _ = cli("search", *arguments, "--json", "--index", tmp_path)
        document = check("search", out)
        assert code == 0
        assert [(p["package"], p["fits"]) for p in document["packages"]] == [("a", True), ("b", False)]
    _, out, _ = cli("search", "--op", "Fooo", "--json", "--index", tmp_path)
    assert check("search", out)["nearest"] == ["Foo"]


def test_doctor(cli, all_kinds):
    code, out, _ = cli("doctor", "--json")
    document = check("doctor", out)
    assert code == errors.ProblemsFoundError.exit_code
    assert document["healthy"] is False
    assert {"trtreg", "python", "platform", "driver", "nvcc"} <= {fact["key"] for fact in document["facts"]}


@pytest.mark.parametrize("name", ["list", "info", "engine", "scan", "search", "doctor"])
def test_the_schemas_allow_nothing_else(name):
    """Else a field could be added without anybody noticing."""
    schema = load(name)
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == set(schema["properties"])
