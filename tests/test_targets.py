from types import SimpleNamespace

import pytest

from trtreg import targets
from trtreg.errors import SettingError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], ()),
        (["8.6", "sm_86", "SM86", 86, " 8.6 "], ("8.6",)),
        (["12.0", "sm_121", "sm75"], ("12.0", "12.1", "7.5")),
    ],
)
def test_reads_every_spelling_once(given, expected):
    assert targets.normalise(given) == expected


@pytest.mark.parametrize("target", ["", "8", "sm_", "ada", "8.66", "1234", "8.6a"])
def test_refuses_what_is_no_capability(target):
    with pytest.raises(SettingError, match=r"malformed: found .*expected a compute capability"):
        targets.normalise([target])


def test_a_flavour_that_builds_for_this_gpu_only_says_so():
    trt = SimpleNamespace(__name__="tensorrt", __version__="10.16")
    with pytest.raises(
        SettingError, match=r"tensorrt 10.16 builds for the GPU of this machine only: found targets 8.6;.*TensorRT-RTX"
    ):
        targets.apply(trt, SimpleNamespace(), ("8.6",))
    targets.apply(trt, SimpleNamespace(), ())
