"""Overriding a built-in (NVIDIA/TensorRT#4686): a plugin takes nodes that TensorRT's parser would import by itself."""

import numpy as np
import onnx
import onnx.parser
import pytest

from trtreg import flavour, onnx2trt, override, parsing
from trtreg.errors import PreferenceError, UnsupportedNodesError
from trtreg.manifest import Creator, CreatorKey
from trtreg.sdk import toolchain

if not any(tensorrt.flavour is not flavour.Flavour.LEAN for tensorrt in flavour.installed()):
    pytest.skip("no TensorRT that builds engines is installed", allow_module_level=True)

FLAGS = ("-Wl,-z,defs", "-ldl", "-lrt", "-lpthread")


@pytest.fixture
def scatter(compile_library, install, monkeypatch, site):
    """Install a package with a plugin like ScatterND, of any key."""

    def scatter(name="ScatterND", version="1", namespace="", package="trtplugin-scatter"):
        defines = (f'-DNAME="{name}"', f'-DVERSION="{version}"', f'-DSPACE="{namespace}"')
        library = compile_library("scatternd.cpp", *defines, str(toolchain.find().nvcc.cudart), *FLAGS)
        creator = Creator(name=name, version=version, namespace=namespace)
        return install(library, name=package, creators=(creator,))

    monkeypatch.syspath_prepend(site)
    return scatter


def model(body="[mine] y = ScatterND (x, i, u)", functions="", domain="f"):
    inputs = "float[4,4] x, int64[2,1] i, float[2,4] u"
    text = f'<ir_version: 8, opset_import: ["" : 17, "{domain}" : 1]> g ({inputs}) => (float[4,4] y) {{ {body} }}'
    return onnx.parser.parse_model(text + functions)


def kinds(engine):
    return [layer.type for layer in engine.layers if layer.type in {"SCATTER", "PLUGIN_V3"}]


@pytest.fixture
def flags(monkeypatch):
    """See whether the parser's flag was set, or the nodes were changed on a copy of the model."""
    seen = []
    for real in (override.set_flag, override.take):

        def spy(*arguments, real=real):
            seen.append(real.__name__)
            return real(*arguments)

        monkeypatch.setattr(override, real.__name__, spy)
    return seen


def test_overriding_a_built_in_issue_4686(scatter, flags):
    plugin = scatter()
    plain = onnx2trt(model())
    assert (kinds(plain), plain.plugins, plain.taken) == (["SCATTER"], (), ())
    engine = onnx2trt(model(), prefer_plugins=["ScatterND"])
    assert kinds(engine) == ["PLUGIN_V3"]
    (taken,) = engine.taken
    assert (taken.title, taken.op, taken.creator, taken.package) == (
        "mine",
        "ScatterND",
        CreatorKey("ScatterND", "1"),
        plugin.distribution,
    )
    assert [used.package for used in engine.plugins] == [plugin.distribution]
    assert engine.creators == (CreatorKey("ScatterND", "1"),)
    assert flags == ["set_flag"]
    assert kinds(onnx2trt(model())) == ["SCATTER"], "the next build is as ever"


@pytest.mark.parametrize("key", [("2", ""), ("1", "space"), ("3", "space")])
def test_a_plugin_of_any_version_and_namespace(scatter, flags, key):
    scatter("ScatterND", *key)
    source = model()
    before = source.SerializeToString()
    engine = onnx2trt(source, prefer_plugins=["ScatterND"])
    assert (kinds(engine), flags) == (["PLUGIN_V3"], ["take"])
    assert engine.creators == (CreatorKey("ScatterND", *key),)
    assert source.SerializeToString() == before


def test_what_the_node_names_itself_comes_first(scatter):
    # And no others: the tests' environment has a package with a ScatterND in no namespace.
    plugins = [scatter("ScatterND", "1", space, f"trtplugin-{space}") for space in ("one", "two")]
    body = '[mine] y = ScatterND <plugin_namespace = "SPACE"> (x, i, u)'
    engine = onnx2trt(model(body.replace("SPACE", "two")), plugins=plugins, prefer_plugins=["ScatterND"])
    assert [used.package for used in engine.plugins] == ["trtplugin-two"]
    with pytest.raises(UnsupportedNodesError, match=r"needs three::ScatterND 1.*installed: one::ScatterND 1, two"):
        onnx2trt(model(body.replace("SPACE", "three")), plugins=plugins, prefer_plugins=["ScatterND"])


def test_a_plugin_of_another_name(scatter, flags):
    scatter("TrtregTestScatter")
    engine = onnx2trt(model(), prefer_plugins=["ScatterND=TrtregTestScatter"])
    assert (kinds(engine), flags) == (["PLUGIN_V3"], ["take"])
    assert [(node.op, node.creator.name) for node in engine.taken] == [("ScatterND", "TrtregTestScatter")]


TWO = "[one] a = ScatterND (x, i, u) [two] b = Identity (a) [three] y = ScatterND (b, i, u)"


def test_only_the_preferred_op_is_taken(scatter, compile_creators, flags):
    """The flag would take every op that a registered plugin shares its name with."""
    scatter()
    other = compile_creators([CreatorKey("Identity", "1")])
    registry = flavour.load().get_plugin_registry()
    handle = registry.load_library(str(other))
    try:
        engine = onnx2trt(model(TWO), prefer_plugins=["ScatterND"])
    finally:
        registry.deregister_library(handle)
    assert kinds(engine) == ["PLUGIN_V3", "PLUGIN_V3"]
    assert [node.title for node in engine.taken] == ["one", "three"]
    assert flags == ["take", "take"]


def test_an_unmodified_file_is_parsed_from_the_file(scatter, tmp_path, monkeypatch):
    scatter()
    onnx.save_model(model(), tmp_path / "m.onnx")
    monkeypatch.setattr(parsing, "_serialised", lambda model: pytest.fail("the model was put together in memory"))
    assert kinds(onnx2trt(tmp_path / "m.onnx", prefer_plugins=["ScatterND"])) == ["PLUGIN_V3"]


def test_external_data_goes_with_the_changed_copy(scatter, tmp_path):
    scatter(namespace="space")
    made = model("a = Add (x, w) y = ScatterND (a, i, u)")
    made.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((4, 4), np.float32), "w"))
    onnx.save_model(made, tmp_path / "m.onnx", save_as_external_data=True, location="w", size_threshold=0)
    engine = onnx2trt(tmp_path / "m.onnx", prefer_plugins=["ScatterND"])
    assert kinds(engine) == ["PLUGIN_V3"]
    assert engine.model.external_data is True


@pytest.mark.parametrize("namespace", ["", "space"])
def test_nodes_in_subgraphs_and_functions(scatter, namespace):
    """Inside of a function the parser heeds neither its flag nor the attribute."""
    scatter(namespace=namespace)
    body = """
        s = ReduceSum <keepdims = 0> (x) c = Cast <to = 9> (s)
        y = If (c) <
            then_branch = t () => (float[4,4] a) { a = f.F (x, i, u) },
            else_branch = e () => (float[4,4] b) { b = ScatterND (x, i, u) }
        >"""
    function = '<opset_import: ["" : 17], domain: "f"> F (x, i, u) => (y) { y = ScatterND (x, i, u) }'
    engine = onnx2trt(model(body, function), prefer_plugins=["ScatterND"])
    assert kinds(engine) == ["PLUGIN_V3", "PLUGIN_V3"]
    assert [node.op for node in engine.taken] == ["ScatterND", "ScatterND"]


def test_a_plugin_wins_over_a_function_of_its_name(scatter):
    scatter("TrtregTestScatter")
    function = '<opset_import: ["" : 17], domain: "f"> TrtregTestScatter (x, i, u) => (y) { y = Identity (x) }'
    made = model("y = f.TrtregTestScatter (x, i, u)", function)
    assert kinds(onnx2trt(made)) == []
    assert kinds(onnx2trt(made, prefer_plugins=["TrtregTestScatter"])) == ["PLUGIN_V3"]


def test_a_plugin_node_of_a_native_name(scatter, flags):
    # tensorRT_Pro's convention
    scatter()
    made = model('y = Plugin <name = "ScatterND", info = ""> (x, i, u)')
    assert kinds(onnx2trt(made)) == ["SCATTER"]
    assert kinds(onnx2trt(made, prefer_plugins=["ScatterND"])) == ["PLUGIN_V3"]
    assert flags == ["take"]


def test_an_attribute_plugin_namespace_is_a_preference_too(scatter):
    """The parser takes the plugin also for the empty namespace; the scan says so."""
    scatter()
    engine = onnx2trt(model('y = ScatterND <plugin_namespace = ""> (x, i, u)'))
    assert kinds(engine) == ["PLUGIN_V3"]
    assert engine.creators == (CreatorKey("ScatterND", "1"),)


def test_that_attribute_inside_of_a_function_is_none(scatter):
    scatter()
    body = 'y = ScatterND <plugin_namespace = ""> (x, i, u)'
    function = f'<opset_import: ["" : 17], domain: "f"> F (x, i, u) => (y) {{ {body} }}'
    engine = onnx2trt(model("y = f.F (x, i, u)", function))
    assert (kinds(engine), engine.creators, engine.plugins) == (["SCATTER"], (), ())


def test_a_creator_that_the_program_registered(compile_library, scatter):
    library = compile_library("scatternd.cpp", str(toolchain.find().nvcc.cudart), *FLAGS)
    registry = flavour.load().get_plugin_registry()
    handle = registry.load_library(str(library))
    try:
        engine = onnx2trt(model(), plugins=[], prefer_plugins=["ScatterND"])
    finally:
        registry.deregister_library(handle)
    assert (kinds(engine), engine.plugins) == (["PLUGIN_V3"], ())
    assert [node.package for node in engine.taken] == [""]


def test_a_preferred_plugin_that_nobody_has():
    with pytest.raises(UnsupportedNodesError, match=r"'mine' \(ScatterND\): no installed plugin is called ScatterND"):
        onnx2trt(model(), plugins=[], prefer_plugins=["ScatterND"])


def test_a_slip_of_the_pen(scatter):
    scatter()
    with pytest.raises(PreferenceError, match=r"has no ScaterND, and no plugin is called ScaterND.*mean ScatterND"):
        onnx2trt(model(), prefer_plugins=["ScaterND"])
    engine = onnx2trt(model("y = Identity (x)"), prefer_plugins=["ScatterND"])
    assert engine.taken == ()


def test_a_parser_that_does_not_listen(scatter, monkeypatch):
    scatter()
    monkeypatch.setattr(override, "set_flag", lambda *arguments: None)
    with pytest.raises(PreferenceError, match=r"imports ScatterND itself all the same: found 0 plugin layers"):
        onnx2trt(model(), prefer_plugins=["ScatterND"])


@pytest.mark.parametrize("wish", ["", "=", "ScatterND=", "=X", " "])
def test_malformed_preferences(wish):
    with pytest.raises(PreferenceError, match=r"malformed.*expected an op as ScatterND"):
        override.read([wish])


def test_preferences_are_read():
    assert dict(override.read(["A", " B = C ", "A"])) == {"A": "A", "B": "C"}
    assert dict(override.read("ScatterND")) == {"ScatterND": "ScatterND"}
    with pytest.raises(PreferenceError, match="two plugins are preferred for A: found B and C"):
        override.read(["A=B", "A=C"])
