import argparse
import sys

import pytest

from trtreg import flavour, loader, output
from trtreg.cli import _progress, onnx2trt
from trtreg.errors import (
    ModelError,
    OutputError,
    PreferenceError,
    SettingError,
    ShapeError,
    UnsupportedNodesError,
)
from trtreg.progress import ProgressEvent

if not any(tensorrt.flavour is not flavour.Flavour.LEAN for tensorrt in flavour.installed()):
    pytest.skip("no TensorRT that builds engines is installed", allow_module_level=True)


def test_an_engine_and_a_report(cli, identity, model, tmp_path):
    code, out, err = cli("onnx2trt", model, "-o", tmp_path / "m.engine")
    assert code == 0
    assert (tmp_path / "m.engine").stat().st_size > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "m.engine",
        "m.engine.lock.json",
        "m.onnx",
        "site",
    ]
    lines = [" ".join(line.split()) for line in out.splitlines()]
    selected = flavour.select()
    assert lines[0].startswith(f"{tmp_path / 'm.engine'}: ")
    assert f"TensorRT {selected.flavour.value} {selected.version}, " in lines[0]
    assert lines[1:] == [
        "inputs x float 1x4",
        "outputs y float 1x4",
        "layers 2, 1 of them from plugins",
        "PLUGIN_V3 mine",
        "plugins trtplugin-identity 1.0 (TrtregTestIdentity 1)",
    ]
    # Not a terminal: a line per phase, and the inner ones do not flood it.
    assert err.splitlines()[:4] == ["Scanning the model", "Loading plugins", "Importing the model", "Building engine"]
    assert "  Preparing graph for optimization" in err.splitlines()
    assert "Optimizing graph" not in err


def test_quiet(cli, identity, model, tmp_path):
    assert cli("onnx2trt", model, "-o", tmp_path / "e", "-q") == (0, "", "")


def test_verbose_shows_tensorrts_log(cli, identity, model, tmp_path, caplog):
    cli("onnx2trt", model, "-o", tmp_path / "e")
    assert not caplog.records
    cli("onnx2trt", model, "-o", tmp_path / "e", "-v")
    levels = {record.levelname for record in caplog.records}
    assert "INFO" in levels
    assert "DEBUG" not in levels
    cli("onnx2trt", model, "-o", tmp_path / "e", "-vv")
    assert "DEBUG" in {record.levelname for record in caplog.records}


def test_text_only_needs_no_tensorrt(cli, model, tmp_path, monkeypatch):
    monkeypatch.setattr(flavour, "installed", lambda *_: ())
    assert cli("onnx2trt", model, "-t", tmp_path / "m.txt") == (0, "", "")
    assert "[mine] y = TrtregTestIdentity (a)" in (tmp_path / "m.txt").read_text(encoding="utf-8")


def test_text_and_engine(cli, identity, model, tmp_path):
    assert cli("onnx2trt", model, "-t", tmp_path / "t", "-o", tmp_path / "e")[0] == 0
    assert (tmp_path / "t").exists()
    assert (tmp_path / "e").exists()


def test_options_arrive(cli, identity, save_model, tmp_path, monkeypatch):
    from trtreg import convert

    seen = {}
    build = convert.onnx2trt

    def spy(*arguments, **options):
        seen.update(options, shapes=arguments[1])
        return build(*arguments, **{**options, "fp16_mode": False, "bf16_mode": False})

    monkeypatch.setattr(convert, "onnx2trt", spy)
    model = save_model("y = TrtregTestIdentity (x)", "float[b,4] x")
    options = ["--shapes", "x:1x4/2x4/8x4", "--workspace", "1GiB", "--fp16", "--bf16"]
    if flavour.select().flavour is flavour.Flavour.RTX:
        options += ["--targets", "8.6, sm_89"]
    code, out, _ = cli("onnx2trt", model, "-o", tmp_path / "e", *options)
    assert code == 0
    assert seen["shapes"] == {"x": [[1, 4], [2, 4], [8, 4]]}
    assert (seen["max_workspace_size"], seen["fp16_mode"], seen["bf16_mode"]) == (1 << 30, True, True)
    assert "inputs   x float ?x4" in out
    if flavour.select().flavour is flavour.Flavour.RTX:
        assert "for 8.6, 8.9" in out


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("1073741824", 1 << 30),
        ("1GiB", 1 << 30),
        ("1.5G", 3 << 29),
        ("512 mib", 1 << 29),
        ("1GB", 10**9),
        ("7B", 7),
    ],
)
def test_sizes(text, count):
    assert onnx2trt._byte_count(text) == count


@pytest.mark.parametrize("text", ["", "-1", "1XiB", "GiB", "1 2"])
def test_bad_sizes(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected one as 1GiB"):
        onnx2trt._byte_count(text)


BAD_MODELS = {
    "empty": (b"", ModelError, "is empty"),
    "no model": (b"hello", ModelError, "is no ONNX model, or is truncated"),
}


@pytest.mark.parametrize("kind", BAD_MODELS)
def test_bad_models(cli, tmp_path, kind):
    content, error, message = BAD_MODELS[kind]
    (tmp_path / "bad.onnx").write_bytes(content)
    check_refusal(cli, tmp_path, tmp_path / "bad.onnx", error, message)


def check_refusal(cli, folder, model, error, message, *options):
    before = sorted(folder.iterdir())
    code, out, err = cli("onnx2trt", model, "-o", folder / "new.engine", *options)
    assert (code, out) == (error.exit_code, "")
    assert message in err
    assert "Traceback" not in err
    assert sorted(folder.iterdir()) == before, "nothing is left behind"


def test_a_truncated_model(cli, tmp_path, model):
    (tmp_path / "cut.onnx").write_bytes(model.read_bytes()[:-9])
    check_refusal(cli, tmp_path, tmp_path / "cut.onnx", ModelError, "truncated")


def test_a_missing_model_and_a_directory(cli, tmp_path):
    check_refusal(cli, tmp_path, tmp_path / "absent.onnx", ModelError, "no such file")
    check_refusal(cli, tmp_path, tmp_path, ModelError, "is a directory")


def test_an_unknown_op(cli, tmp_path, save_model):
    model = save_model("y = Zzzz (x)")
    check_refusal(cli, tmp_path, model, UnsupportedNodesError, "- node 'y' (Zzzz): no installed plugin has it")


def test_a_missing_shape(cli, tmp_path, identity, save_model):
    model = save_model("y = TrtregTestIdentity (x)", "float[b,4] x")
    check_refusal(cli, tmp_path, model, ShapeError, "trtreg: remedy: give one, as --shapes x:1x4")
    check_refusal(cli, tmp_path, model, SettingError, "--shapes is malformed", "--shapes", "x=1x4")


def test_the_output_is_checked_before_the_work(cli, tmp_path, model, monkeypatch):
    from trtreg import convert

    monkeypatch.setattr(convert, "onnx2trt", lambda *a, **k: pytest.fail("the build was started"))
    for path in (tmp_path / "absent" / "e", tmp_path, model):
        code, _, err = cli("onnx2trt", model, "-o", path)
        assert code == OutputError.exit_code
        assert "trtreg: error: " in err
    assert cli("onnx2trt", model, "-o", tmp_path / "e", "-t", tmp_path / "e")[0] == OutputError.exit_code


def test_a_full_disk_leaves_nothing(cli, tmp_path, identity, model, monkeypatch):
    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(output.os, "fsync", fail)
    check_refusal(cli, tmp_path, model, OutputError, "No space left on device")


def test_no_tensorrt(cli, tmp_path, model, monkeypatch):
    from trtreg.errors import TensorRTNotFoundError

    monkeypatch.setattr(flavour, "installed", lambda *_: ())
    check_refusal(cli, tmp_path, model, TensorRTNotFoundError, "trtreg: remedy: pip install 'trtreg[rtx]'")


def event(kind, phase, parent=None, step=0, steps=1):
    return ProgressEvent(kind=kind, phase=phase, parent=parent, step=step, steps=steps)


def test_the_fraction_never_falls():
    phases = _progress.Phases()
    seen = []
    for one in (
        event("start", "a", None, 0, 2),
        event("start", "b", "a", 0, 4),
        event("step", "b", "a", 2, 4),
        event("finish", "b", "a", 4, 4),
        event("step", "a", None, 1, 2),
        event("step", "a", None, 2, 2),
    ):
        phases.take(one)
        seen.append((phases.fraction, phases.title))
    assert seen == [(0, "a"), (0, "a > b"), (0.25, "a > b"), (0.25, "a"), (0.5, "a"), (1, "a")]
    phases.take(event("finish", "a"))
    assert phases.fraction == 1
    phases.take(event("start", "c", None, 0, 2))
    assert phases.fraction == 0


def test_a_terminal_gets_a_bar(cli, identity, model, tmp_path, monkeypatch):
    tqdm = pytest.importorskip("tqdm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    bars = []

    class Bar(tqdm.tqdm):
        def __init__(self, **options):
            super().__init__(**options)
            bars.append(self)
            self.titles = []

        def set_description_str(self, desc=None, refresh=True):
            self.titles.append(desc)
            super().set_description_str(desc, refresh=refresh)

    monkeypatch.setattr(_progress, "_tqdm", lambda: Bar)
    code, _, err = cli("onnx2trt", model, "-o", tmp_path / "e")
    assert code == 0
    (bar,) = bars
    assert "Building engine > Optimizing graph" in bar.titles
    assert bar.n == 100
    assert "Scanning the model\n" not in err


def test_nothing_is_loaded_for_a_text(cli, identity, model, tmp_path):
    cli("onnx2trt", model, "-t", tmp_path / "t")
    assert not loader.loaded()


def test_the_lock_is_no_name_for_the_text(cli, model, tmp_path):
    check_refusal(cli, tmp_path, model, OutputError, "is named twice", "-t", tmp_path / "new.engine.lock.json")


def test_a_lock_that_cannot_be_written_is_told_before_the_work(cli, model, tmp_path, monkeypatch):
    from trtreg import convert

    monkeypatch.setattr(convert, "onnx2trt", lambda *a, **k: pytest.fail("the build was started"))
    (tmp_path / "new.engine.lock.json").mkdir()
    check_refusal(cli, tmp_path, model, OutputError, "it is a directory")


def test_plugins_inside_the_engine(cli, identity, model, tmp_path):
    if flavour.select().flavour is not flavour.Flavour.RTX:
        pytest.skip("this is about TensorRT-RTX")
    code, out, _ = cli("onnx2trt", model, "-o", tmp_path / "e", "--embed")
    assert code == 0
    assert "plugins  trtplugin-identity 1.0 (TrtregTestIdentity 1), in the engine" in out
    assert identity.library_path.read_bytes() in (tmp_path / "e").read_bytes()


def test_a_preferred_plugin(cli, compile_library, install, monkeypatch, site, tmp_path, save_model):
    from trtreg.manifest import CreatorKey
    from trtreg.sdk import toolchain

    flags = ("-Wl,-z,defs", "-ldl", "-lrt", "-lpthread")
    library = compile_library("identity.cpp", str(toolchain.find().nvcc.cudart), *flags)
    install(library, [CreatorKey("TrtregTestIdentity", "1")], "trtplugin-identity")
    monkeypatch.syspath_prepend(site)
    options = ["--prefer-plugin", "Relu=TrtregTestIdentity", "--prefer-plugin", "Sigmoid=TrtregTestIdentity"]
    code, out, _ = cli("onnx2trt", save_model("[one] y = Relu (x)"), "-o", tmp_path / "e", *options)
    for known in loader.loaded():
        loader.unload(known)
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "PLUGIN_V3 one" in lines
    assert lines[-2:] == ["taken Relu: 'one' by TrtregTestIdentity 1", "taken Sigmoid: the model has no such node"]


def test_a_malformed_preference(cli, model, tmp_path):
    check_refusal(cli, tmp_path, model, PreferenceError, "a preference is malformed", "--prefer-plugin", "=X")
