from __future__ import annotations

import pytest

from trtreg.errors import SettingError
from trtreg.sdk.arch import DEFAULT, Arch, parse_targets


@pytest.mark.parametrize(
    ("text", "plain", "dotted"),
    [
        ("86", "86", "8.6"),
        ("8.6", "86", "8.6"),
        ("90a", "90a", "9.0a"),
        ("9.0a", "90a", "9.0a"),
        ("120", "120", "12.0"),
        ("10.3f", "103f", "10.3f"),
    ],
)
def test_spellings(text: str, plain: str, dotted: str) -> None:
    arch = Arch.parse(text)
    assert (arch.plain, arch.dotted) == (plain, dotted)
    assert Arch.parse(dotted) == arch


@pytest.mark.parametrize("text", ["", "8", "8.", "sm_86", "8.66", "86b", "1200", "086", "8,6", "8٦", "-86"])
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the caller makes the message
        Arch.parse(text)


@pytest.mark.parametrize(
    ("words", "sms", "ptx"),
    [
        (["90", "86"], ["86", "90"], ["90"]),
        (["8.6", "86"], ["86"], ["86"]),
        (["86+PTX", "90"], ["86", "90"], ["86"]),
        (["86+PTX", "90+ptx"], ["86", "90"], ["86", "90"]),
        # PTX of a chip's own variant would run on that chip only.
        (["86", "90a"], ["86", "90a"], ["86"]),
        (["90a"], ["90a"], ["90a"]),
        (["100", "90"], ["90", "100"], ["100"]),
    ],
)
def test_targets(words: list[str], sms: list[str], ptx: list[str]) -> None:
    targets = parse_targets(words, "a test")
    assert [arch.plain for arch in targets.sms] == sms
    assert [arch.plain for arch in targets.ptx] == ptx


def test_default_targets() -> None:
    assert [arch.plain for arch in DEFAULT.sms] == ["75", "80", "86", "89", "90", "100", "120"]
    assert [arch.plain for arch in DEFAULT.ptx] == ["120"]
    assert DEFAULT.nvcc_flags[0] == "-gencode=arch=compute_75,code=sm_75"
    assert DEFAULT.nvcc_flags[-1] == "-gencode=arch=compute_120,code=compute_120"


def test_sources_know_of_code_for_one_chip() -> None:
    assert "-DTRTREG_SM_90A" in parse_targets(["8.0", "9.0a"], "a test").nvcc_flags
    assert not any(flag.startswith("-D") for flag in parse_targets(["8.0", "9.0"], "a test").nvcc_flags)


@pytest.mark.parametrize("words", [[], [""], ["86+CUBIN"], ["86+"], ["ninety"]])
def test_bad_targets_name_their_place(words: list[str]) -> None:
    with pytest.raises(SettingError, match=r"^TRTREG_CUDA_ARCHS (has|is)"):
        parse_targets(words, "TRTREG_CUDA_ARCHS")
