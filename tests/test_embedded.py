"""Engines that carry their plugin libraries: they are there, run only if allowed, and are not loaded twice."""

import logging
import struct
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256

import onnx.parser
import pytest
from registry import registered

from trtreg import (
    embedded,
    engine_lock,
    engine_plugins,
    environment,
    flavour,
    load_trt_engine,
    loader,
    onnx2trt,
    save_trt_engine,
)
from trtreg.errors import EmbeddedCodeError, EngineBuildError, EngineMismatchError, SettingError
from trtreg.manifest import CreatorKey

if flavour.select().flavour is not flavour.Flavour.RTX:
    pytest.skip("this is about TensorRT-RTX: it builds engines without a GPU", allow_module_level=True)

IDENTITY = CreatorKey("TrtregTestIdentity", "1")


@pytest.fixture
def plugin(identity_library, install, monkeypatch, site):
    found = install(identity_library, [IDENTITY])
    monkeypatch.syspath_prepend(site)
    return found


@pytest.fixture
def model():
    text = '<ir_version: 8, opset_import: ["" : 17]> g (float[4] x) => (float[4] y) { y = TrtregTestIdentity (x) }'
    return onnx.parser.parse_model(text)


@pytest.fixture
def carrying(plugin, model, tmp_path):
    """Save an engine with its plugin inside."""
    path = tmp_path / "m.engine"
    save_trt_engine(onnx2trt(model, embed_plugins=True), path)
    loader.unload(plugin)
    return path


@pytest.fixture
def driver(monkeypatch):
    """Pretend that there is a driver: the constructor of RTX's Runtime takes it well where there is none."""
    here = environment.read()
    if here.driver is None:
        monkeypatch.setattr(environment, "read", lambda *arguments: replace(here, driver="580.1", cuda_driver="13.0"))


def load(path, caplog, **options):
    """Load an engine, as far as this machine lets TensorRT go; gives what TensorRT said."""
    caplog.set_level(logging.DEBUG, "trtreg.tensorrt")
    caplog.clear()
    with suppress(EngineBuildError):
        load_trt_engine(path, **options)
    return caplog.text


def test_the_library_stands_in_the_engine(plugin, model):
    engine = onnx2trt(model, embed_plugins=True)
    (library,) = embedded.find(engine.plan)
    content = plugin.library_path.read_bytes()
    assert engine.plan[library.offset : library.offset + library.size] == content
    assert library.sha256 == plugin.manifest.library.sha256 == sha256(content).hexdigest()
    assert [used.embedded for used in engine.plugins] == [True]
    assert embedded.without(engine.plan) == engine.plan.replace(content, b"")
    plain = onnx2trt(model)
    assert embedded.find(plain.plan) == ()
    assert embedded.without(plain.plan) is plain.plan
    assert [used.embedded for used in plain.plugins] == [False]


def test_a_model_without_plugins_embeds_none():
    text = '<ir_version: 8, opset_import: ["" : 17]> g (float[4] x) => (float[4] y) { y = Relu (x) }'
    assert embedded.find(onnx2trt(onnx.parser.parse_model(text), embed_plugins=True).plan) == ()


def test_loading_does_not_register_it_twice(carrying, plugin, driver, caplog):
    assert engine_plugins.plugins_in_plan(carrying.read_bytes(), [plugin]) == ()
    for policy in ("check", "ignore"):
        said = load(carrying, caplog, lock=policy)
        assert f"Deserialized plugin library with size {plugin.manifest.library.size}" in said
        assert IDENTITY not in registered()
        assert loader.loaded() == ()


def test_an_engine_without_it_loads_the_package(plugin, model, tmp_path, driver, caplog):
    save_trt_engine(onnx2trt(model), tmp_path / "plain")
    loader.unload(plugin)
    said = load(tmp_path / "plain", caplog)
    assert "Deserialized plugin library" not in said
    assert [known.plugin for known in loader.loaded()] == [plugin]


@pytest.fixture
def elsewhere(carrying, site):
    """Take the package away, as on another machine."""
    for path in site.glob("*.dist-info/entry_points.txt"):
        path.unlink()
    return carrying


def test_a_strange_library_runs_only_if_allowed(elsewhere, driver, caplog):
    with pytest.raises(EmbeddedCodeError, match=r"carries a shared library, .*allow_host_code=True"):
        load_trt_engine(elsewhere)
    assert "Deserialized plugin library" in load(elsewhere, caplog, allow_host_code=True)
    assert IDENTITY not in registered()


def test_a_library_that_bends_its_tables_is_strange_too(elsewhere, driver, caplog):
    plan = bytearray(elsewhere.read_bytes())
    (library,) = embedded.find(plan)
    struct.pack_into("<Q", plan, library.offset + 40, 1 << 40)  # e_shoff: where its sections are, which nobody needs
    elsewhere.write_bytes(plan)
    # TensorRT opens it all the same.
    assert "Deserialized plugin library" in load(elsewhere, caplog, lock="ignore", allow_host_code=True)
    with pytest.raises(EmbeddedCodeError, match="carries a shared library"):
        load_trt_engine(elsewhere, lock="ignore")


def test_none_may_be_allowed(carrying, driver):
    with pytest.raises(EmbeddedCodeError, match="expected none"):
        load_trt_engine(carrying, allow_host_code=False)


def test_the_lock_of_an_engine_that_carries_its_plugin_wants_no_package(elsewhere):
    known = engine_lock.read(elsewhere)
    assert [used.embedded for used in known.plugins] == [True]
    here = environment.read()
    assert engine_lock.check(known, elsewhere.read_bytes(), here, ()) == ()
    plain = replace(known, plugins=(replace(known.plugins[0], embedded=False),))
    (missing,) = engine_lock.check(plain, elsewhere.read_bytes(), here, ())
    assert missing.code == "creator"


def test_an_engine_that_was_changed_is_refused(carrying):
    carrying.write_bytes(carrying.read_bytes() + b"\0")
    with pytest.raises(EngineMismatchError, match="engine: was sha256"):
        load_trt_engine(carrying)


class Config:
    """A builder's configuration of a TensorRT that has no plugins_to_serialize."""


def test_a_tensorrt_that_cannot(plugin):
    with pytest.raises(SettingError, match="writes no plugins into engines"):
        embedded.request(flavour.load(), Config(), [plugin])


def test_a_library_without_get_creators_cannot(plugin):
    library = replace(plugin.manifest.library, registration="static")
    static = replace(plugin, manifest=replace(plugin.manifest, library=library))
    config = Config()
    config.plugins_to_serialize = []
    with pytest.raises(SettingError, match=r"cannot be written into an engine: found static registration"):
        embedded.request(flavour.load(), config, [static])


def test_it_is_proven_after_the_build(plugin, model, monkeypatch):
    monkeypatch.setattr(embedded, "request", lambda *arguments: None)
    with pytest.raises(EngineBuildError, match="did not write trtplugin-test into the engine: found 0 libraries"):
        onnx2trt(model, embed_plugins=True)


def test_libraries_are_found_whole(identity_library):
    content = identity_library.read_bytes()
    plan = b"head" + content + b"between" + content + b"\0\0tail"
    first, second = embedded.find(plan)
    assert (first.offset, first.size, second.offset) == (4, len(content), 11 + len(content))
    assert embedded.without(plan) == b"headbetween\0\0tail"


def test_a_library_with_more_memory_than_file(compile_library):
    content = compile_library('char big[1 << 26]; extern "C" int get() { return big[5]; }').read_bytes()
    (library,) = embedded.find(b"head" + content + b"tail")
    assert (library.offset, library.size) == (4, len(content))


def test_a_file_may_be_longer_than_its_tables_tell(identity_library):
    content = identity_library.read_bytes() + b"padding"
    plan = b"head" + content + b"tail"
    (library,) = embedded.find(plan)
    assert library.is_library(plan, len(content), sha256(content).hexdigest())
    assert not library.is_library(plan, len(content) + 1, sha256(content).hexdigest())
    assert not library.is_library(plan, 3, sha256(plan[4:7]).hexdigest())


def test_what_is_no_library_is_none(identity_library):
    content = identity_library.read_bytes()
    gpu_code = content[:18] + (190).to_bytes(2, "little") + content[20:]  # EM_CUDA
    program = content[:16] + (2).to_bytes(2, "little") + content[18:]  # ET_EXEC
    for plan in (b"", content[:7], content[:40], content[:64], gpu_code, program):
        assert embedded.find(plan) == ()
