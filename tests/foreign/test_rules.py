"""The pure rules: the style by the exports, the TensorRT by the needed libraries."""

import pytest

from trtreg.errors import LibraryNameError, NotAPluginError, SettingError
from trtreg.flavour import Flavour
from trtreg.foreign import describe, linkage, style

DYNAMIC, STATIC = style.Style(registration="dynamic"), style.Style(registration="static")


def init(name):
    return style.Style(registration="init", init=name)


@pytest.mark.parametrize(
    ("exports", "expected"),
    [
        (["getCreators", "initLibXPlugins"], (DYNAMIC, STATIC)),
        (["getPluginCreators"], (DYNAMIC, STATIC)),
        (["initLibMMCVInferPlugins", "f"], (init("initLibMMCVInferPlugins"), STATIC)),
        (["initLibNvTensorRTRtxPlugins"], (init("initLibNvTensorRTRtxPlugins"), STATIC)),
        (["initYoloPlugin", "init"], (init("initYoloPlugin"), STATIC)),
        (["initLibAPlugins", "initBPlugins"], (init("initLibAPlugins"), STATIC)),
        (["init", "initialise", "f"], (STATIC,)),
        ([], (STATIC,)),
    ],
)
def test_the_style_by_the_exports(exports, expected):
    assert style.candidates(exports) == expected


def test_a_function_that_the_user_names():
    assert style.candidates(["getCreators", "set_up"], "set_up") == (init("set_up"),)
    with pytest.raises(NotAPluginError, match="exports no function set_up: found initX"):
        style.candidates(["initX", "_init"], "set_up")
    with pytest.raises(NotAPluginError, match="initAPlugins, initBPlugins; name the one to call with --init"):
        style.candidates(["initAPlugins", "initBPlugins"])


FULL, LEAN, RTX = Flavour.FULL, Flavour.LEAN, Flavour.RTX


@pytest.mark.parametrize(
    ("needed", "interface", "flavour", "version", "wanted", "here"),
    [
        (["libnvinfer.so.8"], None, FULL, "10.16.1", "libnvinfer.so.8", "libnvinfer.so.10"),
        (["libc.so.6", "libnvinfer.so.10"], "v3", FULL, "11.4.0.106", "libnvinfer.so.10", "libnvinfer.so.11"),
        (["libnvinfer_plugin.so.8.6.1"], None, FULL, "10.0", "libnvinfer_plugin.so.8.6.1", "libnvinfer.so.10"),
        (["libnvinfer.so.10"], None, LEAN, "10.16", "libnvinfer.so.10", "libnvinfer_lean.so.10"),
        (["libnvinfer.so.10"], None, RTX, "1.7.1", "libnvinfer.so.10", "libtensorrt_rtx.so.1"),
        (["libtensorrt_rtx.so.1"], None, FULL, "10.16", "libtensorrt_rtx.so.1", "libnvinfer.so.10"),
        ([], "v2", LEAN, "11.4", "libnvinfer.so.10 or older", "libnvinfer_lean.so.11"),
        ([], "v2", RTX, "1.7.1", "libnvinfer.so.10 or older", "libtensorrt_rtx.so.1"),
    ],
)
def test_what_stands_in_the_way(needed, interface, flavour, version, wanted, here):
    found = linkage.conflict(needed, interface, flavour, version)
    assert found is not None
    assert found.wanted.startswith(wanted)
    assert found.here == here


@pytest.mark.parametrize(
    ("needed", "interface", "flavour", "version"),
    [
        (["libnvinfer.so.10", "libnvinfer_plugin.so.10", "libcudart.so.12"], "v2", FULL, "10.16.1"),
        (["libnvinfer.so"], None, FULL, "11.0"),
        (["libtensorrt_rtx.so.1", "libtensorrt_onnxparser_rtx.so.1"], None, RTX, "1.7.1.116"),
        (["libnvinfer_lean.so.10"], "v2", LEAN, "10.16"),
        (["libnvinfer_of_somebody.so.3"], None, FULL, "10.0"),
        ([], None, RTX, "1.7"),
        ([], "v3", FULL, "11.4"),
    ],
)
def test_what_goes_together(needed, interface, flavour, version):
    assert linkage.conflict(needed, interface, flavour, version) is None


@pytest.mark.parametrize(
    ("needed", "interface", "registration", "flavour", "version", "expected"),
    [
        ([], "v3", "dynamic", RTX, "1.7.1", {"full": ">=10.0", "lean": ">=10.0", "rtx": ">=1.7"}),
        ([], "v2", "dynamic", LEAN, "10.16", {"full": ">=10.0,<11", "lean": ">=10.0,<11"}),
        ([], "v3", "static", RTX, "1.7.1", {"rtx": ">=1.7,<2"}),
        ([], "v3", "init", LEAN, "11.4.0", {"full": ">=11,<12", "lean": ">=11,<12"}),
        (["libnvinfer.so.10"], "v3", "dynamic", FULL, "10.16", {"full": ">=10,<11"}),
        (["libtensorrt_rtx.so.1"], "v3", "init", RTX, "1.8", {"rtx": ">=1.7,<2"}),
    ],
)
def test_what_a_library_is_for(needed, interface, registration, flavour, version, expected):
    assert linkage.specifiers(needed, interface, registration, flavour, version) == expected


@pytest.mark.parametrize(
    ("file", "name"),
    [("libfoo_plugins.so.1.2", "foo-plugins"), ("x.so", "x"), ("lib.so", "library"), ("libA b+c.so", "a-b-c")],
)
def test_the_name_by_the_file(tmp_path, file, name):
    assert describe.default_name(tmp_path / file) == name


def test_specifiers_of_the_user():
    assert describe.parse_specifiers([]) is None
    assert describe.parse_specifiers(["full>=10,<11", "rtx"]) == {"full": ">=10,<11", "rtx": ""}
    with pytest.raises(SettingError, match=r"found '10\.0'"):
        describe.parse_specifiers(["10.0"])


def test_names_that_are_none():
    with pytest.raises(LibraryNameError, match="'a b'"):
        describe._require_name("a b")


def test_the_interface_by_the_type_information(compile_foreign):
    assert style.interface_hint(compile_foreign("v2.cpp", "TrtregForeignV2", "-DSTATIC").read_bytes()) == "v2"
    assert style.interface_hint(compile_foreign("v3_static.cpp", "TrtregForeignV3", "-DSTATIC").read_bytes()) == "v3"
    assert style.interface_hint(b"") is None
