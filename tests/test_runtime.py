import pytest

from trtreg import (
    engine_plugins,
    environment,
    flavour,
    is_tensorrt_plugin_loaded,
    load_tensorrt_plugin,
    load_trt_engine,
    loader,
    save_trt_engine,
)
from trtreg.engine import Engine, UsedPlugin
from trtreg.errors import (
    EngineBuildError,
    EngineLockError,
    EngineMismatchError,
    SettingError,
    TensorRTUnusableError,
    UnknownPluginError,
)
from trtreg.manifest import CreatorKey

ONE, TWO = CreatorKey("TrtregTestOne", "1"), CreatorKey("TrtregTestTwo", "1")


@pytest.fixture
def plugins(compile_creators, install, monkeypatch, site):
    made = [install(compile_creators([key]), [key], f"trtplugin-{key.name[10:].lower()}") for key in (ONE, TWO)]
    made.append(install(b"", [CreatorKey("TrtregTestBad", "1")], "trtplugin-bad", machine="mips"))
    monkeypatch.syspath_prepend(site)
    return made


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
    assert [p.distribution for p in engine_plugins.plugins_in_plan(b"..\0TrtregTestTwo\0..", plugins)] == [
        "trtplugin-two"
    ]
    assert engine_plugins.plugins_in_plan(b"nothing", plugins) == ()


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
        assert engine_plugins.plugins_in_plan(plan, [plugin]) == expected
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


def locked(path, *plugins, plan=b"plan of TrtregTestOne", **changes):
    """Save an engine that was built here with these plugins, each (InstalledPlugin, creator)."""
    here = environment.read()
    fields = {
        "plan": plan,
        "flavour": here.flavour.value,
        "tensorrt_version": here.tensorrt_version,
        "creators": tuple(creator for _, creator in plugins),
        "plugins": tuple(
            UsedPlugin(package=p.distribution, version=p.version, sha256=p.manifest.library.sha256, creators=(creator,))
            for p, creator in plugins
        ),
    }
    save_trt_engine(Engine(**{**fields, "layers": (), "inputs": (), "outputs": (), **changes}), path)
    return path


@pytest.fixture
def answers(driver, monkeypatch):
    monkeypatch.setattr(_Runtime, "answer", "engine")


def test_the_lock_says_which_plugins_to_load(tmp_path, plugins, answers):
    one, _, _ = plugins
    # The name of the other one stands in the plan by chance.
    path = locked(tmp_path / "e", (one, ONE), plan=b"TrtregTestOne TrtregTestTwo")
    assert load_trt_engine(path) == "engine"
    assert [known.plugin.distribution for known in loader.loaded()] == ["trtplugin-one"]


def test_the_package_of_the_lock_is_loaded_where_two_have_the_creator(tmp_path, plugins, answers, install):
    one, _, _ = plugins
    install(one.library_path, [ONE], "trtplugin-also")  # the first by name
    assert load_trt_engine(locked(tmp_path / "e", (one, ONE))) == "engine"
    assert [known.plugin.distribution for known in loader.loaded()] == ["trtplugin-one"]


def test_an_engine_that_nobody_loaded_the_creator_for_issue_955(tmp_path, plugins, answers):
    """The lock names the package to install; without it TensorRT would say "could not find plugin"."""
    one, _, _ = plugins
    path = locked(tmp_path / "e", (one, ONE))
    for file in one.root.parent.glob("trtplugin_one*.dist-info/entry_points.txt"):
        file.unlink()
    text = (
        r"e does not go with its lock and this machine\n- creator TrtregTestOne 1: was trtplugin-one 1.0, "
        r"is no installed plugin that has it; trtreg install trtplugin-one==1.0"
    )
    with pytest.raises(EngineMismatchError, match=text) as caught:
        load_trt_engine(path)
    assert [mismatch.code for mismatch in caught.value.mismatches] == ["creator"]
    assert load_trt_engine(path, lock="ignore") == "engine"


@pytest.mark.parametrize("policy", ["check", "require"])
def test_another_engine_under_the_name(tmp_path, plugins, answers, policy):
    path = locked(tmp_path / "e")
    path.write_bytes(b"another plan")
    with pytest.raises(EngineMismatchError, match=r"engine: was sha256 .* build the engine again, or delete the lock"):
        load_trt_engine(path, lock=policy)
    assert load_trt_engine(path, lock="ignore") == "engine"


def test_another_flavour(tmp_path, plugins, answers):
    path = locked(tmp_path / "e", flavour="full" if flavour.select().flavour is not flavour.Flavour.FULL else "rtx")
    with pytest.raises(EngineMismatchError, match="TensorRT: was "):
        load_trt_engine(path)


def test_a_soft_difference_is_a_warning_or_an_error(tmp_path, plugins, answers, caplog):
    path = locked(tmp_path / "e", tensorrt_version="99.1")
    assert load_trt_engine(path) == "engine"
    (record,) = (record for record in caplog.records if record.name == "trtreg")
    assert (record.levelname, "TensorRT: was " in record.getMessage()) == ("WARNING", True)
    with pytest.raises(EngineMismatchError, match=r"99\.1"):
        load_trt_engine(path, lock="require")
    caplog.clear()
    load_trt_engine(path, lock="ignore")
    assert not [record for record in caplog.records if record.name == "trtreg"]


def test_what_tensorrt_refuses_is_explained_by_the_lock(tmp_path, plugins, driver):
    path = locked(tmp_path / "e", tensorrt_version="99.1")
    with pytest.raises(EngineBuildError, match=r"compute capability; by its lock: TensorRT: was \S+ 99.1, is "):
        load_trt_engine(path)


def test_a_lock_can_be_required(tmp_path, plugins, answers):
    (tmp_path / "e").write_bytes(b"plan")
    assert load_trt_engine(tmp_path / "e") == "engine"
    with pytest.raises(EngineLockError, match=r"has no lock: expected .*e\.lock\.json"):
        load_trt_engine(tmp_path / "e", lock="require")
    assert load_trt_engine(locked(tmp_path / "f"), lock="require") == "engine"


def test_an_unknown_policy(tmp_path):
    (tmp_path / "e").write_bytes(b"plan")
    with pytest.raises(SettingError, match="policy"):
        load_trt_engine(tmp_path / "e", lock="strict")


def test_a_mismatch_is_told_without_a_driver(tmp_path, plugins):
    path = locked(tmp_path / "e")
    path.write_bytes(b"another plan")
    with pytest.raises(EngineMismatchError):
        load_trt_engine(path)
