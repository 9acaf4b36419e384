import logging
import threading
from collections import Counter

import numpy as np
import onnx
import onnx.parser
import pytest

from trtreg import flavour, loader, native_operators, onnx2trt, parsing, plugin_nodes, save_trt_engine
from trtreg.errors import (
    BuildCancelledError,
    EngineBuildError,
    IncompatiblePluginError,
    ModelError,
    SettingError,
    ShapeError,
    TensorRTNotFoundError,
    TrtregError,
    UnsupportedNodesError,
)
from trtreg.manifest import Creator, CreatorKey, Field

GROW = CreatorKey("TrtregTestGrow", "1")
FLAGS = ("-Wl,-z,defs", "-ldl", "-lrt", "-lpthread")
CREATORS = (Creator(name=GROW.name, version="1", fields=(Field(name="by", type="float32", length=1),)),)

if not any(tensorrt.flavour is not flavour.Flavour.LEAN for tensorrt in flavour.installed()):
    pytest.skip("no TensorRT that builds engines is installed", allow_module_level=True)


@pytest.fixture
def grow(compile_library, install, monkeypatch, site):
    from trtreg.sdk import toolchain

    plugin = install(compile_library("grow.cpp", str(toolchain.find().nvcc.cudart), *FLAGS), creators=CREATORS)
    monkeypatch.syspath_prepend(site)
    yield plugin
    for known in loader.loaded():
        loader.unload(known)


def proto(body, x="float[1,4] x", y="float[?,?] y", functions=""):
    text = f'<ir_version: 8, opset_import: ["" : 17, "f" : 1]> g ({x}) => ({y}) {{ {body} }} {functions}'
    return onnx.parser.parse_model(text.replace("?,?", "p,q"))


@pytest.fixture
def model():
    return proto("a = Relu (x) [grown] b = TrtregTestGrow <by = 3.0> (a) y = Sigmoid (b)")


def test_a_model_becomes_an_engine_with_the_plugin_it_needs(grow, model):
    assert not loader.loaded()
    engine = onnx2trt(model)
    assert len(engine.plan) > 1000
    assert [layer.type for layer in engine.layers] == ["ACTIVATION", "PLUGIN_V3", "ACTIVATION"]
    assert [layer.name for layer in engine.plugin_layers] == ["grown"]
    assert engine.creators == (GROW,)
    (used,) = engine.plugins
    assert (used.package, used.version, used.sha256) == ("trtplugin-test", "1.0", grow.manifest.library.sha256)
    assert [(t.name, t.shape, t.dtype) for t in (*engine.inputs, *engine.outputs)] == [
        ("x", (1, 4), "float"),
        ("y", (1, 7), "float"),
    ]
    selected = flavour.select()
    assert (engine.flavour, engine.tensorrt_version) == (selected.flavour.value, selected.version)
    assert [known.plugin for known in loader.loaded()] == [grow]


def test_no_plugin_is_loaded_that_the_model_does_not_need(grow):
    engine = onnx2trt(proto("y = Relu (x)"))
    assert (engine.plugins, engine.creators, engine.plugin_layers, loader.loaded()) == ((), (), (), ())


def test_the_parser_itself_says_what_is_native(monkeypatch):
    """The table that trtreg carries is of one TensorRT: another may know more."""
    monkeypatch.setattr(native_operators, "read", lambda: pytest.fail("the table was asked"))
    assert onnx2trt(proto("y = Relu (x)")).plan


def test_packages_to_choose_from_can_be_given(grow, model, monkeypatch):
    with pytest.raises(UnsupportedNodesError):
        onnx2trt(model, plugins=[])
    monkeypatch.undo()
    assert onnx2trt(model, plugins=[grow]).creators == (GROW,)


@pytest.mark.parametrize("info", ['{"by": 3}', '{"by": 3.0}'])
def test_a_plugin_node_is_translated_with_its_attributes(grow, info):
    # tensorRT_Pro's convention; weights are inputs there too.
    body = 'b = Plugin <name = "TrtregTestGrow", info = "INFO"> (x) y = Sigmoid (b)'
    source = proto(body.replace("INFO", info.replace('"', '\\"')))
    before = source.SerializeToString()
    engine = onnx2trt(source)
    assert engine.outputs[0].shape == (1, 7)
    assert engine.creators == (GROW,)
    assert source.SerializeToString() == before


def test_the_declared_field_type_decides(grow, monkeypatch):
    seen = []
    translate = plugin_nodes.translate

    def spy(node, creator):
        seen.append(translate(node, creator))
        return seen[-1]

    monkeypatch.setattr(plugin_nodes, "translate", spy)
    onnx2trt(proto('y = Plugin <name = "TrtregTestGrow", info = "{\\"by\\": 3}"> (x)'))
    (attribute,) = seen[0].attribute
    assert (attribute.name, attribute.type, attribute.f) == ("by", onnx.AttributeProto.FLOAT, 3.0)


def test_bad_json_is_one_clear_error(grow):
    with pytest.raises(ModelError, match=r"node 'y' .*not JSON"):
        onnx2trt(proto('y = Plugin <name = "TrtregTestGrow", info = "{oops"> (x)'))


def test_plugin_nodes_that_name_native_operators_become_them():
    engine = onnx2trt(proto('y = Plugin <name = "Sigmoid", info = ""> (x)'))
    assert [layer.type for layer in engine.layers] == ["ACTIVATION"]


def test_plugins_in_subgraphs_and_local_functions(grow):
    body = """
        s = ReduceSum <keepdims = 0> (x) c = Cast <to = 9> (s)
        y = If (c) <
            then_branch = t () => (float[1,7] a) { a = f.F (x) },
            else_branch = e () => (float[1,7] b) { b = Plugin <name = "TrtregTestGrow", info = "{\\"by\\":3}"> (x) }
        >"""
    function = '<opset_import: ["" : 17], domain: "f"> F (x) => (y) { y = TrtregTestGrow <by = 3.0> (x) }'
    engine = onnx2trt(proto(body, functions=function))
    assert len(engine.plugin_layers) == 2


def test_a_local_function_wins_over_a_plugin_of_its_name(grow):
    function = '<opset_import: ["" : 17], domain: "f"> TrtregTestGrow (x) => (y) { y = Sigmoid (x) }'
    engine = onnx2trt(proto("y = f.TrtregTestGrow (x)", functions=function))
    assert (engine.plugins, [layer.type for layer in engine.layers]) == ((), ["ACTIVATION"])


def test_external_data_beside_a_file(grow, tmp_path, monkeypatch):
    for number, op in enumerate(
        ("TrtregTestGrow <by = 3.0>", 'Plugin <name = "TrtregTestGrow", info = "{\\"by\\":3}">')
    ):
        model = proto(f"a = Add (x, w) y = {op} (a)")
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((1, 4), np.float32), "w"))
        folder = tmp_path / str(number)
        folder.mkdir()
        onnx.save_model(model, folder / "m.onnx", save_as_external_data=True, location="w", size_threshold=0)
        assert onnx2trt(folder / "m.onnx").creators == (GROW,)
        # Also by a path that is relative to here.
        monkeypatch.chdir(tmp_path)
        assert onnx2trt(f"{number}/m.onnx").creators == (GROW,)
        (folder / "w").unlink()
        with pytest.raises(ModelError, match=r"refuses .*m\.onnx(.|\n)*Failed to open file: .*/w"):
            onnx2trt(folder / "m.onnx")


def test_an_unmodified_file_is_parsed_from_the_file(grow, model, tmp_path, monkeypatch):
    """So that there is no limit of 2 GiB to it."""
    onnx.save_model(model, tmp_path / "m.onnx")
    monkeypatch.setattr(parsing, "_serialised", lambda model: pytest.fail("the model was put together in memory"))
    assert onnx2trt(str(tmp_path / "m.onnx")).creators == (GROW,)


def test_a_model_too_big_for_memory_is_told_how():
    class TooBig:
        def SerializeToString(self):  # noqa: N802 - protobuf's name
            raise ValueError("exceeds maximum protobuf size of 2GB")

    big = parsing.models.Model(proto=TooBig(), path=None, label="the model")
    with pytest.raises(ModelError, match=r"exceeds maximum .*external data"):
        parsing._serialised(big)


def test_bytes_are_taken(grow, model):
    assert onnx2trt(model.SerializeToString()).creators == (GROW,)


DYNAMIC = "float[b,3,h,8] x"


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        ({"x": [[1, 3, 4, 8], [2, 3, 4, 8], [4, 3, 4, 8]]}, (-1, 3, -1, 8)),
        ({"x": (2, 3, 4, 8)}, (-1, 3, -1, 8)),
    ],
)
def test_dynamic_shapes(grow, given, shape):
    model = proto("y = TrtregTestGrow <by = 0.0> (x)", DYNAMIC, "float[b,3,h,8] y")
    assert onnx2trt(model, given).outputs[0].shape == shape


def test_a_shape_input_is_given_values():
    model = proto("y = Reshape (x, s)", "float[4,4] x, int64[2] s")
    assert onnx2trt(model, {"s": [[1, 1], [4, 4], [16, 16]]}).outputs[0].shape == (-1, -1)
    with pytest.raises(ShapeError, match="values of shape input 's'"):
        onnx2trt(model)


def test_a_missing_shape_names_the_input(grow):
    model = proto("y = TrtregTestGrow <by = 0.0> (x)", DYNAMIC, "float[b,3,h,8] y")
    with pytest.raises(ShapeError, match=r"'x' of dimensions b x 3 x h x 8 .*--shapes x:1x3x224x8"):
        onnx2trt(model)
    with pytest.raises(ShapeError, match="no input 'z'"):
        onnx2trt(model, {"z": [1]})


def test_missing_ops_are_one_report(grow):
    body = "[one] a = TrtregTestGrwo (x) [two] b = Zzzz (a) y = TrtregTestGrow <by = 1.0> (b)"
    with pytest.raises(UnsupportedNodesError) as caught:
        onnx2trt(proto(body))
    first, one, two = str(caught.value).splitlines()
    assert first == "the model has 2 nodes that cannot be imported"
    assert one.startswith("- node 'one' (TrtregTestGrwo): ")
    assert one.endswith("did you mean TrtregTestGrow?")
    assert two.startswith("- node 'two' (Zzzz): ")
    assert not loader.loaded()


def test_a_package_that_does_not_fit_is_named(install, model):
    plugin = install(b"", creators=CREATORS, machine="mips")
    with pytest.raises(
        UnsupportedNodesError, match=r"'grown' .*found .*expected mips.*see `trtreg info trtplugin-test`"
    ):
        onnx2trt(model, plugins=[plugin])


def test_what_the_parser_refuses_names_node_op_and_package(grow):
    with pytest.raises(UnsupportedNodesError) as caught:
        onnx2trt(proto("[bad] y = TrtregTestGrow <by = 1000.0> (x)"))
    text = str(caught.value)
    assert "node 'bad' (TrtregTestGrow) (from trtplugin-test): " in text
    # The plugin's own words, which TensorRT does not pass on.
    assert "attribute 'by': found 1000, expected a value in [0, 100]" in text


def test_what_the_parser_refuses_inside_a_function_says_where():
    function = '<opset_import: ["" : 17], domain: "f"> F (x) => (y) { [deep] y = Concat (x) }'
    with pytest.raises(UnsupportedNodesError, match=r"node 'deep' \(Concat\) in .*\(F\): "):
        onnx2trt(proto("[call] y = f.F (x)", functions=function))


def test_creators_that_somebody_else_registered_count(compile_library, model):
    from trtreg.sdk import toolchain

    library = compile_library("grow.cpp", str(toolchain.find().nvcc.cudart), *FLAGS)
    registry = flavour.load().get_plugin_registry()
    handle = registry.load_library(str(library))
    try:
        engine = onnx2trt(model, plugins=[])
        assert [layer.type for layer in engine.plugin_layers] == ["PLUGIN_V3"]
        assert engine.plugins == ()
    finally:
        registry.deregister_library(handle)


def rtx_only():
    if flavour.select().flavour is not flavour.Flavour.RTX:
        pytest.skip("this is about TensorRT-RTX")


def test_targets(grow, model):
    rtx_only()
    one = onnx2trt(model, targets=["8.6"])
    two = onnx2trt(model, targets=["sm_86", 120])
    assert (one.targets, two.targets) == (("8.6",), ("8.6", "12.0"))
    assert one.plan != two.plan
    with pytest.raises(SettingError, match=r"cannot build for 9.0: expected one of .*8\.6, 8\.9, 12\.0"):
        onnx2trt(model, targets=["9.0"])


def test_a_target_that_a_plugin_has_no_code_for(grow, model, install):
    rtx_only()
    other = install(grow.library_path, name="trtplugin-other", creators=CREATORS, sms=("8.6",))
    with pytest.raises(IncompatiblePluginError, match=r"trtplugin-other has no code for 8.0, 12.0"):
        onnx2trt(model, targets=["8.9", "8.0", "12.0"], plugins=[other])
    assert onnx2trt(model, targets=["8.9"], plugins=[other]).targets == ("8.9",)


@pytest.mark.parametrize(("mode", "flag"), [("fp16_mode", "FP16"), ("bf16_mode", "BF16")])
def test_precision_modes_where_the_flavour_has_none(mode, flag):
    rtx_only()
    with pytest.raises(SettingError, match=f"no {flag} mode: .*convert the model itself to {flag}"):
        onnx2trt(proto("y = Relu (x)"), **{mode: True})


def test_workspace(monkeypatch):
    assert onnx2trt(proto("y = Relu (x)"), max_workspace_size=1 << 20).plan
    with pytest.raises(SettingError, match="negative"):
        onnx2trt(proto("y = Relu (x)"), max_workspace_size=-1)


def test_another_device_needs_a_driver():
    from trtreg import environment

    if environment.read().driver is not None:
        pytest.skip("there is a driver")
    with pytest.raises(SettingError, match="device_id=1 needs an NVIDIA driver"):
        onnx2trt(proto("y = Relu (x)"), device_id=1)


def test_progress_tells_of_every_phase(grow, model):
    events = []
    onnx2trt(model, on_progress=events.append)
    kinds = Counter(event.kind for event in events)
    assert kinds["start"] == kinds["finish"] > 4
    assert kinds["step"] > kinds["start"]
    roots = [e.phase for e in events if e.kind == "start" and e.parent is None]
    assert roots == ["Scanning the model", "Loading plugins", "Importing the model", "Building engine"]
    assert all(0 < e.step <= e.steps for e in events if e.kind == "step")
    with pytest.raises(AttributeError):
        events[0].phase = "frozen"


def test_returning_false_cancels(grow, model):
    for phase in ("Scanning the model", "Building engine", "Optimizing graph"):
        with pytest.raises(BuildCancelledError, match=phase):
            onnx2trt(model, on_progress=lambda event, phase=phase: event.phase != phase)
    assert onnx2trt(model).plan, "a cancelled build leaves nothing behind"


@pytest.mark.parametrize("error", [ZeroDivisionError("mine"), KeyboardInterrupt()])
def test_an_exception_of_the_callback_cancels_and_comes_out(grow, model, error, capfd):
    seen = []

    def on_progress(event):
        seen.append(event)
        if event.phase == "Optimizing graph":
            raise error

    with pytest.raises(type(error)) as caught:
        onnx2trt(model, on_progress=on_progress)
    assert caught.value is error
    assert seen[-1].phase == "Optimizing graph", "nothing is called after the exception"
    assert "Exception caught" not in capfd.readouterr().err


def test_a_build_that_fails_gives_tensorrts_words():
    model = proto("y = Reshape (x, s)", "float[4,4] x, int64[2] s")
    with pytest.raises(EngineBuildError, match=r"found .*Reshaping \[4,4\] to \[3,5\]"):
        onnx2trt(model, {"s": [3, 5]})


def test_a_plugins_own_words_are_given(grow):
    model = proto("y = TrtregTestGrow <by = 1.0> (x)", "int32[1,4] x", "int32[p,q] y")
    with pytest.raises(TrtregError) as caught:
        onnx2trt(model)
    text = str(caught.value)
    assert "node 'y' (TrtregTestGrow) (from trtplugin-test): " in text
    assert "no signature takes inputs of types (int32)" in text
    assert "cudaError 35" not in text, "what TensorRT adds where there is no driver"


def test_log_level_is_for_this_build_only(grow, model, caplog):
    logger = logging.getLogger("trtreg.tensorrt")
    before = logger.level
    onnx2trt(model, log_level="DEBUG")
    assert any(record.levelno == logging.DEBUG for record in caplog.records)
    caplog.clear()
    onnx2trt(model, log_level=flavour.load().ILogger.Severity.ERROR)
    assert not caplog.records
    assert logger.level == before
    with pytest.raises(SettingError, match="log_level"):
        onnx2trt(model, log_level="loud")


def test_builds_in_many_threads(grow, model):
    engines, errors = [], []

    def build():
        try:
            engines.append(onnx2trt(model))
        except Exception as e:  # noqa: BLE001
            errors.append(e)

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert [engine.creators for engine in engines] == [(GROW,)] * 4


def test_lean_says_that_it_cannot_build(run_python, tmp_path):
    fake = tmp_path / "tensorrt_lean"
    fake.mkdir()
    (fake / "__init__.py").write_text('__version__ = "10.16.1"\n', encoding="utf-8")
    code = "import sys; sys.path.insert(0, sys.argv[1]); import trtreg; trtreg.onnx2trt(b'x')"
    done = run_python(code, str(tmp_path), TRTREG_TENSORRT="lean")
    assert "TensorRTNotFoundError: tensorrt_lean" in done.stderr
    assert "cannot build them" in done.stderr
    assert TensorRTNotFoundError.__name__ in done.stderr


def test_without_tensorrt(run_python):
    code = """
import sys
from trtreg import flavour
flavour.installed = lambda *_: ()
import trtreg
trtreg.onnx2trt(b"x")
"""
    done = run_python(code)
    assert "TensorRTNotFoundError: no TensorRT is installed" in done.stderr


def test_saving_an_engine(grow, model, tmp_path):
    engine = onnx2trt(model)
    save_trt_engine(engine, tmp_path / "a.engine")
    save_trt_engine(engine.plan, tmp_path / "b.engine")
    assert (tmp_path / "a.engine").read_bytes() == (tmp_path / "b.engine").read_bytes() == engine.plan
    assert "plan" not in repr(engine)
