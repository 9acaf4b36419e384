"""Creators that several have, with real libraries and TensorRT's own plugins: who is loaded, and who gives way."""

from __future__ import annotations

import json
import logging
import os
import subprocess
from hashlib import sha256
from pathlib import Path

import onnx.parser
import pytest
from pythons import python_of
from registry import creators

from trtreg import (
    _creator_origin,
    _holders,
    engine_plugins,
    environment,
    flavour,
    load_tensorrt_plugin,
    loader,
    onnx2trt,
)
from trtreg.engine import UsedPlugin
from trtreg.engine_lock import EngineLock
from trtreg.errors import (
    AlreadyRegisteredError,
    CreatorConflictError,
    CreatorsMissingError,
    EngineBuildError,
    UnsupportedNodesError,
)
from trtreg.manifest import CreatorKey
from trtreg.preferences import Preferences

ROOT = Path(__file__).resolve().parent.parent
IDENTITY = CreatorKey("TrtregTestIdentity", "1")
X, Y, Z = (CreatorKey(f"TrtregTest{name}", "1") for name in "XYZ")

needs_rtx = pytest.mark.skipif(
    not any(tensorrt.flavour is flavour.Flavour.RTX for tensorrt in flavour.installed()),
    reason="no TensorRT-RTX is installed, which builds engines without a GPU",
)


@pytest.fixture(autouse=True)
def on_path(monkeypatch, site):
    monkeypatch.syspath_prepend(site)


@pytest.fixture
def own():
    """Give a plugin of TensorRT's own: RTX's ROIAlign_TRT, or one that TensorRT-lean has."""
    keys = sorted(key for key in creators() if not key.name.startswith("Trtreg"))
    return next((key for key in keys if key.name == "ROIAlign_TRT"), keys[0])


@pytest.fixture
def make(compile_creators, install):
    """Install a package with these creators."""

    def make(name, *keys, declared=None, **changes):
        return install(compile_creators(keys), declared or keys, f"trtplugin-{name}", **changes)

    return make


def owner(key):
    return _creator_origin.library_of(creators()[key])


def model(*ops):
    nodes = "".join(f"x{i + 1} = {op} (x{i}) " for i, op in enumerate(ops))
    text = f'<ir_version: 8, opset_import: ["" : 17]> g (float[4] x0) => (float[4] x{len(ops)}) {{ {nodes} }}'
    return onnx.parser.parse_model(text)


# -- what the registry does, which all of this stands on -------------------------------------------------------------
def test_a_library_goes_in_whole_or_not_at_all(compile_creators):
    registry = flavour.load().get_plugin_registry()
    first = registry.load_library(str(compile_creators([X, Y])))
    try:
        assert registry.load_library(str(compile_creators([X, Z]))) is None
        assert Z not in creators()
        assert registry.deregister_creator(creators()[X]) is False, "it goes with its library only"
    finally:
        registry.deregister_library(first)


@needs_rtx
def test_a_registry_of_its_own_takes_what_the_global_one_has_and_is_asked_first(compile_creators):
    """As the runtime has one for the libraries in an engine; a builder's can be had without a GPU."""
    trt = flavour.load()
    registry = trt.get_plugin_registry()
    first = registry.load_library(str(compile_creators([X, Y])))
    builder = trt.Builder(flavour.logger())
    local = builder.get_plugin_registry()
    try:
        second = local.load_library(str(compile_creators([X, Z])))
        assert second is not None
        assert _creator_origin.library_of(local.get_creator(X.name, "1", "")) == compile_creators([X, Z])
        assert _creator_origin.library_of(registry.get_creator(X.name, "1", "")) == compile_creators([X, Y])
        local.deregister_library(second)
    finally:
        registry.deregister_library(first)


# -- TensorRT's own --------------------------------------------------------------------------------------------------
ROUND = """
import json, sys
from trtreg import _creator_origin, discovery, flavour, loader
from trtreg.manifest import CreatorKey

tensorrt = flavour.load()
registry = tensorrt.get_plugin_registry()

def owner():
    found = [c for c in registry.all_creators if CreatorKey.of(c) == key]
    return [str(_creator_origin.library_of(creator)) for creator in found]

plugin = discovery.find("trtplugin-same")
(key,) = [c.key for c in plugin.manifest.library.creators if not c.name.startswith("Trtreg")]
seen = [owner()]
for _ in range(3):
    loader.load(plugin)
    seen.append(owner())
    assert loader.unload(plugin) is True
    seen.append(owner())
print(json.dumps({"version": tensorrt.__version__, "library": str(plugin.library_path), "seen": seen}))
"""


@pytest.mark.parametrize("variable", ["TRTREG_TEST_RTX_1_7", "TRTREG_TEST_LEAN_10_16", "TRTREG_TEST_LEAN_11_4"])
def test_a_preferred_package_takes_the_place_of_tensorrts_own_and_gives_it_back(variable, make, site):
    key = CreatorKey("MyelinWeightsTransformPlugin", "1")  # all three have it
    make("same", key, X)
    python = python_of(variable)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(site)])}
    environ["TRTREG_PREFER"] = "MyelinWeightsTransformPlugin=trtplugin-same"
    done = subprocess.run([python, "-c", ROUND], env=environ, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    (own,) = told["seen"][0]
    assert own != told["library"]
    assert told["seen"] == [[own], *[[told["library"]], [own]] * 3]


V2 = """
import sys
from pathlib import Path
from trtreg import _set_aside, flavour
from trtreg._adoption import registered
from trtreg.foreign import opening
from trtreg.manifest import CreatorKey

tensorrt = flavour.select()
registry = flavour.load(tensorrt).get_plugin_registry()
opening.open_library(Path(sys.argv[1]), tensorrt)
key = CreatorKey("TrtregForeignOld", "1")
taken = _set_aside.take_out(registry, {key: registered(registry)[key]})
print(key in registered(registry))
_set_aside.put_back(registry, taken)
print(key in registered(registry), type(registered(registry)[key]).__name__)
"""


def test_a_creator_of_the_v2_interface_gives_way_too(compile_foreign):
    """Most of a full TensorRT 10's own plugins are of that interface."""
    python = python_of("TRTREG_TEST_LEAN_10_16")
    library = compile_foreign("v2.cpp", "TrtregForeignOld", "-DSTATIC")
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [python, "-c", V2, library], env=environ, check=False, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["False", "True", "IPluginCreator"], done.stderr


def test_without_a_preference_the_way_out_is_told(make, own):
    with pytest.raises(AlreadyRegisteredError, match="whole or not at all") as caught:
        loader.load(make("same", own, X))
    assert caught.value.remedy == (
        f'do not load trtplugin-same in this process, or say who is to have it: "{own}" = "trtplugin-same" in [prefer] '
        f"of the configuration file, or TRTREG_PREFER='{own}=trtplugin-same'"
    )
    assert X not in creators()


def test_a_load_that_fails_puts_tensorrts_own_back(make, own, monkeypatch):
    monkeypatch.setenv("TRTREG_PREFER", f"{own}=trtplugin-same")
    before = owner(own)
    with pytest.raises((CreatorsMissingError, AlreadyRegisteredError)):
        loader.load(make("same", own, declared=[own, X]))
    assert owner(own) == before


def test_tensorrts_own_comes_back_where_the_library_was_deregistered_by_others(make, own, monkeypatch):
    monkeypatch.setenv("TRTREG_PREFER", f"{own}=trtplugin-same")
    before, plugin = owner(own), make("same", own)
    flavour.load().get_plugin_registry().deregister_library(loader.load(plugin).handle)
    assert own not in creators()
    loader.load(plugin)
    assert owner(own) == plugin.library_path
    assert loader.unload(plugin) is True
    assert owner(own) == before


def test_what_came_with_a_whole_library_is_not_taken_out(make, compile_creators, monkeypatch):
    monkeypatch.setenv("TRTREG_PREFER", f"{X}=trtplugin-same")
    registry = flavour.load().get_plugin_registry()
    other = compile_creators([X, Y])
    handle = registry.load_library(str(other))
    try:
        with pytest.raises(AlreadyRegisteredError) as caught:
            loader.load(make("same", X))
        assert caught.value.remedy == "unload the other library first, or do not load it in this process"
        assert owner(X) == other
    finally:
        registry.deregister_library(handle)


def test_a_package_that_is_loaded_is_not_taken_out(make, monkeypatch):
    first, second = make("first", X), make("second", X)
    loader.load(first)
    monkeypatch.setenv("TRTREG_PREFER", f"{X}=trtplugin-second")
    with pytest.raises(AlreadyRegisteredError, match="unload trtplugin-first first"):
        loader.load(second)
    assert owner(X) == first.library_path


@needs_rtx
def test_a_package_that_registered_itself_is_not_taken_out(make, install, compile_foreign, monkeypatch):
    """The registry would give its creator up: who loaded it would lose it without a word."""
    key = CreatorKey("TrtregForeignHeld", "1")
    library = compile_foreign("v3_static.cpp", key.name, "-DSTATIC", "-DSLOT=8")
    first = install(library, [key], "trtplugin-first", registration="static")
    loader.load(first)
    monkeypatch.setenv("TRTREG_PREFER", f"{key}=trtplugin-second")
    with pytest.raises(AlreadyRegisteredError, match="unload trtplugin-first first"):
        loader.load(make("second", key))
    assert owner(key) == first.library_path


# -- load_tensorrt_plugin --------------------------------------------------------------------------------------------
def test_all_at_once_loads_none_where_two_collide(make):
    make("a", X, Y), make("b", X, Z)
    with pytest.raises(CreatorConflictError, match=r"trtplugin-a 1\.0 .* and trtplugin-b 1\.0 .* both have"):
        load_tensorrt_plugin()
    assert loader.loaded() == ()


def test_all_at_once_leaves_the_loser_out(make, monkeypatch):
    make("a", X, Y), make("b", X, Z)
    monkeypatch.setenv("TRTREG_PREFER", "TrtregTestX=trtplugin-b")
    names = {known.plugin.distribution for known in load_tensorrt_plugin()}
    assert names & {"trtplugin-a", "trtplugin-b"} == {"trtplugin-b"}


def test_an_op_is_loaded_from_the_preferred_package(make, monkeypatch, caplog):
    make("a", X, Y), make("b", X, Z)
    monkeypatch.setenv("TRTREG_PREFER", "TrtregTestX=trtplugin-b")
    assert [known.plugin.distribution for known in load_tensorrt_plugin("TrtregTestX")] == ["trtplugin-b"]


def test_two_that_are_asked_for_by_name_collide_before_either_is_loaded(make):
    make("a", X, Y), make("b", X, Z)
    with pytest.raises(CreatorConflictError, match="no preference helps"):
        load_tensorrt_plugin("trtplugin-a", "trtplugin-b")
    assert loader.loaded() == ()


# -- models ----------------------------------------------------------------------------------------------------------
@needs_rtx
def test_a_model_that_needs_both_is_refused_before_anything_is_loaded(make):
    make("a", X, Y), make("b", X, Z)
    with pytest.raises(CreatorConflictError, match=r"trtplugin-a is needed for TrtregTestY 1, trtplugin-b is needed"):
        onnx2trt(model("TrtregTestY", "TrtregTestZ"))
    assert loader.loaded() == ()


@needs_rtx
def test_a_model_takes_one_package_where_it_can(make):
    make("a", X, Y), make("b", X, Z)
    with pytest.raises(UnsupportedNodesError):  # the library has creators, and they create nothing
        onnx2trt(model("TrtregTestX", "TrtregTestZ"))
    assert [known.plugin.distribution for known in loader.loaded()] == ["trtplugin-b"]


@needs_rtx
def test_a_model_is_built_with_the_preferred_package_and_says_so_where_none_is(
    install, identity_library, monkeypatch, caplog
):
    for name in ("a", "b"):
        install(identity_library, [IDENTITY], f"trtplugin-{name}")
    built = onnx2trt(model("TrtregTestIdentity"))
    assert [used.package for used in built.plugins] == ["trtplugin-a"]
    (record,) = [one for one in caplog.records if one.name == "trtreg" and one.levelno == logging.WARNING]
    assert "nothing says which, so trtplugin-a is taken; say who is to have it:" in record.message
    loader.unload("trtplugin-a")
    caplog.clear()
    monkeypatch.setenv("TRTREG_PREFER", "TrtregTestIdentity=trtplugin-b")
    built = onnx2trt(model("TrtregTestIdentity"))
    assert [used.package for used in built.plugins] == ["trtplugin-b"]
    assert not [one for one in caplog.records if one.name == "trtreg"]


@needs_rtx
def test_a_model_and_tensorrts_own_plugin(make, own, monkeypatch):
    node = f'{own.name} <plugin_version = "{own.version}">'
    plugin, before = make("same", own), owner(own)
    with pytest.raises(CreatorConflictError, match=f'"{own}" = "trtplugin-same" or "{own}" = "tensorrt" in'):
        onnx2trt(model(node))
    monkeypatch.setenv("TRTREG_PREFER", f"{own}=tensorrt")
    with pytest.raises((UnsupportedNodesError, EngineBuildError)):  # it wants two inputs
        onnx2trt(model(node))
    assert loader.loaded() == ()
    assert owner(own) == before
    monkeypatch.setenv("TRTREG_PREFER", f"{own}=trtplugin-same")
    with pytest.raises(UnsupportedNodesError, match="trtplugin-same"):
        onnx2trt(model(node))
    assert owner(own) == plugin.library_path
    loader.unload(plugin)
    assert owner(own) == before


@needs_rtx
def test_a_preference_for_tensorrt_that_has_none_takes_the_package(install, identity_library, monkeypatch):
    install(identity_library, [IDENTITY], "trtplugin-a")
    monkeypatch.setenv("TRTREG_PREFER", "TrtregTestIdentity=tensorrt")
    assert [used.package for used in onnx2trt(model("TrtregTestIdentity")).plugins] == ["trtplugin-a"]


# -- engines ---------------------------------------------------------------------------------------------------------
def planned(plan, plugins, lock=None):
    tensorrt = flavour.select()
    chosen = engine_plugins.planned("m.engine", lock, plan, plugins, environment.read(tensorrt), tensorrt)
    return [plugin.distribution for plugin in chosen]


def lock_of(plan, *pairs):
    used = [UsedPlugin(package=name, version="1.0", sha256="", creators=tuple(keys)) for name, *keys in pairs]
    return EngineLock(
        plan_sha256=sha256(plan).hexdigest(),
        plan_size=len(plan),
        flavour="rtx",
        tensorrt_version="1.7.1",
        plugins=tuple(used),
    )


def test_an_engine_without_a_lock_takes_the_preferred_of_two(make, monkeypatch):
    plugins, plan = [make("a", X), make("b", X)], b"..TrtregTestX.."
    assert planned(plan, plugins) == ["trtplugin-a"]
    monkeypatch.setenv("TRTREG_PREFER", "TrtregTestX=trtplugin-b")
    assert planned(plan, plugins) == ["trtplugin-b"]


def test_an_engines_lock_goes_before_what_is_preferred(make, monkeypatch):
    plugins, plan = [make("a", X), make("b", X)], b"..TrtregTestX.."
    monkeypatch.setenv("TRTREG_PREFER", "TrtregTestX=trtplugin-b")
    assert planned(plan, plugins, lock_of(plan, ("trtplugin-a", X))) == ["trtplugin-a"]


def test_an_engine_that_needs_two_that_collide_is_refused(make):
    plugins, plan = [make("a", X, Y), make("b", X, Z)], b"..TrtregTestY..TrtregTestZ.."
    with pytest.raises(CreatorConflictError, match=r"The plugins for m\.engine"):
        planned(plan, plugins)
    with pytest.raises(CreatorConflictError, match="both have TrtregTestX 1"):
        planned(plan, plugins, lock_of(plan, ("trtplugin-a", Y), ("trtplugin-b", Z)))


def test_a_name_that_tensorrt_has_loads_no_package_without_a_lock_and_is_told(make, own, monkeypatch, caplog):
    plugins, plan = [make("a", own)], f"..{own.name}..".encode()
    assert planned(plan, plugins) == []
    (record,) = caplog.records
    assert f"has {own}, so trtplugin-a is not loaded for it; say who is to have it" in record.message
    caplog.clear()
    monkeypatch.setenv("TRTREG_PREFER", f"{own}=tensorrt")
    assert (planned(plan, plugins), caplog.records) == ([], [])
    monkeypatch.setenv("TRTREG_PREFER", f"{own}=trtplugin-a")
    assert planned(plan, plugins) == ["trtplugin-a"]


def test_a_name_that_tensorrt_has_collides_with_a_lock(make, own):
    plugins, plan = [make("a", own)], f"..{own.name}..".encode()
    with pytest.raises(CreatorConflictError, match=f"both have {own}"):
        planned(plan, plugins, lock_of(plan, ("trtplugin-a", own)))


def test_a_library_in_the_engine_keeps_nobody_out_and_is_told(make, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "trtreg")
    inside, beside = make("inside", X, Z), make("beside", X, Y)
    plan = b"..TrtregTestY..TrtregTestX.." + inside.library_path.read_bytes()
    assert planned(plan, [inside, beside]) == ["trtplugin-beside"]
    assert "the engine's copy of trtplugin-inside 1.0 (sha256 " in caplog.text
    assert "both have TrtregTestX 1: the engine uses the one that stands in it" in caplog.text
    caplog.clear()
    monkeypatch.setenv("TRTREG_PREFER", "TrtregTestX=trtplugin-beside")
    planned(plan, [inside, beside])
    (record,) = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert "but m.engine carries the engine's copy of trtplugin-inside 1.0" in record.message


class TestAFullTensorRT:
    """It registers its own plugins when it is asked to; there is none here, so its one function is played."""

    @pytest.fixture
    def asked(self, monkeypatch):
        asked = []
        module = flavour.load()
        monkeypatch.setattr(module, "init_libnvinfer_plugins", lambda *given: asked.append(given), raising=False)
        return asked

    def test_a_preference_for_its_own_has_them_registered_before_an_engine_is_looked_at(self, make, asked, monkeypatch):
        plugins, plan = [make("a", X)], b"..TrtregTestX.."
        assert (planned(plan, plugins), asked) == (["trtplugin-a"], [])
        monkeypatch.setenv("TRTREG_PREFER", f"{X}=tensorrt")
        assert planned(plan, plugins) == ["trtplugin-a"], "it turned out to have none"
        assert [space for _, space in asked] == [""]
        planned(plan, plugins, lock_of(plan, ("trtplugin-a", X)))
        assert len(asked) == 1, "the lock goes before what is preferred"

    def test_before_it_is_asked_autoload_leaves_to_it_what_is_preferred(self):
        tensorrt = flavour.InstalledTensorRT(flavour=flavour.Flavour.FULL, version="11.4", distribution="tensorrt")
        wishes = Preferences(winners={str(X): "tensorrt"})
        (own,) = _holders.owned_later(tensorrt, [X, Y], wishes).items()
        assert own[0] == X
        assert own[1].kind == "tensorrt"

    def test_no_other_tensorrt_registers_later(self):
        wishes = Preferences(winners={str(X): "tensorrt"})
        assert _holders.owned_later(flavour.select(), [X], wishes) == {}


def test_a_strange_library_in_the_engine_is_known_by_the_names_in_it(make, compile_creators):
    beside = make("beside", X, Y)
    plan = b"..TrtregTestY.." + compile_creators([X, Z]).read_bytes()
    found = _holders.embedded_in(plan, [beside])
    assert list(found) == [X]
    assert found[X].name == "a library in the engine"
