from dataclasses import replace

import pytest

from trtreg import _holders, environment, flavour
from trtreg.cli import _examination
from trtreg.errors import ProblemsFoundError, SettingError
from trtreg.flavour import Flavour, InstalledTensorRT
from trtreg.manifest import CreatorKey

RTX = InstalledTensorRT(flavour=Flavour.RTX, version="1.7.1", distribution="tensorrt-rtx")
LEAN = InstalledTensorRT(flavour=Flavour.LEAN, version="10.16.1", distribution="tensorrt-lean")


@pytest.fixture(autouse=True)
def no_setting(monkeypatch):
    monkeypatch.delenv(flavour.SETTING, raising=False)


def test_a_sound_machine(cli, identity):
    code, out, err = cli("doctor")
    assert (code, err) == (0, "")
    assert out.endswith("No problems found.\n")
    facts = {line[:20].split("  ")[0].strip(): line for line in out.splitlines()}
    assert {"trtreg", "Python", "platform", "NVIDIA driver", "onnx", "tqdm", "nvcc"} <= {*facts}
    assert "1.0, fits: yes" in facts["trtplugin-identity"]


def test_a_plugin_that_does_not_fit_is_a_problem_per_reason(cli, misfit):
    code, out, _ = cli("doctor")
    assert code == ProblemsFoundError.exit_code
    assert "problem: trtplugin-misfit does not fit: machine: found" in out
    assert "problem: trtplugin-misfit does not fit: glibc: found" in out
    assert "\n  remedy: install the wheel of trtplugin-misfit" in out


def test_a_broken_plugin_is_a_problem(cli, broken):
    code, out, _ = cli("doctor")
    assert code == ProblemsFoundError.exit_code
    assert "problem: trtplugin-broken is broken: " in out


def test_two_packages_with_one_creator(cli, install, identity):
    install(identity.library_path, [c.key for c in identity.manifest.library.creators], "trtplugin-twin")
    code, out, _ = cli("doctor")
    assert code == ProblemsFoundError.exit_code
    (problem,) = [line for line in out.splitlines() if line.startswith("problem: ")]
    assert problem.startswith("problem: trtplugin-identity 1.0 (")
    assert "trtplugin-twin 1.0" in problem
    assert "both have TrtregTestIdentity 1: nothing says which; trtplugin-twin is left out" in problem
    assert '  remedy: say who is to have it: "TrtregTestIdentity 1" = "trtplugin-identity" or' in out


def test_two_packages_with_one_creator_of_which_one_is_preferred(cli, install, identity, monkeypatch):
    install(identity.library_path, [c.key for c in identity.manifest.library.creators], "trtplugin-twin")
    monkeypatch.setenv("TRTREG_PREFER", "TrtregTestIdentity=trtplugin-twin")
    code, out, _ = cli("doctor")
    assert (code, out.count("problem: ")) == (0, 0)
    assert "TRTREG_PREFER prefers trtplugin-twin for TrtregTestIdentity 1; trtplugin-identity is left out" in out


def test_a_creator_that_tensorrt_has_too(cli, compile_creators, install, monkeypatch, site):
    key = CreatorKey("ROIAlign_TRT", "2")
    install(compile_creators([key]), [key], "trtplugin-roi")
    monkeypatch.syspath_prepend(site)
    code, out, _ = cli("doctor")
    assert code == ProblemsFoundError.exit_code
    assert "both have ROIAlign_TRT 2" in out
    assert '"ROIAlign_TRT 2" = "trtplugin-roi" or "ROIAlign_TRT 2" = "tensorrt" in [prefer]' in out
    monkeypatch.setenv("TRTREG_PREFER", "ROIAlign_TRT=trtplugin-roi")
    code, out, _ = cli("doctor")
    assert (code, out.count("problem: ")) == (0, 0)
    assert "the other one gives way while it is loaded" in out


def test_a_preference_that_means_nobody(cli, identity, monkeypatch):
    monkeypatch.setenv("TRTREG_PREFER", "TrtregTestIdentiti=tensorrt,TrtregTestIdentity=trtplugin-identy")
    code, out, _ = cli("doctor")
    assert code == ProblemsFoundError.exit_code
    assert "did you mean TrtregTestIdentity" in out
    assert "did you mean trtplugin-identity" in out


def test_no_tensorrt_is_one_problem(cli, identity, monkeypatch):
    monkeypatch.setattr(flavour, "installed", lambda *_: ())
    code, out, _ = cli("doctor")
    assert code == ProblemsFoundError.exit_code
    assert out.count("problem: ") == 1
    assert "problem: no TensorRT is installed" in out
    assert "  remedy: pip install 'trtreg[rtx]'" in out


def test_a_tensorrt_that_cannot_be_imported(cli, monkeypatch):
    monkeypatch.setattr(flavour, "installed", lambda *_: (LEAN,))
    monkeypatch.setitem(flavour.sys.modules, "tensorrt_lean", None)
    code, out, _ = cli("doctor")
    assert code == ProblemsFoundError.exit_code
    assert "problem: tensorrt_lean 10.16.1 is installed but cannot be imported" in out


def test_the_choice_is_told(cli, monkeypatch):
    monkeypatch.setattr(flavour, "installed", lambda *_: (RTX, LEAN))
    monkeypatch.setattr(flavour, "load", lambda tensorrt=None: None)
    monkeypatch.setattr(_holders, "registered", lambda *_: {})
    monkeypatch.setattr(_holders, "register_own", lambda _: None)
    _, out, _ = cli("doctor")
    assert "1.7.1, used because it comes first; TRTREG_TENSORRT chooses another" in out
    assert "10.16.1, not used" in out
    monkeypatch.setenv(flavour.SETTING, "lean")
    _, out, _ = cli("doctor")
    assert "1.7.1, not used" in out
    assert "10.16.1, used because TRTREG_TENSORRT=lean" in out


def test_a_setting_without_meaning_is_an_error(cli, monkeypatch):
    monkeypatch.setenv(flavour.SETTING, "bogus")
    assert cli("doctor")[0] == SettingError.exit_code


def test_an_old_tensorrt_rtx(cli, monkeypatch):
    monkeypatch.setattr(flavour, "installed", lambda *_: (replace(RTX, version="1.6.0.1"),))
    monkeypatch.setattr(flavour, "load", lambda tensorrt=None: None)
    monkeypatch.setattr(_holders, "registered", lambda *_: {})
    monkeypatch.setattr(_holders, "register_own", lambda _: None)
    code, out, _ = cli("doctor")
    assert code == ProblemsFoundError.exit_code
    assert "problem: the ONNX parser of TensorRT-RTX 1.6.0.1 takes no plugins" in out


def facts(monkeypatch, **changes):
    here = replace(environment.read(), **changes)
    monkeypatch.setattr(environment, "read", lambda *arguments: here)
    found = _examination.examine()
    return {fact.key: fact.value for fact in found.facts}, [problem.text for problem in found.problems]


def test_a_driver_and_its_gpus(monkeypatch):
    gpus = tuple(
        environment.Gpu(index=index, name=name, sm=sm) for index, name, sm in ((0, "H200", "9.0"), (1, "L4", "8.9"))
    )
    found, _ = facts(monkeypatch, driver="580.65", cuda_driver="13.0", driver_problem=None, gpus=gpus)
    assert (found["driver"], found["gpu0"], found["gpu1"]) == ("580.65, CUDA 13.0", "H200, sm 9.0", "L4, sm 8.9")


def test_no_driver_is_no_problem_but_a_driver_out_of_order_is(monkeypatch):
    found, problems = facts(monkeypatch, driver=None, gpus=(), driver_problem="NVML Shared Library Not Found")
    assert found["driver"] == "none (NVML Shared Library Not Found)"
    assert not any("driver" in problem for problem in problems)
    _, problems = facts(monkeypatch, driver=None, gpus=(), driver_problem="Driver/library version mismatch")
    assert "NVIDIA driver: Driver/library version mismatch" in problems
    remedies = [problem.remedy for problem in _examination.examine().problems]
    assert "reinstall the driver, or reboot" in remedies
    monkeypatch.setattr(_examination, "find_spec", lambda name: None)
    remedies = [problem.remedy for problem in _examination.examine().problems]
    assert "run: pip install nvidia-ml-py" in remedies


def test_onnx_missing(monkeypatch):
    monkeypatch.setattr(_examination, "find_spec", lambda name: None)
    found, problems = facts(monkeypatch)
    assert found["tqdm"] == "not installed; needed for progress bars"
    assert ("onnx is not installed" in problems) is (flavour.select().flavour is not Flavour.LEAN)


def test_nvcc(monkeypatch):
    from trtreg.errors import NvccNotFoundError
    from trtreg.sdk import toolchain

    def find():
        raise NvccNotFoundError("no nvcc")

    monkeypatch.setattr(toolchain, "find", find)
    found, problems = facts(monkeypatch)
    assert found["nvcc"] == "none, needed to build plugins only (no nvcc)"
    assert not any("nvcc" in problem for problem in problems)
