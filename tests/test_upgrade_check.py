"""What another TensorRT would break: the rules, the data, and the whole check on files and catalogues."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from catalogues import catalogue, op, release

from trtreg import discovery, errors, native_operators
from trtreg.environment import Environment
from trtreg.flavour import Flavour
from trtreg.manifest import CreatorKey
from trtreg.packages import catalogue as catalogues
from trtreg.packages.settings import Index, Settings
from trtreg.upgrade import Target, builtin_plugins, check, plan_header, rules
from trtreg.upgrade.plan_header import PlanHeader

HERE = Environment(flavour=Flavour.FULL, tensorrt_version="10.16.1", machine="x86_64", glibc="2.36")
TO_11 = Target(flavour=Flavour.FULL, version="11.4")
LEAN_11 = Target(flavour=Flavour.LEAN, version="11.4")
RTX_1_8 = Target(flavour=Flavour.RTX, version="1.8")
FULL, RTX = b"ftrt", b"vtrt"


def engine(tag, version, rest=b""):
    return tag + bytes(20) + bytes(version) + rest


@pytest.fixture
def save_model(tmp_path):
    onnx = pytest.importorskip("onnx")

    def save(body):
        text = f'<ir_version: 8, opset_import: ["" : 17]> g (float[1,4] x) => (float[p,q] y) {{ {body} }}'
        path = tmp_path / "m.onnx"
        onnx.save_model(onnx.parser.parse_model(text), path)
        return str(path)

    return save


@pytest.fixture
def judge(install):
    """Judge a package whose manifest says these things."""

    def judge(target=TO_11, tensorrt=None, **library):
        plugin = install(b"", [CreatorKey("Foo", "1")], **library)
        if tensorrt is not None:
            plugin = replace(plugin, manifest=replace(plugin.manifest, tensorrt=tensorrt))
        return [(f.code, f.breaks) for f in rules.judge_plugin(plugin, target, HERE)]

    return judge


# The data


def test_the_data_tells_removed_plugins_from_those_that_are_left():
    builtin = builtin_plugins.read()
    assert not builtin.removed.keys() & builtin.left.keys()
    assert len(builtin.removed) == 17
    assert builtin.removed["CropAndResizeDynamic", "1"].removed == "11.0"
    assert builtin.left["CropAndResizeDynamic", "2"] is False
    assert builtin.left["EfficientNMS_TRT", "1"] is True
    for url in (*builtin.sources, *(plugin.source for plugin in builtin.removed.values())):
        assert url.startswith(("https://github.com/NVIDIA/TensorRT/", "https://docs.nvidia.com/"))


def test_what_is_named_instead_of_a_removed_plugin_is_an_operator_of_tensorrt():
    named = {
        match
        for plugin in builtin_plugins.read().removed.values()
        for match in re.findall(r"ONNX (\w+)", plugin.instead or "")
    }
    assert named >= {"Clip", "LeakyRelu", "Split", "Gelu", "NonMaxSuppression"}
    assert named <= native_operators.read().operators


# Plugins


def test_a_plugin_that_allows_the_target_and_registers_dynamically_is_sound(judge):
    assert judge() == []


def test_the_range_of_the_manifest_is_what_counts(judge):
    assert judge(tensorrt={"full": ">=10,<11"}) == [("tensorrt-version", True)]


def test_a_flavour_that_the_manifest_does_not_name_is_a_break(judge):
    assert judge(RTX_1_8, tensorrt={"full": ">=10"}) == [("tensorrt-flavour", True)]


@pytest.mark.parametrize(
    ("needed", "target", "found"),
    [
        ("libnvinfer.so.10", TO_11, [("library", True)]),
        ("libnvinfer_plugin.so.10", TO_11, [("library", True)]),
        ("libnvinfer.so.11", TO_11, []),
        ("libnvinfer.so.10", Target(flavour=Flavour.FULL, version="10.16"), []),
        ("libcudart.so.12", TO_11, []),
    ],
)
def test_a_library_of_another_major(judge, needed, target, found):
    assert judge(target, needed=(needed,)) == found


@pytest.mark.parametrize("style", [{"registration": "static"}, {"registration": "init", "init": "initLibFoo"}])
def test_what_calls_the_registry_itself_breaks_with_tensorrt_11(judge, style):
    """IPluginRegistry lost three virtual functions before registerCreator: NvInferRuntimeCommon.h of 10.16 and 11.1."""
    assert judge(**style) == [("registration", True)]


def test_what_calls_the_registry_of_11_itself_is_sound(judge):
    assert judge(registration="static", needed=("libnvinfer.so.11",)) == []


def test_what_calls_the_registry_itself_is_sound_within_10(judge):
    assert judge(Target(flavour=Flavour.FULL, version="10.16"), registration="static") == []


def test_v2_is_deprecated_and_not_removed(judge):
    assert judge(interface="v2") == [("interface", False)]


def test_the_machine_is_not_the_subject(judge):
    """`trtreg list` tells of those; they are so with any TensorRT."""
    assert judge(machine="mips", glibc="9.9") == []


def test_a_broken_package_is_not_the_subject(install):
    plugin = install(b"", [])
    (plugin.root / "trtplugin.json").write_text("{", encoding="utf-8")
    assert [*rules.judge_plugin(*discovery.discover([str(plugin.root.parent)]), TO_11, HERE)] == []


# Models


@pytest.mark.parametrize(
    ("body", "code", "breaks", "says"),
    [
        ("y = BatchedNMSDynamic_TRT (x)", "removed", True, "NonMaxSuppression"),
        ("y = CropAndResizeDynamic (x)", "removed", True, 'plugin_version to "2"'),
        ("y = Proposal (x)", "removed", True, "it takes a plugin"),
        ("y = EfficientNMS_TRT (x)", "deprecated", False, "plan to replace it"),
        ("y = Nobody (x)", "missing", True, "install a plugin"),
        ('y = LReLU_TRT <plugin_namespace = "mine"> (x)', "missing", True, "install a plugin"),
    ],
)
def test_nodes_that_name_a_plugin_of_tensorrt(save_model, body, code, breaks, says):
    (finding,) = check(TO_11, [save_model(body)], plugins=(), environment=HERE)
    assert (finding.kind, finding.code, finding.breaks) == ("model", code, breaks)
    assert says in finding.remedy
    assert (finding.source is None) == (code == "missing")


@pytest.mark.parametrize(
    "body",
    [
        "a, b = Split (x) y = Add (a, b)",  # ONNX's own, which TensorRT imports itself
        'y = CropAndResizeDynamic <plugin_version = "2"> (x)',
        'y = DisentangledAttention_TRT <plugin_version = "2"> (x)',
        "y = Relu (x)",
    ],
)
def test_nodes_that_go_on(save_model, body):
    assert check(TO_11, [save_model(body)], plugins=(), environment=HERE) == ()


def test_a_removed_plugin_is_only_deprecated_before(save_model):
    (finding,) = check(
        Target(flavour=Flavour.FULL, version="10.16"), [save_model("y = Clip_TRT (x)")], plugins=(), environment=HERE
    )
    assert (finding.code, finding.breaks) == ("deprecated", False)
    assert "ONNX Clip" in finding.remedy


def test_the_nodes_of_one_op_are_one_finding(save_model):
    (finding,) = check(TO_11, [save_model("a = Clip_TRT (x) y = Clip_TRT (a)")], plugins=(), environment=HERE)
    assert finding.text.startswith("2 nodes of the op Clip_TRT 1")


def test_an_installed_plugin_of_the_removed_name_takes_its_place(save_model, install):
    plugin = install(b"", [CreatorKey("Clip_TRT", "1")])
    assert check(TO_11, [save_model("y = Clip_TRT (x)")], plugins=[plugin], environment=HERE) == ()


def test_a_node_of_a_plugin_that_breaks(save_model, install):
    plugin = install(b"", [CreatorKey("Foo", "1")])
    plugin = replace(plugin, manifest=replace(plugin.manifest, tensorrt={"full": "<11"}))
    package, model = check(TO_11, [save_model("y = Foo (x)")], plugins=[plugin], environment=HERE)
    assert (package.kind, package.code) == ("plugin", "tensorrt-version")
    assert (model.kind, model.code) == ("model", "plugin")
    assert model.remedy == "replace trtplugin-test"


# Engines


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (engine(FULL, (10, 16, 1, 11)), PlanHeader(family="full", version="10.16.1.11")),
        (engine(RTX, (1, 7, 1, 116)), PlanHeader(family="rtx", version="1.7.1.116")),
        (FULL + b"\1\0\0\0" + bytes(20), PlanHeader(family="full", version=None)),
        (FULL, PlanHeader(family="full", version=None)),
        (b"\x08\x08onnx", None),
        (b"", None),
    ],
)
def test_the_header_of_a_plan(data, expected):
    assert plan_header.parse(data) == expected


def test_the_header_of_a_real_engine(tmp_path):
    """Of TensorRT-RTX, which builds here; that of TensorRT is as trtexec reads it."""
    onnx = pytest.importorskip("onnx")
    rtx = pytest.importorskip("tensorrt_rtx")
    from trtreg import onnx2trt

    text = '<ir_version: 8, opset_import: ["" : 17]> g (float[1,4] x) => (float[1,4] y) { y = Relu (x) }'
    plan = onnx2trt(onnx.parser.parse_model(text)).plan
    assert plan_header.parse(bytes(plan[: plan_header.SIZE])) == PlanHeader(family="rtx", version=rtx.__version__)


@pytest.mark.parametrize(
    ("family", "version", "target", "compatible", "code"),
    [
        ("full", "11.4.0.106", TO_11, None, None),
        ("full", "10.16.1.11", TO_11, None, "version"),
        ("full", "10.16.1.11", TO_11, True, None),
        ("full", "11.0.0.1", TO_11, True, None),
        ("full", "11.5.0.1", TO_11, True, "version"),  # newer than the runtime
        ("full", "8.6.1.6", TO_11, True, "version"),  # NVIDIA supports 8 on 10 and 10 on 11
        ("full", "8.6.1.6", Target(flavour=Flavour.FULL, version="10.16"), True, None),
        ("full", "11.4.0.106", LEAN_11, None, "version"),  # lean takes version-compatible ones only
        ("full", "11.4.0.106", LEAN_11, True, None),
        ("rtx", "1.7.1.116", RTX_1_8, None, "version"),
        ("rtx", "1.8.0.5", RTX_1_8, None, None),
        ("rtx", "1.7.1.116", TO_11, True, "flavour"),
        ("full", "10.16.1.11", RTX_1_8, True, "flavour"),
        ("full", None, TO_11, None, "header"),
    ],
)
def test_engines(family, version, target, compatible, code):
    header = PlanHeader(family=family, version=version)
    found = [*rules.judge_engine("e", header, target, version_compatible=compatible)]
    assert [f.code for f in found] == ([] if code is None else [code])
    assert all(f.breaks and f.source and "build it again" in f.remedy for f in found)


def test_the_way_out_is_named_where_it_may_be_one(tmp_path):
    path = tmp_path / "e"
    path.write_bytes(engine(FULL, (10, 16, 1, 11)))
    (finding,) = check(TO_11, [str(path)], plugins=(), environment=HERE)
    assert "--version-compatible" in finding.remedy
    assert check(TO_11, [str(path)], version_compatible=True, plugins=(), environment=HERE) == ()


def test_the_lock_tells_the_version_where_the_header_does_not(tmp_path):
    path = tmp_path / "e"
    path.write_bytes(FULL + b"\7\0\0\0" + bytes(40))
    (finding,) = check(TO_11, [str(path)], plugins=(), environment=HERE)
    assert finding.code == "header"
    from trtreg import engine_lock

    lock = engine_lock.EngineLock(plan_sha256="0" * 64, plan_size=48, flavour="full", tensorrt_version="10.3.0.26")
    Path(engine_lock.path_of(path)).write_text(engine_lock.to_json(lock), encoding="utf-8")
    (finding,) = check(TO_11, [str(path)], plugins=(), environment=HERE)
    assert finding.text.startswith("was built by 10.3.0.26")


def test_a_file_that_is_neither_is_refused(tmp_path):
    path = tmp_path / "e"
    path.write_bytes(b"neither")
    for file in (path, tmp_path / "none"):
        with pytest.raises(errors.ModelError):
            check(TO_11, [str(file)], plugins=(), environment=HERE)


@pytest.mark.parametrize("version", ["eleven", "", "11.4+x", "1!11"])
def test_a_version_that_is_none(version):
    with pytest.raises(errors.SettingError):
        Target(flavour=Flavour.FULL, version=version)


# Replacements


@pytest.fixture
def open_index(tmp_path):
    opened = []

    def open_index(*releases):
        folder = tmp_path / "index"
        folder.mkdir()
        (folder / "catalogue.json").write_bytes(catalogue(*releases))
        settings = Settings(indexes=(Index(name="here", url=f"{folder.as_uri()}/"),))
        opened.append(catalogues.open_all(settings, folder=tmp_path / "cache"))
        return opened[-1]

    yield open_index
    for one in opened:
        one.close()


def test_replacements_are_releases_that_fit_the_target(open_index, save_model, install):
    foo, clip = op("Foo"), op("Clip_TRT")
    shelf = open_index(
        release("trtplugin-test", "2.0", ops=[foo], tensorrt={"full": ">=11"}),
        release("other", "1.5", ops=[foo], tensorrt={"full": ">=10"}),
        release("late", "1.0", ops=[foo], tensorrt={"full": "<11"}),
        release("clipper", "3.0", ops=[clip], tensorrt={"full": ""}),
        release("old-clipper", "1.0", ops=[clip], tensorrt={"full": "<11"}),
    )
    plugin = install(b"", [CreatorKey("Foo", "1")])
    plugin = replace(plugin, manifest=replace(plugin.manifest, tensorrt={"full": "<11"}))
    found = check(TO_11, [save_model("y = Clip_TRT (x)")], plugins=[plugin], environment=HERE, catalogues=shelf)
    by_kind = {finding.kind: finding.replacements for finding in found}
    assert by_kind["plugin"] == ("trtplugin-test 2.0 (index here)", "other 1.5 (index here)")
    assert by_kind["model"] == ("clipper 3.0 (index here)",)


def test_the_data_file_is_json_of_this_schema():
    path = Path(builtin_plugins.__file__).parent.parent / "data" / "removed_plugins.json"
    assert json.loads(path.read_text(encoding="utf-8"))["schema"] == 1
