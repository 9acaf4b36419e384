"""Packages that cannot be loaded together, in a program that only imports TensorRT."""

import pytest

from trtreg.manifest import CreatorKey

ONE, TWO, THREE = (CreatorKey(f"TrtregTest{name}", "1") for name in ("One", "Two", "Three"))


@pytest.fixture
def rivals(compile_creators, install):
    return [
        install(compile_creators([ONE, two]), [ONE, two], f"trtplugin-{name}")
        for name, two in (("a", TWO), ("b", THREE))
    ]


def test_the_first_is_loaded_and_the_other_told_once_with_both_names(enabled, rivals, program):
    done = enabled.run(program)
    assert done.stdout == "TrtregTestOne TrtregTestTwo\n"
    assert done.stderr.count("trtreg autoload:") == 1
    for words in (
        "trtplugin-b 1.0 is not loaded into tensorrt_rtx: trtplugin-a 1.0",
        "trtplugin-b 1.0",
        "both have TrtregTestOne 1",
        "trtplugin-b is left out, with all",
    ):
        assert words in done.stderr
    assert "TRTREG_PREFER='TrtregTestOne 1=trtplugin-a'" in done.stderr


def test_what_is_preferred_is_loaded_without_a_word(enabled, rivals, program, tmp_path):
    done = enabled.run(program, TRTREG_PREFER="TrtregTestOne=trtplugin-b")
    assert (done.stdout, done.stderr) == ("TrtregTestOne TrtregTestThree\n", "")
    (tmp_path / "trtreg").mkdir()
    (tmp_path / "trtreg" / "config.toml").write_text('[prefer]\n"TrtregTestOne 1" = "trtplugin-b"\n', encoding="utf-8")
    done = enabled.run(program, XDG_CONFIG_HOME=str(tmp_path))
    assert (done.stdout, done.stderr) == ("TrtregTestOne TrtregTestThree\n", "")


def test_one_that_is_denied_is_no_rival(enabled, rivals, program):
    done = enabled.run(program, TRTREG_AUTOLOAD_DENY="trtplugin-a")
    assert (done.stdout, done.stderr) == ("TrtregTestOne TrtregTestThree\n", "")


def test_a_preference_that_means_nothing_is_told_and_the_import_succeeds(enabled, rivals, program):
    done = enabled.run(program, TRTREG_PREFER="TrtregTestOne")
    assert done.stdout == "TrtregTestOne TrtregTestTwo\n"
    assert "TRTREG_PREFER is malformed" in done.stderr


def test_tensorrts_own_stays_or_gives_way(enabled, compile_creators, install, program):
    keys = [CreatorKey("ROIAlign_TRT", "2"), ONE]
    install(compile_creators(keys), keys, "trtplugin-roi")
    done = enabled.run(program)
    assert done.stdout == "\n"
    assert "both have ROIAlign_TRT 2: nothing says which; trtplugin-roi is left out" in done.stderr
    assert '"ROIAlign_TRT 2" = "trtplugin-roi" or "ROIAlign_TRT 2" = "tensorrt"' in done.stderr
    assert enabled.run(program, TRTREG_PREFER="ROIAlign_TRT=tensorrt").stderr == ""
    done = enabled.run(program, TRTREG_PREFER="ROIAlign_TRT=trtplugin-roi")
    assert (done.stdout, done.stderr) == ("TrtregTestOne\n", "")
