import copy
import logging
import pickle
import sys
import threading

import pytest

from trtreg import flavour
from trtreg.errors import SettingError, TensorRTNotFoundError
from trtreg.flavour import FLAVOURS, Flavour, InstalledTensorRT


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Put packages that look like TensorRT first on the path; they cannot be imported."""
    monkeypatch.delenv(flavour.SETTING, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))

    def fake(module, version, distribution=None, code="raise ImportError('libnvinfer.so.10: no such file')"):
        monkeypatch.delitem(sys.modules, module, raising=False)
        package = tmp_path / module
        package.mkdir(exist_ok=True)
        (package / "__init__.py").write_text(code, encoding="utf-8")
        if version:
            info = tmp_path / f"{distribution or module}-{version}.dist-info"
            info.mkdir()
            text = f"Metadata-Version: 2.1\nName: {distribution or module}\nVersion: {version}\n"
            (info / "METADATA").write_text(text, encoding="utf-8")

    return fake


@pytest.fixture
def only_fakes(monkeypatch, tmp_path, fake):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for module in ("tensorrt", "tensorrt_rtx", "tensorrt_lean"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return fake


def found(kind, version, distribution=None):
    return InstalledTensorRT(flavour=kind, version=version, distribution=distribution or kind.module)


@pytest.mark.parametrize("kind", FLAVOURS)
def test_there_is_one_of_each(kind):
    copies = (copy.copy(kind), copy.deepcopy(kind), pickle.loads(pickle.dumps(kind)))  # noqa: S301
    assert all(one is kind for one in copies)


def heard(messages):
    return [(message.severity, message.text) for message in messages]


def test_the_modules_and_extras():
    assert [f.module for f in FLAVOURS] == ["tensorrt", "tensorrt_rtx", "tensorrt_lean"]
    assert [f.extra for f in FLAVOURS] == ["tensorrt", "rtx", "lean"]


def test_a_real_tensorrt_is_installed_and_loads():
    tensorrt = flavour.select()
    module = flavour.load(tensorrt)
    assert module.__name__ == tensorrt.flavour.module
    assert module.__version__ == tensorrt.version
    assert flavour.load() is module
    assert module.get_plugin_registry().all_creators


def test_what_is_installed_is_told_from_metadata_alone(only_fakes):
    assert flavour.installed() == ()
    only_fakes("tensorrt_lean", "11.4.0.106")
    only_fakes("tensorrt", "10.16.1.11")
    only_fakes("tensorrt_rtx", "1.7.1.116", "tensorrt_rtx_cu13")
    assert flavour.installed() == (
        found(Flavour.FULL, "10.16.1.11"),
        found(Flavour.RTX, "1.7.1.116", "tensorrt_rtx_cu13"),
        found(Flavour.LEAN, "11.4.0.106"),
    )
    assert not {"tensorrt", "tensorrt_lean"} & set(sys.modules)


def test_a_tensorrt_without_package_metadata_states_its_version(only_fakes):
    only_fakes("tensorrt", None, code='__version__ = "10.3.0"\nraise ImportError')
    assert flavour.installed() == (InstalledTensorRT(flavour=Flavour.FULL, version="10.3.0", distribution=None),)


def test_the_rest_of_an_uninstall_is_no_tensorrt(only_fakes, tmp_path):
    (tmp_path / "tensorrt" / "__pycache__").mkdir(parents=True)
    assert flavour.installed() == ()


def test_the_order_of_preference(only_fakes):
    only_fakes("tensorrt_lean", "11.4.0.106")
    assert flavour.select().flavour is Flavour.LEAN
    only_fakes("tensorrt_rtx", "1.7")
    assert flavour.select().flavour is Flavour.RTX
    only_fakes("tensorrt", "10.16")
    assert flavour.select().flavour is Flavour.FULL


def test_the_one_that_the_program_has_imported_wins(only_fakes, monkeypatch):
    only_fakes("tensorrt", "10.16")
    only_fakes("tensorrt_lean", "11.4", code="")
    __import__("tensorrt_lean")
    assert flavour.select().flavour is Flavour.LEAN
    monkeypatch.setenv(flavour.SETTING, "full")
    assert flavour.select().flavour is Flavour.FULL


@pytest.mark.parametrize(("wish", "kind"), [("lean", Flavour.LEAN), ("full", Flavour.FULL), ("", Flavour.FULL)])
def test_the_setting_forces_one(only_fakes, monkeypatch, wish, kind):
    only_fakes("tensorrt", "10.16")
    only_fakes("tensorrt_lean", "11.4")
    monkeypatch.setenv(flavour.SETTING, wish)
    assert flavour.select().flavour is kind


def test_a_setting_that_means_nothing(monkeypatch):
    monkeypatch.setenv(flavour.SETTING, "tensorrt")
    with pytest.raises(SettingError, match="found tensorrt, expected one of full, rtx, lean"):
        flavour.select()


def test_a_setting_for_what_is_not_installed(only_fakes, monkeypatch):
    only_fakes("tensorrt_lean", "11.4")
    monkeypatch.setenv(flavour.SETTING, "rtx")
    with pytest.raises(TensorRTNotFoundError, match=r"found tensorrt_lean 11\.4; pip install 'trtreg\[rtx\]'"):
        flavour.select()


def test_no_tensorrt_at_all(only_fakes):
    with pytest.raises(TensorRTNotFoundError, match=r"pip install 'trtreg\[rtx\]'"):
        flavour.select()


def test_an_import_that_fails_is_explained(fake):
    fake("tensorrt", "10.16")
    with pytest.raises(TensorRTNotFoundError, match=r"tensorrt 10\.16 is installed but") as caught:
        flavour.load(found(Flavour.FULL, "10.16"))
    assert caught.value.found == "libnvinfer.so.10: no such file"
    assert isinstance(caught.value.__cause__, ImportError)


def test_the_logger_forwards_and_can_be_captured(caplog):
    logger = flavour.logger()
    assert flavour.logger() is logger
    severity = flavour.load().ILogger.Severity
    with caplog.at_level(logging.DEBUG, logger="trtreg.tensorrt"):
        with flavour.capture() as outer:
            logger.log(severity.WARNING, "100 % odd")
            with flavour.capture() as inner:
                thread = threading.Thread(target=logger.log, args=(severity.INTERNAL_ERROR, "bad"))
                thread.start()
                thread.join()
            logger.log(severity.VERBOSE, "talk")
        logger.log(severity.INFO, "after")
    assert heard(inner) == [("internal_error", "bad")]
    assert heard(outer) == [("warning", "100 % odd"), ("internal_error", "bad"), ("verbose", "talk")]
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", "100 % odd"),
        ("CRITICAL", "bad"),
        ("DEBUG", "talk"),
        ("INFO", "after"),
    ]


def test_tensorrt_itself_speaks_through_the_logger():
    tensorrt = flavour.load()
    if not hasattr(tensorrt, "Builder"):
        pytest.skip("lean TensorRT has no builder, and its runtime needs a driver")
    network = tensorrt.Builder(flavour.logger()).create_network(0)
    with flavour.capture() as messages:
        assert network.add_input("x", tensorrt.float32, (1, -5)) is None
    assert [m for m in messages if m.severity == "error" and "addInput" in m.text]


LIGHT = """
import sys
before = set(sys.modules)
import trtreg, trtreg.errors, trtreg.manifest, trtreg.discovery, trtreg.flavour, trtreg.environment
import trtreg.compatibility, trtreg.loader
trtreg.flavour.installed()
heavy = ("tensorrt", "onnx", "torch", "numpy", "packaging", "elftools", "pynvml", "subprocess")
print([name for name in set(sys.modules) - before if name.startswith(heavy)])
"""


def test_importing_the_core_imports_nothing_heavy(run_python):
    result = run_python(LIGHT)
    assert (result.stdout, result.stderr) == ("[]\n", "")
