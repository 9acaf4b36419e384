import pytest

from trtreg import (
    environment,
    flavour,
    is_tensorrt_plugin_loaded,
    load_tensorrt_plugin,
    load_trt_engine,
    loader,
    runtime,
)
from trtreg.errors import EngineBuildError, TensorRTUnusableError, UnknownPluginError
from trtreg.manifest import CreatorKey

ONE, TWO = CreatorKey("TrtregTestOne", "1"), CreatorKey("TrtregTestTwo", "1")


@pytest.fixture
def plugins(compile_creators, install, monkeypatch, site):
    made = [install(compile_creators([key]), [key], f"trtplugin-{key.name[10:].lower()}") for key in (ONE, TWO)]
    made.append(install(b"", [CreatorKey("TrtregTestBad", "1")], "trtplugin-bad", machine="mips"))
    monkeypatch.syspath_prepend(site)
    yield made
    for known in loader.loaded():
        loader.unload(known)


@pytest.mark.parametrize("name", ["trtplugin-one", "trtplugin_one", "TrtPlugin.One", "TrtregTestOne"])
def test_loads_by_package_or_op(plugins, name):
    (loaded,) = load_tensorrt_plugin(name)
    assert loaded.creators == (ONE,)
    assert is_tensorrt_plugin_loaded(name)
    assert not is_tensorrt_plugin_loaded(name, "TrtregTestTwo")


def test_without_names_loads_all_that_fit(plugins):
    assert not is_tensorrt_plugin_loaded()
    assert {known.plugin.distribution for known in load_tensorrt_plugin()} >= {"trtplugin-one", "trtplugin-two"}
    assert is_tensorrt_plugin_loaded("trtplugin-one", "TrtregTestTwo")
    assert not is_tensorrt_plugin_loaded("trtplugin-bad")
    assert is_tensorrt_plugin_loaded()


def test_an_unknown_name_gets_the_nearest(plugins):
    with pytest.raises(UnknownPluginError, match=r"'TrtregTestOen'.*found .*trtplugin-one.*mean TrtregTestOne"):
        load_tensorrt_plugin("TrtregTestOen")
    assert not loader.loaded()


def test_asking_imports_no_tensorrt(run_python):
    code = "import sys, trtreg; print(trtreg.is_tensorrt_plugin_loaded('x'), 'tensorrt_rtx' in sys.modules)"
    assert run_python(code).stdout == "False False\n"


def test_plugins_are_found_by_the_names_in_a_plan(plugins):
    assert [p.distribution for p in runtime.plugins_in_plan(b"..\0TrtregTestTwo\0..", plugins)] == ["trtplugin-two"]
    assert runtime.plugins_in_plan(b"nothing", plugins) == ()


def test_a_real_plan_has_the_names_of_its_plugins(identity_library, install):
    if flavour.select().flavour is flavour.Flavour.LEAN:
        pytest.skip("tensorrt_lean builds no engines")
    onnx_parser = pytest.importorskip("onnx.parser")
    from trtreg import onnx2trt

    key = CreatorKey("TrtregTestIdentity", "1")
    plugin = install(identity_library, [key])
    text = '<ir_version: 8, opset_import: ["" : 17]> g (float[4] x) => (float[4] y) { a = Relu (x) y = OP (a) }'
    for op, expected in ((key.name, (plugin,)), ("Sigmoid", ())):
        plan = onnx2trt(onnx_parser.parse_model(text.replace("OP", op)), plugins=[plugin]).plan
        assert runtime.plugins_in_plan(plan, [plugin]) == expected
    loader.unload(plugin)


def test_a_missing_or_empty_engine_file(tmp_path):
    with pytest.raises(EngineBuildError, match=r"cannot read the engine .*absent: found No such file"):
        load_trt_engine(tmp_path / "absent")
    (tmp_path / "empty").touch()
    with pytest.raises(EngineBuildError, match="is empty"):
        load_trt_engine(tmp_path / "empty")


def test_without_a_driver_no_runtime_is_made(tmp_path, monkeypatch, plugins):
    if environment.read().driver is not None:
        pytest.skip("there is a driver")
    (tmp_path / "e").write_bytes(b"plan of TrtregTestOne")
    monkeypatch.setattr(flavour, "load", lambda *arguments: pytest.fail("TensorRT was touched"))
    with pytest.raises(TensorRTUnusableError, match=r"without an NVIDIA driver: found .*with an NVIDIA GPU"):
        load_trt_engine(tmp_path / "e")


class _Runtime:
    """Stands for TensorRT's Runtime, which cannot be made here."""

    answer: object = None

    def __init__(self, logger):
        self.logger = logger

    def deserialize_cuda_engine(self, plan):
        self.logger.log(flavour.load().ILogger.Severity.ERROR, "does not support this compute capability")
        return self.answer


@pytest.fixture
def driver(monkeypatch):
    """Pretend that there is a driver."""
    here = environment.read()
    monkeypatch.setattr(
        environment,
        "read",
        lambda *arguments: here.__class__(
            flavour=here.flavour,
            tensorrt_version=here.tensorrt_version,
            machine=here.machine,
            glibc=here.glibc,
            driver="580.1",
            cuda_driver="13.0",
        ),
    )
    monkeypatch.setattr(flavour.load(), "Runtime", _Runtime)


def test_the_plugins_of_a_plan_are_loaded_before_it(tmp_path, plugins, driver, monkeypatch):
    (tmp_path / "e").write_bytes(b"plan of TrtregTestOne")
    seen = []
    monkeypatch.setattr(_Runtime, "answer", property(lambda self: seen.extend(loader.loaded()) or "engine"))
    assert load_trt_engine(tmp_path / "e") == "engine"
    assert [known.plugin.distribution for known in seen] == ["trtplugin-one"]


def test_a_plan_that_does_not_fit_gives_tensorrts_words(tmp_path, driver):
    (tmp_path / "e").write_bytes(b"plan")
    with pytest.raises(EngineBuildError, match=r"cannot deserialise .*found does not support this compute capability"):
        load_trt_engine(tmp_path / "e")
