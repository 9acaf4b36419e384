import json
from dataclasses import replace
from importlib.resources import files

import pytest

from trtreg import compatibility
from trtreg.compatibility import Compatible, Incompatible, judge, serves
from trtreg.environment import Environment, Gpu
from trtreg.flavour import Flavour
from trtreg.manifest import Library, Manifest

LIBRARY = Library(
    file="lib.so",
    sha256="0" * 64,
    size=1,
    machine="x86_64",
    glibc="2.28",
    cuda="13.0",
    sms=("8.0", "8.9", "9.0"),
    ptx=("9.0",),
)
MANIFEST = Manifest(
    package="trtplugin-test", version="1.0", tensorrt={"full": ">=10.0,<12", "rtx": ">=1.7"}, library=LIBRARY
)
H200 = Gpu(index=0, name="NVIDIA H200", sm="9.0")
T4 = Gpu(index=1, name="Tesla T4", sm="7.5")
ENVIRONMENT = Environment(
    flavour=Flavour.RTX,
    tensorrt_version="1.7.1.116",
    machine="x86_64",
    glibc="2.36",
    driver="580.65.06",
    cuda_driver="13.0",
    gpus=(H200,),
)
NO_DRIVER = {"driver": None, "cuda_driver": None, "gpus": ()}


def verdict(*, tensorrt=None, library=None, **environment):
    manifest = replace(MANIFEST, library=replace(LIBRARY, **(library or {})))
    if tensorrt is not None:
        manifest = replace(manifest, tensorrt=tensorrt)
    return judge(manifest, replace(ENVIRONMENT, **environment))


FITS = {
    "all well": {},
    "any version": {"tensorrt": {"rtx": ""}},
    "full": {"flavour": Flavour.FULL, "tensorrt_version": "10.16.1.11"},
    "full, the lowest": {"flavour": Flavour.FULL, "tensorrt_version": "10.0"},
    "prerelease": {"tensorrt_version": "1.8.0.dev1"},
    "glibc, the same": {"glibc": "2.28"},
    "glibc is compared as numbers": {"glibc": "2.36", "library": {"glibc": "2.5"}},
    "glibc not needed": {"glibc": None, "library": {"glibc": None}},
    "driver of a later branch": {"driver": "610.10", "cuda_driver": "13.3"},
    "driver, the lowest branch": {"driver": "580.1", "cuda_driver": None},
    "minor-version compatibility": {"driver": "525.60.13", "cuda_driver": "12.0", "library": {"cuda": "12.9"}},
    "forward compatibility package": {"driver": "535.1", "cuda_driver": "13.0"},
    "a generation of CUDA that nobody knows yet": {"library": {"cuda": "99.1"}, "driver": "999", "cuda_driver": "99.0"},
    "no CUDA in it": {"library": {"cuda": None, "sms": (), "ptx": ()}, "driver": "390", "cuda_driver": "9.1"},
}


@pytest.mark.parametrize("case", FITS.values(), ids=FITS)
def test_it_fits(case):
    assert verdict(**case) == Compatible()


DOES_NOT = [
    ("tensorrt-missing", {"flavour": None, "tensorrt_version": None}, "no TensorRT, expected full >=10.0,<12, rtx"),
    ("tensorrt-missing", {"flavour": None, "tensorrt_problem": "it broke"}, "TensorRT: found it broke"),
    ("tensorrt-flavour", {"flavour": Flavour.LEAN, "tensorrt_version": "11.4"}, "TensorRT flavour: found lean 11.4"),
    ("tensorrt-flavour", {"tensorrt": {}}, "expected none of this package"),
    ("tensorrt-version", {"tensorrt_version": "1.6.0.33"}, "expected rtx >=1.7; pip install 'tensorrt_rtx>=1.7'"),
    ("tensorrt-version", {"flavour": Flavour.FULL, "tensorrt_version": "12.0"}, "expected full >=10.0,<12"),
    ("tensorrt-version", {"tensorrt_version": "unknown"}, "found rtx unknown"),
    ("machine", {"machine": "aarch64"}, "found aarch64, expected x86_64; install the wheel of trtplugin-test for"),
    ("glibc", {"glibc": "2.17"}, "glibc: found 2.17, expected 2.28 or newer"),
    ("glibc", {"glibc": "2.9"}, "glibc: found 2.9"),
    ("glibc", {"glibc": None}, "found another C library"),
    ("driver", {"driver": "575.57.08", "cuda_driver": "12.9"}, "found 575.57.08, expected 580 or newer, for CUDA 13.0"),
    ("driver", {"driver": "470.1", "cuda_driver": "11.4", "library": {"cuda": "12.1"}}, "expected 525 or newer"),
    ("driver", {"library": {"cuda": "99.1"}}, "expected one for CUDA 99.1; update the NVIDIA driver"),
    ("gpu", {"gpus": (T4,)}, "found Tesla T4 (sm 7.5), expected sm 8.0, 8.9, 9.0 or PTX 9.0; build"),
    ("gpu", {"library": {"sms": ("8.0",), "ptx": ()}}, "expected sm 8.0;"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "case", "text"), DOES_NOT)
def test_it_does_not_fit(code, case, text):
    answer = verdict(**case)
    assert isinstance(answer, Incompatible)
    (reason,) = answer.reasons
    assert reason.code == code
    assert text in str(reason)
    assert reason.remedy


def test_every_reason_is_given_at_once():
    driver = {"driver": "470", "cuda_driver": "11.4", "gpus": (T4,)}
    answer = verdict(tensorrt_version="1.4", machine="aarch64", glibc="2.17", **driver)
    assert [reason.code for reason in answer.reasons] == ["tensorrt-version", "machine", "glibc", "driver", "gpu"]


def test_without_a_gpu_only_rtx_builds_engines():
    assert verdict(**NO_DRIVER) == Compatible(notes=("no GPU here; engines can be built",))
    assert verdict(flavour=Flavour.FULL, tensorrt_version="10.16", **NO_DRIVER) == Compatible(notes=("no GPU here",))
    assert verdict(gpus=()) == Compatible(notes=("the driver shows no GPU",))


def test_a_gpu_that_is_not_served_beside_one_that_is_gets_a_note():
    assert verdict(gpus=(H200, T4)) == Compatible(notes=("no code for GPU 1, Tesla T4 (sm 7.5)",))


@pytest.mark.parametrize(
    ("sms", "ptx", "gpu", "served"),
    [
        (["8.0"], [], "8.0", True),
        (["8.0"], [], "8.9", True),  # the same generation, a later minor
        (["8.9"], [], "8.6", False),
        (["8.0"], [], "9.0", False),
        (["7.5", "8.0"], [], "7.5", True),
        (["10.0"], [], "10.3", True),
        (["10.0"], [], "12.0", False),
        ([], ["8.0"], "8.0", True),
        ([], ["8.0"], "12.0", True),  # PTX goes on to all that is newer
        ([], ["9.0"], "8.9", False),
        (["12.0"], ["9.0"], "10.0", True),
        (["9.0a"], [], "9.0", True),
        (["10.0a"], [], "10.3", False),
        (["10.0f"], [], "10.3", True),
        ([], ["9.0a"], "10.0", False),
        ([], ["10.0f"], "12.0", False),
        ([], [], "5.0", True),  # no code for any GPU: nothing to run on one
    ],
)
def test_which_gpu_is_served(sms, ptx, gpu, served):
    assert serves(replace(LIBRARY, sms=tuple(sms), ptx=tuple(ptx)), gpu, "13.0") is served


@pytest.mark.parametrize(("driver", "served"), [("13.0", True), ("13.2", True), ("12.9", False), (None, True)])
def test_ptx_needs_a_driver_whose_compiler_is_not_older(driver, served):
    assert serves(replace(LIBRARY, sms=(), ptx=("9.0",)), "12.0", driver) is served
    assert serves(LIBRARY, "9.0", driver), "machine code does not"


def test_the_table_of_drivers_names_its_source():
    table = json.loads(files("trtreg").joinpath("data/cuda_drivers.json").read_text(encoding="utf-8"))
    assert table["source"].startswith("https://docs.nvidia.com/")
    for cuda, branch in table["minimum_branch"].items():
        assert compatibility._minimum_branch(f"{cuda}.1") == branch
    assert compatibility._minimum_branch("99.0") is None
